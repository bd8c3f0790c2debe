#include "tests/cluster/process_cluster.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/rpc/deadline.h"
#include "runtime/rpc/status.h"
#include "tests/support/http_get.h"

namespace cleave::testing {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
const char kData[] = CLEAVE_SOURCE_DIR "/tests/golden/data/";

std::string Address(int port) { return absl::StrCat("127.0.0.1:", port); }

int CountAlive(std::vector<ChildProcess>& processes) {
  return static_cast<int>(
      std::count_if(processes.begin(), processes.end(),
                    [](ChildProcess& process) { return !process.Ended().has_value(); }));
}

}  // namespace

bool WaitFor(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > end) return false;
    cleave::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

ProcessCluster::ProcessCluster(const ClusterOptions& options) {
  std::string pattern = (std::filesystem::temp_directory_path() / "cleave-test-XXXXXX").string();
  log_dir_ = ::mkdtemp(pattern.data());
  const int workers = options.prefill_workers + options.decode_workers;
  const std::vector<int> ports = *FindFreePorts(2 * (workers + 1));
  size_t next = 0;
  const auto flags = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = options.worker_flags;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  for (int i = 0; i < options.decode_workers; ++i, next += 2) {
    decode_.push_back(StartProcess("cleave-decode", absl::StrCat("decode-", i), ports[next],
                                   ports[next + 1], flags(options.decode_flags), options.model));
    decode_addresses_.push_back(Address(ports[next]));
    decode_metrics_ports_.push_back(ports[next + 1]);
  }
  for (int i = 0; i < options.prefill_workers; ++i, next += 2) {
    prefill_.push_back(StartProcess("cleave-prefill", absl::StrCat("prefill-", i), ports[next],
                                    ports[next + 1], flags(options.prefill_flags), options.model));
    prefill_addresses_.push_back(Address(ports[next]));
    prefill_metrics_ports_.push_back(ports[next + 1]);
  }
  std::vector<std::string> gateway_flags = options.gateway_flags;
  gateway_flags.insert(gateway_flags.end(), {"--prefill", absl::StrJoin(prefill_addresses_, ","),
                                             "--decode", absl::StrJoin(decode_addresses_, ",")});
  gateway_address_ = Address(ports[next]);
  gateway_metrics_port_ = ports[next + 1];
  gateway_ = std::make_unique<ChildProcess>(StartProcess(
      "cleave-gateway", "", ports[next], ports[next + 1], gateway_flags, options.model));
  WaitUntilServing();
}

ProcessCluster::~ProcessCluster() {
  std::vector<ChildProcess*> running;
  for (auto* processes : {&prefill_, &decode_}) {
    for (ChildProcess& process : *processes) running.push_back(&process);
  }
  running.push_back(gateway_.get());
  std::erase_if(running, [](ChildProcess* process) { return process->Ended().has_value(); });
  // All at once first, since each waits a moment for its streams.
  for (ChildProcess* process : running) process->AskToStop();
  for (ChildProcess* process : running) {
    process->Stop(kPatience);
    EXPECT_EQ(process->Ended(), "exit code 0") << process->name();
  }
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "%s", Logs().c_str());
  std::filesystem::remove_all(log_dir_);
}

ChildProcess ProcessCluster::StartProcess(const std::string& binary, const std::string& name,
                                          int port, int metrics_port,
                                          std::vector<std::string> flags,
                                          const std::string& model) {
  std::vector<std::string> arguments{absl::StrCat(CLEAVE_BINARY_DIR "/bin/", binary),
                                     "--model",
                                     model,
                                     "--listen",
                                     Address(port),
                                     "--metrics",
                                     Address(metrics_port)};
  if (!name.empty()) arguments.insert(arguments.end(), {"--name", name});
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const std::string log_name = name.empty() ? "gateway" : name;
  return *ChildProcess::Start(log_name, arguments, absl::StrCat(log_dir_, "/", log_name, ".log"));
}

void ProcessCluster::Kill(const ChildProcess& process) { ::kill(process.pid(), SIGKILL); }
void ProcessCluster::Freeze(const ChildProcess& process) { ::kill(process.pid(), SIGSTOP); }
void ProcessCluster::Thaw(const ChildProcess& process) { ::kill(process.pid(), SIGCONT); }

void ProcessCluster::WaitUntilServing() {
  ASSERT_TRUE(WaitFor([&] {
    const absl::StatusOr<bool> serving = ChatClient(gateway_address_).IsServing(absl::Seconds(1));
    return serving.ok() && *serving &&
           Metric(gateway_metrics_port_, "cleave_gateway_workers{role=\"prefill\"}") ==
               CountAlive(prefill_) &&
           Metric(gateway_metrics_port_, "cleave_gateway_workers{role=\"decode\"}") ==
               CountAlive(decode_);
  })) << Logs();
}

std::optional<cluster::v1::WorkerState> ProcessCluster::StateOf(const std::string& address) {
  const auto stub = cluster::v1::Worker::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(GrpcDeadline(absl::Seconds(2)));
  const auto reader = stub->Watch(&context, {});
  cluster::v1::WorkerState state;
  const bool answered = reader->Read(&state);
  context.TryCancel();
  if (!answered) return std::nullopt;
  return state;
}

double ProcessCluster::Metric(int port, const std::string& series) {
  const std::string text = HttpGet(port, "/metrics");
  const std::string line_begin = "\n" + series + " ";
  const size_t at = text.find(line_begin);
  double value = 0;
  EXPECT_TRUE(at != std::string::npos &&
              absl::SimpleAtod(text.substr(at + line_begin.size(),
                                           text.find('\n', at + 1) - at - line_begin.size()),
                               &value))
      << "no series " << series;
  return value;
}

