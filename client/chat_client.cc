#include "client/chat_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"
#include "runtime/rpc/deadline.h"
#include "runtime/rpc/request_id.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

// What one attempt to connect may take, and the time until the next.
constexpr int kConnectMilliseconds = 2000;

void SetTimeout(grpc::ClientContext& context, absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return;
  context.set_deadline(GrpcDeadline(timeout));
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A new client tries at once, whatever one before it met.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kConnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kConnectMilliseconds);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// A typed error is the gateway's own word; an untyped UNAVAILABLE means that there is none.
absl::Status FromCall(const grpc::Status& status, const std::string& address) {
  const absl::Status converted = FromGrpc(status);
  if (absl::IsUnavailable(converted) && GetReason(converted) == Reason::kUnspecified) {
    return absl::UnavailableError(
        absl::StrCat("no gateway answers at ", address, " (", converted.message(), ")"));
  }
  return converted;
}

void FoldCall(const v1::ToolCallDelta& delta, std::vector<v1::ToolCall>& calls) {
  if (delta.index() >= calls.size()) calls.resize(size_t{delta.index()} + 1);
  v1::ToolCall& call = calls[delta.index()];
  if (!delta.id().empty()) call.set_id(delta.id());
  if (!delta.name().empty()) call.set_name(delta.name());
  call.mutable_arguments()->append(delta.arguments());
}

// The first message, in the place of one that is there.
void SetSystem(const std::string& text, v1::GenerateRequest& request) {
  const bool has_system =
      request.messages_size() > 0 && (request.messages(0).role() == v1::ROLE_SYSTEM ||
                                      request.messages(0).role() == v1::ROLE_DEVELOPER);
  if (!has_system) {
    request.add_messages();
    for (int i = request.messages_size() - 1; i > 0; --i) {
      request.mutable_messages()->SwapElements(i, i - 1);
    }
  }
  v1::Message& system = *request.mutable_messages(0);
  system.Clear();
  system.set_role(v1::ROLE_SYSTEM);
  system.add_parts()->set_text(text);
}

void AddQuestion(const AskOptions& options, v1::Message& user) {
  user.set_role(v1::ROLE_USER);
  for (const std::string& bytes : options.images) {
    user.add_parts()->mutable_image()->set_data(bytes);
  }
  for (const std::string& bytes : options.audios) {
    user.add_parts()->mutable_audio()->set_data(bytes);
  }
  if (!options.frames.empty()) {
    v1::Video& video = *user.add_parts()->mutable_video();
    for (const std::string& bytes : options.frames) video.add_frames()->set_data(bytes);
    if (options.fps) video.set_fps(*options.fps);
  }
  if (options.text) user.add_parts()->set_text(*options.text);
}

void FillSampling(const AskOptions& options, v1::GenerateRequest& request) {
  v1::Sampling& sampling = *request.mutable_sampling();
  if (options.temperature) sampling.set_temperature(*options.temperature);
  if (options.top_k) sampling.set_top_k(*options.top_k);
  if (options.top_p) sampling.set_top_p(*options.top_p);
  if (options.min_p) sampling.set_min_p(*options.min_p);
  if (options.seed) sampling.set_seed(*options.seed);
  if (options.repetition_penalty) sampling.set_repetition_penalty(*options.repetition_penalty);
  if (options.presence_penalty) sampling.set_presence_penalty(*options.presence_penalty);
  if (options.frequency_penalty) sampling.set_frequency_penalty(*options.frequency_penalty);
}

}  // namespace

AskAnswer& AnswerOf(uint32_t candidate, AskResult& result) {
  if (candidate == 0) return result;
  if (candidate > result.others.size()) result.others.resize(candidate);
  return result.others[candidate - 1];
}

void Fold(const v1::GenerateEvent& event, AskResult& result) {
  if (event.has_started()) result.started = event.started();
  if (event.has_summary()) result.summary = event.summary();
  AskAnswer& answer = AnswerOf(event.candidate(), result);
  if (event.has_text()) answer.text += event.text().text();
  if (event.has_thought()) answer.thought += event.thought().text();
  if (event.has_tool_call()) FoldCall(event.tool_call(), answer.tool_calls);
  if (event.has_finished()) answer.finished = event.finished();
}

