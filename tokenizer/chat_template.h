// The chat format of Gemma 4 (template edition 2026-07-09): a conversation becomes a prompt in
// which the control tokens the format writes are ids from the start, so that nothing a user, a tool
// or an earlier answer spells can pass for one.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tokenizer/tokenizer.h"

namespace cleave {

// ---- The conversation.

enum class Role {
  kSystem,
  kDeveloper,
  kUser,
  kAssistant,  // consecutive assistant messages are one turn of the model
  kModel,      // the same, but it is not continued by the next message
};

enum class MediaKind { kImage, kAudio, kVideo };

struct TextPart {
  std::string text;  // UTF-8; white space at both ends is not printed
};

// A picture, a sound or a video; where it stands is all that the format needs to know.
struct MediaPart {
  MediaKind kind;
};

using Part = std::variant<TextPart, MediaPart>;

struct Message {
  Role role;
  std::vector<Part> parts;  // in order; printed with nothing between them
  // The client sent a list of parts, not one string. The format prints a space after each part of a
  // list in the leading system message, and nowhere else makes a difference.
  bool is_list = false;
};

struct TemplateOptions {
  bool thinking = false;
  // End with the beginning of the model's turn. Off: the conversation is printed as it stands.
  bool generation_prompt = true;
};

// ---- The prompt.

// Where a media part of the conversation stands.
struct MediaPlace {
  MediaKind kind;
  int message;  // index into the messages
  int part;     // index into that message's parts

  friend bool operator==(const MediaPlace&, const MediaPlace&) = default;
};

struct RenderedPrompt {
  struct Control {
    TokenId id;
  };
  struct Media {
    int index;  // into `media`
  };
  // Everything between two control tokens or media is one string: merges do not stop where a part
  // of the template ends and a user's text begins.
  using Segment = std::variant<Control, std::string, Media>;

  std::vector<Segment> segments;
  std::vector<MediaPlace> media;  // in order of appearance
};

// Prints the conversation. INVALID_ARGUMENT with the field's path ("messages[2].parts[0]") for text
// that is not UTF-8 (Reason::kTextNotUtf8) and for media in a leading system or developer message,
// where the format has no place for it (Reason::kFieldInvalid).
absl::StatusOr<RenderedPrompt> RenderChat(absl::Span<const Message> messages,
                                          const TemplateOptions& options,
                                          const Vocabulary& vocabulary);

// The prompt as text, control tokens and media placeholders spelled: for logs and tests. It is not
// a way to get ids, since a user's text may spell the same.
std::string SpellOut(const RenderedPrompt& prompt, const Vocabulary& vocabulary);

// ---- The ids.

// What one media part occupies, as the media library counts it.
struct MediaExtent {
  struct Frame {
    int seconds;  // from the start of the video, rounded down
    int tokens;
  };
  int tokens = 0;             // of an image or a sound, at least 1
  std::vector<Frame> frames;  // of a video, at least one, in order
};

// One run of soft tokens: the positions whose embeddings come from a media part. An image or a
// sound has one span, a video one for each frame.
struct MediaSpan {
  int media;  // index into RenderedPrompt::media
  int frame;  // of a video, else 0
  MediaKind kind;
  int64_t first;  // position of the first soft token in the ids
  int tokens;

  friend bool operator==(const MediaSpan&, const MediaSpan&) = default;
};

// The spans alone say what is media: an id that equals a placeholder's without one is not.
struct EncodedPrompt {
  std::vector<TokenId> ids;
  std::vector<MediaSpan> spans;  // ascending
};

// The prompt's ids. `extents` has one element for each element of prompt.media. A picture becomes
// begin, its soft tokens, end; a sound likewise; a video the frames "MM:SS " begin, soft, end with
// a space between them. INVALID_ARGUMENT with Reason::kMediaLimit for an extent without tokens.
absl::StatusOr<EncodedPrompt> EncodePrompt(const RenderedPrompt& prompt,
                                           absl::Span<const MediaExtent> extents,
                                           const Tokenizer& tokenizer);

}  // namespace cleave
