// Computes prompts: chunk by chunk, several prompts in a step, every finished page on its way to
// the decode worker while the next layer is computed, and the first token out before the transfer
// ends.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "engine/engine_load.h"
#include "engine/model_host.h"
#include "engine/prefix_cache.h"
#include "engine/step_batch.h"
#include "prefill/kv_outlet.h"
#include "prefill/prefill_job.h"
#include "prefill/prefill_metrics.h"
#include "runtime/base/clock.h"
#include "runtime/base/mailbox.h"

namespace cleave {

struct PrefillEngineOptions {
  int64_t chunk_tokens = 256;  // rows a step aims at; stretched over a picture
  int jobs_max = 64;           // queued and running together
  // A prompt that has waited so long is computed before all younger ones; see ComesBefore.
  absl::Duration patience = absl::Seconds(30);
  PrefixCacheOptions cache;
};

// Owns one thread, "prefill", which owns everything below the mailbox. All other threads only post.
// The thread takes turns; where time is simulated, somebody else takes them.
class PrefillEngine {
 public:
  // Everything outlives the engine; `outlet` answers through the OnX calls below.
  PrefillEngine(ModelHost& host, KvOutlet& outlet, const Clock& clock, PrefillMetrics& metrics,
                const PrefillEngineOptions& options);
  // Ends every job with DRAINING and waits until the link has given all memory back.
  ~PrefillEngine();

  // Starts the thread. Once.
  void Start();
  // Waits up to `patience` for something to do, and does it: what messages ask, what is late, one
  // step. False: it was stopped, and all memory is back.
  bool Turn(absl::Duration patience);
  // When it has something to do, unless a message comes before.
  absl::Time NextTurn() const;

  // False: full. Then its replies hear nothing.
  bool Submit(PrefillJob job);
  // Ends every job with DRAINING, as the destructor does, but does not wait. Nothing new begins.
  void Stop();
  // Ends a job that was accepted up to `at`, if it is still there: a later one of the same key is
  // another try.
  void Cancel(RequestKey key, Reason reason, absl::Time at);
  // Ends all jobs of a gateway that is gone.
  void CancelSession(SessionId session);

  // From the KV link.
  void OnGranted(TransferId transfer);
  void OnFinished(TransferId transfer, const absl::Status& status);

  const EngineLoad& load() const { return load_; }

 private:
  // A job and what has been done for it.
  struct Work {
    explicit Work(PrefillJob from, const KvPools& pools) : job(std::move(from)), table(pools) {}
    PrefillJob job;
    BlockTable table;
    TransferPlan plan;
    std::vector<SoftEmbeddings> embedded;  // of media in the chunk under way
    int64_t computed = 0;                  // positions, those from the prefix cache included
    int64_t cached = 0;                    // positions that the prefix cache had
    int64_t full_pages_reserved = 0;       // of the pools, for the whole prompt
    int64_t sliding_pages_reserved = 0;
    absl::Time started = absl::InfiniteFuture();
    absl::Time granted = absl::InfiniteFuture();
    absl::Time computed_at = absl::InfiniteFuture();  // the first token was sampled
    std::optional<absl::Time> cancelled;              // when the gateway's word came
    int64_t frames_out = 0;                           // handed to the link and not released
    bool begun = false;      // the link knows the transfer, or holds its memory
    bool ended = false;      // replies have heard OnEnded
    bool finishing = false;  // nothing more to compute
    bool link_done = false;  // the link has said OnFinished
  };
  using WorkIterator = std::list<Work>::iterator;

  // What one step computes of one prompt.
  struct Chunk {
    Work* work;
    int64_t begin;
    int64_t end;
    int64_t send_begin;   // where what has not been sent begins: before cached positions
    int64_t output = -1;  // output row of the last position, when the prompt ends with this chunk
  };

  struct CancelJob {
    RequestKey key;
    Reason reason;
    absl::Time at;
  };
  struct CancelGateway {
    SessionId session;
    absl::Time at;
  };
  struct Granted {
    TransferId transfer;
    absl::Time at;
  };
  struct Finished {
    TransferId transfer;
    absl::Status status;
  };
  struct FrameReleased {
    TransferId transfer;
    PoolKind pool;
    std::vector<PageId> pages;
  };
  using Event =
      std::variant<PrefillJob, CancelJob, CancelGateway, Granted, Finished, FrameReleased>;

  void Handle(PrefillJob& job);
  void Handle(const CancelJob& cancel);
  void Handle(const CancelGateway& gateway);
  void Handle(const Granted& granted);
  void Handle(const Finished& finished);
  void Handle(const FrameReleased& released);
  void GiveBack(Work& work);

  void Step();
  std::vector<Work*> InTurn();
  std::vector<Chunk> ChooseChunks();
  struct PagesOfPrompt {
    int64_t full, sliding;
  };
  PagesOfPrompt PagesOf(const Work& work) const;
  bool IsHeldUp(const Work& work) const;
  bool Start(Work& work);
  void UseCache(Work& work);
  absl::Status AddToBatch(Chunk& chunk);
  absl::Status EmbedMedia(Work& work, size_t index);
  void SendLayer(int layer, absl::Span<const Chunk> chunks);
  void SendSlice(Work& work, int layer, const FrameSlice& slice);
  void ClearTail(Work& work, int layer, KvKind kind);
  void FinishChunk(Chunk& chunk);
  void FinishPrompt(Work& work, int64_t output);
  PrefillTimings TimingsOf(const Work& work) const;
  void Cancel(Work& work, const absl::Status& why, absl::Time at);
  void End(Work& work, const absl::Status& status);
  void RemoveEnded();
  void Report(Work& work, const absl::Status& status, int64_t kv_bytes);
  void ExpireDeadlines();
  absl::Duration WaitTime() const;
  Work* Find(TransferId transfer);
  void PublishLoad();

  ModelHost& host_;
  KvOutlet& outlet_;
  const Clock& clock_;
  PrefillMetrics& metrics_;
  const PrefillEngineOptions options_;
  const KvShape shape_;
  Mailbox<Event> inbox_;
  std::vector<Event> events_;  // of a turn
  EngineLoad load_;
  std::atomic<int> jobs_{0};  // submitted and not ended

  std::list<Work> works_;  // in order of arrival
  StepBatch batch_;
  PrefixCache cache_;
  int64_t full_pages_reserved_ = 0;
  int64_t sliding_pages_reserved_ = 0;
  bool step_was_full_ = false;  // a prompt waits for nothing but the next step
  bool stopping_ = false;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cleave
