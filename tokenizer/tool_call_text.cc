#include "tokenizer/tool_call_text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/base/json_tree.h"

namespace cleave {
namespace {

constexpr int kDepthMax = 32;
constexpr absl::string_view kSpaces = " \n\t";

absl::string_view Strip(absl::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == absl::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kToolNameBytesMax &&
         std::all_of(text.begin(), text.end(), IsToolNameCharacter);
}

// Removes the digits in front; false when there are none.
bool SkipDigits(absl::string_view& text) {
  const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
  text.remove_prefix(count);
  return count > 0;
}

// JSON's grammar of numbers.
bool IsNumber(absl::string_view text) {
  absl::ConsumePrefix(&text, "-");
  if (!absl::ConsumePrefix(&text, "0") && !SkipDigits(text)) return false;
  if (absl::ConsumePrefix(&text, ".") && !SkipDigits(text)) return false;
  if (absl::ConsumePrefix(&text, "e") || absl::ConsumePrefix(&text, "E")) {
    if (!absl::ConsumePrefix(&text, "+")) absl::ConsumePrefix(&text, "-");
    if (!SkipDigits(text)) return false;
  }
  return text.empty();
}

bool IsNull(absl::string_view word) {
  return absl::EqualsIgnoreCase(word, "null") || absl::EqualsIgnoreCase(word, "none") ||
         absl::EqualsIgnoreCase(word, "nil");
}

// Reads from the front of the text and writes JSON. Every method is false when the text does not
// fit; what was written until then is of no use.
class CallReader {
 public:
  explicit CallReader(absl::string_view text) : rest_(text) {}

  bool Read(ParsedToolCall& call) {
    Space();
    if (!absl::ConsumePrefix(&rest_, "call:")) return false;
    absl::string_view name;
    if (!Until("{", name) || rest_.empty()) return false;
    call.name = std::string(Strip(name));
    if (!IsName(call.name) || !Object(call.arguments)) return false;
    Space();
    return rest_.empty();
  }

 private:
  void Space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpaces), rest_.size())); }

  bool StartsWith(char c) const { return !rest_.empty() && rest_[0] == c; }
  bool Take(char c) {
    if (!StartsWith(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // What stands before the first of `stops`, or before the end. No quote may stand there.
  bool Until(absl::string_view stops, absl::string_view& text) {
    text = rest_.substr(0, rest_.find_first_of(stops));
    rest_.remove_prefix(text.size());
    return !absl::StrContains(text, kCallQuote);
  }

  bool String(std::string& out) {
    rest_.remove_prefix(1);
    const size_t end = rest_.find(kCallQuote);
    if (end == absl::string_view::npos) return false;
    AppendJsonString(rest_.substr(0, end), out);
    rest_.remove_prefix(end + 1);
    return true;
  }

  // What `read_one` reads, between an opening bracket that is next and `close`.
  template <typename ReadOne>
  bool List(char close, const ReadOne& read_one, std::string& out) {
    if (++depth_ > kDepthMax) return false;
    out.push_back(rest_[0]);
    rest_.remove_prefix(1);
    Space();
    for (bool is_first = true; !StartsWith(close); is_first = false) {
      if (!is_first) {
        if (!Take(',')) return false;
        Space();
        if (StartsWith(close)) break;
        out.push_back(',');
      }
      if (!read_one()) return false;
      Space();
      if (rest_.empty()) return false;
    }
    rest_.remove_prefix(1);
    out.push_back(close);
    --depth_;
    return true;
  }

  bool Object(std::string& out) {
    return List(
        '}', [&] { return Pair(out); }, out);
  }

  bool Pair(std::string& out) {
    if (StartsWith(kCallQuote)) {
      if (!String(out)) return false;
    } else {
      absl::string_view key;
      if (!Until(":", key)) return false;
      key = Strip(key);
      if (key.empty() || key[0] == ',') return false;
      AppendJsonString(key, out);
    }
    Space();
    if (!Take(':')) return false;
    out.push_back(':');
    Space();
    return Value(out);
  }

  bool Value(std::string& out) {
    if (StartsWith(kCallQuote)) return String(out);
    if (StartsWith('{')) return Object(out);
    if (StartsWith('['))
      return List(
          ']', [&] { return Value(out); }, out);
    absl::string_view word;
    if (!Until(",}]", word)) return false;
    word = Strip(word);
    if (word.empty()) return false;
    if (IsNumber(word)) {
      // One beyond a double would be refused when the call comes back in the conversation.
      double value = 0;
      if (!absl::SimpleAtod(word, &value) || !std::isfinite(value)) return false;
      absl::StrAppend(&out, word);
    } else if (word == "true" || word == "false") {
      absl::StrAppend(&out, word);
    } else if (IsNull(word)) {
      out += "null";
    } else {
      AppendJsonString(word, out);
    }
    return true;
  }

  absl::string_view rest_;
  int depth_ = 0;
};

}  // namespace

bool IsToolNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
}

std::optional<ParsedToolCall> ParseToolCall(absl::string_view text) {
  ParsedToolCall call;
  if (!CallReader(text).Read(call)) return std::nullopt;
  return call;
}

}  // namespace cleave
