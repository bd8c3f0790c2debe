// Any bytes as tokenizer.json: refused with an error, or a tokenizer that loses no text.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tokenizer/stream_detokenizer.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tokenizer =
      cleave::Tokenizer::Create(std::string(reinterpret_cast<const char*>(data), size));
  if (!tokenizer.ok()) return 0;
  const cleave::Vocabulary& vocabulary = (*tokenizer)->vocabulary();
  const std::string text = "the  <|turn> hello\n\n aaaaa 中文 😀 > </";
  const auto ids = (*tokenizer)->Encode(text, false);
  if (!ids.ok()) std::abort();
  for (const cleave::TokenId id : *ids) {
    if (!vocabulary.Contains(id) || vocabulary.IsControl(id)) std::abort();
  }
  if (*cleave::Detokenize(vocabulary, *ids, true) != text) std::abort();
  return 0;
}
