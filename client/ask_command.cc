#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/answer_printer.h"
#include "client/chat_client.h"
#include "client/commands.h"
#include "client/tools_json.h"
#include "runtime/base/address.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "tokenizer/tokenizer.h"

namespace cleave {
namespace {

constexpr size_t kFileBytesMax = size_t{64} << 20;

struct AskFlags {
  AskOptions options;
  std::string gateway = kGatewayDefault;
  std::vector<std::string> image_paths, audio_paths, frame_paths;
  std::string conversation_path, tools_path;
  double timeout_seconds = 0;
  bool json = false;
  bool verbose = false;
};

absl::Status ReadFiles(const std::vector<std::string>& paths, std::vector<std::string>& contents) {
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(std::string content, ReadFile(path, kFileBytesMax));
    contents.push_back(std::move(content));
  }
  return absl::OkStatus();
}

// A GenerateRequest in protobuf's JSON.
absl::StatusOr<v1::GenerateRequest> ReadConversation(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kFileBytesMax));
  v1::GenerateRequest request;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &request);
  if (status.ok()) return request;
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is no cleave.v1.GenerateRequest: ", std::string(status.message())));
}

absl::Status ReadTools(const std::string& path, std::vector<v1::Tool>& tools) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kFileBytesMax));
  absl::StatusOr<std::vector<v1::Tool>> read = ReadToolsJson(json);
  if (!read.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", read.status().message()));
  }
  tools = *std::move(read);
  return absl::OkStatus();
}

absl::Status CheckTexts(const AskOptions& options) {
  if (options.text) RETURN_IF_ERROR(CheckUtf8(*options.text, "TEXT"));
  RETURN_IF_ERROR(CheckUtf8(options.system, "--system"));
  for (const std::string& stop : options.stop) RETURN_IF_ERROR(CheckUtf8(stop, "--stop"));
  return absl::OkStatus();
}

absl::Status Complete(AskFlags& flags) {
  AskOptions& options = flags.options;
  RETURN_IF_ERROR(CheckRequestId(options.request_id));
  if (!options.text && flags.conversation_path.empty()) {
    return absl::InvalidArgumentError("TEXT or --conversation is required");
  }
  if (options.text == "-") options.text->assign(std::istreambuf_iterator<char>(std::cin), {});
  RETURN_IF_ERROR(CheckTexts(options));
  if (!flags.conversation_path.empty()) {
    ASSIGN_OR_RETURN(options.base, ReadConversation(flags.conversation_path));
  }
  if (!flags.tools_path.empty()) RETURN_IF_ERROR(ReadTools(flags.tools_path, options.tools));
  RETURN_IF_ERROR(ReadFiles(flags.image_paths, options.images));
  RETURN_IF_ERROR(ReadFiles(flags.audio_paths, options.audios));
  RETURN_IF_ERROR(ReadFiles(flags.frame_paths, options.frames));
  if (flags.timeout_seconds > 0) options.timeout = absl::Seconds(flags.timeout_seconds);
  return absl::OkStatus();
}

// CLI11 itself would take -1 for the largest number.
std::string SeedProblem(const std::string& text) {
  uint64_t seed = 0;
  return absl::SimpleAtoi(text, &seed) ? "" : text + " is not a number of 0 to 2^64 - 1";
}

void PrintCount(const v1::Usage& usage) {
  std::printf("%u prompt tokens (%u image, %u audio, %u video)\n", usage.prompt_tokens(),
              usage.image_tokens(), usage.audio_tokens(), usage.video_tokens());
}

std::string ReasonWord(const v1::Finished& finished) {
  std::string name = v1::FinishReason_Name(finished.reason()).substr(sizeof("FINISH_REASON_") - 1);
  if (!finished.stop_string().empty()) absl::StrAppend(&name, " \"", finished.stop_string(), "\"");
  return name;
}

// Of each candidate.
std::string ReasonWords(const AskResult& result) {
  std::string words = ReasonWord(result.finished);
  for (const AskAnswer& other : result.others) {
    absl::StrAppend(&words, ", ", ReasonWord(other.finished));
  }
  return words;
}

