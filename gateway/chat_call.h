// One call of ChatService from its request to its last event.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cleave/v1/chat.pb.h"
#include "gateway/admission.h"
#include "gateway/call_info.h"
#include "gateway/gateway_metrics.h"
#include "gateway/generation.h"
#include "gateway/prompt_builder.h"
#include "gateway/reply_assembler.h"
#include "gateway/served_model.h"
#include "gateway/task_pool.h"
#include "gateway/timer_queue.h"
#include "gateway/worker_pool.h"
#include "runtime/base/clock.h"

namespace cleave {

// The generations under way, so that a gateway that must end can end them. Thread-safe.
class OpenGenerations {
 public:
  void Add(RequestNumber number, const std::shared_ptr<Generation>& generation);
  void Remove(RequestNumber number);
  void CancelAll(const absl::Status& why);

 private:
  Mutex mutex_;
  std::map<RequestNumber, std::weak_ptr<Generation>> open_ ABSL_GUARDED_BY(mutex_);
};

// What all calls share. Everything outlives them.
struct ChatBackend {
  const ServedModel* model;
  const Clock* clock;
  WorkerPool* pool;
  Admission* admission;
  TimerQueue* timers;
  TaskPool* tasks;
  OpenGenerations* open;
  Rerouter* rerouter;
  GatewayMetrics* metrics;
  absl::Duration request_timeout_max;
  int local_prompt_tokens_max;  // a prompt of text is served locally up to here, unless it says how
  absl::Duration read_patience;  // with clients that still read an answer that has ended
};

// Where the events of a call go: a stream, or a fold into one answer.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  // An error when the client is too far behind.
  virtual absl::Status OnEvent(v1::GenerateEvent event) = 0;
  // The last call, exactly once. The sink may destroy itself.
  virtual void OnEnd(const absl::Status& status) = 0;
};

// Parsing, counting and routing run on the task pool; afterwards the generation's events drive it.
// Shared by the sink, the task and the generation. Cancel is thread-safe; Start comes first, once.
class ChatCall final : public GenerationListener, public std::enable_shared_from_this<ChatCall> {
 public:
  // `sink` lives until its OnEnd.
  ChatCall(const ChatBackend& backend, CallInfo info, ReplySink& sink);

  // May end the call before it returns. Keeps a reference to the bytes, not a copy.
  void Start(const grpc::ByteBuffer& request);
  // The client is gone.
  void Cancel();

 private:
  // One answer on its way to the client.
  struct Reply {
    std::unique_ptr<ReplyAssembler> assembler;
    std::optional<absl::Time> last_step;
  };

  void Run(const grpc::ByteBuffer& bytes);
  absl::Status Prepare(const grpc::ByteBuffer& bytes);
  absl::Status CountAndQueue(const ChatRequest& request, Prompt prompt);
  absl::StatusOr<SequenceOrder> MakeOrder(const ChatRequest& request, Prompt prompt,
                                          int output_tokens_max) const;
  absl::Status Launch(const ChatRequest& request, Prompt prompt, Route route,
                      int output_tokens_max);
  RouteKind KindOfRoute(const ChatRequest& request, const Prompt& prompt) const;
  absl::StatusOr<absl::Time> Deadline() const;
  bool IsCancelled();

  TokenVerdict OnTokens(int candidate, const AnswerTokens& tokens, EndCause cause) override;
  void OnEnd(const GenerationResult& result) override;

  Reply& ReplyOf(int candidate) { return replies_[static_cast<size_t>(candidate)]; }
  void ObserveStep(Reply& reply, int tokens);
  absl::Status SendStarted(uint64_t seed);
  absl::Status SendLogProbabilities(int candidate, const AnswerTokens& tokens);
  absl::Status SendDelta(int candidate, ReplyDelta delta, int tokens);
  absl::Status SendToolCall(int candidate, ParsedToolCall call, int index);
  absl::Status SendFinished(int candidate, EndCause cause);
  absl::Status SendSummary(const GenerationResult* result);
  void CountRefusal(const absl::Status& status);
  void End(const absl::Status& status);

  const ChatBackend& backend_;
  const CallInfo info_;
  ReplySink& sink_;
  const std::string response_id_;
  const absl::Time accepted_;

  Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Generation> generation_ ABSL_GUARDED_BY(mutex_);  // shared with its workers
  std::optional<TimerQueue::Id> timer_ ABSL_GUARDED_BY(mutex_);     // of the deadline

  // Everything below belongs to Start and its task until others know the generation, and then is
  // touched only by the generation's calls.
  AdmissionSlot slot_;
  v1::Usage usage_;
  std::vector<std::string> stop_;
  bool include_thoughts_ = false;
  bool fills_context_ = false;  // the request names no most tokens: the context's end is the limit
  std::vector<Reply> replies_;  // of each candidate
  std::string prefill_worker_, decode_worker_;
  RequestNumber number_{};
  bool accepted_by_admission_ = false;  // and counted as such
};

}  // namespace cleave
