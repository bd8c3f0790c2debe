#include "runtime/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "runtime/rpc/deadline.h"

namespace cleave {
namespace {

constexpr int kMetadataBytesMax = 8 << 10;
constexpr int kStreamsPerConnectionMax = 1024;
// Clients may ping this often while a call is open, to notice a dead path.
constexpr int kPingIntervalMinMilliseconds = 10'000;
// A client that is gone without a word (its machine lost power) is noticed after both.
constexpr int kKeepaliveMilliseconds = 20'000;
constexpr int kKeepaliveTimeoutMilliseconds = 10'000;

void EnablePluginsOnce() {
  static const bool enabled = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // gRPC's own health service is not generated code; without this line the linker drops its
    // descriptor, and reflection does not show it.
    grpc::health::v1::HealthCheckRequest::descriptor();
    return true;
  }();
  static_cast<void>(enabled);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const RpcServerOptions& options, const std::vector<grpc::Service*>& services) {
  EnablePluginsOnce();
  std::unique_ptr<RpcServer> server(new RpcServer);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &server->port_);
  builder.SetMaxReceiveMessageSize(options.message_bytes_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  // Without it, two servers on one port would share its calls without a word.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || server->port_ == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.address, ": is the port taken?"));
  }
  server->health_names_ = options.health_names;
  server->health_names_.push_back("");
  server->health_names_.push_back("readiness");
  server->server_->GetHealthCheckService()->SetServingStatus("liveness", true);
  server->SetServing(false);
  return server;
}

RpcServer::~RpcServer() { Shutdown(absl::ZeroDuration()); }

void RpcServer::SetServing(bool serving) {
  for (const std::string& name : health_names_) {
    server_->GetHealthCheckService()->SetServingStatus(name, serving);
  }
}

void RpcServer::Shutdown(absl::Duration grace) {
  if (server_ == nullptr || std::exchange(shut_down_, true)) return;
  server_->Shutdown(GrpcDeadline(grace));
  server_->Wait();
}

}  // namespace cleave
