#include "prefill/prefill_engine.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "prefill/chunking.h"
#include "prefill/frame_schedule.h"
#include "prefill/prompt_order.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/base/planted_bug.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_name.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

// A computed prompt whose transfer takes longer counts as kept waiting by its decode worker.
constexpr absl::Duration kTransferPatience = absl::Seconds(1);
constexpr size_t kInboxReserve = 256;  // messages beyond grow the mailbox; senders are bounded

PoolKind PoolOf(KvKind kind) {
  return kind == KvKind::kFull ? PoolKind::kFull : PoolKind::kSliding;
}

PageAllocator& AllocatorOf(const KvPools& pools, PoolKind pool) {
  return pool == PoolKind::kFull ? pools.full : pools.sliding;
}

}  // namespace

PrefillEngine::PrefillEngine(ModelHost& host, KvOutlet& outlet, const Clock& clock,
                             PrefillMetrics& metrics, const PrefillEngineOptions& options)
    : host_(host),
      outlet_(outlet),
      clock_(clock),
      metrics_(metrics),
      options_(options),
      shape_(host.layout().shape()),
      inbox_(kInboxReserve),
      batch_(host.config().tokens, host.limits()),
      cache_(host.pools(), shape_, options.cache) {
  PublishLoad();
}

PrefillEngine::~PrefillEngine() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void PrefillEngine::Start() {
  thread_ = std::thread([this] {
    NameThisThread("prefill");
    while (Turn(absl::InfiniteDuration())) {
    }
  });
}

void PrefillEngine::Stop() {
  stop_ = true;
  inbox_.Wake();
}

bool PrefillEngine::Submit(PrefillJob job) {
  if (jobs_.fetch_add(1) >= options_.jobs_max) {
    --jobs_;
    return false;
  }
  ++load_.requests_waiting;
  load_.queued_tokens += job.request.num_positions();
  return inbox_.PushAlways(Event(std::move(job)));
}

void PrefillEngine::Cancel(RequestKey key, Reason reason, absl::Time at) {
  inbox_.PushAlways(Event(CancelJob{key, reason, at}));
}
void PrefillEngine::CancelSession(SessionId session) {
  inbox_.PushAlways(Event(CancelGateway{session, clock_.Now()}));
}
void PrefillEngine::OnGranted(TransferId transfer) {
  inbox_.PushAlways(Event(Granted{transfer, clock_.Now()}));
}
void PrefillEngine::OnFinished(TransferId transfer, const absl::Status& status) {
  inbox_.PushAlways(Event(Finished{transfer, status}));
}

bool PrefillEngine::Turn(absl::Duration patience) {
  inbox_.TakeAll(events_, std::min(patience, WaitTime()));
  for (Event& event : events_) {
    std::visit([this](auto& message) { Handle(message); }, event);
  }
  if (stop_ && !stopping_) {
    stopping_ = true;
    for (Work& work : works_) End(work, LinkError(Reason::kDraining, "the worker stops"));
  }
  ExpireDeadlines();
  RemoveEnded();
  if (stopping_ && works_.empty()) return false;
  Step();
  PublishLoad();
  return true;
}

absl::Time PrefillEngine::NextTurn() const {
  const bool at_once = !inbox_.empty() || (stop_ && !stopping_);
  return at_once ? clock_.Now() : clock_.Now() + WaitTime();
}

void PrefillEngine::Handle(PrefillJob& job) {
  const bool repeated = std::any_of(works_.begin(), works_.end(), [&](const Work& work) {
    return work.job.transfer == job.transfer && (work.begun || !work.ended);
  });
  Work& work = works_.emplace_back(std::move(job), host_.pools());
  work.plan = MakeTransferPlan(shape_, work.job.request.num_positions());
  if (stopping_) {
    End(work, LinkError(Reason::kDraining, "the worker stops"));
  } else if (repeated) {
    End(work, LinkError(Reason::kStaleEpoch, "this ticket and epoch are being computed already"));
  }
}

