// A prompt between text and ids: what the chat format wrote as control tokens are ids from the
// start, so that nothing a user, a tool or an earlier answer spells can pass for one.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tokenizer/conversation.h"
#include "tokenizer/tokenizer.h"

namespace cleave {

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
  bool ends_in_thought = false;   // the model goes on inside a thought that the prompt has opened
};

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
