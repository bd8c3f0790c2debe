// The whole gateway in one object: what main.cc makes from flags and tests make by hand.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/admission.h"
#include "gateway/worker_pool.h"

namespace cleave {

struct GatewayOptions {
  std::string model_dir;
  std::string model_name;       // empty: the folder's name
  std::string listen_address;   // host:port; port 0 lets the system choose
  std::string metrics_address;  // the same; empty: none
  WorkerPoolOptions workers;
  AdmissionLimits admission;
  absl::Duration request_timeout_max = absl::Minutes(15);
  // A client that reads nothing of an answer that has ended is cut off after this.
  absl::Duration read_patience = absl::Seconds(30);
  int message_bytes_max = 64 << 20;
  int prepare_threads = 2;
  int local_prompt_tokens_max = 0;  // see ChatBackend
};

// Serves from Start to the destructor. Threads: gRPC's, "timer", "prepare", one for metrics.
class Gateway {
 public:
  // Reads the checkpoint folder, listens, and connects to workers in the background; health is
  // NOT_SERVING until a request could be served. Fails when the folder is not a model's, or an
  // address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const GatewayOptions& options);
  virtual ~Gateway() = default;

  virtual int port() const = 0;
  virtual int metrics_port() const = 0;  // 0: none

  // Health becomes NOT_SERVING and new requests are refused with DRAINING; open ones get up to
  // `timeout` to finish, then end with DRAINING too. Returns when all have ended. Once.
  virtual void Drain(absl::Duration timeout) = 0;
};

}  // namespace cleave