void PrintTimings(const AskResult& result) {
  const v1::Usage& usage = result.summary.usage();
  const v1::Timings& t = result.summary.timings();
  const auto candidates = static_cast<double>(1 + result.others.size());
  const double decoded = std::max(usage.output_tokens() - candidates, 0.0);
  const double after_first = t.total_seconds() - t.time_to_first_token_seconds();
  const std::string exposed = t.has_transfer_exposed_seconds()
                                  ? absl::StrFormat("%.3f", t.transfer_exposed_seconds())
                                  : "unknown";
  std::string text = absl::StrFormat(
      "request   %s, %s, seed %u\n"
      "workers   prefill %s, decode %s\n"
      "tokens    %u prompt (%u image, %u audio, %u video; %u cached), %u output (%u thought); "
      "ended by %s\n"
      "first     %.3f s to the first token\n"
      "rate      %.2f tokens/s after the first\n"
      "phases    queue %.3f, media %.3f, prefill %.3f, grant wait %.3f, transfer exposed %s, "
      "hand-over %.3f, decode %.3f s\n"
      "total     %.3f s\n",
      result.request_id, result.started.response_id(), result.started.seed(),
      result.summary.prefill_worker().empty() ? "none" : result.summary.prefill_worker(),
      result.summary.decode_worker(), usage.prompt_tokens(), usage.image_tokens(),
      usage.audio_tokens(), usage.video_tokens(), usage.cached_prompt_tokens(),
      usage.output_tokens(), usage.thought_tokens(), ReasonWords(result),
      t.time_to_first_token_seconds(), after_first > 0 ? decoded / after_first : 0,
      t.queue_seconds(), t.media_seconds(), t.prefill_seconds(), t.grant_wait_seconds(), exposed,
      t.handover_seconds(), t.decode_seconds(), t.total_seconds());
  std::fputs(text.c_str(), stderr);
}

AnswerStyle StyleOf(const AskFlags& flags) {
  if (flags.json) return AnswerStyle::kJson;
  const uint32_t candidates = flags.options.candidates.value_or(flags.options.base.candidates());
  return candidates > 1 ? AnswerStyle::kWhole : AnswerStyle::kStream;
}

int Run(AskFlags& flags) {
  const absl::Status complete = Complete(flags);
  if (!complete.ok()) {
    std::fprintf(stderr, "cleave ask: %s\n", DescribeError(complete).c_str());
    return kExitUsage;
  }
  ChatClient client(flags.gateway);
  AnswerPrinter printer(StyleOf(flags));
  const absl::StatusOr<AskResult> result =
      client.Ask(flags.options, [&](const v1::GenerateEvent& event) { printer.Print(event); });
  printer.End();
  if (!result.ok()) {
    std::fprintf(stderr, "cleave ask: %s\n", DescribeError(result.status()).c_str());
    return kExitFailed;
  }
  printer.PrintCalls(*result);
  if (result->finished.reason() == v1::FINISH_REASON_UNSPECIFIED) {  // only validated
    if (!flags.json) PrintCount(result->summary.usage());
  } else if (flags.verbose) {
    PrintTimings(*result);
  }
  return kExitOk;
}

}  // namespace

