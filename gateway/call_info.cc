#include "gateway/call_info.h"

#include "absl/strings/str_format.h"
#include "runtime/base/random.h"
#include "runtime/rpc/deadline.h"
#include "runtime/rpc/request_id.h"

namespace cleave {

std::string DrawId(absl::string_view prefix) {
  return absl::StrFormat("%s%016x", prefix, RandomSeed());
}

CallInfo ReadCallInfo(grpc::ServerContextBase& context) {
  CallInfo info;
  const auto found = context.client_metadata().find(kRequestIdKey);
  if (found != context.client_metadata().end()) {
    info.request_id.assign(found->second.data(), found->second.size());
  }
  if (!IsValidRequestId(info.request_id)) info.request_id = DrawId("");
  context.AddTrailingMetadata(kRequestIdKey, info.request_id);
  const absl::Duration time_left = TimeLeft(context.deadline());
  if (time_left != absl::InfiniteDuration()) info.time_left = time_left;
  return info;
}

}  // namespace cleave
