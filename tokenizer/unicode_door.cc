#include "tokenizer/unicode_door.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "runtime/base/check.h"

namespace cleave {
namespace {

using Mapping = void (*)(const char* locale, uint32_t options, icu::StringPiece text,
                         icu::ByteSink& sink, icu::Edits* edits, UErrorCode& error);

std::string Map(Mapping mapping, absl::string_view text) {
  std::string mapped;
  icu::StringByteSink<std::string> sink(&mapped);
  UErrorCode error = U_ZERO_ERROR;
  mapping("", 0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr,
          error);
  CHECK(U_SUCCESS(error));
  return mapped;
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isascii(static_cast<unsigned char>(c)); });
}

}  // namespace

std::string UpperCase(absl::string_view text) {
  return IsAscii(text) ? absl::AsciiStrToUpper(text) : Map(&icu::CaseMap::utf8ToUpper, text);
}

std::string LowerCase(absl::string_view text) {
  return IsAscii(text) ? absl::AsciiStrToLower(text) : Map(&icu::CaseMap::utf8ToLower, text);
}

bool IsPrintable(char32_t code_point) {
  constexpr uint32_t kNotPrinted = U_GC_C_MASK | U_GC_ZL_MASK | U_GC_ZP_MASK | U_GC_ZS_MASK;
  const uint32_t category = U_MASK(u_charType(static_cast<UChar32>(code_point)));
  return code_point == U' ' || (category & kNotPrinted) == 0;
}

}  // namespace cleave
