#include "gateway/chat_request.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/video_request.h"
#include "media/image_size.h"
#include "media/video_frames.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

absl::Status Invalid(absl::string_view field, absl::string_view limit, absl::string_view actual) {
  return InvalidField(Reason::kFieldInvalid, field, limit, actual);
}

absl::Status AtMost(absl::string_view field, int64_t actual, int64_t max, absl::string_view unit) {
  if (actual <= max) return absl::OkStatus();
  return Invalid(field, absl::StrCat("at most ", max, unit), absl::StrCat(actual, unit));
}

// ---- Sampling.

// A number that the reader may rely on: NaN and infinities are refused with the range.
absl::Status InRange(absl::string_view field, float value, float min, float max,
                     absl::string_view limit) {
  if (std::isfinite(value) && value >= min && value <= max) return absl::OkStatus();
  return Invalid(field, limit, absl::StrCat(value));
}

absl::StatusOr<SamplingChoice> ReadSampling(const v1::Sampling& sampling,
                                            const ModelDefaults& defaults) {
  SamplingChoice choice;
  choice.temperature = sampling.has_temperature() ? sampling.temperature() : defaults.temperature;
  choice.top_k = sampling.has_top_k() ? sampling.top_k() : defaults.top_k;
  choice.top_p = sampling.has_top_p() ? sampling.top_p() : defaults.top_p;
  choice.min_p = sampling.min_p();
  choice.seed = sampling.has_seed() ? sampling.seed() : RandomSeed();
  RETURN_IF_ERROR(InRange("sampling.temperature", choice.temperature, 0, 2, "0 to 2"));
  RETURN_IF_ERROR(InRange("sampling.top_p", choice.top_p, std::numeric_limits<float>::min(), 1,
                          "above 0, at most 1"));
  RETURN_IF_ERROR(InRange("sampling.min_p", choice.min_p, 0, 1, "0 to 1"));
  return choice;
}

// ---- Messages.

absl::StatusOr<int> ReadBudget(absl::string_view field, uint32_t budget) {
  for (const int allowed : kImageBudgets) {
    if (budget == static_cast<uint32_t>(allowed)) return allowed;
  }
  return Invalid(field, absl::StrJoin(kImageBudgets, ", "), absl::StrCat(budget));
}

absl::StatusOr<Role> ReadRole(absl::string_view path, v1::Role role, bool is_first) {
  const std::string field = absl::StrCat(path, ".role");
  switch (role) {
    case v1::ROLE_USER:
      return Role::kUser;
    case v1::ROLE_MODEL:
      return Role::kAssistant;
    case v1::ROLE_SYSTEM:
    case v1::ROLE_DEVELOPER:
      if (!is_first) return Invalid(field, "a system message only as the first", "a later one");
      return role == v1::ROLE_SYSTEM ? Role::kSystem : Role::kDeveloper;
    default:
      break;
  }
  return Invalid(field, "SYSTEM, DEVELOPER, USER or MODEL",
                 role == v1::ROLE_UNSPECIFIED ? "nothing" : absl::StrCat(static_cast<int>(role)));
}

// Reads messages one by one, counting what is limited for the request as a whole.
class MessageReader {
 public:
  MessageReader(const RequestLimits& limits, int image_token_budget, ChatRequest& out)
      : limits_(limits), image_token_budget_(image_token_budget), out_(out) {}

