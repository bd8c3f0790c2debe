#include "gateway/generation.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/types/span.h"
#include "gateway/request_error.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"

namespace cleave {
namespace {

// How far a worker's deadline may be from the gateway's: the two clocks run apart a little.
constexpr absl::Duration kDeadlineSlack = absl::Milliseconds(100);
// A request that has lost so many workers may be what they died of.
constexpr int kWorkersLostMax = 2;
constexpr int kFailedTriesMax = 5;
constexpr absl::Duration kReroutePatience = absl::Seconds(30);
constexpr absl::Duration kReroutePause = absl::Milliseconds(50);
constexpr absl::Duration kReroutePauseMax = absl::Seconds(3);

// Whether the file at `index` is one of those before it.
bool OccursBefore(absl::Span<const MediaItem> media, size_t index) {
  const absl::Span<const MediaItem> earlier = media.first(index);
  return std::any_of(earlier.begin(), earlier.end(), [&](const MediaItem& item) {
    return item.content_hash == media[index].content_hash;
  });
}

// A worker should say why in typed words. What it said otherwise is not for the client, but for
// the log.
void LogIfUntyped(absl::string_view worker, const SequenceOrder& order,
                  const absl::Status& status) {
  if (status.ok() || GetReason(status) != Reason::kUnspecified) return;
  Log(Severity::kWarning, "worker_error",
      {{"request", order.request_id}, {"worker", worker}, {"status", status.ToString()}});
}

std::string WhyReleased(const absl::Status& status) {
  return std::string(status.ok() ? "finished" : ReasonName(GetReason(status)));
}

}  // namespace

Generation::Generation(GenerationOptions options, std::shared_ptr<GenerationListener> listener,
                       const Clock& clock)
    : number_(options.number),
      rerouter_(options.rerouter),
      accepted_(options.accepted),
      deadline_(options.deadline),
      clock_(clock),
      listener_(std::move(listener)),
      order_(std::move(options.order)),
      route_(std::move(options.route)),
      tracks_(static_cast<size_t>(order_.candidates),
              AnswerTrack(order_.output_tokens_max, order_.log_probabilities.has_value())) {}

bool Generation::ended() const {
  MutexLock lock(mutex_);
  return listener_ == nullptr;
}

bool Generation::IsCurrent(uint32_t epoch) const { return listener_ != nullptr && epoch == epoch_; }

absl::Duration Generation::TimeLeft() const {
  return std::max(deadline_ - clock_.Now(), absl::Milliseconds(1));
}

// ---- The way there.

void Generation::Start() {
  MutexLock lock(mutex_);
  if (listener_ == nullptr) return;
  if (!ExpectAtDecode()) End(NoDecodeWorker());
}

// False: it is not connected.
bool Generation::ExpectAtDecode() {
  order_.local = route_.is_local();
  order_.age = clock_.Now() - accepted_;
  decode_holds_ = route_.decode->Expect(number_, epoch_, order_, TimeLeft(), shared_from_this());
  if (!decode_holds_ || !order_.local) return decode_holds_;
  if (result_.replays == 0) result_.dispatch = clock_.Now() - accepted_;
  phase_ = GenerationPhase::kPrefill;
  return true;
}

void Generation::OnTicket(uint32_t epoch, uint64_t ticket) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch) || ticket_ || order_.local) return;
  ticket_ = ticket;
  UploadNext();
}

void Generation::UploadNext() {
  while (media_sent_ < order_.media.size() && OccursBefore(order_.media, media_sent_)) {
    ++media_sent_;
  }
  if (media_sent_ == order_.media.size()) return SendRun();
  route_.prefill->PutMedia(order_.media[media_sent_], TimeLeft(),
                           [self = shared_from_this(), epoch = epoch_](const absl::Status& status) {
                             self->OnMediaDone(epoch, status);
                           });
}

void Generation::OnMediaDone(uint32_t epoch, const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  LogIfUntyped(route_.prefill->name(), order_, status);
  if (!status.ok()) {
    return GoOn(WithRequestField(UploadError(status), order_.media));
  }
  ++media_sent_;
  UploadNext();
}

