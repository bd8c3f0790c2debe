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
  std::string address;                    // host:port; port 0 lets the system choose
  int message_bytes_max = 0;              // of one message received
  std::vector<std::string> health_names;  // besides "", "liveness" and "readiness"
};

// Owns the server; services outlive it. Shutdown and the destructor come from one thread.
class RpcServer {
 public:
  // Registers the services and listens. Health is NOT_SERVING, but for "liveness". UNAVAILABLE,
  // naming the address, when it cannot be bound.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const RpcServerOptions& options, const std::vector<grpc::Service*>& services);
  ~RpcServer();

  int port() const { return port_; }
  // What grpc.health.v1 says for every name but "liveness".
  void SetServing(bool serving);
  // Refuses new calls, waits for the open ones at most `grace`, then cancels them.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer() = default;
  // Lives until the destructor, also after Shutdown: gRPC 1.51 must not lose its last server or
  // channel on one of its own threads, where a call may still be ending.
  std::unique_ptr<grpc::Server> server_;
  bool shut_down_ = false;
  std::vector<std::string> health_names_;
  int port_ = 0;
};

}  // namespace cleave