void PrefillEngine::Handle(const CancelJob& cancel) {
  for (Work& work : works_) {
    if (work.job.key != cancel.key || work.job.accepted > cancel.at) continue;  // a later try
    Cancel(work, LinkError(cancel.reason, "cancelled by the gateway"), cancel.at);
  }
}

void PrefillEngine::Handle(const CancelGateway& gateway) {
  for (Work& work : works_) {
    if (work.job.key.session == gateway.session) {
      Cancel(work, LinkError(Reason::kCancelled, "the gateway is gone"), gateway.at);
    }
  }
}

void PrefillEngine::Handle(const Granted& granted) {
  Work* work = Find(granted.transfer);
  if (work == nullptr) return;
  work->granted = granted.at;
}

void PrefillEngine::Handle(const Finished& finished) {
  Work* work = Find(finished.transfer);
  if (work == nullptr) return;
  if (!work->ended) {
    Report(*work, finished.status, finished.status.ok() ? work->plan.total_bytes : 0);
  }
  work->link_done = true;
  GiveBack(*work);
}

void PrefillEngine::Handle(const FrameReleased& released) {
  if (!Planted(Bug::kPageReusedTooEarly)) {
    AllocatorOf(host_.pools(), released.pool).Unpin(released.pages);
  }
  Work* work = Find(released.transfer);
  --work->frames_out;
  GiveBack(*work);
}

// What was reserved, once the link has ended the transfer and released its frames, the last of
// which may come behind the end.
void PrefillEngine::GiveBack(Work& work) {
  if (!work.link_done || work.frames_out > 0) return;
  full_pages_reserved_ -= work.full_pages_reserved;
  sliding_pages_reserved_ -= work.sliding_pages_reserved;
  work.begun = false;
}

PrefillEngine::Work* PrefillEngine::Find(TransferId transfer) {
  for (Work& work : works_) {
    if (work.begun && work.job.transfer == transfer) return &work;
  }
  return nullptr;
}

void PrefillEngine::Step() {
  std::vector<Chunk> chunks = ChooseChunks();
  if (chunks.empty()) return;
  const absl::Time begin = clock_.Now();
  host_.kernels().Fill(batch_.batch(), host_.plan());
  host_.transformer().Forward(host_.plan(), batch_.soft_rows(), host_.kv_memory(),
                              [&](int layer) { SendLayer(layer, chunks); });
  for (Chunk& chunk : chunks) FinishChunk(chunk);
  const double seconds = absl::ToDoubleSeconds(clock_.Now() - begin);
  load_.AddStep(seconds);
  metrics_.step_seconds.Observe(seconds);
  metrics_.batch_tokens.Observe(static_cast<double>(batch_.rows()));
  metrics_.prompt_tokens_total.Increment(static_cast<double>(batch_.rows()));
}

// As ComesBefore has it.
std::vector<PrefillEngine::Work*> PrefillEngine::InTurn() {
  std::vector<Work*> order;
  for (Work& work : works_) {
    if (!work.ended && !work.finishing) order.push_back(&work);
  }
  const auto turn = [](const Work* work) {
    const SequenceRequest& request = work->job.request;
    return PromptTurn{request.priority, request.deadline, work->job.accepted};
  };
  std::stable_sort(order.begin(), order.end(),
                   [&, now = clock_.Now()](const Work* a, const Work* b) {
                     return ComesBefore(turn(a), turn(b), now, options_.patience);
                   });
  return order;
}