void Generation::SendRun() {
  if (result_.replays == 0) result_.dispatch = clock_.Now() - accepted_;
  order_.age = clock_.Now() - accepted_;
  prefill_holds_ = route_.prefill->Run(number_, epoch_, order_, TimeLeft(), *ticket_,
                                       route_.decode->kv_link_address(), shared_from_this());
  if (!prefill_holds_) return GoOn(NoPrefillWorker());
  phase_ = GenerationPhase::kPrefill;
}

// ---- Tokens.

void Generation::OnFirstToken(uint32_t epoch, int candidate, AnswerTokens token, EndCause finish,
                              const PrefillPhases& phases) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  if (!first_token_at_) result_.prefill_phases = phases;
  NoteFirstToken();
  if (phase_ <= GenerationPhase::kPrefill) {
    phase_ = has_steps_ ? GenerationPhase::kDecode : GenerationPhase::kTransfer;
  }
  AddTokens(candidate, static_cast<int64_t>(order_.emitted_ids.size()), std::move(token), finish);
}

void Generation::OnStepTokens(uint32_t epoch, int candidate, int64_t first_index,
                              AnswerTokens tokens, EndCause finish,
                              const std::optional<DecodePhases>& phases) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch) || tokens.ids.empty()) return;
  has_steps_ = true;
  if (order_.local) NoteFirstToken();
  prefill_holds_ = false;  // a sequence that decodes has all its KV
  if (order_.local || phase_ == GenerationPhase::kTransfer) phase_ = GenerationPhase::kDecode;
  if (phases) result_.decode_phases = *phases;
  AddTokens(candidate, first_index, std::move(tokens), finish);
  if (IsCurrent(epoch)) CancelIfClosed(candidate);
}

// A worker knows nothing of stop strings, nor of what an earlier try has completed.
void Generation::CancelIfClosed(int candidate) {
  const AnswerTrack& track = tracks_[static_cast<size_t>(candidate)];
  if (!track.closed() || track.has_end() || !cancelled_.insert(candidate).second) return;
  route_.decode->CancelCandidate(number_, candidate);
}

void Generation::NoteFirstToken() {
  if (first_token_at_) return;
  first_token_at_ = clock_.Now();
  result_.time_to_first_token = *first_token_at_ - accepted_;
  if (order_.local) {
    result_.prefill_phases.prefill = *result_.time_to_first_token - result_.dispatch;
  }
}

void Generation::AddTokens(int candidate, int64_t first_index, AnswerTokens tokens,
                           EndCause finish) {
  if (candidate < 0 || candidate >= order_.candidates) {
    return End(InvariantError("a worker sent tokens of a candidate that was not asked for"));
  }
  AnswerTrack& track = tracks_[static_cast<size_t>(candidate)];
  const absl::StatusOr<AnswerTokens> fresh = track.Add(first_index, std::move(tokens), finish);
  if (!fresh.ok()) return End(fresh.status());
  if (std::all_of(tracks_.begin(), tracks_.end(), std::mem_fn(&AnswerTrack::has_end))) {
    // Without steps the decode worker still has its ticket, but nothing was left to transfer.
    (has_steps_ ? decode_holds_ : prefill_holds_) = false;
  }
  if (!fresh->ids.empty()) Tell(candidate, *fresh);
}

void Generation::Tell(int candidate, const AnswerTokens& tokens) {
  AnswerTrack& track = tracks_[static_cast<size_t>(candidate)];
  const EndCause cause = track.cause();
  const TokenVerdict verdict = listener_->OnTokens(candidate, tokens, cause);
  if (!verdict.error.ok()) return End(verdict.error);
  if (verdict.enough || cause != EndCause::kNone) track.Close();
  if (std::all_of(tracks_.begin(), tracks_.end(), std::mem_fn(&AnswerTrack::closed))) {
    End(absl::OkStatus());
  }
}

// With emitted_ids, the first token comes behind them.
bool Generation::HasFirstTokens() const {
  const size_t before = order_.emitted_ids.size();
  return std::all_of(tracks_.begin(), tracks_.end(), [before](const AnswerTrack& track) {
    return track.closed() || track.told().size() > before;
  });
}

bool Generation::NeedsDecode() const {
  return std::any_of(tracks_.begin(), tracks_.end(),
                     [](const AnswerTrack& track) { return !track.closed() && !track.has_end(); });
}

