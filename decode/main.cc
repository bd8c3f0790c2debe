// cleave-decode: receives KV from prefill workers and generates.
#include <grpcpp/security/credentials.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "decode/decode_link.h"
#include "decode/decode_metrics.h"
#include "decode/decode_service.h"
#include "engine/worker_flags.h"
#include "engine/worker_state.h"
#include "runtime/base/log.h"
#include "runtime/base/service_flags.h"
#include "runtime/base/shutdown_signal.h"
#include "runtime/base/status.h"
#include "runtime/rpc/grpc_lifetime.h"
#include "runtime/rpc/server.h"
#include "runtime/rpc/worker_service.h"

namespace cleave {
namespace {

constexpr int kControlMessageBytesMax = 4 << 20;
constexpr absl::Duration kLastWordPatience = absl::Seconds(2);

struct Options {
  ModelHostOptions model;
  DecodeEngineOptions engine{.prompt_rows_max = 128};
  DraftOptions drafts;
  WorkerFlags worker{.listen = "127.0.0.1:7412", .metrics = "127.0.0.1:9412", .name = "decode"};
};

void AddFlags(CLI::App& app, Options& options) {
  AddModelFlags(app, options.model);
  AddWorkerFlags(app, options.worker);
  AddDraftFlags(app, options.model, options.drafts);
  app.add_option("--sequences", options.engine.sequences_max, "Sequences at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->envname("CLEAVE_SEQUENCES");
  app.add_option(
         "--local-prompt-rows", options.engine.prompt_rows_max,
         "Rows of a step that may be of a prompt which this worker computes itself; 0: none")
      ->check(CLI::Range(int64_t{0}, int64_t{4096}))
      ->capture_default_str()
      ->envname("CLEAVE_LOCAL_PROMPT_ROWS");
  app.add_option(
         "--step-seconds", options.engine.step_seconds,
         "How long a step may take with such rows; where it is longer without them, a quarter more")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str()
      ->envname("CLEAVE_STEP_SECONDS");
}

// SIGTERM: take nothing new, let what runs finish, then stop.
void Drain(const Options& options, const Clock& clock, RpcServer& server, DecodeService& service,
           WorkerService& worker, DecodeLink& link, DecodeEngine& engine) {
  Log(Severity::kInfo, "draining", {{"timeout_seconds", options.worker.drain_timeout_seconds}});
  const absl::Time deadline = clock.Now() + absl::Seconds(options.worker.drain_timeout_seconds);
  server.SetServing(false);
  service.Drain();
  const auto wait_until = [&](absl::Time end) {
    while (!engine.load().idle() && clock.Now() < end) cleave::SleepFor(absl::Milliseconds(20));
  };
  wait_until(deadline);
  engine.Stop();  // gateways hear DRAINING of the rest, and go on with it elsewhere
  wait_until(clock.Now() + kLastWordPatience);
  link.server().Drain();
  service.CloseStreams();
  worker.CloseStreams();
}

absl::Status Serve(const Options& options, ShutdownSignal& shutdown) {
  const RealClock clock;
  auto registry = std::make_shared<prometheus::Registry>();
  DecodeMetrics metrics(*registry);
  ASSIGN_OR_RETURN(const auto metrics_server,
                   MetricsServer::Start(options.worker.metrics, registry));

  ModelHostOptions model = options.model;
  model.step_sequences_max = options.engine.sequences_max;
  const int64_t rows = DecodeRowsMax(options.engine.sequences_max, options.drafts.drafts_max);
  model.step_rows_max = rows + options.engine.prompt_rows_max;
  model.step_outputs_max = rows + 1;
  if (model.drafter_folder.empty()) model.drafter_folder = DrafterBeside(model.folder);
  if (options.drafts.drafts_max == 0) model.drafter_folder.clear();  // it would only take memory
  const absl::Time load_begin = clock.Now();
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelHost> host, ModelHost::Load(model));
  metrics.model_load_seconds.Set(absl::ToDoubleSeconds(clock.Now() - load_begin));
  Log(Severity::kInfo, "model_loaded", {{"folder", model.folder}, {"memory", host->MemoryTable()}});

  cluster::v1::WorkerIdentity identity =
      MakeWorkerIdentity(cluster::v1::WORKER_ROLE_DECODE, options.worker.name, *host);
  identity.set_local_prompts(options.engine.prompt_rows_max > 0);
  AddWorkerInfo(*registry, identity, *host);
  DecodeLink link({.identity = MakeLinkIdentity(identity),
                   .incarnation = Incarnation{identity.incarnation()},
                   .shape = host->layout().shape()},
                  clock, metrics.kvlink);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<DecodeStep> step,
      DecodeStep::Create(*host, clock, options.drafts, options.engine.prompt_rows_max));
  DecodeEngine engine(*host, *step, link, clock, metrics, options.engine);
  link.Attach(engine);
  engine.Start();
  DecodeService service(engine, *host, clock);
  std::atomic<bool> draining{false};
  WorkerService worker([&] { return MakeWorkerState(identity, engine.load(), *host, draining); });
  ASSIGN_OR_RETURN(
      const std::unique_ptr<RpcServer> server,
      RpcServer::Start({.address = options.worker.listen,
                        .message_bytes_max =
                            std::max(kControlMessageBytesMax, GrpcLinkServer::MessageBytesMax({})),
                        .health_names = {"cleave.cluster.v1.Decode"}},
                       {&service, &worker, &link.server().service()}));
  server->SetServing(true);
  metrics.ready.Set(1);
  Log(Severity::kInfo, "ready", {{"name", options.worker.name}, {"port", server->port()}});

  shutdown.Wait();
  draining = true;
  metrics.ready.Set(0);
  Drain(options, clock, *server, service, worker, link, engine);
  link.server().Shutdown();
  server->Shutdown(absl::Seconds(1));
  Log(Severity::kInfo, "stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace cleave

int main(int argc, char** argv) {
  cleave::ShutdownSignal shutdown;
  const cleave::GrpcLifetime grpc;
  cleave::Options options;
  CLI::App app("Cleave's decode worker: receives KV from prefill workers and generates.");
  cleave::AddFlags(app, options);
  if (const auto exit_code = cleave::ParseServiceFlags(app, argc, argv)) return *exit_code;
  const absl::Status status = cleave::Serve(options, shutdown);
  if (status.ok()) return 0;
  std::fprintf(stderr, "cleave-decode: %s\n", std::string(status.message()).c_str());
  return 1;
}