  absl::Status Read(int index, v1::Message& message) {
    const std::string path = absl::StrCat("messages[", index, "]");
    ASSIGN_OR_RETURN(const Role role, ReadRole(path, message.role(), index == 0));
    const int num_parts = message.parts_size();
    const std::string parts = absl::StrCat(path, ".parts");
    if (num_parts == 0) return Invalid(parts, "at least 1", "none");
    RETURN_IF_ERROR(AtMost(parts, num_parts, limits_.parts_per_message_max, ""));
    // One text part alone is what other APIs call a plain string; the template tells the two apart.
    Message read{.role = role, .parts = {}, .is_list = num_parts > 1};
    for (int i = 0; i < num_parts; ++i) {
      ASSIGN_OR_RETURN(Part part,
                       ReadPart(absl::StrCat(parts, "[", i, "]"), *message.mutable_parts(i)));
      const bool is_media = std::holds_alternative<MediaPart>(part);
      if (is_media && (role == Role::kSystem || role == Role::kDeveloper)) {
        return Invalid(absl::StrCat(parts, "[", i, "]"), "text in a system message", "media");
      }
      read.parts.push_back(std::move(part));
    }
    out_.messages.push_back(std::move(read));
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<Part> ReadPart(const std::string& path, v1::Part& part) {
    switch (part.content_case()) {
      case v1::Part::kText:
        return ReadText(absl::StrCat(path, ".text"), *part.mutable_text());
      case v1::Part::kImage:
        return ReadImage(absl::StrCat(path, ".image"), *part.mutable_image());
      case v1::Part::kAudio:
        return ReadAudio(absl::StrCat(path, ".audio"), *part.mutable_audio());
      case v1::Part::kVideo:
        return AddVideo(absl::StrCat(path, ".video"), *part.mutable_video());
      case v1::Part::CONTENT_NOT_SET:
        break;
    }
    return Invalid(path, "text, image, audio or video", "nothing");
  }

  absl::StatusOr<Part> ReadText(const std::string& field, std::string& text) {
    text_bytes_ += static_cast<int64_t>(text.size());
    if (text_bytes_ > limits_.text_bytes_max) {
      return Invalid(field, absl::StrCat("at most ", limits_.text_bytes_max, " bytes of text"),
                     absl::StrCat(text_bytes_, " bytes up to here"));
    }
    RETURN_IF_ERROR(CheckUtf8(text, field));
    return TextPart{std::move(text)};
  }

  absl::StatusOr<Part> ReadImage(const std::string& field, v1::Image& image) {
    const std::string data = absl::StrCat(field, ".data");
    if (!image.has_data()) return Invalid(data, "a JPEG, PNG, WebP or GIF file", "nothing");
    if (++images_ > limits_.images_max) return TooMany(data, limits_.images_max, " images");
    int budget = image_token_budget_;
    if (image.has_token_budget()) {
      ASSIGN_OR_RETURN(budget,
                       ReadBudget(absl::StrCat(field, ".token_budget"), image.token_budget()));
    }
    Keep(MediaKind::kImage, data, *image.mutable_data(), budget);
    return MediaPart{MediaKind::kImage};
  }

  absl::StatusOr<Part> ReadAudio(const std::string& field, v1::Audio& audio) {
    const std::string data = absl::StrCat(field, ".data");
    if (!audio.has_data()) return Invalid(data, "a WAV, FLAC, Ogg or MP3 file", "nothing");
    if (++audios_ > limits_.audios_max) return TooMany(data, limits_.audios_max, " sounds");
    Keep(MediaKind::kAudio, data, *audio.mutable_data(), 0);
    return MediaPart{MediaKind::kAudio};
  }

  absl::StatusOr<Part> AddVideo(const std::string& field, v1::Video& video) {
    if (++videos_ > limits_.videos_max) return TooMany(field, limits_.videos_max, " videos");
    int budget = kVideoTokenBudgetDefault;
    if (video.has_token_budget()) {
      ASSIGN_OR_RETURN(budget,
                       ReadBudget(absl::StrCat(field, ".token_budget"), video.token_budget()));
    }
    ASSIGN_OR_RETURN(MediaInput input, ReadVideo(field, video, budget, limits_));
    out_.media.push_back(std::move(input));
    return MediaPart{MediaKind::kVideo};
  }

  static absl::Status TooMany(absl::string_view field, int max, absl::string_view unit) {
    return InvalidField(Reason::kMediaLimit, field, absl::StrCat("at most ", max, unit),
                        absl::StrCat(max + 1, unit));
  }

  void Keep(MediaKind kind, const std::string& field, std::string& bytes, int budget) {
    out_.media.push_back({.kind = kind,
                          .field = field,
                          .bytes = std::make_shared<const std::string>(std::move(bytes)),
                          .image_token_budget = budget,
                          .frames = {}});
  }

  const RequestLimits& limits_;
  const int image_token_budget_;
  ChatRequest& out_;
  int64_t text_bytes_ = 0;
  int images_ = 0;
  int audios_ = 0;
  int videos_ = 0;
};

absl::Status ReadMessages(v1::GenerateRequest& request, const ServedModel& model,
                          ChatRequest& out) {
  if (request.messages_size() == 0) return Invalid("messages", "at least 1", "none");
  RETURN_IF_ERROR(AtMost("messages", request.messages_size(), model.limits.messages_max, ""));
  int budget = model.defaults.image_token_budget;
  if (request.has_image_token_budget()) {
    ASSIGN_OR_RETURN(budget, ReadBudget("image_token_budget", request.image_token_budget()));
  }
  MessageReader reader(model.limits, budget, out);
  for (int i = 0; i < request.messages_size(); ++i) {
    RETURN_IF_ERROR(reader.Read(i, *request.mutable_messages(i)));
  }
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

absl::Status CheckChoices(const v1::GenerateRequest& request) {
  if (!v1::ThinkingMode_IsValid(request.thinking())) {
    return Invalid("thinking", "OFF or ON", absl::StrCat(static_cast<int>(request.thinking())));
  }
  if (!v1::Route_IsValid(request.route())) {
    return Invalid("route", "AUTO or DISAGGREGATED",
                   absl::StrCat(static_cast<int>(request.route())));
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
  read.validate_only = request.validate_only();
  read.ignore_stop_tokens = request.ignore_stop_tokens();
  ASSIGN_OR_RETURN(read.sampling, ReadSampling(request.sampling(), model.defaults));
  if (request.has_max_output_tokens()) {
    const uint32_t tokens = request.max_output_tokens();
    if (tokens == 0) return Invalid("max_output_tokens", "at least 1", "0");
    read.output_tokens_max = static_cast<int>(
        std::min<uint32_t>(tokens, static_cast<uint32_t>(std::numeric_limits<int>::max())));
  }
  RETURN_IF_ERROR(ReadStop(request, model.limits, read.stop));
  RETURN_IF_ERROR(ReadMessages(request, model, read));
  return read;
}

}  // namespace cleave
