#include "engine/worker_flags.h"

#include <map>
#include <string>

namespace cleave {
namespace {

const std::map<std::string, DType> kDTypes{{"bfloat16", DType::kBFloat16},
                                           {"float32", DType::kFloat32}};

}  // namespace

void AddModelFlags(CLI::App& app, ModelHostOptions& options) {
  app.add_option("--model", options.folder,
                 "Folder of the Hugging Face checkpoint (config.json, model.safetensors, ...)")
      ->required()
      ->envname("CLEAVE_MODEL");
  app.add_option("--kernels", options.kernels, "Kernel backend: reference")
      ->capture_default_str()
      ->envname("CLEAVE_KERNELS");
  app.add_option("--activations", options.activations, "Arithmetic between two operations")
      ->transform(CLI::CheckedTransformer(kDTypes))
      ->default_str("float32")
      ->envname("CLEAVE_ACTIVATIONS");
  app.add_option("--kv-dtype", options.kv_dtype, "What KV pages hold; equal on all workers")
      ->transform(CLI::CheckedTransformer(kDTypes))
      ->default_str("bfloat16")
      ->envname("CLEAVE_KV_DTYPE");
  app.add_option("--page-tokens", options.page_tokens,
                 "Positions of one KV page: 8, 16, 32 or 64; equal on all workers")
      ->capture_default_str()
      ->envname("CLEAVE_PAGE_TOKENS");
  app.add_option_function<int64_t>(
         "--kv-memory-mib", [&options](int64_t mib) { options.kv_bytes_max = mib << 20; },
         "Memory for both pools of KV pages together, in MiB")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->default_str(std::to_string(options.kv_bytes_max >> 20))
      ->envname("CLEAVE_KV_MEMORY_MIB");
  app.add_option("--context-tokens", options.context_tokens_max,
                 "Longest sequence, prompt and answer together, in tokens")
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 24))
      ->capture_default_str()
      ->envname("CLEAVE_CONTEXT_TOKENS");
  app.add_flag("--poison-free-pages", options.poison_free_pages,
               "Fill freed KV pages with NaN, so that a wrong read shows (for tests)")
      ->envname("CLEAVE_POISON_FREE_PAGES");
}

void AddWorkerFlags(CLI::App& app, WorkerFlags& flags) {
  app.add_option("--listen", flags.listen, "host:port of the gRPC services")
      ->capture_default_str()
      ->envname("CLEAVE_LISTEN");
  app.add_option("--metrics", flags.metrics, "host:port of GET /metrics")
      ->capture_default_str()
      ->envname("CLEAVE_METRICS");
  app.add_option("--name", flags.name, "Name of this worker in logs and status")
      ->capture_default_str()
      ->envname("CLEAVE_NAME");
  app.add_option("--drain-timeout", flags.drain_timeout_seconds,
                 "Seconds that requests in work have to finish after SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str()
      ->envname("CLEAVE_DRAIN_TIMEOUT");
}

}  // namespace cleave
