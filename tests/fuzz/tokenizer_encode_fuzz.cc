// Any bytes as text: refused when they are not UTF-8, else ids that SentencePiece gives without
// cuts, windows or cache, hold no control token, and print the text again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/stream_detokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

struct Subject {
  const std::string json = SmallTokenizer().Json();
  const std::unique_ptr<const Tokenizer> tokenizer = *Tokenizer::Create(json);
  const WordEncoder encoder =
      *WordEncoder::Create(*TokenizerJson::Parse(json, "small"), tokenizer->vocabulary());
};

void Require(bool condition) {
  if (!condition) std::abort();
}

void Check(const Subject& subject, absl::string_view text) {
  const Vocabulary& vocabulary = subject.tokenizer->vocabulary();
  const auto ids = subject.tokenizer->Encode(text, false);
  const auto matched = subject.tokenizer->Encode(text, true);
  Require(ids.ok() == !FindInvalidUtf8(text).has_value());
  Require(matched.ok() == ids.ok());
  if (!ids.ok()) return;
  const std::string spaced = absl::StrReplaceAll(text, {{"\u2581", " "}});
  Require(*Detokenize(vocabulary, *ids, true) == spaced);
  Require(*Detokenize(vocabulary, *matched, false) == spaced);
  for (const TokenId id : *ids) Require(!vocabulary.IsControl(id));
  std::vector<TokenId> whole;
  subject.encoder.AppendIdsWhole(text, whole);
  Require(*ids == whole);
}

}  // namespace
}  // namespace cleave

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cleave::Subject subject;
  const std::string text(reinterpret_cast<const char*>(data), size);
  cleave::Check(subject, text);
  // The same text many times over reaches the windows that long words are cut into.
  if (size == 0 || size > 64) return 0;
  std::string repeated;
  while (repeated.size() < 4096) repeated += text;
  cleave::Check(subject, repeated);
  return 0;
}
