#include "gateway/message_reader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/video_request.h"
#include "media/image_size.h"
#include "media/video_frames.h"
#include "runtime/base/error.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::StatusOr<Role> ReadRole(absl::string_view path, v1::Role role, bool is_first) {
  const std::string field = absl::StrCat(path, ".role");
  switch (role) {
    case v1::ROLE_USER:
      return Role::kUser;
    case v1::ROLE_MODEL:
      return Role::kAssistant;
    case v1::ROLE_TOOL:
      return Role::kTool;
    case v1::ROLE_SYSTEM:
    case v1::ROLE_DEVELOPER:
      if (!is_first) return Invalid(field, "a system message only as the first", "a later one");
      return role == v1::ROLE_SYSTEM ? Role::kSystem : Role::kDeveloper;
    default:
      break;
  }
  return Invalid(field, "SYSTEM, DEVELOPER, USER, MODEL or TOOL",
                 role == v1::ROLE_UNSPECIFIED ? "nothing" : absl::StrCat(static_cast<int>(role)));
}

std::string PartPath(const std::string& path, int part) {
  return absl::StrCat(path, ".parts[", part, "]");
}

absl::Status TooMany(absl::string_view field, int max, absl::string_view unit) {
  return InvalidField(Reason::kMediaLimit, field, absl::StrCat("at most ", max, unit),
                      absl::StrCat(max + 1, unit));
}

}  // namespace

absl::StatusOr<int> ReadImageBudget(absl::string_view field, uint32_t budget) {
  for (const int allowed : kImageBudgets) {
    if (budget == static_cast<uint32_t>(allowed)) return allowed;
  }
  return Invalid(field, absl::StrJoin(kImageBudgets, ", "), absl::StrCat(budget));
}

absl::Status MessageReader::Read(int index, v1::Message& message) {
  const std::string path = absl::StrCat("messages[", index, "]");
  Message read;
  ASSIGN_OR_RETURN(read.role, ReadRole(path, message.role(), index == 0));
  const std::string parts = absl::StrCat(path, ".parts");
  const int num_parts = message.parts_size();
  if (num_parts == 0 && message.tool_calls().empty()) return Invalid(parts, "at least 1", "none");
  RETURN_IF_ERROR(AtMost(parts, num_parts, limits_.parts_per_message_max, ""));
  if (read.role != Role::kTool) {
    RETURN_IF_ERROR(Finish());
    calls_.clear();
  }
  RETURN_IF_ERROR(ReadAnswer(path, message, read));
  RETURN_IF_ERROR(read.role == Role::kTool ? ReadToolMessage(path, message, read)
                                           : ReadParts(path, message, read));
  out_.conversation.messages.push_back(std::move(read));
  return absl::OkStatus();
}

absl::Status MessageReader::Finish() const {
  for (const OpenCall& call : calls_) {
    if (call.is_answered) continue;
    return Invalid(call.field, "a call with a result in the messages of ROLE_TOOL right after it",
                   "a call without one");
  }
  return absl::OkStatus();
}

// ---- Texts and media.

absl::Status MessageReader::ReadParts(const std::string& path, v1::Message& message,
                                      Message& read) {
  // One text part alone is what other APIs call a plain string; the template tells the two apart.
  read.is_list = message.parts_size() > 1;
  for (int i = 0; i < message.parts_size(); ++i) {
    ASSIGN_OR_RETURN(Part part, ReadPart(PartPath(path, i), "text, image, audio or video",
                                         *message.mutable_parts(i)));
    if (std::holds_alternative<MediaPart>(part)) {
      if (IsSystem(read.role)) {
        return Invalid(PartPath(path, i), "text in a system message", "media");
      }
      if (!read.tool_calls.empty()) {
        return Invalid(PartPath(path, i), "text in a message with tool calls", "media");
      }
    }
    read.parts.push_back(std::move(part));
  }
  return absl::OkStatus();
}