std::function<int()> DeclareAsk(CLI::App& app) {
  auto flags = std::make_shared<AskFlags>();  // shared by the parser and the returned function
  AskOptions& options = flags->options;
  CLI::App& ask = *app.add_subcommand("ask", "Ask one question and print the answer as it comes");
  ask.add_option("TEXT", options.text,
                 "The question; - reads it from standard input. Not needed with --conversation");
  ask.add_option("--gateway", flags->gateway, "host:port of the gateway")
      ->check(AddressProblem)
      ->envname("CLEAVE_GATEWAY")
      ->capture_default_str();
  ask.add_option("--image", flags->image_paths, "A JPEG, PNG, WebP or GIF file; may be given again")
      ->allow_extra_args(false);
  ask.add_option("--audio", flags->audio_paths, "A WAV, FLAC, Ogg or MP3 file; may be given again")
      ->allow_extra_args(false);
  ask.add_option("--video-frame", flags->frame_paths,
                 "A picture file, the next frame of a video; may be given again")
      ->allow_extra_args(false);
  ask.add_option("--fps", options.fps, "Frames a second of the video, 0.001 to 1000; default: 24");
  ask.add_option("--system", options.system, "What the model is told before the question");
  ask.add_option("--tools", flags->tools_path,
                 "A JSON file of functions that the model may call, as other chat APIs have them: "
                 "[{\"type\": \"function\", \"function\": {...}}] or the inner objects; each call "
                 "is printed as a line of JSON");
  ask.add_option(
      "--conversation", flags->conversation_path,
      "A JSON file with a whole cleave.v1.GenerateRequest, as tool results need it; TEXT "
      "becomes a last message of the user; flags replace what the file says, but --tools and "
      "--stop add to it");
  ask.add_option("--max-tokens,--max-output-tokens", options.max_output_tokens,
                 "Most tokens of the answer; default: what the context leaves");
  ask.add_option("--min-tokens,--min-output-tokens", options.min_output_tokens,
                 "Tokens before which the model may not end its answer");
  ask.add_option("--candidates", options.candidates,
                 "Answers to the same question, 1 to 8; several are printed one by one, each when "
                 "it is complete");
  ask.add_option("--log-probabilities", options.log_probabilities,
                 "Send the log-probability of each token, and of so many of the likeliest, 0 to "
                 "20; shown with --json");
  ask.add_option("--temperature", options.temperature, "0 (greedy) to 2; default: the model's");
  ask.add_option("--top-k", options.top_k, "Keep the k likeliest tokens; 0: all");
  ask.add_option("--top-p", options.top_p, "Keep the likeliest that reach this share, up to 1");
  ask.add_option("--min-p", options.min_p, "Keep those this many times as likely as the likeliest");
  ask.add_option("--repetition-penalty", options.repetition_penalty,
                 "Make tokens of prompt and answer less likely, above 0 to 10; 1: no change");
  ask.add_option("--presence-penalty", options.presence_penalty,
                 "Taken from the logits of tokens in the answer, -2 to 2");
  ask.add_option("--frequency-penalty", options.frequency_penalty,
                 "The same for each time that the token is there, -2 to 2");
  ask.add_option("--seed", options.seed, "Equal seeds give equal answers; default: drawn")
      ->check(SeedProblem);
  ask.add_option("--stop", options.stop, "Text that ends the answer; may be given again")
      ->allow_extra_args(false);
  ask.add_option_function<std::string>(
         "--route",
         [&options](const std::string& name) {
           options.route = name == "local" ? v1::ROUTE_LOCAL : v1::ROUTE_DISAGGREGATED;
         },
         "disaggregated: a prefill worker computes the prompt; local: the decode worker does; "
         "default: the gateway chooses")
      ->check(CLI::IsMember(std::vector<std::string>{"disaggregated", "local"}));
  ask.add_option_function<std::string>(
         "--priority",
         [&options](const std::string& name) {
           options.priority = name == "low"    ? v1::PRIORITY_LOW
                              : name == "high" ? v1::PRIORITY_HIGH
                                               : v1::PRIORITY_NORMAL;
         },
         "Who goes first when the workers are busy: low, normal or high; default: normal")
      ->check(CLI::IsMember(std::vector<std::string>{"low", "normal", "high"}));
  ask.add_option("--image-tokens", options.image_token_budget,
                 "Tokens a picture may use: 70, 140, 280, 560 or 1120");
  ask.add_flag("--think", options.think,
               "Let the model think before it answers; printed to stderr");
  ask.add_option("--thinking-budget", options.thinking_budget_tokens,
                 "Most tokens of thoughts; then the answer must begin");
  ask.add_option("--timeout", flags->timeout_seconds, "Seconds the answer may take; 0: any")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  ask.add_option("--request-id", options.request_id, "Id to find the request in the logs by");
  ask.add_flag("--validate-only", options.validate_only,
               "Check and count the tokens, generate nothing");
  ask.add_flag("--json", flags->json, "Print every event as a line of JSON");
  ask.add_flag("--verbose", flags->verbose, "Print tokens and timings to stderr at the end");
  ask.footer("Exit codes: 0 answered, 1 the request failed, 2 wrong flags or files.");
  return [flags] { return Run(*flags); };
}

}  // namespace cleave
