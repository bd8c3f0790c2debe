// A whole cluster on this machine: prefill workers, decode workers and a gateway as child
// processes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/child_process.h"

namespace cleave {

struct LocalClusterOptions {
  std::string model_dir;
  std::string model_name;  // empty: the gateway's default
  std::string binary_dir;  // holds cleave-prefill, cleave-decode and cleave-gateway
  std::string log_dir;     // must exist
  int prefill_workers = 1;
  int decode_workers = 1;
  int port = 0;                      // of the gateway; 0: a free one
  double drain_timeout_seconds = 5;  // of the gateway
  std::vector<std::string> prefill_flags, decode_flags, gateway_flags;  // passed on
};

// Owns the processes; the destructor kills what still runs. One thread.
class LocalCluster {
 public:
  // Starts all processes; they are not ready yet.
  static absl::StatusOr<LocalCluster> Start(const LocalClusterOptions& options);

  // The first process found to have ended, and how ("decode-0 ended: exit code 1", with the last
  // lines of its log); absent while all run.
  std::optional<std::string> FindEnded();
  // The gateway first, then all workers at once.
  void Stop(absl::Duration patience_each);
  // The end of every log.
  std::string LogTails(int lines) const;

  std::string gateway_address() const;
  std::string metrics_address() const;  // the gateway's
  const std::vector<std::string>& prefill_addresses() const { return prefill_addresses_; }
  const std::vector<std::string>& decode_addresses() const { return decode_addresses_; }

 private:
  LocalCluster() = default;
  absl::Status StartWorkers(const LocalClusterOptions& options, const std::string& role, int count,
                            const std::vector<std::string>& flags, std::vector<int>& ports,
                            std::vector<std::string>& addresses);
  absl::Status StartGateway(const LocalClusterOptions& options);

  std::vector<ChildProcess> workers_;  // prefill first
  std::vector<ChildProcess> gateway_;  // one
  std::vector<std::string> prefill_addresses_, decode_addresses_;
  int port_ = 0;
  int metrics_port_ = 0;
};

}  // namespace cleave
