#include "gateway/chat_call.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gateway/request_error.h"
#include "gateway/request_parse.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// The server ends a call this much before the client's own timer, which would hide why. On the wire
// gRPC rounds timeouts up by as much as a hundredth.
constexpr absl::Duration kHopBudget = absl::Milliseconds(50);
constexpr int kTimeoutRounding = 100;
constexpr absl::string_view kResponsePrefix = "resp-";

v1::FinishReason ToProto(EndCause cause) {
  switch (cause) {
    case EndCause::kStopId:
      return v1::FINISH_REASON_STOP;
    case EndCause::kMaxTokens:
      return v1::FINISH_REASON_MAX_TOKENS;
    case EndCause::kContextFull:
      return v1::FINISH_REASON_CONTEXT_FULL;
    case EndCause::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case EndCause::kNone:
      break;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

// A turn that the model has ended may be one that waits for its calls' results.
v1::FinishReason ReasonFor(EndCause cause, const ReplyAssembler& assembler) {
  if (cause != EndCause::kStopId) return ToProto(cause);
  if (assembler.tool_calls() > 0) return v1::FINISH_REASON_TOOL_CALLS;
  return assembler.has_malformed_call() ? v1::FINISH_REASON_MALFORMED_TOOL_CALL
                                        : v1::FINISH_REASON_STOP;
}

v1::GenerateEvent EventOf(int candidate) {
  v1::GenerateEvent event;
  event.set_candidate(static_cast<uint32_t>(candidate));
  return event;
}

v1::Timings ToProto(const GenerationResult& result) {
  v1::Timings timings;
  const PrefillPhases& prefill = result.prefill_phases;
  const DecodePhases& decode = result.decode_phases;
  timings.set_queue_seconds(absl::ToDoubleSeconds(result.dispatch + prefill.queue));
  timings.set_media_seconds(absl::ToDoubleSeconds(prefill.media));
  timings.set_prefill_seconds(absl::ToDoubleSeconds(prefill.prefill));
  timings.set_grant_wait_seconds(absl::ToDoubleSeconds(prefill.grant_wait));
  if (result.transfer_exposed) {
    timings.set_transfer_exposed_seconds(absl::ToDoubleSeconds(*result.transfer_exposed));
  }
  timings.set_handover_seconds(absl::ToDoubleSeconds(decode.handover));
  timings.set_decode_seconds(absl::ToDoubleSeconds(decode.decode));
  timings.set_time_to_first_token_seconds(
      absl::ToDoubleSeconds(result.time_to_first_token.value_or(absl::ZeroDuration())));
  timings.set_total_seconds(absl::ToDoubleSeconds(result.total));
  return timings;
}

void Increment(const std::map<Reason, prometheus::Counter*>& counters, Reason reason) {
  const auto found = counters.find(reason);
  if (found != counters.end()) found->second->Increment();
}

bool AreKnown(const AnswerTokens& tokens, const Vocabulary& vocabulary) {
  const auto known = [&](TokenId id) { return vocabulary.Contains(id); };
  return std::all_of(tokens.ids.begin(), tokens.ids.end(), known) &&
         std::all_of(tokens.log_probabilities.begin(), tokens.log_probabilities.end(),
                     [&](const LogProbabilitySet& set) {
                       return std::all_of(set.top.begin(), set.top.end(),
                                          [&](const auto& pair) { return known(pair.first); });
                     });
}

int64_t MediaBytes(const Prompt& prompt) {
  int64_t bytes = 0;
  for (const MediaItem& item : prompt.media) bytes += static_cast<int64_t>(item.bytes->size());
  return bytes;
}

}  // namespace

void OpenGenerations::Add(RequestNumber number, const std::shared_ptr<Generation>& generation) {
  MutexLock lock(mutex_);
  open_[number] = generation;
}

void OpenGenerations::Remove(RequestNumber number) {
  MutexLock lock(mutex_);
  open_.erase(number);
}

void OpenGenerations::CancelAll(const absl::Status& why) {
  std::map<RequestNumber, std::weak_ptr<Generation>> open;
  {
    MutexLock lock(mutex_);
    open = open_;
  }
  for (const auto& [number, weak] : open) {
    if (const std::shared_ptr<Generation> generation = weak.lock()) generation->Cancel(why);
  }
}

ChatCall::ChatCall(const ChatBackend& backend, CallInfo info, ReplySink& sink)
    : backend_(backend),
      info_(std::move(info)),
      sink_(sink),
      response_id_(DrawId(kResponsePrefix)),
      accepted_(backend.clock->Now()) {}

// ---- Up to the generation's start.

void ChatCall::Start(const grpc::ByteBuffer& request) {
  absl::StatusOr<AdmissionSlot> slot =
      backend_.admission->Enter(static_cast<int64_t>(request.Length()));
  if (!slot.ok()) return End(slot.status());
  slot_ = *std::move(slot);
  backend_.metrics->requests_running.Increment();
  backend_.tasks->Add([self = shared_from_this(), bytes = request] { self->Run(bytes); });
}

void ChatCall::Run(const grpc::ByteBuffer& bytes) {
  const absl::Status status = Prepare(bytes);
  if (!status.ok()) End(status);
}

// OK: the call has ended, or the generation will end it.
absl::Status ChatCall::Prepare(const grpc::ByteBuffer& bytes) {
  if (IsCancelled()) return CancelledByClient();
  v1::GenerateRequest message;
  RETURN_IF_ERROR(ParseRequest(bytes, message));
  ASSIGN_OR_RETURN(ChatRequest request, ReadChatRequest(message, *backend_.model));
  message.Clear();
  ASSIGN_OR_RETURN(Prompt prompt, BuildPrompt(request, *backend_.model));
  backend_.metrics->phase_tokenize_seconds.Observe(
      absl::ToDoubleSeconds(backend_.clock->Now() - accepted_));
  usage_.set_prompt_tokens(static_cast<uint32_t>(prompt.ids.size()));
  usage_.set_image_tokens(static_cast<uint32_t>(prompt.image_tokens));
  usage_.set_audio_tokens(static_cast<uint32_t>(prompt.audio_tokens));
  usage_.set_video_tokens(static_cast<uint32_t>(prompt.video_tokens));
  return CountAndQueue(request, std::move(prompt));
}

absl::Status ChatCall::CountAndQueue(const ChatRequest& request, Prompt prompt) {
  if (request.validate_only) {
    const int context =
        backend_.pool->context_tokens_max(backend_.model->defaults.context_tokens_max);
    RETURN_IF_ERROR(OutputTokensMax(request, prompt, context).status());
    RETURN_IF_ERROR(SendStarted(request.sampling.seed));
    RETURN_IF_ERROR(SendSummary(nullptr));
    End(absl::OkStatus());
    return absl::OkStatus();
  }
  const RouteKind kind = KindOfRoute(request, prompt);
  absl::StatusOr<Route> chosen = backend_.pool->Choose(kind);
  if (!chosen.ok() && !request.route && kind == RouteKind::kLocal) {
    chosen = backend_.pool->Choose(RouteKind::kDisaggregated);
  }
  ASSIGN_OR_RETURN(Route route, std::move(chosen));
  route.is_free = !request.route;
  ASSIGN_OR_RETURN(const int output_tokens_max,
                   OutputTokensMax(request, prompt, route.context_tokens_max));
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  RETURN_IF_ERROR(slot_.Queue(prompt_tokens, MediaBytes(prompt)));
  backend_.metrics->queue_tokens.Set(static_cast<double>(backend_.admission->queued_tokens()));
  return Launch(request, std::move(prompt), std::move(route), output_tokens_max);
}

RouteKind ChatCall::KindOfRoute(const ChatRequest& request, const Prompt& prompt) const {
  if (request.route) return *request.route;
  const bool is_short = static_cast<int>(prompt.ids.size()) <= backend_.local_prompt_tokens_max;
  const bool can_be_local = prompt.media.empty() && request.candidates == 1;
  return is_short && can_be_local ? RouteKind::kLocal : RouteKind::kDisaggregated;
}

absl::StatusOr<absl::Time> ChatCall::Deadline() const {
  absl::Duration allowed = backend_.request_timeout_max;
  if (info_.time_left) {
    const absl::Duration left = *info_.time_left;
    allowed = std::min(allowed, left - left / kTimeoutRounding - kHopBudget);
  }
  const absl::Time deadline = accepted_ + allowed;
  if (deadline <= backend_.clock->Now()) return DeadlineError(GenerationPhase::kQueue);
  return deadline;
}

absl::StatusOr<SequenceOrder> ChatCall::MakeOrder(const ChatRequest& request, Prompt prompt,
                                                  int output_tokens_max) const {
  const Tokenizer& tokenizer = *backend_.model->tokenizer;
  SequenceOrder order{.prompt_ids = std::move(prompt.ids),
                      .media = std::move(prompt.media),
                      .emitted_ids = {},
                      .sampling = request.sampling,
                      .rules = request.rules,
                      .log_probabilities = request.log_probabilities,
                      .stop_ids = request.stop_ids,
                      .output_tokens_max = output_tokens_max,
                      .candidates = request.candidates,
                      .cache_boundaries = std::move(prompt.cache_boundaries),
                      .cache_salt = request.cache_salt,
                      .priority = request.priority,
                      .request_id = info_.request_id};
  if (!request.ignore_stop_tokens) {
    const std::vector<TokenId>& own = backend_.model->defaults.stop_ids;
    order.stop_ids.insert(order.stop_ids.end(), own.begin(), own.end());
  }
  if (order.rules.thought_tokens_max) {
    order.rules.thought_begin_id = tokenizer.vocabulary().special().channel_begin;
    order.rules.thought_end_id = tokenizer.vocabulary().special().channel_end;
    order.rules.starts_in_thought = prompt.ends_in_thought;
    if (!prompt.ends_in_thought) {  // the channel's name is no thought
      ASSIGN_OR_RETURN(const std::vector<TokenId> name, tokenizer.Encode("thought\n", false));
      *order.rules.thought_tokens_max += static_cast<uint32_t>(name.size());
    }
  }
  return order;
}

absl::Status ChatCall::Launch(const ChatRequest& request, Prompt prompt, Route route,
                              int output_tokens_max) {
  ASSIGN_OR_RETURN(const absl::Time deadline, Deadline());
  if (!route.is_local()) prefill_worker_ = route.prefill->name();
  decode_worker_ = route.decode->name();
  stop_ = request.stop;
  include_thoughts_ = request.include_thoughts;
  fills_context_ = !request.output_tokens_max.has_value();
  for (int i = 0; i < request.candidates; ++i) {
    replies_.push_back({std::make_unique<ReplyAssembler>(backend_.model->tokenizer->vocabulary(),
                                                         request.stop, prompt.ends_in_thought),
                        std::nullopt});
  }
  const bool is_local = route.is_local();
  number_ = backend_.pool->NextNumber();
  ASSIGN_OR_RETURN(SequenceOrder order, MakeOrder(request, std::move(prompt), output_tokens_max));
  GenerationOptions options{.number = number_,
                            .order = std::move(order),
                            .route = std::move(route),
                            .accepted = accepted_,
                            .deadline = deadline,
                            .rerouter = backend_.rerouter};
  const auto generation =
      std::make_shared<Generation>(std::move(options), shared_from_this(), *backend_.clock);
  accepted_by_admission_ = true;
  (is_local ? backend_.metrics->route_local_total : backend_.metrics->route_disaggregated_total)
      .Increment();
  backend_.metrics->admission_accepted_total.Increment();
  backend_.metrics->request_prompt_tokens.Observe(usage_.prompt_tokens());
  backend_.metrics->prompt_tokens_total.Increment(usage_.prompt_tokens());
  backend_.metrics->image_tokens_total.Increment(usage_.image_tokens());
  backend_.metrics->audio_tokens_total.Increment(usage_.audio_tokens());
  backend_.metrics->video_tokens_total.Increment(usage_.video_tokens());
  RETURN_IF_ERROR(SendStarted(request.sampling.seed));
  // From the first of these on, others may end the generation; OnEnd waits for what the lock
  // covers.
  bool cancelled = false;
  {
    MutexLock lock(mutex_);
    generation_ = generation;
    cancelled = cancelled_;
    backend_.open->Add(number_, generation);
    timer_ = backend_.timers->Add(deadline, [weak = std::weak_ptr<Generation>(generation)] {
      if (const std::shared_ptr<Generation> late = weak.lock()) late->OnDeadline();
    });
  }
  if (cancelled) {
    generation->Cancel(CancelledByClient());
  } else {
    generation->Start();
  }
  return absl::OkStatus();
}

bool ChatCall::IsCancelled() {
  MutexLock lock(mutex_);
  return cancelled_;
}

void ChatCall::Cancel() {
  std::shared_ptr<Generation> generation;
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    generation = generation_;
  }
  if (generation != nullptr) generation->Cancel(CancelledByClient());
}

