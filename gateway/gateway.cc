#include "gateway/gateway.h"

#include <google/protobuf/stubs/logging.h>

#include <string>
#include <utility>

#include "gateway/chat_service.h"
#include "gateway/gateway_metrics.h"
#include "gateway/model_service.h"
#include "gateway/pool_rerouter.h"
#include "gateway/request_error.h"
#include "gateway/token_service.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/metrics/metrics.h"
#include "runtime/rpc/server.h"

namespace cleave {
namespace {

constexpr absl::Duration kStragglerPatience = absl::Seconds(2);

class GatewayServer final : public Gateway {
 public:
  GatewayServer(const GatewayOptions& options, ServedModel model)
      : options_(options),
        model_(std::move(model)),
        registry_(std::make_shared<prometheus::Registry>()),
        metrics_(*registry_, model_.name),
        timers_(clock_),
        admission_(options.admission),
        tasks_(options.prepare_threads),
        pool_(options.workers, clock_, timers_,
              [this](const PoolState& state) { OnPoolState(state); }),
        rerouter_(pool_, timers_, clock_, metrics_),
        backend_{.model = &model_,
                 .clock = &clock_,
                 .pool = &pool_,
                 .admission = &admission_,
                 .timers = &timers_,
                 .tasks = &tasks_,
                 .open = &open_,
                 .rerouter = &rerouter_,
                 .metrics = &metrics_,
                 .request_timeout_max = options.request_timeout_max,
                 .local_prompt_tokens_max = options.local_prompt_tokens_max,
                 .read_patience = options.read_patience},
        chat_(backend_),
        models_(model_, pool_, options.message_bytes_max),
        tokens_(model_, admission_, tasks_) {}
  ~GatewayServer() override {
    MutexLock lock(mutex_);
    serving_ = nullptr;
  }

  absl::Status Listen() {
    if (!options_.metrics_address.empty()) {
      ASSIGN_OR_RETURN(metrics_server_, MetricsServer::Start(options_.metrics_address, registry_));
    }
    const RpcServerOptions rpc{.address = options_.listen_address,
                               .message_bytes_max = options_.message_bytes_max,
                               .health_names = {"cleave.v1.ChatService"}};
    ASSIGN_OR_RETURN(server_, RpcServer::Start(rpc, {&chat_, &models_, &tokens_}));
    MutexLock lock(mutex_);
    serving_ = server_.get();
    serving_->SetServing(ready_);
    metrics_.ready.Set(ready_ ? 1 : 0);
    return absl::OkStatus();
  }

  int port() const override { return server_->port(); }
  int metrics_port() const override {
    return metrics_server_ == nullptr ? 0 : metrics_server_->port();
  }

  void Drain(absl::Duration timeout) override {
    Log(Severity::kInfo, "draining",
        {{"open_requests", admission_.requests()}, {"timeout", absl::FormatDuration(timeout)}});
    {
      MutexLock lock(mutex_);
      serving_->SetServing(false);
      serving_ = nullptr;
    }
    metrics_.ready.Set(0);
    admission_.Close();
    if (!admission_.WaitUntilIdle(timeout, clock_)) {
      Log(Severity::kWarning, "drain_timeout", {{"open_requests", admission_.requests()}});
      open_.CancelAll(Draining());
      admission_.WaitUntilIdle(kStragglerPatience, clock_);
    }
    server_->Shutdown(kStragglerPatience);
    Log(Severity::kInfo, "drained");
  }

 private:
  void OnPoolState(const PoolState& state) {
    metrics_.prefill_workers.Set(state.prefill_usable);
    metrics_.decode_workers.Set(state.decode_usable);
    MutexLock lock(mutex_);
    if (state.ready == ready_) return;
    ready_ = state.ready;
    Log(ready_ ? Severity::kInfo : Severity::kWarning, ready_ ? "ready" : "not_ready");
    if (serving_ == nullptr) return;  // not listening yet, or draining
    serving_->SetServing(ready_);
    metrics_.ready.Set(ready_ ? 1 : 0);
  }

  const GatewayOptions options_;
  const ServedModel model_;
  const RealClock clock_;
  const std::shared_ptr<prometheus::Registry> registry_;  // shared with the metrics server
  GatewayMetrics metrics_;
  mutable Mutex mutex_;
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  // Whose health is kept: null before Listen, while draining and at the end. Owned by server_.
  RpcServer* serving_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Each from here on uses those above it and is destroyed before them.
  TimerQueue timers_;
  Admission admission_;
  OpenGenerations open_;
  TaskPool tasks_;
  WorkerPool pool_;
  PoolRerouter rerouter_;
  const ChatBackend backend_;
  ChatService chat_;
  ModelService models_;
  TokenService tokens_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const GatewayOptions& options) {
  // Text that is not UTF-8 is answered with a typed error; it is not for the log.
  google::protobuf::SetLogHandler(nullptr);
  ASSIGN_OR_RETURN(ServedModel model, ServedModel::Load(options.model_dir, options.model_name));
  auto gateway = std::make_unique<GatewayServer>(options, std::move(model));
  RETURN_IF_ERROR(gateway->Listen());
  return gateway;
}

}  // namespace cleave
