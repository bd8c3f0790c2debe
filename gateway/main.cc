// cleave-gateway: the public API in front of prefill and decode workers.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

#include "absl/time/time.h"
#include "gateway/gateway.h"
#include "runtime/base/address.h"
#include "runtime/base/build_info.h"
#include "runtime/base/log.h"
#include "runtime/base/service_flags.h"
#include "runtime/base/shutdown_signal.h"
#include "runtime/rpc/grpc_lifetime.h"

namespace cleave {
namespace {

struct Flags {
  GatewayOptions gateway;
  double drain_timeout_seconds = 120;
  double request_timeout_max_seconds = 900;
  double worker_silence_max_seconds = 5;
};

void Declare(CLI::App& app, Flags& flags) {
  GatewayOptions& gateway = flags.gateway;
  gateway.listen_address = "127.0.0.1:50051";
  app.add_option("--model", gateway.model_dir,
                 "Checkpoint folder: tokenizer.json, tokenizer_config.json, config.json, "
                 "generation_config.json and processor_config.json are read, weights are not")
      ->envname("CLEAVE_MODEL")
      ->required();
  app.add_option("--model-name", gateway.model_name,
                 "Name clients may use for the model; default: the folder's name")
      ->envname("CLEAVE_MODEL_NAME");
  app.add_option("--listen", gateway.listen_address, "host:port of the gRPC API; port 0: any free")
      ->check(AddressProblem)
      ->envname("CLEAVE_LISTEN")
      ->capture_default_str();
  app.add_option("--metrics", gateway.metrics_address,
                 "host:port of GET /metrics; default: no metrics server")
      ->check(AddressProblem)
      ->envname("CLEAVE_METRICS");
  app.add_option("--prefill", gateway.workers.prefill_addresses,
                 "host:port of the prefill workers, separated by commas")
      ->check(AddressProblem)
      ->envname("CLEAVE_PREFILL")
      ->delimiter(',')
      ->required();
  app.add_option("--decode", gateway.workers.decode_addresses,
                 "host:port of the decode workers, separated by commas")
      ->check(AddressProblem)
      ->envname("CLEAVE_DECODE")
      ->delimiter(',')
      ->required();
  app.add_option("--requests-max", gateway.admission.requests_max, "Requests open at once")
      ->envname("CLEAVE_REQUESTS_MAX")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--queued-tokens-max", gateway.admission.queued_tokens_max,
                 "Prompt tokens that may wait for their first token, of all requests")
      ->envname("CLEAVE_QUEUED_TOKENS_MAX")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--request-bytes-max", gateway.admission.request_bytes_max,
                 "Bytes held of all requests: messages that wait to be parsed, pictures and sounds")
      ->envname("CLEAVE_REQUEST_BYTES_MAX")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--message-bytes-max", gateway.message_bytes_max, "Bytes of one request")
      ->envname("CLEAVE_MESSAGE_BYTES_MAX")
      ->check(CLI::Range(1 << 16, 1 << 30))
      ->capture_default_str();
  app.add_option("--prepare-threads", gateway.prepare_threads,
                 "Threads that parse and tokenize requests")
      ->envname("CLEAVE_PREPARE_THREADS")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--local-prompt-tokens", gateway.local_prompt_tokens_max,
                 "Prompts of text up to this long are computed by the decode worker itself, unless "
                 "the request names a route; 0: none")
      ->envname("CLEAVE_LOCAL_PROMPT_TOKENS")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_option("--request-timeout-max", flags.request_timeout_max_seconds,
                 "Seconds a request may take, whatever its own deadline")
      ->envname("CLEAVE_REQUEST_TIMEOUT_MAX")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--drain-timeout", flags.drain_timeout_seconds,
                 "Seconds that open requests get to finish after SIGTERM")
      ->envname("CLEAVE_DRAIN_TIMEOUT")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--worker-silence-max", flags.worker_silence_max_seconds,
                 "Seconds without a word after which a worker counts as dead")
      ->envname("CLEAVE_WORKER_SILENCE_MAX")
      ->check(CLI::Range(1.5, 3600.0))
      ->capture_default_str();
}

int Serve(Flags flags) {
  ShutdownSignal shutdown;
  const GrpcLifetime grpc;
  flags.gateway.request_timeout_max = absl::Seconds(flags.request_timeout_max_seconds);
  flags.gateway.workers.connection.silence_max = absl::Seconds(flags.worker_silence_max_seconds);
  absl::StatusOr<std::unique_ptr<Gateway>> gateway = Gateway::Start(flags.gateway);
  if (!gateway.ok()) {
    std::fprintf(stderr, "cleave-gateway: %s\n", std::string(gateway.status().message()).c_str());
    return 1;
  }
  Log(Severity::kInfo, "listening",
      {{"port", (*gateway)->port()},
       {"metrics_port", (*gateway)->metrics_port()},
       {"model_dir", flags.gateway.model_dir},
       {"version", BuildVersion()}});
  const int signal = shutdown.Wait();
  Log(Severity::kInfo, "signal", {{"number", signal}});
  (*gateway)->Drain(absl::Seconds(flags.drain_timeout_seconds));
  return 0;
}

}  // namespace
}  // namespace cleave

int main(int argc, char** argv) {
  CLI::App app("cleave-gateway: the public gRPC API in front of prefill and decode workers.");
  cleave::Flags flags;
  cleave::Declare(app, flags);
  if (const auto exit_code = cleave::ParseServiceFlags(app, argc, argv)) return *exit_code;
  return cleave::Serve(std::move(flags));
}
