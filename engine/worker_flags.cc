#include "engine/worker_flags.h"

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/base/address.h"

namespace cleave {
namespace {

CLI::Option* AddDTypeFlag(CLI::App& app, const std::string& flag, DType& dtype,
                          const std::string& help) {
  const auto set = [&dtype](const std::string& name) {
    dtype = name == "float32" ? DType::kFloat32 : DType::kBFloat16;
  };
  return app.add_option_function<std::string>(flag, set, help)
      ->check(CLI::IsMember(std::vector<std::string>{"bfloat16", "float32"}))
      ->default_str(dtype == DType::kFloat32 ? "float32" : "bfloat16");
}

}  // namespace

void AddKernelFlags(CLI::App& app, KernelOptions& options) {
  app.add_option(
         "--kernels", options.backend,
         "Kernel backend: cpu, or reference (plain loops: exact and slow); equal on all workers")
      ->check(CLI::IsMember(std::vector<std::string>{"cpu", "reference"}))
      ->capture_default_str()
      ->envname("CLEAVE_KERNELS");
  app.add_option("--isa", options.isa,
                 "Instructions of the cpu kernels; equal on all workers, so name one where their "
                 "processors differ. auto: the best there is")
      ->check(CLI::IsMember(std::vector<std::string>{"auto", "avx2", "avx512", "avx512bf16"}))
      ->capture_default_str()
      ->envname("CLEAVE_ISA");
  app.add_option("--threads", options.threads,
                 "Threads of the cpu kernels; 0: one for each processor")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->envname("CLEAVE_THREADS");
}

void AddKvFormFlag(CLI::App& app, KvForm& form) {
  const auto set_form = [&form](const std::string& name) {
    form = name == "plain" ? KvForm::kPlain : KvForm::kCompact;
  };
  app.add_option_function<std::string>(
         "--kv-form", set_form,
         "What full layers store: compact (V and the rotated part of K) or plain; equal on all "
         "workers")
      ->check(CLI::IsMember(std::vector<std::string>{"compact", "plain"}))
      ->default_str(form == KvForm::kPlain ? "plain" : "compact")
      ->envname("CLEAVE_KV_FORM");
}

void AddArithmeticFlags(CLI::App& app, ModelHostOptions& options) {
  AddDTypeFlag(app, "--activations", options.activations,
               "Arithmetic between two operations; equal on all workers")
      ->envname("CLEAVE_ACTIVATIONS");
  AddDTypeFlag(app, "--kv-dtype", options.kv.dtype, "What KV pages hold; equal on all workers")
      ->envname("CLEAVE_KV_DTYPE");
  app.add_option("--page-tokens", options.kv.page_tokens,
                 "Positions of one KV page; equal on all workers")
      ->check(CLI::IsMember(std::vector<int>{8, 16, 32, 64}))
      ->capture_default_str()
      ->envname("CLEAVE_PAGE_TOKENS");
}

void AddKvMemoryFlags(CLI::App& app, ModelHostOptions& options) {
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
}

void AddModelFlags(CLI::App& app, ModelHostOptions& options) {
  app.add_option("--model", options.folder,
                 "Folder of the Hugging Face checkpoint (config.json, model.safetensors, ...)")
      ->required()
      ->envname("CLEAVE_MODEL");
  AddKernelFlags(app, options.kernels);
  AddArithmeticFlags(app, options);
  AddKvFormFlag(app, options.kv.form);
  AddKvMemoryFlags(app, options);
  app.add_flag("--poison-free-pages", options.poison_free_pages,
               "Fill freed KV pages with NaN, so that a wrong read shows (for tests)")
      ->envname("CLEAVE_POISON_FREE_PAGES");
}

void AddDraftFlags(CLI::App& app, ModelHostOptions& model, DraftOptions& drafts) {
  app.add_option("--drafter", model.drafter_folder,
                 "Folder of the MTP drafter; by default MODEL/assistant, when it is there")
      ->check(CLI::ExistingDirectory)
      ->envname("CLEAVE_DRAFTER");
  app.add_option("--drafts", drafts.drafts_max,
                 "Tokens drafted for a sequence in a step, at most; 0: no drafts")
      ->check(CLI::Range(0, kDraftsMax))
      ->capture_default_str()
      ->envname("CLEAVE_DRAFTS");
  app.add_flag("!--fixed-drafts", drafts.adaptive,
               "Always draft so many, also where fewer would be faster (for measurements)")
      ->envname("CLEAVE_FIXED_DRAFTS");
}

std::string DrafterBeside(const std::string& model_folder) {
  const std::filesystem::path folder = std::filesystem::path(model_folder) / "assistant";
  return std::filesystem::exists(folder / "config.json") ? folder.string() : "";
}

void AddWorkerFlags(CLI::App& app, WorkerFlags& flags) {
  app.add_option("--listen", flags.listen, "host:port of the gRPC services")
      ->check(AddressProblem)
      ->capture_default_str()
      ->envname("CLEAVE_LISTEN");
  app.add_option("--metrics", flags.metrics, "host:port of GET /metrics")
      ->check(AddressProblem)
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
