// Unary calls that are answered by one computation, without a worker.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>

#include "absl/status/statusor.h"
#include "gateway/admission.h"
#include "gateway/task_pool.h"

namespace cleave {

// Computes the answer on the task pool. While it waits and runs, the call counts as an open
// request.
grpc::ServerUnaryReactor* AnswerOnPool(
    grpc::CallbackServerContext& context, const grpc::ByteBuffer& request,
    grpc::ByteBuffer& response, Admission& admission, TaskPool& tasks,
    std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer&)> compute);

}  // namespace cleave
