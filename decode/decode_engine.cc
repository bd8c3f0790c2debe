#include "decode/decode_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/base/planted_bug.h"
#include "runtime/base/random.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_name.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

constexpr size_t kInboxReserve = 256;  // messages beyond grow the mailbox; see Submit
constexpr absl::Duration kRetryAfter = absl::Milliseconds(100);

}  // namespace

DecodeEngine::DecodeEngine(ModelHost& host, DecodeStep& step, KvIntake& intake, const Clock& clock,
                           DecodeMetrics& metrics, const DecodeEngineOptions& options)
    : host_(host),
      step_(step),
      intake_(intake),
      clock_(clock),
      metrics_(metrics),
      options_(options),
      shape_(host.layout().shape()),
      inbox_(kInboxReserve) {
  PublishLoad();
}

DecodeEngine::~DecodeEngine() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void DecodeEngine::Start() {
  thread_ = std::thread([this] {
    NameThisThread("decode");
    while (Turn(absl::InfiniteDuration())) {
    }
  });
}

void DecodeEngine::Stop() {
  stop_ = true;
  inbox_.Wake();
}

// More than the worker has room for may come, since of those that run some may have been cancelled.
bool DecodeEngine::Submit(DecodeJob job) {
  if (jobs_in_inbox_.fetch_add(1) >= 2 * options_.sequences_max) {
    --jobs_in_inbox_;
    return false;
  }
  return inbox_.PushAlways(Event(std::move(job)));
}
void DecodeEngine::Cancel(RequestKey key) {
  inbox_.PushAlways(Event(CancelJob{key, clock_.Now()}));
}
void DecodeEngine::CancelCandidate(RequestKey key, int candidate) {
  inbox_.PushAlways(Event(DropCandidate{key, candidate}));
}
void DecodeEngine::CancelSession(SessionId session) {
  inbox_.PushAlways(Event(CancelGateway{session, clock_.Now()}));
}
void DecodeEngine::ReservePages(TransferId transfer, const TransferPlan& plan) {
  inbox_.PushAlways(Event(Claimed{transfer, plan}));
}
void DecodeEngine::OnCommitted(TransferId transfer, CommitPayload payload) {
  inbox_.PushAlways(Event(Committed{transfer, std::move(payload), clock_.Now()}));
}
void DecodeEngine::OnFailed(TransferId transfer, const absl::Status& status) {
  inbox_.PushAlways(Event(Failed{transfer, status}));
}

bool DecodeEngine::Turn(absl::Duration patience) {
  inbox_.TakeAll(events_, std::min(patience, WaitTime()));
  for (Event& event : events_) {
    std::visit([this](auto& message) { Handle(message); }, event);
  }
  if (stop_ && !stopping_) {
    stopping_ = true;
    for (Sequence& sequence : sequences_) {
      EndWithError(sequence, LinkError(Reason::kDraining, "the worker stops"));
    }
  }
  ExpireDeadlines();
  RemoveEnded();
  if (stopping_ && sequences_.empty()) return false;
  GrantClaims();
  Step();
  GrantClaims();  // of the pages that the step has given back
  PublishLoad();
  return true;
}

absl::Time DecodeEngine::NextTurn() const {
  const bool at_once = !inbox_.empty() || (stop_ && !stopping_);
  return at_once ? clock_.Now() : clock_.Now() + WaitTime();
}

// ---- What comes from gateways ----

void DecodeEngine::Handle(DecodeJob& job) {
  --jobs_in_inbox_;
  absl::Status refusal = job.ticket ? TakeOver(job) : absl::OkStatus();
  if (refusal.ok()) refusal = Refusal(job);
  if (!refusal.ok()) {
    job.replies->OnEnded(job.key, job.epoch, refusal);
    return;
  }
  ++load_.requests_waiting;
  const auto younger = std::find_if(sequences_.begin(), sequences_.end(), [&](const Sequence& s) {
    return s.job.request.accepted > job.request.accepted;
  });
  Sequence& sequence = *sequences_.emplace(younger, std::move(job), host_.pools());
  if (!sequence.job.local) Announce(sequence);
}