absl::StatusOr<Part> MessageReader::ReadPart(const std::string& path, absl::string_view allowed,
                                             v1::Part& part) {
  switch (part.content_case()) {
    case v1::Part::kText:
      RETURN_IF_ERROR(fields_.CheckText(absl::StrCat(path, ".text"), part.text()));
      return TextPart{std::move(*part.mutable_text())};
    case v1::Part::kImage:
      return ReadImage(absl::StrCat(path, ".image"), *part.mutable_image());
    case v1::Part::kAudio:
      return ReadAudio(absl::StrCat(path, ".audio"), *part.mutable_audio());
    case v1::Part::kVideo:
      return AddVideo(absl::StrCat(path, ".video"), *part.mutable_video());
    case v1::Part::kToolResult:
      return Invalid(path, allowed, "a tool result");
    case v1::Part::CONTENT_NOT_SET:
      break;
  }
  return Invalid(path, allowed, "nothing");
}

absl::StatusOr<Part> MessageReader::ReadImage(const std::string& field, v1::Image& image) {
  const std::string data = absl::StrCat(field, ".data");
  if (!image.has_data()) return Invalid(data, "a JPEG, PNG, WebP or GIF file", "nothing");
  if (++images_ > limits_.images_max) return TooMany(data, limits_.images_max, " images");
  int budget = image_token_budget_;
  if (image.has_token_budget()) {
    ASSIGN_OR_RETURN(budget,
                     ReadImageBudget(absl::StrCat(field, ".token_budget"), image.token_budget()));
  }
  Keep(MediaKind::kImage, data, *image.mutable_data(), budget);
  return MediaPart{MediaKind::kImage};
}

absl::StatusOr<Part> MessageReader::ReadAudio(const std::string& field, v1::Audio& audio) {
  const std::string data = absl::StrCat(field, ".data");
  if (!audio.has_data()) return Invalid(data, "a WAV, FLAC, Ogg or MP3 file", "nothing");
  if (++audios_ > limits_.audios_max) return TooMany(data, limits_.audios_max, " sounds");
  Keep(MediaKind::kAudio, data, *audio.mutable_data(), 0);
  return MediaPart{MediaKind::kAudio};
}

absl::StatusOr<Part> MessageReader::AddVideo(const std::string& field, v1::Video& video) {
  if (++videos_ > limits_.videos_max) return TooMany(field, limits_.videos_max, " videos");
  int budget = kVideoTokenBudgetDefault;
  if (video.has_token_budget()) {
    ASSIGN_OR_RETURN(budget,
                     ReadImageBudget(absl::StrCat(field, ".token_budget"), video.token_budget()));
  }
  ASSIGN_OR_RETURN(MediaInput input, ReadVideo(field, video, budget, limits_));
  out_.media.push_back(std::move(input));
  return MediaPart{MediaKind::kVideo};
}

void MessageReader::Keep(MediaKind kind, const std::string& field, std::string& bytes, int budget) {
  out_.media.push_back({.kind = kind,
                        .field = field,
                        .bytes = std::make_shared<const std::string>(std::move(bytes)),
                        .image_token_budget = budget,
                        .frames = {}});
}

// ---- Thoughts and calls.

absl::Status MessageReader::ReadAnswer(const std::string& path, v1::Message& message,
                                       Message& read) {
  const std::string calls = absl::StrCat(path, ".tool_calls");
  const std::string thought = absl::StrCat(path, ".thought");
  const bool is_model = read.role == Role::kAssistant;
  if (!is_model && !message.thought().empty()) {
    return Invalid(thought, "nothing, but in a message of the model", "a thought");
  }
  if (!is_model && !message.tool_calls().empty()) {
    return Invalid(calls, "nothing, but in a message of the model", "tool calls");
  }
  RETURN_IF_ERROR(fields_.CheckText(thought, message.thought()));
  read.thought = std::move(*message.mutable_thought());
  RETURN_IF_ERROR(
      AtMost(calls, message.tool_calls_size(), limits_.tool_calls_per_message_max, " calls"));
  for (int i = 0; i < message.tool_calls_size(); ++i) {
    const std::string call_path = absl::StrCat(calls, "[", i, "]");
    ASSIGN_OR_RETURN(ToolCall call, ReadToolCall(call_path, message.tool_calls(i)));
    calls_.push_back({call_path, *call.id, call.name});
    read.tool_calls.push_back(std::move(call));
  }
  return absl::OkStatus();
}

