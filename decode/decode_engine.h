// Generates: continuous batching over sequences whose KV prefill workers have brought.
#pragma once

#include <atomic>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "decode/decode_job.h"
#include "decode/decode_metrics.h"
#include "decode/kv_intake.h"
#include "engine/decode_step.h"
#include "engine/engine_load.h"
#include "engine/model_host.h"
#include "runtime/base/clock.h"
#include "runtime/base/mailbox.h"

namespace cleave {

struct DecodeEngineOptions {
  int sequences_max = 64;  // answers announced and running; at most the host's step limits
  // Rows of a step that may be of a prompt that this worker computes itself, as given to
  // DecodeStep; 0: it computes none. Fewer where a step would take longer than this with them.
  int64_t prompt_rows_max = 0;
  double step_seconds = 0.05;
};

// Claims and the way of KV into pages are in decode_intake.cc, steps and ends in decode_engine.cc.
//
// Owns one thread, "decode", which owns everything below the mailbox. All other threads only post.
// The thread takes turns; where time is simulated, somebody else takes them.
//
// What waits for memory waits in the order of the requests' age, tries before this one included,
// and the oldest runs on when others must make room for it. So whoever comes back is not behind
// all.
//
// A sequence is announced (it has a ticket and no pages), receives (pages reserved and pinned for
// the link), runs (in every step) and leaves. A local one computes its prompt instead, in the same
// steps, a chunk of one prompt in each; no KV comes for it. A claim that finds no pages waits for
// them behind those before it. When a running sequence cannot grow, the youngest of the lowest
// priority is given back to its gateway (PREEMPTED); the oldest never is, so the worker always gets
// on. A sequence leaves the batch at once when it finishes or is cancelled; pages that the link may
// still write stay pinned until the link has let go.
//
// A request with several candidates is one sequence with as many answers. They share the pages of
// the prompt, but for the last one, which each writes behind; they run, wait and are given back
// together, and each leaves when it finishes.
class DecodeEngine {
 public:
  // Everything outlives the engine; `intake` answers through the OnX calls below.
  DecodeEngine(ModelHost& host, DecodeStep& step, KvIntake& intake, const Clock& clock,
               DecodeMetrics& metrics, const DecodeEngineOptions& options);
  // Ends every sequence with DRAINING and waits until the link has let go of all pages.
  ~DecodeEngine();

  // Starts the thread. Once.
  void Start();
  // Waits up to `patience` for something to do, and does it: what messages ask, what is late, one
  // step. False: it was stopped, and all pages are back.
  bool Turn(absl::Duration patience);
  // When it has something to do, unless a message comes before.
  absl::Time NextTurn() const;

  // Ends every sequence with DRAINING, as the destructor does, but does not wait. Nothing new
  // begins.
  void Stop();

  // Answered by OnTicket or OnEnded. False: too many wait for the next step; then its replies hear
  // nothing.
  bool Submit(DecodeJob job);
  // The gateway wants nothing more of it; no answer.
  void Cancel(RequestKey key);
  // Nothing more of one of its candidates.
  void CancelCandidate(RequestKey key, int candidate);
  // The gateway is gone.
  void CancelSession(SessionId session);

  // From the KV link; see ReceiverListener.
  void ReservePages(TransferId transfer, const TransferPlan& plan);
  void OnCommitted(TransferId transfer, CommitPayload payload);
  void OnFailed(TransferId transfer, const absl::Status& status);

  const EngineLoad& load() const { return load_; }

 private:
  enum class Phase { kAnnounced, kReceiving, kComputing, kRunning, kEnded };

  struct Sequence {
    Sequence(DecodeJob from, const KvPools& pools) : job(std::move(from)) {
      for (int i = 0; i < job.request.candidates; ++i) answers.emplace_back(pools, i);
    }
    // Has its turn, and gives its pages back, in steps.
    bool active() const { return phase == Phase::kComputing || phase == Phase::kRunning; }
    // Those that still generate, once it runs.
    int64_t open_answers() const;
    DecodeJob job;
    TransferId transfer;
    Phase phase = Phase::kAnnounced;
    std::optional<TransferPlan> claimed;  // waits for pages
    std::deque<DecodeSequence> answers;   // the first gets the prompt; others share its pages
    bool pinned = false;                  // the link may write
    std::vector<PageId> pinned_full, pinned_sliding;
    std::optional<absl::Time> cancelled;  // when the gateway's word came
    absl::Time committed = absl::InfiniteFuture();
    absl::Time first_step = absl::InfiniteFuture();
  };

