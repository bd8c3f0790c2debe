// What a worker tells about itself, from what it has loaded and how busy it is.
#pragma once

#include <string>

#include "cleave/cluster/v1/worker.pb.h"
#include "engine/engine_load.h"
#include "engine/model_host.h"
#include "runtime/link/link_messages.h"

namespace cleave {

// Draws a new incarnation.
cluster::v1::WorkerIdentity MakeWorkerIdentity(cluster::v1::WorkerRole role,
                                               const std::string& name, const ModelHost& host);

// Adds the series that tell by their labels what this worker is: cleave_build_info and
// cleave_cache_config_info.
void AddWorkerInfo(prometheus::Registry& registry, const cluster::v1::WorkerIdentity& identity,
                   const ModelHost& host);

// What the KV link compares before two workers exchange pages.
LinkIdentity MakeLinkIdentity(const cluster::v1::WorkerIdentity& identity);

// Any thread.
cluster::v1::WorkerState MakeWorkerState(const cluster::v1::WorkerIdentity& identity,
                                         const EngineLoad& load, const ModelHost& host,
                                         bool draining);

}  // namespace cleave
