// The flags that both workers have.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "engine/draft_planner.h"
#include "engine/model_host.h"

namespace cleave {

// Every flag has a twin in the environment: --kv-memory-mib is CLEAVE_KV_MEMORY_MIB.

// Which kernels compute, and how.
void AddKernelFlags(CLI::App& app, KernelOptions& options);

// The arithmetic: dtype of activations and of KV pages, tokens of a page.
void AddArithmeticFlags(CLI::App& app, ModelHostOptions& options);

// How much memory KV pages get, and how long a sequence may be.
void AddKvMemoryFlags(CLI::App& app, ModelHostOptions& options);

// What full layers store of a position.
void AddKvFormFlag(CLI::App& app, KvForm& form);

// What to load, and how much memory to give it.
void AddModelFlags(CLI::App& app, ModelHostOptions& options);

// The drafter, and how much it drafts. `options` holds the defaults.
void AddDraftFlags(CLI::App& app, ModelHostOptions& model, DraftOptions& drafts);

// Where a checkpoint's drafter is looked for: its folder "assistant"; empty when there is none.
std::string DrafterBeside(const std::string& model_folder);

struct WorkerFlags {
  std::string listen;   // host:port of the gRPC services
  std::string metrics;  // host:port of GET /metrics
  std::string name;     // in logs and status
  double drain_timeout_seconds = 30;
};

// Where the worker is, and how it stops. What `flags` holds are the defaults.
void AddWorkerFlags(CLI::App& app, WorkerFlags& flags);

}  // namespace cleave