v1::GenerateRequest MakeRequest(const AskOptions& options) {
  v1::GenerateRequest request = options.base;
  if (!options.system.empty()) SetSystem(options.system, request);
  const bool has_media =
      !options.images.empty() || !options.audios.empty() || !options.frames.empty();
  if (options.text || has_media) {
    AddQuestion(options, *request.add_messages());
  }
  FillSampling(options, request);
  if (options.route) request.set_route(*options.route);
  if (options.priority) request.set_priority(*options.priority);
  if (options.thinking_budget_tokens) {
    request.set_thinking_budget_tokens(*options.thinking_budget_tokens);
  }
  if (options.min_output_tokens) request.set_min_output_tokens(*options.min_output_tokens);
  if (options.log_probabilities) request.set_log_probabilities(*options.log_probabilities);
  if (options.max_output_tokens) request.set_max_output_tokens(*options.max_output_tokens);
  if (options.candidates) request.set_candidates(*options.candidates);
  if (options.image_token_budget) request.set_image_token_budget(*options.image_token_budget);
  for (const std::string& stop : options.stop) request.add_stop(stop);
  for (const v1::Tool& tool : options.tools) *request.add_tools() = tool;
  if (options.think) {
    request.set_thinking(v1::THINKING_MODE_ON);
    request.set_include_thoughts(true);
  }
  if (options.validate_only) request.set_validate_only(true);
  return request;
}

absl::Status CheckRequestId(absl::string_view id) {
  if (id.empty() || IsValidRequestId(id)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the request id has ", id.size(),
                                                 " bytes; allowed are at most ", kRequestIdBytesMax,
                                                 ", all printable ASCII"));
}

ChatClient::ChatClient(const std::string& address)
    : address_(address),
      channel_(Connect(address)),
      chat_(v1::ChatService::NewStub(channel_)),
      models_(v1::ModelService::NewStub(channel_)) {}

absl::StatusOr<AskResult> ChatClient::Ask(
    const AskOptions& options, const std::function<void(const v1::GenerateEvent&)>& on_event) {
  RETURN_IF_ERROR(CheckRequestId(options.request_id));
  grpc::ClientContext context;
  SetTimeout(context, options.timeout);
  if (!options.request_id.empty()) context.AddMetadata(kRequestIdKey, options.request_id);
  const auto reader = chat_->StreamGenerate(&context, MakeRequest(options));
  AskResult result;
  v1::GenerateEvent event;
  uint64_t next_index = 0;
  bool in_order = true;
  while (reader->Read(&event)) {
    in_order = in_order && event.index() == next_index++;
    Fold(event, result);
    if (on_event) on_event(event);
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return FromCall(status, address_);
  if (!in_order || !event.has_summary()) {
    return absl::DataLossError("the answer is incomplete: an event is missing");
  }
  const auto echoed = context.GetServerTrailingMetadata().find(kRequestIdKey);
  if (echoed != context.GetServerTrailingMetadata().end()) {
    result.request_id.assign(echoed->second.data(), echoed->second.size());
  }
  return result;
}

absl::StatusOr<v1::Model> ChatClient::GetModel(absl::Duration timeout) {
  grpc::ClientContext context;
  SetTimeout(context, timeout);
  v1::Model model;
  const grpc::Status status = models_->GetModel(&context, {}, &model);
  if (!status.ok()) return FromCall(status, address_);
  return model;
}

absl::StatusOr<bool> ChatClient::IsServing(absl::Duration timeout) {
  grpc::ClientContext context;
  SetTimeout(context, timeout);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel_)->Check(&context, {}, &response);
  if (!status.ok()) return FromCall(status, address_);
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

std::string DescribeError(const absl::Status& status) {
  const std::optional<ErrorDetail> detail = GetErrorDetail(status);
  if (!detail || detail->reason == Reason::kUnspecified) {
    return absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
  }
  std::string line = absl::StrCat(ReasonName(detail->reason), ": ", status.message());
  // Most messages hold these already.
  const auto add = [&line](absl::string_view name, absl::string_view value) {
    if (value.empty() || absl::StrContains(line, value)) return;
    absl::StrAppend(&line, " [", name, ": ", value, "]");
  };
  add("field", detail->field);
  add("limit", detail->limit);
  add("found", detail->actual);
  if (detail->retry_after) {
    absl::StrAppend(&line, " (try again in ", absl::FormatDuration(*detail->retry_after), ")");
  }
  return line;
}

}  // namespace cleave
