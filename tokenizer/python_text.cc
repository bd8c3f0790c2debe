#include "tokenizer/python_text.h"

#include <charconv>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tokenizer/unicode_door.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

bool IsInteger(absl::string_view literal) {
  return literal.find_first_of(".eE") == absl::string_view::npos;
}

double ToDouble(absl::string_view literal) {
  double value = 0;
  if (!absl::SimpleAtod(literal, &value)) return 0;
  return value;
}

// Digits and exponent of the shortest form, as d.ddd * 10^exponent.
struct Shortest {
  std::string digits;
  int exponent = 0;
};

// `scientific` is "d.ddde+XX", without a sign in front.
Shortest Split(absl::string_view scientific) {
  Shortest split;
  const size_t e = scientific.find('e');
  for (const char c : scientific.substr(0, e)) {
    if (c != '.') split.digits.push_back(c);
  }
  absl::string_view exponent = scientific.substr(e + 1);
  if (exponent[0] == '+') exponent.remove_prefix(1);
  (void)absl::SimpleAtoi(exponent, &split.exponent);
  return split;
}

// With a point, and at least one digit on either side of it.
std::string Positional(const Shortest& shortest) {
  std::string digits = shortest.digits;
  if (shortest.exponent < 0) {
    return absl::StrCat("0.", std::string(static_cast<size_t>(-shortest.exponent - 1), '0'),
                        digits);
  }
  const size_t whole = static_cast<size_t>(shortest.exponent) + 1;
  if (digits.size() < whole + 1) digits.resize(whole, '0');
  const std::string fraction = digits.size() > whole ? digits.substr(whole) : "0";
  return absl::StrCat(digits.substr(0, whole), ".", fraction);
}

std::string PythonDouble(double value) {
  constexpr int kPositionalMin = -4, kPositionalMax = 15;  // exponents
  char buffer[32];
  const auto result =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  if (result.ec != std::errc()) return "nan";
  absl::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  if (!absl::StrContains(text, 'e')) return std::string(text);  // "inf"
  const absl::string_view sign = text[0] == '-' ? "-" : "";
  text.remove_prefix(sign.size());
  const Shortest shortest = Split(text);
  const bool is_positional =
      shortest.exponent >= kPositionalMin && shortest.exponent <= kPositionalMax;
  return absl::StrCat(sign, is_positional ? Positional(shortest) : std::string(text));
}

// repr() of a code point inside a string that `quote` surrounds; `bytes` are its UTF-8.
void AppendRepr(char32_t c, absl::string_view bytes, char quote, std::string& out) {
  const auto number = static_cast<uint32_t>(c);
  if (c == static_cast<unsigned char>(quote) || c == U'\\') {
    absl::StrAppend(&out, "\\", bytes);
  } else if (c == U'\n' || c == U'\r' || c == U'\t') {
    out += c == U'\n' ? "\\n" : c == U'\r' ? "\\r" : "\\t";
  } else if (IsPrintable(c)) {
    absl::StrAppend(&out, bytes);
  } else if (number < 0x100) {
    absl::StrAppendFormat(&out, "\\x%02x", number);
  } else if (number < 0x10000) {
    absl::StrAppendFormat(&out, "\\u%04x", number);
  } else {
    absl::StrAppendFormat(&out, "\\U%08x", number);
  }
}

void AppendRepr(absl::string_view text, std::string& out) {
  const bool has_single = absl::StrContains(text, '\'');
  const char quote = has_single && !absl::StrContains(text, '"') ? '"' : '\'';
  out.push_back(quote);
  while (!text.empty()) {
    const Utf8Prefix prefix = ReadUtf8(text);
    const size_t length = prefix.state == Utf8State::kComplete ? prefix.length : 1;
    AppendRepr(prefix.code_point, text.substr(0, length), quote, out);
    text.remove_prefix(length);
  }
  out.push_back(quote);
}

void AppendRepr(const Json& value, std::string& out) {
  if (const std::string* text = value.AsString()) return AppendRepr(*text, out);
  if (const JsonArray* array = value.AsArray()) {
    out.push_back('[');
    absl::string_view separator = "";
    for (const Json& element : *array) {
      absl::StrAppend(&out, separator);
      AppendRepr(element, out);
      separator = ", ";
    }
    out.push_back(']');
  } else if (const JsonObject* object = value.AsObject()) {
    out.push_back('{');
    absl::string_view separator = "";
    for (const JsonMember& member : *object) {
      absl::StrAppend(&out, separator);
      AppendRepr(member.key, out);
      absl::StrAppend(&out, ": ");
      AppendRepr(member.value, out);
      separator = ", ";
    }
    out.push_back('}');
  } else if (const JsonNumber* number = value.AsNumber()) {
    absl::StrAppend(&out, PythonNumber(*number));
  } else if (const bool* boolean = value.AsBool()) {
    absl::StrAppend(&out, *boolean ? "True" : "False");
  } else {
    absl::StrAppend(&out, "None");
  }
}

}  // namespace

std::string PythonNumber(const JsonNumber& number) {
  if (!IsInteger(number.text)) return PythonDouble(ToDouble(number.text));
  return number.text == "-0" ? "0" : number.text;
}

std::string PythonText(const Json& value) {
  if (const std::string* text = value.AsString()) return *text;
  std::string out;
  AppendRepr(value, out);
  return out;
}

bool IsTruthy(const Json& value) {
  if (const bool* boolean = value.AsBool()) return *boolean;
  if (const std::string* text = value.AsString()) return !text->empty();
  if (const JsonArray* array = value.AsArray()) return !array->empty();
  if (const JsonObject* object = value.AsObject()) return !object->empty();
  if (const JsonNumber* number = value.AsNumber()) {
    if (!IsInteger(number->text)) return ToDouble(number->text) != 0;
    return number->text.find_first_of("123456789") != std::string::npos;
  }
  return false;
}

}  // namespace cleave