int Generation::TokensTold() const {
  size_t told = 0;
  for (const AnswerTrack& track : tracks_) told += track.told().size();
  return static_cast<int>(told);
}

// ---- Ends.

// A worker that is first to notice the deadline cannot know what the request as a whole waited for.
absl::Status Generation::ErrorOf(const absl::Status& worker_status) const {
  const bool is_late = clock_.Now() >= deadline_ - kDeadlineSlack;
  if (absl::IsDeadlineExceeded(worker_status) && is_late) return DeadlineError(phase_);
  return WorkerError(worker_status);
}

// Between two tries, the decode worker has let go of the ticket that it kept. False: it is not of
// that.
bool Generation::DropKeptTicket(uint32_t epoch) {
  if (!order_.ticket || epoch + 1 != epoch_) return false;
  order_.ticket.reset();
  decode_holds_ = false;
  return true;
}

void Generation::OnDecodeEnded(uint32_t epoch, const absl::Status& status) {
  MutexLock lock(mutex_);
  if (DropKeptTicket(epoch) || !IsCurrent(epoch)) return;
  decode_holds_ = false;
  LogIfUntyped(route_.decode->name(), order_, status);
  if (!NeedsDecode()) return;  // the last tokens came before
  GoOn(status.ok() ? InvariantError("the decode worker ended without a finish") : ErrorOf(status));
}

void Generation::OnPrefillEnded(uint32_t epoch, const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  prefill_holds_ = false;
  LogIfUntyped(route_.prefill->name(), order_, status);
  // With steps there, the KV has arrived, whatever the prefill worker could still learn of it.
  if (status.ok() && first_token_at_ && result_.replays == 0) {
    result_.transfer_exposed = clock_.Now() - *first_token_at_;
  }
  if (HasFirstTokens() && (status.ok() || has_steps_)) return;
  GoOn(status.ok() ? InvariantError("the prefill worker ended without a first token")
                   : WithRequestField(ErrorOf(status), order_.media));
}

void Generation::OnDecodeLost(uint32_t epoch) {
  MutexLock lock(mutex_);
  if (DropKeptTicket(epoch) || !IsCurrent(epoch)) return;
  const bool was_needed = NeedsDecode();
  decode_holds_ = false;
  ++workers_lost_;
  if (was_needed) GoOn(WorkerLost("decode"));
}

void Generation::OnPrefillLost(uint32_t epoch) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  const bool was_needed = prefill_holds_ || !HasFirstTokens();
  prefill_holds_ = false;
  ++workers_lost_;
  if (was_needed) GoOn(WorkerLost("prefill"));
}

// ---- Another try.

// What others may do better, at once or soon. When nothing has been told yet, a full cluster is the
// client's to know, who may ask elsewhere.
bool Generation::MayGoOn(const absl::Status& why) const {
  if (rerouter_ == nullptr || clock_.Now() >= deadline_) return false;
  if (workers_lost_ >= kWorkersLostMax || failed_tries_ > kFailedTriesMax) return false;
  switch (GetReason(why)) {
    case Reason::kPreempted:
    case Reason::kWorkerLost:
    case Reason::kDraining:
    case Reason::kNoPrefillWorker:
    case Reason::kNoDecodeWorker:  // the prefill worker cannot reach this one
    case Reason::kMediaNotUploaded:
    case Reason::kStaleEpoch:
    case Reason::kTransferDeadline:
    case Reason::kKvTransferCorrupt:
      return true;
    case Reason::kQueueFull:
    case Reason::kKvCacheFull:
      return TokensTold() > 0;
    default:
      return false;
  }
}

