// Any ids as an answer: whole, one by one and in steps they give the same, what they give is UTF-8,
// and a call's arguments are a JSON object.
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/base/json_tree.h"
#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/chat_text.h"
#include "tokenizer/output_parser.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

// The first byte says where the answer starts; then two bytes an id, or text that is encoded.
std::vector<TokenId> ReadIds(const uint8_t* data, size_t size, const Tokenizer& tokenizer) {
  if ((data[0] & 2) != 0) {
    const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    return tokenizer.Encode(text, /*match_special=*/true).value_or(std::vector<TokenId>());
  }
  std::vector<TokenId> ids;
  const int count = tokenizer.vocabulary().size();
  for (size_t i = 1; i + 1 < size; i += 2) ids.push_back((data[i] << 8 | data[i + 1]) % count);
  return ids;
}

struct Streamed {
  std::string thought, content;
  std::vector<ParsedToolCall> tool_calls;
  std::vector<std::string> malformed;

  void Add(const OutputDelta& delta, StreamTrimmer& trimmer) {
    CHECK(!FindInvalidUtf8(delta.thought) && !FindInvalidUtf8(delta.content));
    thought += delta.thought;
    trimmer.Push(delta.content, content);
    tool_calls.insert(tool_calls.end(), delta.tool_calls.begin(), delta.tool_calls.end());
    malformed.insert(malformed.end(), delta.malformed.begin(), delta.malformed.end());
  }
};

Streamed Stream(const Vocabulary& vocabulary, absl::Span<const TokenId> ids, bool in_thought,
                size_t step) {
  OutputParser parser(vocabulary, in_thought);
  StreamTrimmer trimmer;
  Streamed streamed;
  for (size_t begin = 0; begin < ids.size(); begin += step) {
    OutputDelta delta;
    for (const TokenId id : ids.subspan(begin, step)) CHECK(parser.Push(id, delta).ok());
    streamed.Add(delta, trimmer);
  }
  OutputDelta rest;
  parser.Finish(rest);
  streamed.Add(rest, trimmer);
  return streamed;
}

}  // namespace
}  // namespace cleave

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleave;  // NOLINT(google-build-using-namespace): this function is all there is
  static const std::unique_ptr<const Tokenizer>& tokenizer =
      *new std::unique_ptr<const Tokenizer>(*Tokenizer::Create(SmallTokenizer().Json()));
  if (size == 0) return 0;
  const Vocabulary& vocabulary = tokenizer->vocabulary();
  const std::vector<TokenId> ids = ReadIds(data, size, *tokenizer);
  const bool in_thought = (data[0] & 1) != 0;
  const ParsedOutput whole = *ParseOutput(vocabulary, ids, {}, in_thought);
  for (const size_t step : {size_t{1}, size_t{2}, size_t{1} + (data[0] >> 2)}) {
    const Streamed streamed = Stream(vocabulary, ids, in_thought, step);
    CHECK(streamed.thought == whole.thought && streamed.content == whole.content);
    CHECK(streamed.tool_calls == whole.tool_calls && streamed.malformed == whole.malformed);
  }
  for (const ParsedToolCall& call : whole.tool_calls) {
    const auto arguments = ParseJson(call.arguments, 32);
    CHECK(arguments.ok() && arguments->AsObject() != nullptr);
  }
  return 0;
}
