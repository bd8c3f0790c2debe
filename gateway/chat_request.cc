#include "gateway/chat_request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/field_reader.h"
#include "gateway/message_reader.h"
#include "gateway/sampling_reader.h"
#include "gateway/tool_reader.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

// ---- Messages.

absl::Status ReadMessages(v1::GenerateRequest& request, const ServedModel& model,
                          FieldReader& fields, ChatRequest& out) {
  if (request.messages_size() == 0) return Invalid("messages", "at least 1", "none");
  RETURN_IF_ERROR(AtMost("messages", request.messages_size(), model.limits.messages_max, ""));
  int budget = model.defaults.image_token_budget;
  if (request.has_image_token_budget()) {
    ASSIGN_OR_RETURN(budget, ReadImageBudget("image_token_budget", request.image_token_budget()));
  }
  MessageReader reader(model.limits, budget, fields, out);
  for (int i = 0; i < request.messages_size(); ++i) {
    RETURN_IF_ERROR(reader.Read(i, *request.mutable_messages(i)));
  }
  RETURN_IF_ERROR(reader.Finish());
  MoveTextBesideCalls(out.conversation.messages, model.tokenizer->vocabulary());
  return absl::OkStatus();
}

// ---- The rest.

absl::Status ReadStop(const v1::GenerateRequest& request, const RequestLimits& limits,
                      std::vector<std::string>& stop) {
  RETURN_IF_ERROR(AtMost("stop", request.stop_size(), limits.stop_strings_max, " strings"));
  for (int i = 0; i < request.stop_size(); ++i) {
    const std::string field = absl::StrCat("stop[", i, "]");
    const std::string& text = request.stop(i);
    if (text.empty()) return Invalid(field, "at least 1 byte", "an empty string");
    RETURN_IF_ERROR(
        AtMost(field, static_cast<int64_t>(text.size()), limits.stop_string_bytes_max, " bytes"));
    RETURN_IF_ERROR(CheckUtf8(text, field));
    stop.push_back(text);
  }
  return absl::OkStatus();
}

absl::Status ReadStopIds(const v1::GenerateRequest& request, const ServedModel& model,
                         std::vector<TokenId>& ids) {
  RETURN_IF_ERROR(
      AtMost("stop_token_ids", request.stop_token_ids_size(), model.limits.stop_ids_max, " ids"));
  const auto size = static_cast<uint32_t>(model.defaults.vocabulary_size);
  for (int i = 0; i < request.stop_token_ids_size(); ++i) {
    const uint32_t id = request.stop_token_ids(i);
    if (id >= size) {
      return Invalid(absl::StrCat("stop_token_ids[", i, "]"), absl::StrCat("0 to ", size - 1),
                     absl::StrCat(id));
    }
    ids.push_back(static_cast<TokenId>(id));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> ReadCandidates(const v1::GenerateRequest& request,
                                   const RequestLimits& limits) {
  if (request.candidates() <= static_cast<uint32_t>(limits.candidates_max)) {
    return std::max(static_cast<int>(request.candidates()), 1);
  }
  return Invalid("candidates", absl::StrCat("1 to ", limits.candidates_max),
                 absl::StrCat(request.candidates()));
}

// What a decode worker does alone is one answer to a prompt of text.
absl::StatusOr<std::optional<RouteKind>> ReadRoute(const v1::GenerateRequest& request,
                                                   const ChatRequest& read) {
  if (request.route() == v1::ROUTE_DISAGGREGATED) return RouteKind::kDisaggregated;
  if (request.route() != v1::ROUTE_LOCAL) return std::nullopt;
  if (!read.media.empty()) {
    return Invalid("route", "LOCAL for requests without media only",
                   absl::StrCat("LOCAL with ", read.media.size(), " media"));
  }
  if (read.candidates > 1) {
    return Invalid("route", "LOCAL for one candidate only",
                   absl::StrCat("LOCAL with ", read.candidates, " candidates"));
  }
  return RouteKind::kLocal;
}

Priority ReadPriority(v1::Priority priority) {
  if (priority == v1::PRIORITY_LOW) return Priority::kLow;
  return priority == v1::PRIORITY_HIGH ? Priority::kHigh : Priority::kNormal;
}

absl::Status CheckChoices(const v1::GenerateRequest& request) {
  if (!v1::ThinkingMode_IsValid(request.thinking())) {
    return Invalid("thinking", "OFF or ON", absl::StrCat(static_cast<int>(request.thinking())));
  }
  if (!v1::Route_IsValid(request.route())) {
    return Invalid("route", "AUTO, DISAGGREGATED or LOCAL",
                   absl::StrCat(static_cast<int>(request.route())));
  }
  if (!v1::ToolChoice_IsValid(request.tool_choice())) {
    return Invalid("tool_choice", "AUTO or NONE",
                   absl::StrCat(static_cast<int>(request.tool_choice())));
  }
  if (!v1::Priority_IsValid(request.priority())) {
    return Invalid("priority", "LOW, NORMAL or HIGH",
                   absl::StrCat(static_cast<int>(request.priority())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChatRequest> ReadChatRequest(v1::GenerateRequest& request,
                                            const ServedModel& model) {
  RETURN_IF_ERROR(model.CheckName(request.model()));
  RETURN_IF_ERROR(CheckChoices(request));
  ChatRequest read;
  read.thinking = request.thinking() == v1::THINKING_MODE_ON;
  read.preserve_thinking = request.preserve_thinking();
  read.include_thoughts = request.include_thoughts();
  read.validate_only = request.validate_only();
  read.ignore_stop_tokens = request.ignore_stop_tokens();
  read.priority = ReadPriority(request.priority());
  ASSIGN_OR_RETURN(read.sampling, ReadSampling(request.sampling(), model.defaults));
  ASSIGN_OR_RETURN(read.rules, ReadRules(request, model));
  if (request.has_log_probabilities()) {
    RETURN_IF_ERROR(AtMost("log_probabilities", request.log_probabilities(),
                           model.limits.log_probabilities_max, ""));
    read.log_probabilities = request.log_probabilities();
  }
  if (request.has_max_output_tokens()) {
    const uint32_t tokens = request.max_output_tokens();
    if (tokens == 0) return Invalid("max_output_tokens", "at least 1", "0");
    read.output_tokens_max = static_cast<int>(
        std::min<uint32_t>(tokens, static_cast<uint32_t>(std::numeric_limits<int>::max())));
  }
  ASSIGN_OR_RETURN(read.candidates, ReadCandidates(request, model.limits));
  RETURN_IF_ERROR(ReadStop(request, model.limits, read.stop));
  RETURN_IF_ERROR(ReadStopIds(request, model, read.stop_ids));
  FieldReader fields(model.limits);
  RETURN_IF_ERROR(AtMost("cache_salt", static_cast<int64_t>(request.cache_salt().size()),
                         model.limits.cache_salt_bytes_max, " bytes"));
  RETURN_IF_ERROR(fields.CheckText("cache_salt", request.cache_salt()));
  read.cache_salt = request.cache_salt();
  ASSIGN_OR_RETURN(std::vector<Tool> tools, ReadTools(request, model.limits, fields));
  if (request.tool_choice() != v1::TOOL_CHOICE_NONE) read.conversation.tools = std::move(tools);
  RETURN_IF_ERROR(ReadMessages(request, model, fields, read));
  ASSIGN_OR_RETURN(read.route, ReadRoute(request, read));
  return read;
}

}  // namespace cleave