// The workers cannot go on with it. Others do where these stopped, or, with several candidates, do
// it again; or it ends with `why`.
void Generation::GoOn(const absl::Status& why) {
  const Reason reason = GetReason(why);
  // Those that ask for patience come as often as they must.
  const bool is_failure = reason != Reason::kPreempted && reason != Reason::kDraining &&
                          reason != Reason::kQueueFull && reason != Reason::kKvCacheFull;
  if (is_failure) ++failed_tries_;
  if (reason == Reason::kPreempted) ++preemptions_;
  if (!MayGoOn(why)) return End(why);
  ReleasePrefill(why);
  if (!ticket_ || has_steps_) ReleaseDecode(why);
  order_.ticket = decode_holds_ ? ticket_ : std::nullopt;
  ++epoch_;
  ++result_.replays;
  phase_ = GenerationPhase::kQueue;
  ticket_.reset();
  media_sent_ = 0;
  has_steps_ = false;
  cancelled_.clear();
  for (AnswerTrack& track : tracks_) track.BeginAgain(why);
  if (tracks_.size() == 1) order_.emitted_ids = tracks_[0].told();
  last_error_ = why;
  give_up_at_ = clock_.Now() + kReroutePatience;
  const bool at_once = is_failure && failed_tries_ == 1;
  RestartAfter(at_once ? absl::ZeroDuration() : PauseAfter(why));
}

// What was preempted goes on at once where it stopped. Several candidates begin again, each time
// later, or they would take each other's pages for ever.
absl::Duration Generation::PauseAfter(const absl::Status& why) const {
  if (GetReason(why) == Reason::kPreempted) {
    if (tracks_.size() == 1) return absl::ZeroDuration();
    return std::min(kReroutePause * (int64_t{1} << std::min(preemptions_ - 1, 10)),
                    kReroutePauseMax);
  }
  const std::optional<ErrorDetail> detail = GetErrorDetail(why);
  const absl::Duration asked =
      detail ? detail->retry_after.value_or(absl::ZeroDuration()) : absl::ZeroDuration();
  return std::max(asked, kReroutePause);
}

void Generation::RestartAfter(absl::Duration pause) {
  rerouter_->After(pause, [weak = weak_from_this(), epoch = epoch_] {
    if (const std::shared_ptr<Generation> self = weak.lock()) self->Restart(epoch);
  });
}

void Generation::Restart(uint32_t epoch) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  absl::StatusOr<Route> next = rerouter_->ChooseAgain(route_);
  if (next.ok()) {
    const Route last = route_;
    MoveTo(*std::move(next));
    const bool expected = ExpectAtDecode();
    order_.ticket.reset();
    if (expected) return rerouter_->OnReplay(GetReason(last_error_), last, route_);
    route_ = last;  // what has computed something
  }
  if (clock_.Now() >= give_up_at_) return End(last_error_);
  RestartAfter(kReroutePause);
}

// With the ticket, when the decode worker stays the same.
void Generation::MoveTo(Route route) {
  const bool stays = decode_holds_ && route.decode == route_.decode && !route.is_local();
  if (stays) {
    route_.decode->Forget(number_);  // what it tells of the try before
  } else {
    ReleaseDecode(last_error_);
    order_.ticket.reset();
  }
  route_ = std::move(route);
}

// ---- Ends from outside.

void Generation::Cancel(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (listener_ != nullptr) End(why);
}

void Generation::OnDeadline() {
  MutexLock lock(mutex_);
  if (listener_ != nullptr) End(DeadlineError(phase_));
}

void Generation::End(const absl::Status& status) {
  ReleaseDecode(status);
  ReleasePrefill(status);
  const absl::Time now = clock_.Now();
  result_.status = status;
  result_.phase = phase_;
  if (!route_.is_local()) result_.prefill_worker = route_.prefill->name();
  result_.decode_worker = route_.decode->name();
  result_.output_tokens = TokensTold();
  result_.total = now - accepted_;
  if (first_token_at_ && result_.decode_phases.decode == absl::ZeroDuration()) {
    result_.decode_phases.decode = now - *first_token_at_;
  }
  const std::shared_ptr<GenerationListener> listener = std::move(listener_);
  listener_ = nullptr;
  listener->OnEnd(result_);
}

void Generation::ReleaseDecode(const absl::Status& status) {
  if (std::exchange(decode_holds_, false)) {
    route_.decode->Cancel(number_, WhyReleased(status));
  } else {
    route_.decode->Forget(number_);
  }
}

void Generation::ReleasePrefill(const absl::Status& status) {
  if (std::exchange(prefill_holds_, false)) {
    route_.prefill->Cancel(number_, WhyReleased(status));
  } else if (!route_.is_local()) {
    route_.prefill->Forget(number_);
  }
}

}  // namespace cleave
