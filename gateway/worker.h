// Workers as a request sees them. The connections implement this over gRPC, tests by hand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/answer_tokens.h"
#include "gateway/sequence_order.h"
#include "runtime/base/error.h"

namespace cleave {

// The gateway's number for one try of a request: unique in this process.
enum class RequestNumber : uint64_t {};

// What workers tell about one request; `epoch` is that of the order it answers, `candidate` which
// of its answers tokens belong to. Any thread, in any interleaving between the two workers; in the
// order sent from one worker. Never called from within a call to a worker.
class WorkerEvents {
 public:
  virtual ~WorkerEvents() = default;

  // From the decode worker.
  virtual void OnTicket(uint32_t epoch, uint64_t ticket) = 0;
  // `first_index`: of the first of them among the answer's tokens. `phases` come with the last
  // token.
  virtual void OnStepTokens(uint32_t epoch, int candidate, int64_t first_index, AnswerTokens tokens,
                            EndCause finish, const std::optional<DecodePhases>& phases) = 0;
  virtual void OnDecodeEnded(uint32_t epoch, const absl::Status& status) = 0;
  // The connection is gone, and with it what the worker held. Nothing comes from it any more.
  virtual void OnDecodeLost(uint32_t epoch) = 0;

  // From the prefill worker: the candidate's first token of this try.
  virtual void OnFirstToken(uint32_t epoch, int candidate, AnswerTokens token, EndCause finish,
                            const PrefillPhases& phases) = 0;
  virtual void OnPrefillEnded(uint32_t epoch, const absl::Status& status) = 0;
  virtual void OnPrefillLost(uint32_t epoch) = 0;
};

// Methods return at once and are called by any thread. False: the worker is not connected, nothing
// was sent and no event will come.
class DecodeWorker {
 public:
  virtual ~DecodeWorker() = default;
  // `events` is kept until Cancel, Forget or OnDecodeLost.
  virtual bool Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                      absl::Duration time_left, std::shared_ptr<WorkerEvents> events) = 0;
  virtual void Cancel(RequestNumber request, const std::string& reason) = 0;
  // Nothing more is wanted of one of several candidates.
  virtual void CancelCandidate(RequestNumber request, int candidate) = 0;
  // The worker holds nothing of this request any more.
  virtual void Forget(RequestNumber request) = 0;
  virtual std::string name() const = 0;
  // host:port of its KV link.
  virtual std::string kv_link_address() const = 0;
};

class PrefillWorker {
 public:
  virtual ~PrefillWorker() = default;
  // Brings the bytes; `done` is called once, later, by another thread.
  virtual void PutMedia(const MediaItem& item, absl::Duration time_left,
                        std::function<void(absl::Status)> done) = 0;
  virtual bool Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                   absl::Duration time_left, uint64_t ticket, const std::string& decode_address,
                   std::shared_ptr<WorkerEvents> events) = 0;
  virtual void Cancel(RequestNumber request, const std::string& reason) = 0;
  virtual void Forget(RequestNumber request) = 0;
  virtual std::string name() const = 0;
};

// Where a request may be served.
enum class RouteKind {
  kDisaggregated,  // by a prefill and a decode worker
  kLocal,          // by a decode worker alone
};

// The workers that serve a request; `prefill` is null where the decode worker does it alone. Shared
// with the pool, which keeps every worker's connection.
struct Route {
  bool is_local() const { return prefill == nullptr; }
  std::shared_ptr<PrefillWorker> prefill;
  std::shared_ptr<DecodeWorker> decode;
  int context_tokens_max = 0;  // of the longest sequence that fits on both
  std::string compatibility;   // see WorkerStatus; equal ones give equal tokens
  bool is_free = false;        // the request did not name it: LOCAL may become DISAGGREGATED
};

// How a request whose workers cannot go on finds others. Thread-safe; outlives requests.
class Rerouter {
 public:
  virtual ~Rerouter() = default;
  // A route to go on with, on workers whose context is no smaller: if possible of the same kind as
  // `last`, and computing the same bits. UNAVAILABLE: not now.
  virtual absl::StatusOr<Route> ChooseAgain(const Route& last) = 0;
  // Calls `call` once, later, by another thread. It must hold what it touches by weak_ptr.
  virtual void After(absl::Duration pause, std::function<void()> call) = 0;
  // A request goes on elsewhere, because of an error of this reason.
  virtual void OnReplay(Reason reason, const Route& last, const Route& next) = 0;
};

}  // namespace cleave
