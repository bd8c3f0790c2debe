#include "runtime/rpc/status.h"

#include <string>

#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

constexpr char kDomain[] = "cleave";

void AddDetails(const ErrorDetail& detail, google::rpc::Status& proto) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(detail.reason)));
  info.set_domain(kDomain);
  auto& metadata = *info.mutable_metadata();
  if (!detail.field.empty()) metadata["field"] = detail.field;
  if (!detail.limit.empty()) metadata["limit"] = detail.limit;
  if (!detail.actual.empty()) metadata["actual"] = detail.actual;
  proto.add_details()->PackFrom(info);
  if (!detail.field.empty()) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(detail.field);
    violation->set_description(proto.message());
    proto.add_details()->PackFrom(bad_request);
  }
  if (detail.retry_after) {
    google::rpc::RetryInfo retry;
    const int64_t nanoseconds = absl::ToInt64Nanoseconds(*detail.retry_after);
    retry.mutable_retry_delay()->set_seconds(nanoseconds / 1'000'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
    proto.add_details()->PackFrom(retry);
  }
}

std::string Lookup(const google::rpc::ErrorInfo& info, const std::string& key) {
  const auto found = info.metadata().find(key);
  return found == info.metadata().end() ? "" : found->second;
}

}  // namespace

google::rpc::Status ToProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(std::string(status.message()));
  if (const std::optional<ErrorDetail> detail = GetErrorDetail(status)) AddDetails(*detail, proto);
  return proto;
}

absl::Status FromProto(const google::rpc::Status& proto) {
  const auto code = static_cast<absl::StatusCode>(proto.code());
  std::optional<ErrorDetail> detail;
  std::optional<absl::Duration> retry_after;
  for (const google::protobuf::Any& any : proto.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      detail = ErrorDetail{.reason = ReasonFromName(info.reason()),
                           .field = Lookup(info, "field"),
                           .limit = Lookup(info, "limit"),
                           .actual = Lookup(info, "actual"),
                           .retry_after = std::nullopt};
    } else if (any.UnpackTo(&retry)) {
      retry_after = absl::Seconds(retry.retry_delay().seconds()) +
                    absl::Nanoseconds(retry.retry_delay().nanos());
    }
  }
  if (!detail) return absl::Status(code, proto.message());
  detail->retry_after = retry_after;
  return MakeError(code, proto.message(), *detail);
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      ToProto(status).SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status proto;
  if (!status.error_details().empty() && proto.ParseFromString(status.error_details()) &&
      proto.code() == static_cast<int>(status.error_code())) {
    return FromProto(proto);
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace cleave
