#include "gateway/generation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
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
      route_(std::move(options.route)) {}

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
  if (!ExpectAtDecode()) End(NoDecodeWorker(), EndCause::kNone);
}

// False: it is not connected.
bool Generation::ExpectAtDecode() {
  order_.local = route_.is_local();
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
  prefill_holds_ = route_.prefill->Run(number_, epoch_, order_, TimeLeft(), *ticket_,
                                       route_.decode->kv_link_address(), shared_from_this());
  if (!prefill_holds_) return GoOn(NoPrefillWorker());
  phase_ = GenerationPhase::kPrefill;
}

// ---- Tokens.

void Generation::OnFirstToken(uint32_t epoch, AnswerTokens token, EndCause finish,
                              const PrefillPhases& phases) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch) || first_token_came_) return;
  if (!first_token_at_) result_.prefill_phases = phases;
  NoteFirstToken();
  if (phase_ <= GenerationPhase::kPrefill) {
    phase_ = has_steps_ ? GenerationPhase::kDecode : GenerationPhase::kTransfer;
  }
  if (finish != EndCause::kNone) prefill_holds_ = false;  // nothing is left to transfer
  AddTokens(tokens_before_, std::move(token), finish);
}

void Generation::OnStepTokens(uint32_t epoch, int64_t first_index, AnswerTokens tokens,
                              EndCause finish, const std::optional<DecodePhases>& phases) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch) || tokens.ids.empty()) return;
  has_steps_ = true;
  if (order_.local) NoteFirstToken();
  prefill_holds_ = false;  // a sequence that decodes has all its KV
  if (first_token_came_) phase_ = GenerationPhase::kDecode;
  if (finish != EndCause::kNone) decode_holds_ = false;
  if (phases) result_.decode_phases = *phases;
  AddTokens(first_index, std::move(tokens), finish);
}

void Generation::NoteFirstToken() {
  first_token_came_ = true;
  if (first_token_at_) return;
  first_token_at_ = clock_.Now();
  result_.time_to_first_token = *first_token_at_ - accepted_;
  if (order_.local) {
    result_.prefill_phases.prefill = *result_.time_to_first_token - result_.dispatch;
  }
}

void Generation::AddTokens(int64_t first_index, AnswerTokens tokens, EndCause finish) {
  const int64_t end = first_index + static_cast<int64_t>(tokens.ids.size());
  if (first_index < 0 || end > order_.output_tokens_max ||
      (tokens_total_ && end > *tokens_total_)) {
    return End(InvariantError("a worker sent tokens beyond the answer's end"), EndCause::kNone);
  }
  const size_t wanted = order_.log_probabilities ? tokens.ids.size() : 0;
  if (tokens.log_probabilities.size() != wanted) {
    return End(InvariantError("a worker sent tokens without their log-probabilities"),
               EndCause::kNone);
  }
  if (finish != EndCause::kNone && !tokens_total_) {
    tokens_total_ = end;
    finish_ = finish;
  }
  AnswerTokens& kept = early_[first_index];
  if (tokens.ids.size() > kept.ids.size()) kept = std::move(tokens);
  Deliver();
}

void Generation::Deliver() {
  AnswerTokens fresh;
  std::vector<TokenId>& answer = order_.emitted_ids;
  while (!early_.empty() && early_.begin()->first <= static_cast<int64_t>(answer.size())) {
    const auto& [first, tokens] = *early_.begin();
    // Less than all of it may have been told before.
    for (size_t i = answer.size() - static_cast<size_t>(first); i < tokens.ids.size(); ++i) {
      answer.push_back(tokens.ids[i]);
      fresh.ids.push_back(tokens.ids[i]);
      if (!tokens.log_probabilities.empty()) {
        fresh.log_probabilities.push_back(tokens.log_probabilities[i]);
      }
    }
    early_.erase(early_.begin());
  }
  if (fresh.ids.empty()) return;
  const bool is_last = tokens_total_ == static_cast<int64_t>(answer.size());
  const EndCause cause = is_last ? finish_ : EndCause::kNone;
  const TokenVerdict verdict = listener_->OnTokens(fresh, cause);
  if (!verdict.error.ok()) return End(verdict.error, EndCause::kNone);
  if (verdict.enough) return End(absl::OkStatus(), EndCause::kStopString);
  if (is_last) End(absl::OkStatus(), cause);
}

// ---- Ends.

// A worker that is first to notice the deadline cannot know what the request as a whole waited for.
absl::Status Generation::ErrorOf(const absl::Status& worker_status) const {
  const bool is_late = clock_.Now() >= deadline_ - kDeadlineSlack;
  if (absl::IsDeadlineExceeded(worker_status) && is_late) return DeadlineError(phase_);
  return WorkerError(worker_status);
}