// Another try takes the place of the one before, whose transfer may still hold pages.
absl::Status DecodeEngine::TakeOver(const DecodeJob& job) {
  for (Sequence& sequence : sequences_) {
    if (sequence.job.local || sequence.transfer.ticket != *job.ticket) continue;
    if (sequence.job.key != job.key || job.epoch <= sequence.transfer.epoch) {
      return LinkError(Reason::kStaleEpoch, "the ticket is that of another request, or newer");
    }
    Leave(sequence, Reason::kStaleEpoch);
  }
  return absl::OkStatus();
}

absl::Status DecodeEngine::Refusal(const DecodeJob& job) const {
  if (stopping_) return LinkError(Reason::kDraining, "the worker stops");
  const SequenceRequest& request = job.request;
  if (request.candidates > 1) RETURN_IF_ERROR(CheckCandidates(request));
  int64_t answers = request.candidates;
  for (const Sequence& sequence : sequences_) {
    if (sequence.phase != Phase::kEnded) answers += sequence.job.request.candidates;
  }
  if (answers > options_.sequences_max) {
    return LinkError(Reason::kQueueFull,
                     absl::StrCat("the worker has room for ", options_.sequences_max, " answers"),
                     kRetryAfter);
  }
  const bool computes = options_.prompt_rows_max > 0;
  if (job.local && (!computes || !request.media.empty() || request.candidates > 1)) {
    return InvalidField(Reason::kFieldInvalid, "local",
                        "one answer to a prompt without media, on a worker that computes prompts",
                        "true");
  }
  return absl::OkStatus();
}

// Alone they must fit, or they would be given back for ever.
absl::Status DecodeEngine::CheckCandidates(const SequenceRequest& request) const {
  if (request.candidates > options_.sequences_max) {
    return InvalidField(Reason::kFieldInvalid, "candidates",
                        absl::StrCat("at most ", options_.sequences_max, " on this worker"),
                        absl::StrCat(request.candidates));
  }
  const KvPools pools = host_.pools();
  const int64_t positions = request.num_positions();
  const int64_t own_tokens =
      std::min(request.output_tokens_max, host_.context_tokens_max() - positions);
  // Of each: the copy of the page that the prompt ends in, and those behind it.
  const int64_t own_pages = own_tokens / shape_.page_tokens + 2;
  const int64_t full = positions / shape_.page_tokens + request.candidates * own_pages;
  const int64_t sliding =
      request.candidates * SlidingPagesMax(shape_.window, kDraftsMax + 1, shape_.page_tokens);
  if (full > pools.full.num_pages() || sliding > pools.sliding.num_pages()) {
    return InvalidField(Reason::kFieldInvalid, "candidates",
                        absl::StrCat("fewer, or shorter ones: ", pools.full.num_pages(),
                                     " pages of ", shape_.page_tokens, " tokens for all answers"),
                        absl::StrCat(request.candidates, " of up to ", own_tokens, " tokens"));
  }
  return absl::OkStatus();
}

void DecodeEngine::Announce(Sequence& sequence) {
  const SequenceRequest& request = sequence.job.request;
  sequence.transfer = {.ticket = sequence.job.ticket.value_or(Ticket{RandomSeed()}),
                       .epoch = sequence.job.epoch};
  sequence.answers.front().output = request.emitted_ids;
  intake_.Expect(sequence.transfer,
                 {.plan = MakeTransferPlan(shape_, request.num_positions()),
                  .num_positions = request.num_positions(),
                  .num_candidates = request.candidates,
                  .last_hidden_bytes = host_.final_hidden_bytes(),
                  .deadline = request.deadline},
                 [this, transfer = sequence.transfer](const absl::Status& status) {
                   inbox_.PushAlways(Event(Expected{transfer, status}));
                 });
}

void DecodeEngine::Handle(const CancelJob& cancel) {
  for (Sequence& sequence : sequences_) {
    if (sequence.job.key == cancel.key) Cancel(sequence, cancel.at);
  }
}