// ---- From the generation.

void ChatCall::ObserveStep(Reply& reply, int tokens) {
  const absl::Time now = backend_.clock->Now();
  if (usage_.output_tokens() == 0) {
    slot_.LeaveQueue();
    backend_.metrics->queue_tokens.Set(static_cast<double>(backend_.admission->queued_tokens()));
    backend_.metrics->request_ttft_seconds.Observe(absl::ToDoubleSeconds(now - accepted_));
  }
  if (reply.last_step) {
    backend_.metrics->request_itl_seconds.Observe(absl::ToDoubleSeconds(now - *reply.last_step));
  }
  reply.last_step = now;
  backend_.metrics->output_tokens_total.Increment(tokens);
  usage_.set_output_tokens(usage_.output_tokens() + static_cast<uint32_t>(tokens));
}

TokenVerdict ChatCall::OnTokens(int candidate, const AnswerTokens& tokens, EndCause cause) {
  Reply& reply = ReplyOf(candidate);
  const auto count = static_cast<int>(tokens.ids.size());
  ObserveStep(reply, count);
  absl::Span<const TokenId> shown = tokens.ids;
  if (cause == EndCause::kStopId) shown.remove_suffix(1);  // the stop id is not shown
  if (cause == EndCause::kMaxTokens && fills_context_) cause = EndCause::kContextFull;
  ReplyDelta delta;
  if (!reply.assembler->Push(shown, delta).ok() ||
      !AreKnown(tokens, backend_.model->tokenizer->vocabulary())) {
    return {.enough = false, .error = InvariantError("a worker sent an id outside the vocabulary")};
  }
  if (cause != EndCause::kNone) reply.assembler->Finish(delta);
  usage_.set_thought_tokens(usage_.thought_tokens() + static_cast<uint32_t>(delta.thought_tokens));
  const bool stopped = reply.assembler->stopped_by().has_value();
  if (stopped) cause = EndCause::kStopString;
  absl::Status sent = SendLogProbabilities(candidate, tokens);
  if (sent.ok()) sent = SendDelta(candidate, std::move(delta), count);
  if (sent.ok() && cause != EndCause::kNone) sent = SendFinished(candidate, cause);
  return {.enough = stopped, .error = sent};
}