// Each prompt gets what is left of the step's rows.
std::vector<PrefillEngine::Chunk> PrefillEngine::ChooseChunks() {
  batch_.Clear();
  step_was_full_ = false;
  bool pages_short = false;
  absl::flat_hash_set<absl::string_view> held_up;  // addresses
  std::vector<Chunk> chunks;
  for (Work* work : InTurn()) {
    const int64_t rows_left = options_.chunk_tokens - batch_.rows();
    const bool room = rows_left > 0 && batch_.outputs() < host_.limits().outputs &&
                      static_cast<int64_t>(chunks.size()) < host_.limits().sequences;
    if (!room) {
      step_was_full_ = true;
      break;
    }
    // Others of the same decode worker wait behind one that it holds up, and all behind one that
    // waits for pages, or small ones would starve it.
    const std::string& address = work->job.decode_address;
    if (!work->begun && (held_up.contains(address) || IsHeldUp(*work))) {
      held_up.insert(address);
      continue;
    }
    if (!work->begun && (pages_short || !Start(*work))) {
      pages_short = true;
      continue;
    }
    const SequenceRequest& request = work->job.request;
    Chunk chunk{.work = work,
                .begin = work->computed,
                .end = ChunkEnd(request.media, request.num_positions(), work->computed, rows_left),
                .send_begin = work->computed == work->cached ? 0 : work->computed};
    // A stretched chunk may not fit beside the others; it comes first in a later step.
    if (batch_.rows() + chunk.end - chunk.begin > host_.limits().rows) continue;
    if (const absl::Status added = AddToBatch(chunk); !added.ok()) {
      End(*work, added);
      continue;
    }
    chunks.push_back(chunk);
  }
  return chunks;
}

// Prompts that one decode worker keeps waiting, because it grants nothing or takes no frames, hold
// at most half of the pages, so that prompts for others get on. One may hold more, when it is
// alone.
bool PrefillEngine::IsHeldUp(const Work& work) const {
  const absl::Time now = clock_.Now();
  int64_t full = 0, sliding = 0;
  for (const Work& other : works_) {
    const bool waits =
        other.granted == absl::InfiniteFuture() || now - other.computed_at > kTransferPatience;
    if (!other.begun || !waits || other.job.decode_address != work.job.decode_address) continue;
    full += other.full_pages_reserved;
    sliding += other.sliding_pages_reserved;
  }
  const KvPools pools = host_.pools();
  const PagesOfPrompt needs = PagesOf(work);
  return full > 0 && (2 * (full + needs.full) > pools.full.num_pages() ||
                      2 * (sliding + needs.sliding) > pools.sliding.num_pages());
}

PrefillEngine::PagesOfPrompt PrefillEngine::PagesOf(const Work& work) const {
  const int sliding =
      SlidingPagesMax(shape_.window, static_cast<int>(host_.limits().rows), shape_.page_tokens);
  return {.full = work.plan.full_pages,
          .sliding = std::min<int64_t>(work.plan.full_pages, sliding)};
}

// Reserves pages for the whole prompt, so that prompts under way never wait for each other, and
// claims the decode worker's. False: no room yet.
bool PrefillEngine::Start(Work& work) {
  const auto [full, sliding] = PagesOf(work);
  const KvPools pools = host_.pools();
  if (full_pages_reserved_ + full > pools.full.num_pages() ||
      sliding_pages_reserved_ + sliding > pools.sliding.num_pages()) {
    return false;
  }
  full_pages_reserved_ += work.full_pages_reserved = full;
  sliding_pages_reserved_ += work.sliding_pages_reserved = sliding;
  work.begun = true;
  work.started = clock_.Now();
  UseCache(work);
  --load_.requests_waiting;
  ++load_.requests_running;
  outlet_.Begin(
      work.job.decode_address,
      {.id = work.job.transfer, .plan = work.plan, .deadline = work.job.request.deadline});
  Log(Severity::kInfo, "prefill_started",
      {{"request", work.job.request.request_id},
       {"tokens", work.job.request.num_positions()},
       {"kv_bytes", work.plan.total_bytes}});
  return true;
}

// Begins behind the longest kept beginning of the prompt. The page that it ends in is copied, since
// the prompt writes into it.
void PrefillEngine::UseCache(Work& work) {
  const SequenceRequest& request = work.job.request;
  cache_.MakeRoom(1, 1);  // before: it may take what would be found
  if (const std::optional<PrefixCache::Prefix> prefix = cache_.Find(request)) {
    const auto copies = work.table.Share(prefix->full, prefix->sliding, prefix->num_tokens);
    if (copies.ok()) {
      work.cached = work.computed = prefix->num_tokens;
      for (size_t i = 0; i < request.media.size(); ++i) {
        if (request.media[i].end() <= work.cached) work.job.media[i] = PreparedMedia();
      }
      load_.queued_tokens -= work.cached;
      host_.CopyPages(*copies);
    }
  }
  metrics_.prefix_cache_hit_tokens.Increment(static_cast<double>(work.cached));
  metrics_.prefix_cache_miss_tokens.Increment(
      static_cast<double>(request.num_positions() - work.cached));
}