absl::StatusOr<ToolCall> MessageReader::ReadToolCall(const std::string& path,
                                                     const v1::ToolCall& call) {
  const std::string id = absl::StrCat(path, ".id"), arguments = absl::StrCat(path, ".arguments");
  RETURN_IF_ERROR(fields_.CheckCallId(id, call.id()));
  if (std::any_of(calls_.begin(), calls_.end(),
                  [&](const OpenCall& other) { return other.id == call.id(); })) {
    return Invalid(id, "an id that no other call of the message has",
                   absl::StrCat("\"", call.id(), "\" again"));
  }
  RETURN_IF_ERROR(fields_.CheckToolName(absl::StrCat(path, ".name"), call.name()));
  ToolCall read{.id = call.id(), .name = call.name(), .arguments = {JsonObject()}};
  if (call.arguments().empty()) return read;
  ASSIGN_OR_RETURN(read.arguments,
                   fields_.ReadJson(arguments, call.arguments(), limits_.arguments_bytes_max));
  if (read.arguments.AsObject() != nullptr) return read;
  return Invalid(arguments, "a JSON object", read.arguments.TypeName());
}

// ---- Results.

absl::Status MessageReader::ReadToolMessage(const std::string& path, v1::Message& message,
                                            Message& read) {
  for (int i = 0; i < message.parts_size(); ++i) {
    v1::Part& part = *message.mutable_parts(i);
    if (i == 0) {
      if (!part.has_tool_result())
        return Invalid(PartPath(path, i), "a tool result first", "another part");
      RETURN_IF_ERROR(ReadResult(absl::StrCat(PartPath(path, i), ".tool_result"),
                                 *part.mutable_tool_result(), read));
      continue;
    }
    if (part.has_text()) {
      return Invalid(PartPath(path, i), "image, audio or video after a tool result", "text");
    }
    ASSIGN_OR_RETURN(
        Part media, ReadPart(PartPath(path, i), "image, audio or video after a tool result", part));
    read.parts.push_back(std::move(media));
  }
  return absl::OkStatus();
}

absl::Status MessageReader::ReadResult(const std::string& path, v1::ToolResult& result,
                                       Message& read) {
  const std::string id = absl::StrCat(path, ".call_id"), name = absl::StrCat(path, ".name");
  RETURN_IF_ERROR(fields_.CheckCallId(id, result.call_id()));
  const auto call = std::find_if(calls_.begin(), calls_.end(),
                                 [&](const OpenCall& open) { return open.id == result.call_id(); });
  if (call == calls_.end() || call->is_answered) {
    return Invalid(id, "the id of a call of the model message right before, not yet answered",
                   absl::StrCat("\"", result.call_id(), "\""));
  }
  if (!result.name().empty() && result.name() != call->name) {
    RETURN_IF_ERROR(fields_.CheckToolName(name, result.name()));
    return Invalid(name, absl::StrCat("nothing or \"", call->name, "\", as the call has it"),
                   absl::StrCat("\"", result.name(), "\""));
  }
  call->is_answered = true;
  read.call_id = result.call_id();
  ASSIGN_OR_RETURN(read.result, ReadResultValue(path, result));
  return absl::OkStatus();
}

absl::StatusOr<Json> MessageReader::ReadResultValue(const std::string& path,
                                                    v1::ToolResult& result) {
  switch (result.result_case()) {
    case v1::ToolResult::kText:
      RETURN_IF_ERROR(fields_.CheckText(absl::StrCat(path, ".text"), result.text()));
      return Json{std::move(*result.mutable_text())};
    case v1::ToolResult::kJson:
      return fields_.ReadJson(absl::StrCat(path, ".json"), result.json(),
                              limits_.result_json_bytes_max);
    case v1::ToolResult::RESULT_NOT_SET:
      break;
  }
  return Invalid(path, "text or json", "nothing");
}

}  // namespace cleave