void ChatCall::OnEnd(const GenerationResult& result) {
  {
    MutexLock lock(mutex_);
    generation_ = nullptr;
    if (timer_) backend_.timers->Remove(*timer_);
    backend_.open->Remove(number_);
  }
  prefill_worker_ = result.prefill_worker;
  decode_worker_ = result.decode_worker;
  usage_.set_cached_prompt_tokens(static_cast<uint32_t>(result.prefill_phases.cached_tokens));
  backend_.metrics->CountEnd(result);
  absl::Status status = result.status;
  if (status.ok()) status = SendSummary(&result);
  End(status);
}

// ---- Events.

absl::Status ChatCall::SendStarted(uint64_t seed) {
  v1::GenerateEvent event;
  v1::Started& started = *event.mutable_started();
  started.set_response_id(response_id_);
  started.set_model(backend_.model->name);
  *started.mutable_usage() = usage_;
  started.set_seed(seed);
  return sink_.OnEvent(std::move(event));
}

absl::Status ChatCall::SendLogProbabilities(int candidate, const AnswerTokens& tokens) {
  if (tokens.log_probabilities.empty()) return absl::OkStatus();
  const Vocabulary& vocabulary = backend_.model->tokenizer->vocabulary();
  const auto fill = [&](TokenId id, float value, v1::TokenLogProbability& out) {
    out.set_token_id(static_cast<uint32_t>(id));
    const absl::string_view bytes = vocabulary.bytes(id);
    out.set_token(bytes.data(), bytes.size());
    out.set_log_probability(value);
  };
  v1::GenerateEvent event = EventOf(candidate);
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    v1::TokenLogProbabilities& out = *event.mutable_log_probabilities()->add_tokens();
    fill(tokens.ids[i], tokens.log_probabilities[i].chosen, *out.mutable_chosen());
    for (const auto& [id, value] : tokens.log_probabilities[i].top) fill(id, value, *out.add_top());
  }
  return sink_.OnEvent(std::move(event));
}