absl::Status PrefillEngine::AddToBatch(Chunk& chunk) {
  Work& work = *chunk.work;
  const SequenceRequest& request = work.job.request;
  const int64_t count = chunk.end - chunk.begin;
  cache_.MakeRoom(work.table.FullPagesNeeded(count), work.table.SlidingPagesNeeded(count));
  RETURN_IF_ERROR(work.table.Extend(count));
  work.embedded.resize(request.media.size());
  for (size_t i = 0; i < request.media.size(); ++i) {
    const SoftSpan& span = request.media[i];
    const bool inside = span.first_position < chunk.end && chunk.begin < span.end();
    if (inside && work.embedded[i].tokens() == 0) RETURN_IF_ERROR(EmbedMedia(work, i));
  }
  std::vector<int32_t> ids;
  for (int64_t p = chunk.begin; p < chunk.end; ++p) ids.push_back(request.token_at(p));
  const bool last = chunk.end == request.num_positions();
  if (last) chunk.output = batch_.outputs();
  const int64_t row = batch_.Add(ids, chunk.begin, work.table, last ? 1 : 0);
  for (size_t i = 0; i < request.media.size(); ++i) {
    const SoftSpan& span = request.media[i];
    const int64_t first = std::max(span.first_position, chunk.begin);
    const int64_t end = std::min(span.end(), chunk.end);
    if (first >= end) continue;
    batch_.AddSoftRows(row + first - chunk.begin,
                       work.embedded[i].view().Rows(first - span.first_position, end - first));
    if (IsPicture(span.kind)) batch_.MarkPicture(row + first - chunk.begin, span);
  }
  return absl::OkStatus();
}

absl::Status PrefillEngine::EmbedMedia(Work& work, size_t index) {
  const PreparedMedia& media = work.job.media[index];
  const SoftKind kind = work.job.request.media[index].kind;
  if (IsPicture(kind)) {
    const PixelScale scale =
        kind == SoftKind::kImage ? PixelScale::kImage : PixelScale::kVideoFrame;
    ASSIGN_OR_RETURN(work.embedded[index],
                     host_.embedder().EmbedImage(media.image.tiles, media.image.rows,
                                                 media.image.columns, scale));
  } else {
    ASSIGN_OR_RETURN(work.embedded[index], host_.embedder().EmbedAudio(media.audio.frames));
  }
  return absl::OkStatus();
}

// Called when the layer's last write to the pages has been submitted; the pages are read by the
// mover from here on, so the device must have done it.
void PrefillEngine::SendLayer(int layer, absl::Span<const Chunk> chunks) {
  Stream& stream = host_.kernels().stream();
  const KvKind kind = host_.config().layers[static_cast<size_t>(layer)].kind;
  for (const Chunk& chunk : chunks) {
    Work& work = *chunk.work;
    const int64_t num_positions = work.job.request.num_positions();
    const FrameSlice slice = FinishedPages(shape_, work.plan,
                                           {.computed_before = chunk.send_begin,
                                            .computed_after = chunk.end,
                                            .num_positions = num_positions},
                                           PoolOf(kind), host_.layout().index_in_kind(layer));
    if (slice.page_count == 0) continue;
    if (chunk.end == num_positions) ClearTail(work, layer, kind);
    stream.WaitForAll();
    SendSlice(work, layer, slice);
  }
}

void PrefillEngine::ClearTail(Work& work, int layer, KvKind kind) {
  const int64_t used = work.job.request.num_positions() % shape_.page_tokens;
  if (used == 0) return;
  const PageRun run = kind == KvKind::kFull ? work.table.full() : work.table.sliding();
  host_.kernels().ClearKvSlots(host_.kv_view(layer), run.pages.back(), static_cast<int>(used));
}

