#include "gateway/call_info.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "runtime/base/random.h"
#include "runtime/rpc/deadline.h"

namespace cleave {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";
constexpr size_t kRequestIdBytesMax = 64;

}  // namespace

bool IsValidRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= kRequestIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

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
