#include "tokenizer/rendered_prompt.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// Turns segments into ids. Text is gathered until a control token ends it.
class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer), special_(tokenizer.vocabulary().special()) {}

  void AddText(absl::string_view text) { absl::StrAppend(&text_, text); }

  absl::Status AddControl(TokenId id) {
    RETURN_IF_ERROR(tokenizer_.AppendText(text_, encoded_.ids));
    text_.clear();
    encoded_.ids.push_back(id);
    return absl::OkStatus();
  }

  absl::Status AddMedia(int index, MediaKind kind, const MediaExtent& extent) {
    if (kind == MediaKind::kVideo) return AddVideo(index, extent);
    const MediaSpan span{
        .media = index, .frame = 0, .kind = kind, .first = 0, .tokens = extent.tokens};
    if (kind == MediaKind::kImage) {
      return AddSpan(span, special_.image_begin, special_.image_soft, special_.image_end);
    }
    return AddSpan(span, special_.audio_begin, special_.audio_soft, special_.audio_end);
  }

  absl::StatusOr<EncodedPrompt> Finish() && {
    RETURN_IF_ERROR(tokenizer_.AppendText(text_, encoded_.ids));
    return std::move(encoded_);
  }

 private:
  absl::Status AddVideo(int index, const MediaExtent& extent) {
    if (extent.frames.empty()) return NoTokens(index);
    for (size_t i = 0; i < extent.frames.size(); ++i) {
      const auto [seconds, tokens] = extent.frames[i];
      AddText(absl::StrFormat("%s%02d:%02d ", i == 0 ? "" : " ", seconds / 60, seconds % 60));
      const MediaSpan span{.media = index,
                           .frame = static_cast<int>(i),
                           .kind = MediaKind::kVideo,
                           .first = 0,
                           .tokens = tokens};
      RETURN_IF_ERROR(AddSpan(span, special_.image_begin, special_.video_soft, special_.image_end));
    }
    return absl::OkStatus();
  }

  absl::Status AddSpan(MediaSpan span, TokenId begin, TokenId soft, TokenId end) {
    if (span.tokens < 1) return NoTokens(span.media);
    RETURN_IF_ERROR(AddControl(begin));
    span.first = static_cast<int64_t>(encoded_.ids.size());
    encoded_.ids.insert(encoded_.ids.end(), static_cast<size_t>(span.tokens), soft);
    encoded_.spans.push_back(span);
    return AddControl(end);
  }

  static absl::Status NoTokens(int index) {
    return InvalidField(Reason::kMediaLimit, absl::StrCat("media[", index, "]"), "at least 1 token",
                        "none");
  }

  const Tokenizer& tokenizer_;
  const SpecialTokens& special_;
  std::string text_;
  EncodedPrompt encoded_;
};

TokenId SoftToken(MediaKind kind, const SpecialTokens& special) {
  if (kind == MediaKind::kImage) return special.image_soft;
  return kind == MediaKind::kAudio ? special.audio_soft : special.video_soft;
}

}  // namespace

std::string SpellOut(const RenderedPrompt& prompt, const Vocabulary& vocabulary) {
  std::string text;
  for (const RenderedPrompt::Segment& segment : prompt.segments) {
    if (const auto* control = std::get_if<RenderedPrompt::Control>(&segment)) {
      absl::StrAppend(&text, vocabulary.bytes(control->id));
    } else if (const auto* media = std::get_if<RenderedPrompt::Media>(&segment)) {
      const MediaKind kind = prompt.media[static_cast<size_t>(media->index)].kind;
      absl::StrAppend(&text, vocabulary.bytes(SoftToken(kind, vocabulary.special())));
    } else {
      absl::StrAppend(&text, std::get<std::string>(segment));
    }
  }
  return text;
}

absl::StatusOr<EncodedPrompt> EncodePrompt(const RenderedPrompt& prompt,
                                           absl::Span<const MediaExtent> extents,
                                           const Tokenizer& tokenizer) {
  CHECK(extents.size() == prompt.media.size());
  Encoder encoder(tokenizer);
  for (const RenderedPrompt::Segment& segment : prompt.segments) {
    if (const auto* control = std::get_if<RenderedPrompt::Control>(&segment)) {
      RETURN_IF_ERROR(encoder.AddControl(control->id));
    } else if (const auto* media = std::get_if<RenderedPrompt::Media>(&segment)) {
      const auto i = static_cast<size_t>(media->index);
      RETURN_IF_ERROR(encoder.AddMedia(media->index, prompt.media[i].kind, extents[i]));
    } else {
      encoder.AddText(std::get<std::string>(segment));
    }
  }
  return std::move(encoder).Finish();
}

}  // namespace cleave
