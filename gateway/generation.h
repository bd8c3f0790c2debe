// One request on its way through a prefill and a decode worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/answer_track.h"
#include "gateway/sequence_order.h"
#include "gateway/worker.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"

namespace cleave {

// What a request is waiting for. Its name goes into the deadline's reason.
enum class GenerationPhase {
  kQueue,     // the ticket, and media on their way
  kPrefill,   // the first token
  kTransfer,  // the decode worker's first tokens
  kDecode,    // the rest
};

// How a request ended, and what its end tells.
struct GenerationResult {
  absl::Status status;                              // always typed when not OK
  GenerationPhase phase = GenerationPhase::kQueue;  // in which it ended
  int output_tokens = 0;                            // of all candidates
  int replays = 0;                                  // tries after the first
  std::string prefill_worker, decode_worker;        // names, of the last try; empty: none took part
  absl::Duration dispatch;       // accepted until the prefill worker had the order
  PrefillPhases prefill_phases;  // zero before the first token
  DecodePhases decode_phases;    // decode is measured here when the worker did not tell
  std::optional<absl::Duration> time_to_first_token;
  // From the first token until the prefill worker said that the KV had arrived.
  std::optional<absl::Duration> transfer_exposed;
  absl::Duration total;
};

// What a listener says to the tokens it was given.
struct TokenVerdict {
  bool enough = false;  // a stop string: this candidate is complete
  absl::Status error;   // the request cannot go on
};

// Hears each candidate's tokens in order and the end of all once. Called under the generation's
// mutex: it must not call back. After OnEnd nothing comes.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  // `cause` is set with the candidate's last ones.
  virtual TokenVerdict OnTokens(int candidate, const AnswerTokens& tokens, EndCause cause) = 0;
  virtual void OnEnd(const GenerationResult& result) = 0;
};

struct GenerationOptions {
  RequestNumber number{};
  SequenceOrder order;
  Route route;
  absl::Time accepted;  // by the gateway; durations count from here
  absl::Time deadline;
  Rerouter* rerouter = nullptr;  // outlives the request; null: it ends with its workers
};

// The state machine: Expect, Ticket, PutMedia for each distinct file, Run, then first tokens and
// steps in whatever order they arrive, then one end. Every event takes the one mutex; calls to
// workers and to the listener are made under it, so they never overlap.
//
// A request may have several candidates. Each ends for itself, with its last token or a stop
// string; the request ends when all have.
//
// When a worker dies, drains or gives the request back, the same request goes on under the next
// epoch: with the tokens that the client has as emitted_ids, on another pair or, when there is none
// yet, on the first that comes. A decode worker that still waits for the KV keeps the ticket until
// the next pair is known: when it is of it, the ticket goes on. Several candidates begin again from
// the prompt, and what the client has is not told again. Nothing random is drawn anew, so the
// tokens are those it would have had; where candidates get others all the same (other arithmetic),
// the request ends. What still comes from an earlier epoch is dropped. A request whose workers died
// twice ends: it may be what they die of.
//
// On a local route the decode worker does it all: Expect, then steps.
//
// At the end each worker that still holds something gets a Cancel, and the listener is let go.
class Generation final : public WorkerEvents, public std::enable_shared_from_this<Generation> {
 public:
  // `listener` is shared with the call that it serves, until the end. `clock` must outlive this.
  Generation(GenerationOptions options, std::shared_ptr<GenerationListener> listener,
             const Clock& clock);

  // Sends the first message. Once. May end the request before it returns.
  void Start();
  // Ends the request with `why`, unless it has ended: the client went away, the gateway drains.
  void Cancel(const absl::Status& why);
  // The deadline has passed.
  void OnDeadline();

  absl::Time deadline() const { return deadline_; }
  bool ended() const;

  void OnTicket(uint32_t epoch, uint64_t ticket) override;
  void OnStepTokens(uint32_t epoch, int candidate, int64_t first_index, AnswerTokens tokens,
                    EndCause finish, const std::optional<DecodePhases>& phases) override;
  void OnDecodeEnded(uint32_t epoch, const absl::Status& status) override;
  void OnDecodeLost(uint32_t epoch) override;
  void OnFirstToken(uint32_t epoch, int candidate, AnswerTokens token, EndCause finish,
                    const PrefillPhases& phases) override;
  void OnPrefillEnded(uint32_t epoch, const absl::Status& status) override;
  void OnPrefillLost(uint32_t epoch) override;

 private:
  // Restart is the second half of GoOn, once there is a pair.
  void GoOn(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayGoOn(const absl::Status& why) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration PauseAfter(const absl::Status& why) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RestartAfter(absl::Duration pause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Restart(uint32_t epoch);
  void MoveTo(Route route) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool DropKeptTicket(uint32_t epoch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool ExpectAtDecode() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteFirstToken() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UploadNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnMediaDone(uint32_t epoch, const absl::Status& status);
  void SendRun() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Puts them into the candidate's track, and tells what is in order.
  void AddTokens(int candidate, int64_t first_index, AnswerTokens tokens, EndCause finish)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(int candidate, const AnswerTokens& tokens) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CancelIfClosed(int candidate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the client has, of each candidate, what the prefill worker of this try samples.
  bool HasFirstTokens() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a candidate's last token has not come yet.
  bool NeedsDecode() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int TokensTold() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseDecode(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleasePrefill(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration TimeLeft() const;
  // Whether a message of this epoch still matters.
  bool IsCurrent(uint32_t epoch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the client is told of an error that a worker reported.
  absl::Status ErrorOf(const absl::Status& worker_status) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RequestNumber number_;
  Rerouter* const rerouter_;
  const absl::Time accepted_;
  const absl::Time deadline_;
  const Clock& clock_;

  mutable Mutex mutex_;
  std::shared_ptr<GenerationListener> listener_ ABSL_GUARDED_BY(mutex_);  // null after the end
  SequenceOrder order_ ABSL_GUARDED_BY(mutex_);                           // of this try
  Route route_ ABSL_GUARDED_BY(mutex_);
  uint32_t epoch_ ABSL_GUARDED_BY(mutex_) = 1;
  GenerationPhase phase_ ABSL_GUARDED_BY(mutex_) = GenerationPhase::kQueue;
  std::optional<uint64_t> ticket_ ABSL_GUARDED_BY(mutex_);
  size_t media_sent_ ABSL_GUARDED_BY(mutex_) = 0;  // of order_.media, from the front
  // Between the message that takes something and the one that gives it back.
  bool decode_holds_ ABSL_GUARDED_BY(mutex_) = false;
  bool prefill_holds_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_steps_ ABSL_GUARDED_BY(mutex_) = false;           // so the KV has arrived
  std::vector<AnswerTrack> tracks_ ABSL_GUARDED_BY(mutex_);  // of each candidate
  std::set<int> cancelled_ ABSL_GUARDED_BY(mutex_);          // candidates, in this try
  GenerationResult result_ ABSL_GUARDED_BY(mutex_);
  // Since the last try ended: why, and until when a pair is looked for.
  absl::Status last_error_ ABSL_GUARDED_BY(mutex_);
  absl::Time give_up_at_ ABSL_GUARDED_BY(mutex_);
  int workers_lost_ ABSL_GUARDED_BY(mutex_) = 0;
  int failed_tries_ ABSL_GUARDED_BY(mutex_) = 0;  // but for those that ask for patience
  int preemptions_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Time> first_token_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cleave
