// A gRPC server as all our binaries run it: health, reflection, size limits, graceful end.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cleave {

struct RpcServerOptions {
  std::string address;           // host:port; port 0 lets the system choose
  int message_bytes_max = 0;     // of one message received
  std::vector<std::string> health_names;  // besides "", "liveness" and "readiness"
};

// Owns the server; services outlive it. Thread-safe.
class RpcServer {
 public:
  // Registers the services and listens. Health is NOT_SERVING, but for "liveness". UNAVAILABLE,
  // naming the address, when it cannot be bound.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options,
                                                          const std::vector<grpc::Service*>& services);
  ~RpcServer();

  int port() const { return port_; }
  // What grpc.health.v1 says for every name but "liveness".
  void SetServing(bool serving);
  // Refuses new calls, waits for the open ones at most `grace`, then cancels them.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer() = default;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::string> health_names_;
  int port_ = 0;
};

}  // namespace cleave
