#include "client/local_cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr int kLogLines = 20;

std::string Local(int port) { return absl::StrCat("127.0.0.1:", port); }

int Take(std::vector<int>& ports) {
  const int port = ports.back();
  ports.pop_back();
  return port;
}

absl::StatusOr<ChildProcess> Launch(const LocalClusterOptions& options, const std::string& binary,
                                    const std::string& name, std::vector<std::string> flags) {
  flags.insert(flags.begin(), absl::StrCat(options.binary_dir, "/", binary));
  return ChildProcess::Start(name, std::move(flags),
                             absl::StrCat(options.log_dir, "/", name, ".log"));
}

}  // namespace

absl::StatusOr<LocalCluster> LocalCluster::Start(const LocalClusterOptions& options) {
  const int workers = options.prefill_workers + options.decode_workers;
  ASSIGN_OR_RETURN(std::vector<int> ports, FindFreePorts(2 * workers + 2, options.port));
  LocalCluster cluster;
  cluster.port_ = ports.front();  // the others are taken from the back
  cluster.metrics_port_ = Take(ports);
  RETURN_IF_ERROR(cluster.StartWorkers(options, "prefill", options.prefill_workers,
                                       options.prefill_flags, ports, cluster.prefill_addresses_));
  RETURN_IF_ERROR(cluster.StartWorkers(options, "decode", options.decode_workers,
                                       options.decode_flags, ports, cluster.decode_addresses_));
  RETURN_IF_ERROR(cluster.StartGateway(options));
  return cluster;
}

absl::Status LocalCluster::StartWorkers(const LocalClusterOptions& options, const std::string& role,
                                        int count, const std::vector<std::string>& flags,
                                        std::vector<int>& ports,
                                        std::vector<std::string>& addresses) {
  for (int i = 0; i < count; ++i) {
    const std::string name = absl::StrCat(role, "-", i);
    addresses.push_back(Local(Take(ports)));
    std::vector<std::string> all{"--model",   options.model_dir,  "--listen", addresses.back(),
                                 "--metrics", Local(Take(ports)), "--name",   name};
    all.insert(all.end(), flags.begin(), flags.end());
    ASSIGN_OR_RETURN(ChildProcess worker,
                     Launch(options, absl::StrCat("cleave-", role), name, std::move(all)));
    workers_.push_back(std::move(worker));
  }
  return absl::OkStatus();
}

absl::Status LocalCluster::StartGateway(const LocalClusterOptions& options) {
  std::vector<std::string> all{"--model",         options.model_dir,
                               "--listen",        gateway_address(),
                               "--metrics",       metrics_address(),
                               "--prefill",       absl::StrJoin(prefill_addresses_, ","),
                               "--decode",        absl::StrJoin(decode_addresses_, ","),
                               "--drain-timeout", absl::StrCat(options.drain_timeout_seconds)};
  if (!options.model_name.empty()) {
    all.insert(all.end(), {"--model-name", options.model_name});
  }
  all.insert(all.end(), options.gateway_flags.begin(), options.gateway_flags.end());
  ASSIGN_OR_RETURN(ChildProcess gateway,
                   Launch(options, "cleave-gateway", "gateway", std::move(all)));
  gateway_.push_back(std::move(gateway));
  return absl::OkStatus();
}

std::optional<std::string> LocalCluster::FindEnded() {
  for (std::vector<ChildProcess>* group : {&workers_, &gateway_}) {
    for (ChildProcess& child : *group) {
      const std::optional<std::string> end = child.Ended();
      if (!end) continue;
      return absl::StrCat(child.name(), " ended: ", *end, "\n", child.LogTail(kLogLines));
    }
  }
  return std::nullopt;
}

void LocalCluster::Stop(absl::Duration patience_each) {
  for (ChildProcess& child : gateway_) child.Stop(patience_each);
  for (ChildProcess& child : workers_) child.AskToStop();
  for (ChildProcess& child : workers_) child.Stop(patience_each);
}

std::string LocalCluster::LogTails(int lines) const {
  std::string text;
  for (const std::vector<ChildProcess>* group : {&workers_, &gateway_}) {
    for (const ChildProcess& child : *group) {
      absl::StrAppend(&text, child.name(), ":\n", child.LogTail(lines));
    }
  }
  return text;
}

std::string LocalCluster::gateway_address() const { return Local(port_); }
std::string LocalCluster::metrics_address() const { return Local(metrics_port_); }

}  // namespace cleave