void Generation::OnDecodeEnded(uint32_t epoch, const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  decode_holds_ = false;
  LogIfUntyped(route_.decode->name(), order_, status);
  if (tokens_total_) return;  // its last token came before
  GoOn(status.ok() ? InvariantError("the decode worker ended without a finish") : ErrorOf(status));
}

void Generation::OnPrefillEnded(uint32_t epoch, const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  prefill_holds_ = false;
  LogIfUntyped(route_.prefill->name(), order_, status);
  // With steps there, the KV has arrived, whatever the prefill worker could still learn of it.
  if (status.ok() && first_token_came_ && result_.replays == 0) {
    result_.transfer_exposed = clock_.Now() - *first_token_at_;
  }
  if (first_token_came_ && (status.ok() || has_steps_)) return;
  GoOn(status.ok() ? InvariantError("the prefill worker ended without a first token")
                   : WithRequestField(ErrorOf(status), order_.media));
}

void Generation::OnDecodeLost(uint32_t epoch) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  const bool was_needed = !tokens_total_;
  decode_holds_ = false;
  ++workers_lost_;
  if (was_needed) GoOn(WorkerLost("decode"));
}

void Generation::OnPrefillLost(uint32_t epoch) {
  MutexLock lock(mutex_);
  if (!IsCurrent(epoch)) return;
  const bool was_needed = prefill_holds_ || !first_token_came_;
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
      return !order_.emitted_ids.empty();
    default:
      return false;
  }
}

// The workers cannot go on with it. Others do where these stopped, or it ends with `why`.
void Generation::GoOn(const absl::Status& why) {
  const Reason reason = GetReason(why);
  // Those that ask for patience come as often as they must.
  const bool is_failure = reason != Reason::kPreempted && reason != Reason::kDraining &&
                          reason != Reason::kQueueFull && reason != Reason::kKvCacheFull;
  if (is_failure) ++failed_tries_;
  if (!MayGoOn(why)) return End(why, EndCause::kNone);
  ReleaseWorkers(why);
  ++epoch_;
  ++result_.replays;
  phase_ = GenerationPhase::kQueue;
  ticket_.reset();
  media_sent_ = 0;
  has_steps_ = first_token_came_ = false;
  tokens_before_ = static_cast<int64_t>(order_.emitted_ids.size());
  early_.clear();
  tokens_total_.reset();
  finish_ = EndCause::kNone;
  last_error_ = why;
  give_up_at_ = clock_.Now() + kReroutePatience;
  const bool at_once = reason == Reason::kPreempted || (is_failure && failed_tries_ == 1);
  const std::optional<ErrorDetail> detail = GetErrorDetail(why);
  const absl::Duration asked =
      detail ? detail->retry_after.value_or(absl::ZeroDuration()) : absl::ZeroDuration();
  RestartAfter(at_once ? absl::ZeroDuration() : std::max(asked, kReroutePause));
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
    Route last = std::exchange(route_, *std::move(next));
    if (ExpectAtDecode()) return rerouter_->OnReplay(GetReason(last_error_), last, route_);
    route_ = std::move(last);  // what has computed something
  }
  if (clock_.Now() >= give_up_at_) return End(last_error_, EndCause::kNone);
  RestartAfter(kReroutePause);
}

// ---- Ends from outside.

void Generation::Cancel(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (listener_ != nullptr) End(why, EndCause::kNone);
}

void Generation::OnDeadline() {
  MutexLock lock(mutex_);
  if (listener_ != nullptr) End(DeadlineError(phase_), EndCause::kNone);
}

void Generation::End(const absl::Status& status, EndCause cause) {
  ReleaseWorkers(status);
  const absl::Time now = clock_.Now();
  result_.status = status;
  result_.cause = cause;
  result_.phase = phase_;
  if (!route_.is_local()) result_.prefill_worker = route_.prefill->name();
  result_.decode_worker = route_.decode->name();
  result_.output_tokens = static_cast<int>(order_.emitted_ids.size());
  result_.total = now - accepted_;
  if (first_token_at_ && result_.decode_phases.decode == absl::ZeroDuration()) {
    result_.decode_phases.decode = now - *first_token_at_;
  }
  const std::shared_ptr<GenerationListener> listener = std::move(listener_);
  listener_ = nullptr;
  listener->OnEnd(result_);
}

void Generation::ReleaseWorkers(const absl::Status& status) {
  const std::string reason(status.ok() ? "finished" : ReasonName(GetReason(status)));
  if (decode_holds_) {
    route_.decode->Cancel(number_, reason);
  } else {
    route_.decode->Forget(number_);
  }
  if (prefill_holds_) {
    route_.prefill->Cancel(number_, reason);
  } else if (!route_.is_local()) {
    route_.prefill->Forget(number_);
  }
  decode_holds_ = prefill_holds_ = false;
}

}  // namespace cleave
