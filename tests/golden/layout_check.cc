#include "tests/golden/layout_check.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "media/audio_probe.h"
#include "media/image_size.h"
#include "media/video_frames.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "tests/golden/text_cases.h"
#include "tests/media/media_files.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace cleave::golden {
namespace {

constexpr IntRange kNumbers{0, int64_t{1} << 40};

// ---- The prompt.

// The placeholder that the text has at its beginning.
std::optional<MediaKind> PlaceholderAt(absl::string_view text, const Vocabulary& vocabulary) {
  const SpecialTokens& special = vocabulary.special();
  const std::pair<TokenId, MediaKind> placeholders[] = {{special.image_soft, MediaKind::kImage},
                                                        {special.audio_soft, MediaKind::kAudio},
                                                        {special.video_soft, MediaKind::kVideo}};
  for (const auto& [id, kind] : placeholders) {
    const absl::string_view spelling = vocabulary.bytes(id);
    if (text.substr(0, spelling.size()) == spelling) return kind;
  }
  return std::nullopt;
}

std::optional<TokenId> ControlAt(absl::string_view text, const Vocabulary& vocabulary) {
  const SpecialTokens& special = vocabulary.special();
  for (const TokenId id : {special.bos, special.turn_begin, special.turn_end}) {
    const absl::string_view spelling = vocabulary.bytes(id);
    if (text.substr(0, spelling.size()) == spelling) return id;
  }
  return std::nullopt;
}

RenderedPrompt ReadPrompt(absl::string_view text, const Vocabulary& vocabulary) {
  RenderedPrompt prompt;
  std::string plain;
  const auto end_plain = [&] {
    if (!plain.empty()) prompt.segments.push_back(std::exchange(plain, ""));
  };
  while (!text.empty()) {
    if (const auto kind = PlaceholderAt(text, vocabulary)) {
      end_plain();
      const int index = static_cast<int>(prompt.media.size());
      prompt.segments.push_back(RenderedPrompt::Media{index});
      prompt.media.push_back({.kind = *kind, .message = 0, .part = index});
      text.remove_prefix(text.find('>') + 1);
    } else if (const auto id = ControlAt(text, vocabulary)) {
      end_plain();
      prompt.segments.push_back(RenderedPrompt::Control{*id});
      text.remove_prefix(vocabulary.bytes(*id).size());
    } else {
      plain.push_back(text[0]);
      text.remove_prefix(1);
    }
  }
  end_plain();
  return prompt;
}

// ---- The media's sizes.

absl::StatusOr<int> PictureTokens(int64_t width, int64_t height, int budget) {
  ASSIGN_OR_RETURN(
      const TargetImageSize size,
      ComputeTargetImageSize(static_cast<int>(height), static_cast<int>(width), budget));
  return size.tokens;
}

absl::StatusOr<MediaExtent> ImageExtent(const JsonValue& size) {
  ASSIGN_OR_RETURN(const std::vector<JsonValue> sides, size.AsArray());
  if (sides.size() != 2) return absl::InvalidArgumentError("images");
  ASSIGN_OR_RETURN(const int64_t width, sides[0].AsInt(kNumbers));
  ASSIGN_OR_RETURN(const int64_t height, sides[1].AsInt(kNumbers));
  ASSIGN_OR_RETURN(const int tokens, PictureTokens(width, height, kImageBudgetDefault));
  return MediaExtent{.tokens = tokens, .frames = {}};
}

absl::StatusOr<MediaExtent> AudioExtent(const JsonValue& length) {
  ASSIGN_OR_RETURN(const int64_t samples, length.AsInt(kNumbers));
  const std::string silence(static_cast<size_t>(samples) * 2, '\0');
  ASSIGN_OR_RETURN(const AudioInfo info, ProbeAudio(media_test::WavFile(silence), MediaLimits()));
  return MediaExtent{.tokens = static_cast<int>(info.tokens), .frames = {}};
}

// [frames, width, height, frames a second]
absl::StatusOr<MediaExtent> VideoExtent(const JsonValue& video) {
  ASSIGN_OR_RETURN(const std::vector<JsonValue> numbers, video.AsArray());
  if (numbers.size() != 4) return absl::InvalidArgumentError("videos");
  ASSIGN_OR_RETURN(const int64_t total, numbers[0].AsInt(kNumbers));
  ASSIGN_OR_RETURN(const int64_t width, numbers[1].AsInt(kNumbers));
  ASSIGN_OR_RETURN(const int64_t height, numbers[2].AsInt(kNumbers));
  ASSIGN_OR_RETURN(const double fps, numbers[3].AsDouble());
  ASSIGN_OR_RETURN(const int tokens, PictureTokens(width, height, kVideoTokenBudgetDefault));
  MediaExtent extent;
  for (const int index : SampleFrames(static_cast<int>(total), kVideoFramesDefault)) {
    extent.frames.push_back({.seconds = WholeSeconds(FrameSeconds(index, fps)), .tokens = tokens});
  }
  return extent;
}

// The sizes of one kind, in order of appearance.
absl::StatusOr<std::vector<JsonValue>> Sizes(const JsonValue& line, absl::string_view key) {
  if (!line.Has(key)) return std::vector<JsonValue>();
  ASSIGN_OR_RETURN(const JsonValue list, line.Member(key));
  return list.AsArray();
}

absl::StatusOr<std::vector<MediaExtent>> ReadExtents(const JsonValue& line,
                                                     const RenderedPrompt& prompt) {
  ASSIGN_OR_RETURN(const std::vector<JsonValue> images, Sizes(line, "images"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> audios, Sizes(line, "audio"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> videos, Sizes(line, "videos"));
  size_t image = 0, audio = 0, video = 0;
  std::vector<MediaExtent> extents;
  for (const MediaPlace& place : prompt.media) {
    absl::StatusOr<MediaExtent> extent;
    switch (place.kind) {
      case MediaKind::kImage:
        extent = ImageExtent(images.at(image++));
        break;
      case MediaKind::kAudio:
        extent = AudioExtent(audios.at(audio++));
        break;
      case MediaKind::kVideo:
        extent = VideoExtent(videos.at(video++));
        break;
    }
    RETURN_IF_ERROR(extent.status());
    extents.push_back(*std::move(extent));
  }
  return extents;
}

// ---- Comparing.

// One position: its id, and 0 text, 1 image, 2 video or 3 audio.
using Position = std::pair<TokenId, int>;

int TypeOf(MediaKind kind) {
  return kind == MediaKind::kImage ? 1 : kind == MediaKind::kVideo ? 2 : 3;
}

std::vector<Position> Positions(const EncodedPrompt& encoded) {
  std::vector<Position> positions;
  for (const TokenId id : encoded.ids) positions.emplace_back(id, 0);
  for (const MediaSpan& span : encoded.spans) {
    for (int i = 0; i < span.tokens; ++i) {
      positions[static_cast<size_t>(span.first + i)].second = TypeOf(span.kind);
    }
  }
  return positions;
}

absl::StatusOr<std::vector<Position>> ReadRuns(const JsonValue& line) {
  ASSIGN_OR_RETURN(const JsonValue list, line.Member("runs"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> runs, list.AsArray());
  std::vector<Position> positions;
  for (const JsonValue& run : runs) {
    ASSIGN_OR_RETURN(const std::vector<JsonValue> numbers, run.AsArray());
    if (numbers.size() != 3) return absl::InvalidArgumentError("runs");
    ASSIGN_OR_RETURN(const int64_t id, numbers[0].AsInt(kNumbers));
    ASSIGN_OR_RETURN(const int64_t type, numbers[1].AsInt(kNumbers));
    ASSIGN_OR_RETURN(const int64_t count, numbers[2].AsInt(kNumbers));
    positions.insert(positions.end(), static_cast<size_t>(count),
                     {static_cast<TokenId>(id), static_cast<int>(type)});
  }
  return positions;
}

absl::Status CheckLine(const Tokenizer& tokenizer, const JsonValue& line, Report& report) {
  ASSIGN_OR_RETURN(const std::string text, line.String("text"));
  ASSIGN_OR_RETURN(const std::vector<Position> expected, ReadRuns(line));
  const RenderedPrompt prompt = ReadPrompt(text, tokenizer.vocabulary());
  ASSIGN_OR_RETURN(const std::vector<MediaExtent> extents, ReadExtents(line, prompt));
  ASSIGN_OR_RETURN(const EncodedPrompt encoded, EncodePrompt(prompt, extents, tokenizer));
  report.Exact("ids and kinds", Positions(encoded) == expected,
               absl::StrCat(encoded.ids.size(), " ids, expected ", expected.size()));
  return absl::OkStatus();
}

absl::Status CheckAll(const std::string& path, const std::string& tokenizer_file, Report& report) {
  ASSIGN_OR_RETURN(const auto tokenizer, LoadTokenizer(tokenizer_file));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, "layout.json"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> lines, document.root().AsArray());
  for (size_t i = 0; i < lines.size(); ++i) {
    report.Case(absl::StrCat("layout ", i));
    const absl::Status status = CheckLine(*tokenizer, lines[i], report);
    if (!status.ok()) report.Exact("read", false, status.ToString());
  }
  return absl::OkStatus();
}

}  // namespace

void CheckLayout(const std::string& cases_dir, const std::string& tokenizer_file, Report& report) {
  const absl::Status status = CheckAll(cases_dir + "/layout.json", tokenizer_file, report);
  if (!status.ok()) ReportFailure("layout", status, report);
}

}  // namespace cleave::golden
