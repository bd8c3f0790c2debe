#include "engine/worker_state.h"

#include "absl/strings/str_cat.h"
#include "runtime/base/build_info.h"
#include "runtime/base/random.h"

namespace cleave {

cluster::v1::WorkerIdentity MakeWorkerIdentity(cluster::v1::WorkerRole role,
                                               const std::string& name, const ModelHost& host) {
  cluster::v1::WorkerIdentity identity;
  identity.set_role(role);
  identity.set_name(name);
  identity.set_incarnation(RandomSeed());
  identity.set_build(std::string(BuildVersion()));
  identity.set_weights_fingerprint(host.weights_fingerprint());
  identity.set_model(host.model_name());
  identity.set_kv_layout(host.layout().description());
  identity.set_numerics_fingerprint(host.numerics_fingerprint());
  identity.set_context_tokens_max(static_cast<uint32_t>(host.context_tokens_max()));
  return identity;
}

void AddWorkerInfo(prometheus::Registry& registry, const cluster::v1::WorkerIdentity& identity,
                   const ModelHost& host) {
  const bool prefill = identity.role() == cluster::v1::WORKER_ROLE_PREFILL;
  AddBuildInfo(registry, prefill ? "prefill" : "decode", identity.model());
  AddGauge(registry, "cleave_cache_config_info", "Always 1; the labels tell.",
           {{"page_tokens", absl::StrCat(host.layout().page_tokens())},
            {"full_pages", absl::StrCat(host.kv_memory().pages(KvKind::kFull))},
            {"sliding_pages", absl::StrCat(host.kv_memory().pages(KvKind::kSliding))},
            {"context_tokens", absl::StrCat(host.context_tokens_max())},
            {"layout", host.layout().description()}})
      .Set(1);
}

LinkIdentity MakeLinkIdentity(const cluster::v1::WorkerIdentity& identity) {
  return {.layout_hash = identity.kv_layout(),
          .build = identity.build(),
          .model_id = identity.weights_fingerprint(),
          .numerics_fingerprint = identity.numerics_fingerprint()};
}

cluster::v1::WorkerState MakeWorkerState(const cluster::v1::WorkerIdentity& identity,
                                         const EngineLoad& load, const ModelHost& host,
                                         bool draining) {
  cluster::v1::WorkerState state;
  *state.mutable_identity() = identity;
  state.set_draining(draining);
  cluster::v1::WorkerLoad& out = *state.mutable_load();
  out.set_requests_waiting(static_cast<uint32_t>(load.requests_waiting));
  out.set_requests_running(static_cast<uint32_t>(load.requests_running));
  out.set_queued_tokens(static_cast<uint64_t>(load.queued_tokens));
  out.set_step_seconds(load.step_seconds);
  const auto fill = [&](KvKind kind, int64_t free, cluster::v1::KvPoolLoad& pool) {
    pool.set_total(static_cast<uint32_t>(host.kv_memory().pages(kind)));
    pool.set_free(static_cast<uint32_t>(free));
  };
  fill(KvKind::kSliding, load.sliding_pages_free, *out.mutable_sliding_pages());
  fill(KvKind::kFull, load.full_pages_free, *out.mutable_full_pages());
  return state;
}

}  // namespace cleave