void DecodeEngine::Handle(const DropCandidate& drop) {
  for (Sequence& sequence : sequences_) {
    const int candidates = sequence.job.request.candidates;
    if (sequence.job.key != drop.key || sequence.phase == Phase::kEnded) continue;
    if (drop.candidate < 0 || drop.candidate >= candidates) continue;
    DecodeSequence& answer = sequence.answers[static_cast<size_t>(drop.candidate)];
    if (sequence.phase != Phase::kRunning || answer.finish != FinishCause::kNone) continue;
    answer.finish = FinishCause::kCancelled;
    Finish(sequence, answer);
  }
}

void DecodeEngine::Handle(const CancelGateway& gateway) {
  for (Sequence& sequence : sequences_) {
    if (sequence.job.key.session == gateway.session) Cancel(sequence, gateway.at);
  }
}

// ---- The batch ----

void DecodeEngine::Step() {
  ChooseSequences();
  if (in_step_.empty() && prompt_ == nullptr) return;
  const absl::Time begin = clock_.Now();
  for (const auto& [sequence, answer] : in_step_) {
    if (sequence->first_step != absl::InfiniteFuture()) continue;
    sequence->first_step = begin;
    metrics_.handover_seconds.Observe(absl::ToDoubleSeconds(begin - sequence->committed));
  }
  const DecodeStepSummary summary = step_.Run(generations_, prompt_ == nullptr ? nullptr : &chunk_);
  if (prompt_ != nullptr && chunk_.generation->new_tokens > 0) {
    prompt_->phase = Phase::kRunning;
    prompt_->committed = prompt_->first_step = clock_.Now();
    in_step_.push_back({prompt_, chunk_.generation});
  }
  Tell();
  // Behind its last tokens: a worker that drains closes its streams once the load is idle.
  for (const auto& [sequence, answer] : in_step_) {
    if (answer->finish != FinishCause::kNone) Finish(*sequence, *answer);
  }
  CountStep(summary, begin);
}

void DecodeEngine::Finish(Sequence& sequence, DecodeSequence& answer) {
  step_.Leave(answer);
  answer.table.Release();
  if (sequence.open_answers() == 0) Leave(sequence, Reason::kUnspecified);
}

// All that run and have room for one more position, and a part of the first prompt that is computed
// here. By rank: whoever is preempted to make room is behind, and not chosen yet.
void DecodeEngine::ChooseSequences() {
  in_step_.clear();
  generations_.clear();
  prompt_ = nullptr;
  oldest_waits_ = false;
  Rank(ranked_, nullptr);
  for (Sequence* sequence : ranked_) {
    if (sequence->phase == Phase::kComputing && prompt_ == nullptr) ChooseChunk(*sequence);
    if (sequence->phase != Phase::kRunning || !GrowAll(*sequence)) continue;
    for (DecodeSequence& answer : sequence->answers) {
      if (answer.finish != FinishCause::kNone) continue;
      in_step_.push_back({sequence, &answer});
      generations_.push_back(&answer);
    }
  }
}

// Those that are active, and `also`: the oldest, then by priority, older before younger.
void DecodeEngine::Rank(std::vector<Sequence*>& ranked, const Sequence* also) {
  ranked.clear();
  for (Sequence& sequence : sequences_) {
    if (!sequence.active() && &sequence != also) continue;
    const auto lower = [&](const Sequence* other) {
      return other->job.request.priority < sequence.job.request.priority;
    };
    const auto behind_oldest = ranked.begin() + (ranked.empty() ? 0 : 1);
    ranked.insert(std::find_if(behind_oldest, ranked.end(), lower), &sequence);
  }
}

// Who is given back when `wants` finds no pages. Null: nobody else is active.
DecodeEngine::Sequence* DecodeEngine::Victim(const Sequence& wants) {
  Rank(holders_, &wants);
  return holders_.size() > 1 ? holders_.back() : nullptr;
}

void DecodeEngine::ChooseChunk(Sequence& sequence) {
  int64_t running = 0;
  for (const Sequence& s : sequences_) {
    if (s.phase == Phase::kRunning) running += s.open_answers();
  }
  DecodeSequence& answer = sequence.answers.front();
  const int64_t left = sequence.job.request.num_positions() - answer.table.num_tokens();
  const int64_t rows = std::min(left, step_.PromptRows(running, options_.step_seconds));
  if (!Grow(sequence, answer, rows)) return;
  prompt_ = &sequence;
  chunk_ = {&answer, rows};
}

