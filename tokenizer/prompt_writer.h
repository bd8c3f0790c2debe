// Puts a rendered prompt together, keeping what the format writes as control tokens apart from
// text. Internal to tokenizer/.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "tokenizer/rendered_prompt.h"
#include "tokenizer/vocabulary.h"

namespace cleave {

// Not thread-safe.
class PromptWriter {
 public:
  // `vocabulary` must outlive the writer.
  explicit PromptWriter(const Vocabulary& vocabulary) : special_(vocabulary.special()) {}

  const SpecialTokens& special() const { return special_; }

  void Control(TokenId id) { prompt_.segments.push_back(RenderedPrompt::Control{id}); }

  void Text(absl::string_view text) {
    if (text.empty()) return;
    std::vector<RenderedPrompt::Segment>& segments = prompt_.segments;
    if (segments.empty() || !std::holds_alternative<std::string>(segments.back())) {
      segments.push_back(std::string());
    }
    std::get<std::string>(segments.back()).append(text.data(), text.size());
  }

  // A string in the syntax of tools: between two quote tokens, without escapes.
  void Quoted(absl::string_view text) {
    Control(special_.quote);
    Text(text);
    Control(special_.quote);
  }

  void Media(const MediaPlace& place) {
    prompt_.segments.push_back(RenderedPrompt::Media{static_cast<int>(prompt_.media.size())});
    prompt_.media.push_back(place);
  }

  // The prompt ends inside a thought that the format has opened.
  void EndInThought() { prompt_.ends_in_thought = true; }

  RenderedPrompt Finish() && { return std::move(prompt_); }

 private:
  const SpecialTokens& special_;
  RenderedPrompt prompt_;
};

}  // namespace cleave