void PrefillEngine::SendSlice(Work& work, int layer, const FrameSlice& slice) {
  const KvKind kind = host_.config().layers[static_cast<size_t>(layer)].kind;
  const PageRun run = kind == KvKind::kFull ? work.table.full() : work.table.sliding();
  const int64_t first_ordinal = run.first_position / shape_.page_tokens;
  const auto pages = run.pages.subspan(static_cast<size_t>(slice.first_page - first_ordinal),
                                       static_cast<size_t>(slice.page_count));
  std::vector<PageBytes> bytes;
  for (const PageId page : pages) {
    bytes.push_back(host_.kv_memory().HostLayerBytes(kind, page, static_cast<int>(slice.layer)));
  }
  if (!Planted(Bug::kPageReusedTooEarly)) AllocatorOf(host_.pools(), slice.pool).Pin(pages);
  ++work.frames_out;
  outlet_.QueueFrame(
      work.job.transfer, slice, std::move(bytes),
      [this, released = FrameReleased{
                 work.job.transfer, slice.pool, {pages.begin(), pages.end()}}]() mutable {
        inbox_.PushAlways(Event(std::move(released)));
      });
}

void PrefillEngine::FinishChunk(Chunk& chunk) {
  Work& work = *chunk.work;
  load_.queued_tokens -= chunk.end - chunk.begin;
  work.computed = chunk.end;
  for (const int64_t boundary : work.job.request.cache_boundaries) {
    if (chunk.begin < boundary && boundary <= chunk.end) {
      cache_.Keep(work.job.request, boundary, work.table);
    }
  }
  work.table.DropBefore(std::max<int64_t>(0, chunk.end - (shape_.window - 1)));
  for (size_t i = 0; i < work.embedded.size(); ++i) {
    if (work.job.request.media[i].end() > chunk.end || work.embedded[i].tokens() == 0) continue;
    work.embedded[i] = SoftEmbeddings();
    work.job.media[i] = PreparedMedia();
  }
  if (chunk.output >= 0) FinishPrompt(work, chunk.output);
}

// The first tokens leave before the transfer ends. Answers that they complete need no decode
// worker.
void PrefillEngine::FinishPrompt(Work& work, int64_t output) {
  const SequenceRequest& request = work.job.request;
  const int64_t position = request.num_positions();
  const auto output_tokens = static_cast<int64_t>(request.emitted_ids.size()) + 1;
  CommitPayload payload{.num_positions = position};
  bool all_finished = true;
  for (int candidate = 0; candidate < request.candidates; ++candidate) {
    const TokenChoice first = ChooseToken(host_.FetchLogits(output), request, LogitRules(request),
                                          position, host_.sampler(), candidate);
    const FinishCause finish =
        CheckFinish(request, first.id, output_tokens, host_.context_tokens_max());
    work.job.replies->OnFirstToken(work.job.key, work.job.transfer.epoch, candidate, first, finish,
                                   TimingsOf(work));
    all_finished = all_finished && finish != FinishCause::kNone;
    const float chosen = first.log_probabilities ? first.log_probabilities->chosen : 0;
    payload.first_tokens.push_back({.token = first.id, .log_probability = chosen});
  }
  work.finishing = true;
  work.computed_at = clock_.Now();
  work.table.Release();  // the mover's pins hold what it still reads
  if (all_finished) {
    Report(work, absl::OkStatus(), 0);
    outlet_.Cancel(work.job.transfer, Reason::kCancelled);
    return;
  }
  payload.last_hidden_state = host_.FetchFinalHidden(output);
  outlet_.Commit(work.job.transfer, std::move(payload));
}

PrefillTimings PrefillEngine::TimingsOf(const Work& work) const {
  const absl::Time now = clock_.Now();
  return {.queue = work.started - work.job.accepted - work.job.media_time,
          .media = work.job.media_time,
          .prefill = now - work.started,
          .grant_wait = work.granted <= now ? work.granted - work.started : absl::ZeroDuration(),
          .cached_tokens = work.cached};
}

void PrefillEngine::Cancel(Work& work, const absl::Status& why, absl::Time at) {
  if (!work.ended) work.cancelled = at;
  End(work, why);
}

