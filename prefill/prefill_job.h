// One prompt on its way through a prefill worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/request_key.h"
#include "engine/sequence.h"
#include "engine/token_choice.h"
#include "media/audio_decode.h"
#include "media/image_tiles.h"
#include "runtime/link/link_messages.h"

namespace cleave {

// Where the time went until the first token, and what was spared.
struct PrefillTimings {
  absl::Duration queue;       // accepted until the first chunk, media preparation not counted
  absl::Duration media;       // decoding of the files
  absl::Duration prefill;     // first chunk until the first token
  absl::Duration grant_wait;  // claim to grant; zero while the grant has not come
  int64_t cached_tokens = 0;  // positions of the prompt that the prefix cache had
};

// Where a job's answers go. Called on the engine's thread; must not block.
class PrefillReplies {
 public:
  virtual ~PrefillReplies() = default;
  // Once for each candidate, in order.
  virtual void OnFirstToken(RequestKey key, RequestEpoch epoch, int candidate,
                            const TokenChoice& first, FinishCause finish,
                            const PrefillTimings& timings) = 0;
  // The last call about the job, exactly once. OK: the KV is committed at the decode worker, or the
  // first token was the whole answer.
  virtual void OnEnded(RequestKey key, RequestEpoch epoch, const absl::Status& status,
                       int64_t kv_bytes) = 0;
};

// A decoded picture, frame or sound; one of the two is filled.
struct PreparedMedia {
  ImageTiles image;
  AudioFrames audio;
};

struct PrefillJob {
  RequestKey key;
  SequenceRequest request;
  TransferId transfer;                      // the ticket at the decode worker
  std::string decode_address;               // host:port of its KV link
  std::shared_ptr<PrefillReplies> replies;  // shared with the stream that the answers go to
  absl::Time accepted;
  std::vector<PreparedMedia> media;  // in the order of request.media
  absl::Duration media_time;
};

}  // namespace cleave