// Room for one more position of every answer, or of none.
bool DecodeEngine::GrowAll(Sequence& sequence) {
  for (DecodeSequence& answer : sequence.answers) {
    if (answer.finish != FinishCause::kNone || Grow(sequence, answer, 1)) continue;
    for (DecodeSequence& grown : sequence.answers) {
      if (&grown == &answer) break;
      const int64_t tokens = grown.table.num_tokens();
      if (sequence.active() && grown.finish == FinishCause::kNone) grown.table.Truncate(tokens - 1);
    }
    return false;
  }
  return true;
}

// False: it takes no part in this step. The oldest then waits for what those that receive will give
// back; any other has been preempted.
bool DecodeEngine::Grow(Sequence& sequence, DecodeSequence& answer, int64_t count) {
  while (!answer.table.Extend(count).ok()) {
    Sequence* const victim = Victim(sequence);
    if (victim == nullptr) {
      oldest_waits_ = true;
      return false;
    }
    Preempt(*victim);
    if (victim == &sequence) return false;
  }
  return true;
}

// Each gateway hears of all its sequences at once. They are few, so nothing sorts them.
void DecodeEngine::Tell() {
  for (size_t i = 0; i < in_step_.size(); ++i) {
    DecodeReplies* const to = in_step_[i].sequence->job.replies.get();
    const auto same = [to](const InStep& s) { return s.sequence->job.replies.get() == to; };
    if (std::any_of(in_step_.begin(), in_step_.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      continue;  // told before
    }
    told_.clear();
    for (const InStep& step : in_step_) {
      if (same(step)) told_.push_back(NewTokens(step));
    }
    to->OnStep(told_);
  }
}

StepTokens DecodeEngine::NewTokens(const InStep& in_step) {
  const Sequence& sequence = *in_step.sequence;
  const DecodeSequence& generation = *in_step.answer;
  const auto output_tokens = static_cast<int64_t>(generation.output.size());
  auto added =
      absl::MakeConstSpan(generation.output).last(static_cast<size_t>(generation.new_tokens));
  const int64_t first_index = output_tokens - generation.new_tokens;
  if (first_index == 1 && Planted(Bug::kFirstTokenTwice)) {
    added = absl::MakeConstSpan(generation.output).first(added.size());
  }
  StepTokens step{.key = sequence.job.key,
                  .epoch = sequence.job.epoch,
                  .candidate = generation.candidate,
                  .first_index = first_index,
                  .tokens = added,
                  .log_probabilities = generation.log_probabilities,
                  .finish = generation.finish};
  if (step.finish != FinishCause::kNone) {
    step.timings = {.handover = sequence.first_step - sequence.committed,
                    .decode = clock_.Now() - sequence.first_step};
    Log(Severity::kInfo, "sequence_finished",
        {{"request", sequence.job.request.request_id}, {"output_tokens", output_tokens}});
  }
  return step;
}

void DecodeEngine::CountStep(const DecodeStepSummary& summary, absl::Time begin) {
  const double seconds = absl::ToDoubleSeconds(clock_.Now() - begin);
  load_.AddStep(seconds);
  metrics_.step_seconds.Observe(seconds);
  metrics_.batch_size.Observe(static_cast<double>(in_step_.size()));
  metrics_.output_tokens_total.Increment(static_cast<double>(summary.new_tokens));
  int64_t drafted = 0;
  for (size_t place = 0; place < kDraftsMax; ++place) {
    drafted += summary.drafted[place];
    metrics_.mtp_drafted[place]->Increment(static_cast<double>(summary.drafted[place]));
    metrics_.mtp_accepted[place]->Increment(static_cast<double>(summary.accepted[place]));
  }
  if (generations_.empty()) return;
  metrics_.mtp_draft_length.Observe(static_cast<double>(drafted) /
                                    static_cast<double>(generations_.size()));
}

// ---- Leaving ----

void DecodeEngine::Cancel(Sequence& sequence, absl::Time at) {
  if (sequence.phase == Phase::kEnded) return;
  if (Planted(Bug::kFreedTwice)) {
    host_.pools().full.Release(sequence.answers.front().table.full().pages);
  }
  metrics_.requests_cancelled_total.Increment();
  sequence.cancelled = at;
  Leave(sequence, Reason::kCancelled);
}

// Those whose pages the link has let go of.
void DecodeEngine::RemoveEnded() {
  sequences_.remove_if([this](const Sequence& sequence) {
    if (sequence.phase != Phase::kEnded || sequence.pinned) return false;
    if (sequence.cancelled) {
      metrics_.cancel_to_free_seconds.Observe(
          absl::ToDoubleSeconds(clock_.Now() - *sequence.cancelled));
    }
    return true;
  });
}

// Out of the batch at once. Pages that the link may still write are freed by Unpin.
void DecodeEngine::Leave(Sequence& sequence, Reason reason) {
  if (sequence.phase == Phase::kEnded) return;
  --(sequence.active() ? load_.requests_running : load_.requests_waiting);
  sequence.phase = Phase::kEnded;
  for (DecodeSequence& answer : sequence.answers) {
    step_.Leave(answer);
    answer.table.Release();
  }
  if (sequence.claimed) {
    sequence.claimed.reset();
    intake_.Reserved(sequence.transfer, LinkError(Reason::kStaleEpoch, "not expected any more"));
  }
  if (!sequence.job.local) intake_.Forget(sequence.transfer.ticket, reason);
}

void DecodeEngine::EndWithError(Sequence& sequence, const absl::Status& status) {
  if (sequence.phase == Phase::kEnded) return;
  metrics_.requests_failed_total.Increment();
  sequence.job.replies->OnEnded(sequence.job.key, sequence.job.epoch, status);
  Leave(sequence, GetReason(status));
  Log(Severity::kWarning, "sequence_failed",
      {{"request", sequence.job.request.request_id},
       {"reason", std::string(ReasonName(GetReason(status)))}});
}

// The gateway goes on with it when there are pages again.
void DecodeEngine::Preempt(Sequence& sequence) {
  metrics_.preemptions_total.Increment();
  Log(Severity::kInfo, "sequence_preempted",
      {{"request", sequence.job.request.request_id},
       {"output_tokens", sequence.answers.front().output.size()}});
  sequence.job.replies->OnEnded(
      sequence.job.key, sequence.job.epoch,
      LinkError(Reason::kPreempted, "other sequences needed its KV pages"));
  Leave(sequence, Reason::kPreempted);
}

void DecodeEngine::ExpireDeadlines() {
  const absl::Time now = clock_.Now();
  for (Sequence& sequence : sequences_) {
    if (sequence.phase == Phase::kEnded || now < sequence.job.request.deadline) continue;
    const Reason reason = sequence.phase == Phase::kRunning ? Reason::kDecodeDeadline
                          : sequence.job.local              ? Reason::kPrefillDeadline
                                                            : Reason::kTransferDeadline;
    EndWithError(sequence, LinkError(reason, "the request's deadline has passed"));
  }
}

// Zero while a sequence runs; else until the next deadline.
absl::Duration DecodeEngine::WaitTime() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Sequence& sequence : sequences_) {
    if (sequence.active() && !oldest_waits_) return absl::ZeroDuration();
    if (sequence.phase != Phase::kEnded) next = std::min(next, sequence.job.request.deadline);
  }
  return next - clock_.Now();
}

DecodeEngine::Sequence* DecodeEngine::Find(TransferId transfer) {
  for (Sequence& sequence : sequences_) {
    if (sequence.transfer == transfer) return &sequence;
  }
  return nullptr;
}

void DecodeEngine::PublishLoad() {
  int64_t owners = 0;
  for (const Sequence& sequence : sequences_) {
    for (const DecodeSequence& answer : sequence.answers) {
      owners += static_cast<int64_t>(answer.table.full().pages.size() +
                                     answer.table.sliding().pages.size());
    }
  }
  metrics_.load.Publish(host_.pools(), {.owners = owners}, load_);
}

}  // namespace cleave
