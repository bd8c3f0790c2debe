// Keeps the gRPC library up from the first line of main to the last.
#pragma once

#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include "runtime/base/log.h"

namespace cleave {

// gRPC 1.51 shuts itself down with its last channel or server. When that leaves on one of gRPC's
// own threads, where a call ends, the thread waits for itself and the process aborts. A main that
// holds one of these ends gRPC itself, behind everything else. Meanwhile gRPC's messages are lines
// of our log.
class GrpcLifetime {
 public:
  GrpcLifetime() {
    gpr_set_log_function([](gpr_log_func_args* args) {
      const Severity severity =
          args->severity == GPR_LOG_SEVERITY_ERROR ? Severity::kWarning : Severity::kInfo;
      Log(severity, "grpc", {{"message", args->message}});
    });
    grpc_init();
  }
  ~GrpcLifetime() { grpc_shutdown(); }
  GrpcLifetime(const GrpcLifetime&) = delete;
  GrpcLifetime& operator=(const GrpcLifetime&) = delete;
};

}  // namespace cleave
