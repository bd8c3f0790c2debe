#include "gateway/pool_call.h"

#include <memory>
#include <utility>

#include "gateway/call_info.h"
#include "runtime/rpc/status.h"

namespace cleave {

grpc::ServerUnaryReactor* AnswerOnPool(
    grpc::CallbackServerContext& context, const grpc::ByteBuffer& request,
    grpc::ByteBuffer& response, Admission& admission, TaskPool& tasks,
    std::function<absl::StatusOr<grpc::ByteBuffer>(const grpc::ByteBuffer&)> compute) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  ReadCallInfo(context);  // echoes the request id
  absl::StatusOr<AdmissionSlot> slot = admission.Enter(static_cast<int64_t>(request.Length()));
  if (!slot.ok()) {
    reactor->Finish(ToGrpc(slot.status()));
    return reactor;
  }
  auto held = std::make_shared<AdmissionSlot>(*std::move(slot));  // std::function wants a copy
  tasks.Add([reactor, bytes = request, &response, held, compute = std::move(compute)] {
    absl::StatusOr<grpc::ByteBuffer> computed = compute(bytes);
    if (computed.ok()) response.Swap(&*computed);
    held->Release();
    reactor->Finish(ToGrpc(computed.status()));
  });
  return reactor;
}

}  // namespace cleave
