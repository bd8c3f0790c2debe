#include "tests/tokenizer/small_tokenizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "runtime/base/check.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

std::string JsonString(absl::string_view text) {
  return absl::StrCat(
      "\"",
      absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}, {"\t", "\\t"}}),
      "\"");
}

std::vector<std::string> Characters(absl::string_view text) {
  std::vector<std::string> characters;
  while (!text.empty()) {
    const size_t length = ReadUtf8(text).length;
    characters.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return characters;
}

bool Holds(const std::vector<std::string>& list, absl::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

SmallTokenizer::SmallTokenizer()
    : pieces({"▁", "\n", "\t", "a", "b", "c",  "e",  "h",    "l",        "o",
              "t", "m",  "u",  "s", "r", "d",  "<",  ">",    "/",        "|",
              "1", "2",  ":",  "0", "é", "中", "文", "<h1>", "<unused0>"}),
      merges({{"\n", "\n"},     {"▁", "▁"},       {"▁▁", "▁▁"},   {"\t", "\t"},  {"h", "e"},
              {"t", "he"},      {"a", "a"},       {"aa", "aa"},   {"▁", "the"},  {"l", "l"},
              {"he", "ll"},     {"hell", "o"},    {"<", "/"},     {"▁", "</"},   {">", "▁</"},
              {"▁", "a"},       {"a", "b"},       {"b", "c"},     {"ab", "c"},   {"中", "文"},
              {"\n\n", "\n\n"}, {"aaaa", "aaaa"}, {"▁", "hello"}, {"aaaa", "b"}, {"u", "s"},
              {"us", "e"},      {"use", "r"}}),
      controls({"<|video|>",
                "<audio|>",
                "<image|>",
                "<|audio|>",
                "<|image|>",
                "<|audio>",
                "<|image>",
                "<turn|>",
                "<|turn>",
                "<channel|>",
                "<|channel>",
                "<|think|>",
                "<|\"|>",
                "<tool_response|>",
                "<|tool_response>",
                "<tool_call|>",
                "<|tool_call>",
                "<tool|>",
                "<|tool>",
                "<mask>",
                "<unk>",
                "<bos>",
                "<eos>",
                "<pad>"}),
      normalizer(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})") {}

std::vector<std::string> SmallTokenizer::AllPieces() const {
  std::vector<std::string> all;
  all.reserve(256 + pieces.size() + merges.size() + controls.size());
  for (int byte = 0; byte < 256; ++byte) all.push_back(absl::StrFormat("<0x%02X>", byte));
  all.insert(all.end(), pieces.begin(), pieces.end());
  for (const auto& [left, right] : merges) {
    const std::string product = left + right;
    if (!Holds(all, product) && !Holds(controls, product)) all.push_back(product);
  }
  all.insert(all.end(), controls.begin(), controls.end());
  return all;
}

std::string SmallTokenizer::Json() const {
  const std::vector<std::string> all = AllPieces();
  std::vector<std::string> vocab, merge_list, added;
  for (size_t id = 0; id < all.size(); ++id) {
    vocab.push_back(absl::StrCat(JsonString(all[id]), ":", id));
  }
  for (const auto& [left, right] : merges) {
    merge_list.push_back(absl::StrCat("[", JsonString(left), ",", JsonString(right), "]"));
  }
  for (const std::string& control : controls) {
    added.push_back(absl::StrCat(R"({"id":)", IdOf(control), R"(,"content":)", JsonString(control),
                                 R"(,"lstrip":false,"normalized":false,"special":true})"));
  }
  return absl::StrCat(R"({"added_tokens":[)", absl::StrJoin(added, ","), R"(],"normalizer":)",
                      normalizer, R"(,"pre_tokenizer":null,"model":{"type":"BPE","dropout":null,)",
                      R"("unk_token":"<unk>","byte_fallback":true,"vocab":{)",
                      absl::StrJoin(vocab, ","), R"(},"merges":[)", absl::StrJoin(merge_list, ","),
                      "]}}");
}

TokenId SmallTokenizer::IdOf(absl::string_view spelling) const {
  const std::vector<std::string> all = AllPieces();
  const auto found = std::find(all.begin(), all.end(), spelling);
  CHECK(found != all.end());
  return static_cast<TokenId>(found - all.begin());
}

std::vector<TokenId> SmallTokenizer::ReferenceEncode(absl::string_view text) const {
  std::vector<std::string> symbols = Characters(absl::StrReplaceAll(text, {{" ", "▁"}}));
  while (true) {
    size_t best_rank = merges.size(), best = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank] != std::make_pair(symbols[i], symbols[i + 1])) continue;
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == merges.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  const std::vector<std::string> all = AllPieces();
  std::vector<TokenId> ids;
  for (const std::string& symbol : symbols) {
    const auto found = std::find(all.begin(), all.end(), symbol);
    if (found != all.end()) {
      ids.push_back(static_cast<TokenId>(found - all.begin()));
      continue;
    }
    for (const char byte : symbol) ids.push_back(static_cast<uint8_t>(byte));
  }
  return ids;
}

}  // namespace cleave
