// A cluster of real processes for tests, each of which can be killed on its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cleave/cluster/v1/worker.grpc.pb.h"
#include "client/chat_client.h"
#include "client/child_process.h"

namespace cleave::testing {

// Polls for up to a minute; only tests wait like this.
bool WaitFor(const std::function<bool()>& condition);

struct ClusterOptions {
  std::string model = CLEAVE_SOURCE_DIR "/tests/golden/data/checkpoints/tiny";
  int prefill_workers = 1;
  int decode_workers = 1;
  std::vector<std::string> worker_flags;  // of both kinds
  std::vector<std::string> prefill_flags;
  std::vector<std::string> decode_flags;
  std::vector<std::string> gateway_flags;
};

// Owns the processes; the destructor stops them. A failure to start fails the test.
class ProcessCluster {
 public:
  explicit ProcessCluster(const ClusterOptions& options);
  ~ProcessCluster();

  const std::string& gateway_address() const { return gateway_address_; }
  ChildProcess& prefill(int i) { return prefill_[static_cast<size_t>(i)]; }
  ChildProcess& decode(int i) { return decode_[static_cast<size_t>(i)]; }
  ChildProcess& gateway() { return *gateway_; }
  // kill -9.
  static void Kill(const ChildProcess& process);
  // Stops a process where it stands, as a machine that hangs; its connections stay up.
  static void Freeze(const ChildProcess& process);
  static void Thaw(const ChildProcess& process);

  // Waits until the gateway serves, with as many workers as are alive.
  void WaitUntilServing();
  // What a worker says of itself now; empty when it does not answer.
  static std::optional<cluster::v1::WorkerState> StateOf(const std::string& address);
  const std::string& prefill_address(int i) const {
    return prefill_addresses_[static_cast<size_t>(i)];
  }
  const std::string& decode_address(int i) const {
    return decode_addresses_[static_cast<size_t>(i)];
  }
  // The value of a series of a worker, as `cleave_kvlink_bytes_total{transport="grpc"}`.
  double PrefillMetric(int i, const std::string& series) const {
    return Metric(prefill_metrics_ports_[static_cast<size_t>(i)], series);
  }
  double DecodeMetric(int i, const std::string& series) const {
    return Metric(decode_metrics_ports_[static_cast<size_t>(i)], series);
  }
  double GatewayMetric(const std::string& series) const {
    return Metric(gateway_metrics_port_, series);
  }
  // Waits until a worker has no request and all of its pages are free.
  static void WaitUntilEmpty(const std::string& address);
  std::string Logs() const;

 private:
  static double Metric(int port, const std::string& series);
  ChildProcess StartProcess(const std::string& binary, const std::string& name, int port,
                            int metrics_port, std::vector<std::string> flags,
                            const std::string& model);

  std::string log_dir_;
  std::vector<std::string> prefill_addresses_, decode_addresses_;
  std::vector<int> prefill_metrics_ports_, decode_metrics_ports_;
  std::string gateway_address_;
  int gateway_metrics_port_ = 0;
  std::vector<ChildProcess> prefill_, decode_;
  std::unique_ptr<ChildProcess> gateway_;
};

// A case of tests/golden/data/requests.json.
struct GoldenRequest {
  std::string name;
  v1::GenerateRequest request;  // greedy
  std::string text;
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;
  v1::FinishReason finish = v1::FINISH_REASON_UNSPECIFIED;
};
std::vector<GoldenRequest> ReadGoldenRequests();

// One streamed answer, as it was received.
struct StreamedAnswer {
  std::string text;
  std::string thought;
  std::string calls;                           // names and arguments, one behind the other
  std::vector<std::string> log_probabilities;  // TokenLogProbabilities of each token, serialized
  uint32_t output_tokens = 0;
  v1::FinishReason finish = v1::FINISH_REASON_UNSPECIFIED;
  v1::Summary summary;
  bool has_summary = false;
  absl::Status status;
};

// A stream that can be read step by step.
class AnswerStream {
 public:
  AnswerStream(const std::string& gateway, const v1::GenerateRequest& request,
               absl::Duration timeout);
  // False at the end.
  bool Next();
  // Reads until at least one piece of text has come; false when the stream ended before.
  bool WaitForText();
  // Reads to the end.
  const StreamedAnswer& Finish();
  const StreamedAnswer& answer() const { return answer_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::ChatService::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateEvent>> reader_;
  StreamedAnswer answer_;
};

}  // namespace cleave::testing
