// Keeps the gRPC library up from the first line of main to the last.
#pragma once

#include <grpc/grpc.h>

namespace cleave {

// gRPC 1.51 shuts itself down with its last channel or server. When that leaves on one of gRPC's
// own threads, where a call ends, the thread waits for itself and the process aborts. A main that
// holds one of these ends gRPC itself, behind everything else.
class GrpcLifetime {
 public:
  GrpcLifetime() { grpc_init(); }
  ~GrpcLifetime() { grpc_shutdown(); }
  GrpcLifetime(const GrpcLifetime&) = delete;
  GrpcLifetime& operator=(const GrpcLifetime&) = delete;
};

}  // namespace cleave
