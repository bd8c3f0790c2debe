// cleave-prefill: embeds media, computes prompts, brings their KV to decode workers and samples the
// first token.
#include <grpcpp/security/credentials.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "engine/worker_flags.h"
#include "engine/worker_state.h"
#include "prefill/prefill_link.h"
#include "prefill/prefill_metrics.h"
#include "prefill/prefill_service.h"
#include "runtime/base/log.h"
#include "runtime/base/service_flags.h"
#include "runtime/base/shutdown_signal.h"
#include "runtime/base/status.h"
#include "runtime/link/link_error.h"
#include "runtime/rpc/grpc_lifetime.h"
#include "runtime/rpc/server.h"
#include "runtime/rpc/worker_service.h"

namespace cleave {
namespace {

constexpr int kControlMessageBytesMax = 4 << 20;
constexpr absl::Duration kLastWordPatience = absl::Seconds(2);
// No chunk is shorter than the largest picture, which is never cut.
constexpr int64_t kPictureTokensMax = 1120;

struct Options {
  ModelHostOptions model;
  PrefillEngineOptions engine;
  MediaLimits media{.audio_seconds_max = kAudioSecondsHardMax};
  WorkerFlags worker{.listen = "127.0.0.1:7411", .metrics = "127.0.0.1:9411", .name = "prefill"};
  int64_t media_store_mib = 512;
  LinkLimits link;
};

void AddFlags(CLI::App& app, Options& options) {
  AddModelFlags(app, options.model);
  AddWorkerFlags(app, options.worker);
  app.add_option("--chunk-tokens", options.engine.chunk_tokens,
                 "Rows that a step aims at; a picture is never cut, so a chunk may be longer")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str()
      ->envname("CLEAVE_CHUNK_TOKENS");
  app.add_option("--prefix-cache-share", options.engine.cache.pages_share_max,
                 "Share of the KV pages that beginnings of earlier prompts may hold while no "
                 "request needs them; 0: none are kept")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->envname("CLEAVE_PREFIX_CACHE_SHARE");
  app.add_option("--requests", options.engine.jobs_max, "Requests queued and running together")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->envname("CLEAVE_REQUESTS");
  app.add_option("--media-store-mib", options.media_store_mib,
                 "Memory for media files that wait for their request, in MiB")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str()
      ->envname("CLEAVE_MEDIA_STORE_MIB");
  app.add_flag("--kv-checksums,!--no-kv-checksums", options.link.checksums,
               "Sum up the bytes of every transfer on both ends, and compare; on by default")
      ->envname("CLEAVE_KV_CHECKSUMS");
  app.add_option("--audio-seconds", options.media.audio_seconds_max,
                 "Longest sound, in seconds; the gateway's limit is the model's own")
      ->check(CLI::Range(int64_t{1}, kAudioSecondsHardMax))
      ->capture_default_str()
      ->envname("CLEAVE_AUDIO_SECONDS");
}

// SIGTERM: take nothing new, let what runs finish, then stop.
void Drain(const Options& options, const Clock& clock, RpcServer& server, PrefillService& service,
           WorkerService& worker, const MediaPreparer& preparer, PrefillEngine& engine) {
  Log(Severity::kInfo, "draining", {{"timeout_seconds", options.worker.drain_timeout_seconds}});
  const absl::Time deadline = clock.Now() + absl::Seconds(options.worker.drain_timeout_seconds);
  server.SetServing(false);
  service.Drain();
  const auto idle = [&] { return preparer.idle() && engine.load().idle(); };  // in a job's order
  const auto wait_until = [&](absl::Time end) {
    while (!idle() && clock.Now() < end) cleave::SleepFor(absl::Milliseconds(20));
  };
  wait_until(deadline);
  engine.Stop();  // gateways hear DRAINING of the rest, and go on with it elsewhere
  wait_until(clock.Now() + kLastWordPatience);
  service.CloseStreams();
  worker.CloseStreams();
}

// A job whose media are decoded goes to the engine; one that cannot go ends here.
void HandOver(PrefillEngine& engine, PrefillMetrics& metrics, PrefillJob job, absl::Status status) {
  if (!job.request.media.empty()) {
    metrics.media_decode_seconds.Observe(absl::ToDoubleSeconds(job.media_time));
  }
  const RequestKey key = job.key;
  const RequestEpoch epoch = job.transfer.epoch;
  const std::shared_ptr<PrefillReplies> replies = job.replies;  // shared with the job
  if (status.ok() && engine.Submit(std::move(job))) return;
  if (status.ok()) {
    status = LinkError(Reason::kQueueFull, "the worker has all of its requests",
                       absl::Milliseconds(100));
  }
  replies->OnEnded(key, epoch, status, 0);
}

absl::Status Serve(const Options& options, ShutdownSignal& shutdown) {
  const RealClock clock;
  auto registry = std::make_shared<prometheus::Registry>();
  PrefillMetrics metrics(*registry);
  ASSIGN_OR_RETURN(const auto metrics_server,
                   MetricsServer::Start(options.worker.metrics, registry));

  ModelHostOptions model = options.model;
  model.step_rows_max = std::max(options.engine.chunk_tokens, kPictureTokensMax);
  const absl::Time load_begin = clock.Now();
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelHost> host, ModelHost::Load(model));
  metrics.model_load_seconds.Set(absl::ToDoubleSeconds(clock.Now() - load_begin));
  Log(Severity::kInfo, "model_loaded", {{"folder", model.folder}, {"memory", host->MemoryTable()}});

