// How the reference's template engine prints values that are no strings. Internal to tokenizer/.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/json_tree.h"

namespace cleave {

// A JSON number as Python prints what it reads: a literal without point and exponent is an integer,
// printed in full whatever its size; others are doubles in their shortest form that reads back
// ("1.0", "-0.0", "1e-05", "1e+16").
std::string PythonNumber(const JsonNumber& number);

// str(value): a string as it is, "None", "True", "['a', 1]".
std::string PythonText(const Json& value);

// Whether Python takes the value for true: not null, false, zero or empty.
bool IsTruthy(const Json& value);

}  // namespace cleave
