// The flags that both workers have: what to load and how much memory to give it.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/model_host.h"

namespace cleave {

// Every flag has a twin in the environment: --kv-memory-mib is CLEAVE_KV_MEMORY_MIB.
void AddModelFlags(CLI::App& app, ModelHostOptions& options);

}  // namespace cleave