  // An answer that takes part in a step.
  struct InStep {
    Sequence* sequence;
    DecodeSequence* answer;
  };

  struct CancelJob {
    RequestKey key;
    absl::Time at;
  };
  struct DropCandidate {
    RequestKey key;
    int candidate;
  };
  struct CancelGateway {
    SessionId session;
    absl::Time at;
  };
  struct Expected {
    TransferId transfer;
    absl::Status status;
  };
  struct Claimed {
    TransferId transfer;
    TransferPlan plan;
  };
  struct Committed {
    TransferId transfer;
    CommitPayload payload;
    absl::Time at;
  };
  struct Failed {
    TransferId transfer;
    absl::Status status;
  };
  using Event = std::variant<DecodeJob, CancelJob, DropCandidate, CancelGateway, Expected, Claimed,
                             Committed, Failed>;

  void Handle(DecodeJob& job);
  void Handle(const CancelJob& cancel);
  void Handle(const DropCandidate& drop);
  void Handle(const CancelGateway& gateway);
  void Handle(const Expected& expected);
  void Handle(const Claimed& claimed);
  void Handle(Committed& committed);
  void Handle(const Failed& failed);

  absl::Status TakeOver(const DecodeJob& job);
  absl::Status Refusal(const DecodeJob& job) const;
  absl::Status CheckCandidates(const SequenceRequest& request) const;
  void Announce(Sequence& sequence);
  void GrantClaims();
  bool StartPrompt(Sequence& sequence);
  struct Room {
    int64_t full = 0, sliding = 0;  // pages
  };
  Room RoomForOthers(const Sequence& sequence) const;
  bool HasRoomFor(const Sequence& sequence, const TransferPlan& plan) const;
  std::unique_ptr<TransferDestination> Reserve(Sequence& sequence, const TransferPlan& plan);
  bool Fork(Sequence& sequence, DecodeSequence& answer);
  void Step();
  void ChooseSequences();
  void ChooseChunk(Sequence& sequence);
  bool GrowAll(Sequence& sequence);
  bool Grow(Sequence& sequence, DecodeSequence& answer, int64_t count);
  void Tell();
  StepTokens NewTokens(const InStep& in_step);
  void Finish(Sequence& sequence, DecodeSequence& answer);
  void CountStep(const DecodeStepSummary& summary, absl::Time begin);
  void Cancel(Sequence& sequence, absl::Time at);
  void Leave(Sequence& sequence, Reason reason);
  void RemoveEnded();
  void EndWithError(Sequence& sequence, const absl::Status& status);
  void Preempt(Sequence& sequence);
  void Unpin(Sequence& sequence);
  void ExpireDeadlines();
  absl::Duration WaitTime() const;
  Sequence* Find(TransferId transfer);
  void Rank(std::vector<Sequence*>& ranked, const Sequence* also);
  Sequence* Victim(const Sequence& wants);
  void PublishLoad();

  ModelHost& host_;
  DecodeStep& step_;
  KvIntake& intake_;
  const Clock& clock_;
  DecodeMetrics& metrics_;
  const DecodeEngineOptions options_;
  const KvShape shape_;
  Mailbox<Event> inbox_;
  std::atomic<int> jobs_in_inbox_{0};
  std::vector<Event> events_;  // of a turn
  EngineLoad load_;

  std::list<Sequence> sequences_;   // oldest request first
  std::vector<Sequence*> ranked_;   // those that have a turn in the step
  std::vector<Sequence*> holders_;  // scratch of Victim
  // Of a step, in that order.
  std::vector<InStep> in_step_;
  std::vector<DecodeSequence*> generations_;
  std::vector<StepTokens> told_;
  Sequence* prompt_ = nullptr;  // of which `chunk_` is in the step
  PromptChunk chunk_;
  bool oldest_waits_ = false;  // runs alone, and those that receive hold the pages it needs
  bool stopping_ = false;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cleave