void ProcessCluster::WaitUntilEmpty(const std::string& address) {
  std::string last;
  EXPECT_TRUE(WaitFor([&] {
    const std::optional<cluster::v1::WorkerState> state = StateOf(address);
    if (!state) return false;
    const cluster::v1::WorkerLoad& load = state->load();
    last = load.ShortDebugString();
    return load.requests_running() + load.requests_waiting() == 0 &&
           load.full_pages().free() == load.full_pages().total() &&
           load.sliding_pages().free() == load.sliding_pages().total();
  })) << address
      << " keeps " << last;
}

std::string ProcessCluster::Logs() const {
  constexpr int kLines = 60;
  std::string logs = gateway_ == nullptr ? "" : gateway_->LogTail(kLines);
  for (const auto* processes : {&prefill_, &decode_}) {
    for (const ChildProcess& process : *processes) {
      absl::StrAppend(&logs, "---- ", process.name(), "\n", process.LogTail(kLines));
    }
  }
  return logs;
}

namespace {

// By value: a range-for would not keep the StatusOr alive.
std::vector<JsonValue> Elements(const absl::StatusOr<JsonValue>& list) { return *list->AsArray(); }

v1::Part PartFromJson(const JsonValue& json) {
  v1::Part part;
  if (json.Has("text")) part.set_text(*json.String("text"));
  if (json.Has("image")) {
    part.mutable_image()->set_data(*ReadFile(kData + *json.String("image")));
  }
  if (json.Has("audio")) {
    part.mutable_audio()->set_data(*ReadFile(kData + *json.String("audio")));
  }
  if (json.Has("video")) {
    const JsonValue video = *json.Object("video");
    part.mutable_video()->set_fps(*video.Double("fps"));
    part.mutable_video()->set_frames_max(static_cast<uint32_t>(*video.Int("frames_max")));
    for (const JsonValue& frame : Elements(video.Member("frames"))) {
      const std::string path = kData + std::string(*frame.AsString());
      part.mutable_video()->add_frames()->set_data(*ReadFile(path));
    }
  }
  return part;
}

v1::Role RoleFromName(const std::string& name) {
  if (name == "system") return v1::ROLE_SYSTEM;
  return name == "user" ? v1::ROLE_USER : v1::ROLE_MODEL;
}

GoldenRequest RequestFromJson(const JsonValue& json) {
  GoldenRequest golden;
  golden.name = *json.String("name");
  golden.text = *json.String("text");
  golden.prompt_tokens = static_cast<uint32_t>(json.Member("prompt_ids")->AsArray()->size());
  golden.output_tokens = static_cast<uint32_t>(json.Member("greedy_tokens")->AsArray()->size());
  golden.finish = *json.String("finish_reason") == "stop" ? v1::FINISH_REASON_STOP
                                                          : v1::FINISH_REASON_MAX_TOKENS;
  v1::GenerateRequest& request = golden.request;
  request.mutable_sampling()->set_temperature(0);
  request.set_max_output_tokens(static_cast<uint32_t>(*json.Int("max_output_tokens")));
  request.set_image_token_budget(static_cast<uint32_t>(*json.Int("image_token_budget")));
  request.set_thinking(*json.Bool("thinking") ? v1::THINKING_MODE_ON : v1::THINKING_MODE_OFF);
  for (const JsonValue& message_json : Elements(json.Member("messages"))) {
    v1::Message& message = *request.add_messages();
    message.set_role(RoleFromName(*message_json.String("role")));
    for (const JsonValue& part : Elements(message_json.Member("parts"))) {
      *message.add_parts() = PartFromJson(part);
    }
  }
  return golden;
}

}  // namespace

std::vector<GoldenRequest> ReadGoldenRequests() {
  const std::string path = std::string(kData) + "requests.json";
  const JsonDocument document = *JsonDocument::Parse(*ReadFile(path), path);
  std::vector<GoldenRequest> requests;
  for (const JsonValue& json : Elements(document.root())) {
    requests.push_back(RequestFromJson(json));
  }
  return requests;
}

AnswerStream::AnswerStream(const std::string& gateway, const v1::GenerateRequest& request,
                           absl::Duration timeout)
    : stub_(v1::ChatService::NewStub(
          grpc::CreateChannel(gateway, grpc::InsecureChannelCredentials()))) {
  context_.set_deadline(GrpcDeadline(timeout));
  reader_ = stub_->StreamGenerate(&context_, request);
}

bool AnswerStream::Next() {
  v1::GenerateEvent event;
  if (reader_ == nullptr) return false;
  if (!reader_->Read(&event)) {
    answer_.status = FromGrpc(reader_->Finish());
    reader_ = nullptr;
    return false;
  }
  answer_.text += event.text().text();
  answer_.thought += event.thought().text();
  answer_.calls += event.tool_call().name() + event.tool_call().arguments();
  for (const v1::TokenLogProbabilities& place : event.log_probabilities().tokens()) {
    answer_.log_probabilities.push_back(place.SerializeAsString());
  }
  if (event.has_finished()) answer_.finish = event.finished().reason();
  if (event.has_summary()) {
    answer_.summary = event.summary();
    answer_.has_summary = true;
    answer_.output_tokens = event.summary().usage().output_tokens();
  }
  return true;
}

bool AnswerStream::WaitForText() {
  while (answer_.text.empty()) {
    if (!Next()) return false;
  }
  return true;
}

const StreamedAnswer& AnswerStream::Finish() {
  while (Next()) {
  }
  return answer_;
}

}  // namespace cleave::testing