  const cluster::v1::WorkerIdentity identity =
      MakeWorkerIdentity(cluster::v1::WORKER_ROLE_PREFILL, options.worker.name, *host);
  AddWorkerInfo(*registry, identity, *host);
  PrefillLink link({.identity = MakeLinkIdentity(identity),
                    .incarnation = Incarnation{identity.incarnation()},
                    .shape = host->layout().shape(),
                    .limits = options.link,
                    .jitter_seed = identity.incarnation()},
                   grpc::InsecureChannelCredentials(), clock, metrics.kvlink);
  PrefillEngine engine(*host, link, clock, metrics, options.engine);
  link.Attach(engine);
  engine.Start();
  MediaStore store(options.media_store_mib << 20);
  MediaPreparer preparer(store, options.media, clock, options.engine.jobs_max,
                         [&](PrefillJob job, absl::Status status) {
                           HandOver(engine, metrics, std::move(job), std::move(status));
                         });
  PrefillService service(engine, preparer, store, options.media, *host, clock);
  std::atomic<bool> draining{false};
  WorkerService worker([&] { return MakeWorkerState(identity, engine.load(), *host, draining); });
  ASSIGN_OR_RETURN(const std::unique_ptr<RpcServer> server,
                   RpcServer::Start({.address = options.worker.listen,
                                     .message_bytes_max = kControlMessageBytesMax,
                                     .health_names = {"cleave.cluster.v1.Prefill"}},
                                    {&service, &worker}));
  server->SetServing(true);
  metrics.ready.Set(1);
  Log(Severity::kInfo, "ready", {{"name", options.worker.name}, {"port", server->port()}});

  shutdown.Wait();
  draining = true;
  metrics.ready.Set(0);
  Drain(options, clock, *server, service, worker, preparer, engine);
  server->Shutdown(absl::Seconds(1));
  link.client().Shutdown();
  Log(Severity::kInfo, "stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace cleave

int main(int argc, char** argv) {
  cleave::ShutdownSignal shutdown;
  const cleave::GrpcLifetime grpc;
  cleave::Options options;
  CLI::App app("Cleave's prefill worker: computes prompts and hands them to decode workers.");
  cleave::AddFlags(app, options);
  if (const auto exit_code = cleave::ParseServiceFlags(app, argc, argv)) return *exit_code;
  const absl::Status status = cleave::Serve(options, shutdown);
  if (status.ok()) return 0;
  std::fprintf(stderr, "cleave-prefill: %s\n", std::string(status.message()).c_str());
  return 1;
}