// Those whose pages the link has given back.
void PrefillEngine::RemoveEnded() {
  works_.remove_if([this](const Work& work) {
    if (!work.ended || work.begun) return false;
    if (work.cancelled) {
      metrics_.cancel_to_free_seconds.Observe(
          absl::ToDoubleSeconds(clock_.Now() - *work.cancelled));
    }
    return true;
  });
}

// Ends a job early. Pages that the mover still reads are pinned; what was reserved for it stays so
// until the link has answered with OnFinished.
void PrefillEngine::End(Work& work, const absl::Status& status) {
  if (work.ended) return;
  Report(work, status, 0);
  work.finishing = true;
  work.table.Release();
  if (work.begun) outlet_.Cancel(work.job.transfer, GetReason(status));
}

void PrefillEngine::Report(Work& work, const absl::Status& status, int64_t kv_bytes) {
  work.ended = true;
  --jobs_;
  load_.queued_tokens -= work.job.request.num_positions() - work.computed;
  if (!status.ok()) metrics_.requests_failed_total.Increment();
  work.job.replies->OnEnded(work.job.key, work.job.transfer.epoch, status, kv_bytes);
  // Behind its last word: a worker that drains closes its streams once the load is idle.
  --(work.begun ? load_.requests_running : load_.requests_waiting);
  Log(status.ok() ? Severity::kInfo : Severity::kWarning, "prefill_ended",
      {{"request", work.job.request.request_id},
       {"status", status.ok() ? "OK" : std::string(ReasonName(GetReason(status)))},
       {"message", std::string(status.message())}});
}

void PrefillEngine::ExpireDeadlines() {
  const absl::Time now = clock_.Now();
  for (Work& work : works_) {
    if (work.ended || now < work.job.request.deadline) continue;
    const Reason reason = !work.begun      ? Reason::kQueueDeadline
                          : work.finishing ? Reason::kTransferDeadline
                                           : Reason::kPrefillDeadline;
    End(work, LinkError(reason, "the request's deadline has passed"));
  }
}

// Zero while there is something to compute; else until the next deadline.
absl::Duration PrefillEngine::WaitTime() const {
  if (step_was_full_) return absl::ZeroDuration();
  absl::Time next = absl::InfiniteFuture();
  for (const Work& work : works_) {
    if (work.ended) continue;
    if (work.begun && !work.finishing) return absl::ZeroDuration();
    next = std::min(next, work.job.request.deadline);
  }
  // A prompt that waits for pages goes on when another has given its own back, which is an event; a
  // prompt that nothing stands before was started by the last step.
  return next - clock_.Now();
}

void PrefillEngine::PublishLoad() {
  // What prompts under way share with the cache is not spare, nor what the mover reads; what two of
  // them share counts twice.
  KvHoldings held{.owners = cache_.owner_count(),
                  .spare_full = cache_.full_pages() - cache_.pinned_full(),
                  .spare_sliding = cache_.sliding_pages() - cache_.pinned_sliding()};
  for (const Work& work : works_) {
    const absl::Span<const PageId> full = work.table.full().pages;
    const absl::Span<const PageId> sliding = work.table.sliding().pages;
    held.owners += static_cast<int64_t>(full.size() + sliding.size());
    held.spare_full -= cache_.CountFull(full);
    held.spare_sliding -= cache_.CountSliding(sliding);
  }
  held.spare_full = std::max<int64_t>(0, held.spare_full);
  held.spare_sliding = std::max<int64_t>(0, held.spare_sliding);
  metrics_.load.Publish(host_.pools(), held, load_);
  metrics_.prefix_cache_pages.Set(
      static_cast<double>(cache_.full_pages() + cache_.sliding_pages()));
  metrics_.prefix_cache_entries.Set(static_cast<double>(cache_.entries()));
  metrics_.prefix_cache_evictions_total.Increment(static_cast<double>(cache_.evictions()) -
                                                  metrics_.prefix_cache_evictions_total.Value());
  metrics_.queue_tokens.Set(static_cast<double>(load_.queued_tokens));
}

}  // namespace cleave