// The step's tokens are told with what they belong to; calls are counted with the text.
absl::Status ChatCall::SendDelta(int candidate, ReplyDelta delta, int tokens) {
  const int text_tokens = tokens - delta.thought_tokens;
  if (delta.thought_tokens > 0 || !delta.thought.empty()) {
    v1::GenerateEvent event = EventOf(candidate);
    event.mutable_thought()->set_tokens(static_cast<uint32_t>(delta.thought_tokens));
    if (include_thoughts_) event.mutable_thought()->set_text(std::move(delta.thought));
    RETURN_IF_ERROR(sink_.OnEvent(std::move(event)));
  }
  if (text_tokens > 0 || !delta.text.empty()) {
    v1::GenerateEvent event = EventOf(candidate);
    event.mutable_text()->set_tokens(static_cast<uint32_t>(text_tokens));
    event.mutable_text()->set_text(std::move(delta.text));
    RETURN_IF_ERROR(sink_.OnEvent(std::move(event)));
  }
  int call = ReplyOf(candidate).assembler->tool_calls() - static_cast<int>(delta.tool_calls.size());
  for (ParsedToolCall& parsed : delta.tool_calls) {
    RETURN_IF_ERROR(SendToolCall(candidate, std::move(parsed), call++));
  }
  return absl::OkStatus();
}

// The id follows from the answer's, so it names the call in logs too.
absl::Status ChatCall::SendToolCall(int candidate, ParsedToolCall call, int index) {
  v1::GenerateEvent event = EventOf(candidate);
  v1::ToolCallDelta& delta = *event.mutable_tool_call();
  delta.set_index(static_cast<uint32_t>(index));
  const std::string middle = candidate == 0 ? "" : absl::StrCat("-c", candidate);
  delta.set_id(
      absl::StrCat("call-", absl::StripPrefix(response_id_, kResponsePrefix), middle, "-", index));
  delta.set_name(std::move(call.name));
  delta.set_arguments(std::move(call.arguments));
  return sink_.OnEvent(std::move(event));
}

absl::Status ChatCall::SendFinished(int candidate, EndCause cause) {
  const ReplyAssembler& assembler = *ReplyOf(candidate).assembler;
  v1::GenerateEvent event = EventOf(candidate);
  event.mutable_finished()->set_reason(ReasonFor(cause, assembler));
  if (cause == EndCause::kStopString) {
    event.mutable_finished()->set_stop_string(stop_[*assembler.stopped_by()]);
  }
  backend_.metrics->request_finished_total.at(cause)->Increment();
  return sink_.OnEvent(std::move(event));
}

absl::Status ChatCall::SendSummary(const GenerationResult* result) {
  v1::GenerateEvent event;
  v1::Summary& summary = *event.mutable_summary();
  *summary.mutable_usage() = usage_;
  if (result != nullptr) {
    *summary.mutable_timings() = ToProto(*result);
    summary.set_prefill_worker(result->prefill_worker);
    summary.set_decode_worker(result->decode_worker);
    summary.set_replays(static_cast<uint32_t>(result->replays));
    summary.set_route(result->prefill_worker.empty() ? v1::ROUTE_LOCAL : v1::ROUTE_DISAGGREGATED);
  } else {
    summary.mutable_timings()->set_total_seconds(
        absl::ToDoubleSeconds(backend_.clock->Now() - accepted_));
  }
  return sink_.OnEvent(std::move(event));
}

// ---- The end.

void ChatCall::CountRefusal(const absl::Status& status) {
  const Reason reason = GetReason(status);
  Increment(backend_.metrics->media_rejected_total, reason);
  if (accepted_by_admission_) return;
  Increment(backend_.metrics->admission_rejected_total, reason);
}

void ChatCall::End(const absl::Status& status) {
  backend_.metrics->CountRequest(status);
  if (!status.ok()) CountRefusal(status);
  const bool was_open = slot_.is_open();
  slot_.Release();
  if (was_open) {
    backend_.metrics->requests_running.Decrement();
    backend_.metrics->queue_tokens.Set(static_cast<double>(backend_.admission->queued_tokens()));
  }
  const ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail{});
  Log(status.ok() || detail.reason == Reason::kCancelled ? Severity::kInfo : Severity::kWarning,
      "request_ended",
      {{"request", info_.request_id},
       {"response", response_id_},
       {"reason", status.ok() ? "OK" : ReasonName(detail.reason)},
       {"field", detail.field},
       {"prompt_tokens", usage_.prompt_tokens()},
       {"cached_tokens", usage_.cached_prompt_tokens()},
       {"output_tokens", usage_.output_tokens()},
       {"prefill", prefill_worker_},
       {"decode", decode_worker_},
       {"seconds", absl::ToDoubleSeconds(backend_.clock->Now() - accepted_)}});
  sink_.OnEnd(status);
}

}  // namespace cleave
