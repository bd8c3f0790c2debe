// cleave.v1.ModelService.
#pragma once

#include "cleave/v1/model.grpc.pb.h"
#include "gateway/served_model.h"
#include "gateway/worker_pool.h"

namespace cleave {

// Thread-safe.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  // Both outlive the service.
  ModelService(const ServedModel& model, const WorkerPool& pool, int64_t request_bytes_max)
      : model_(model), pool_(pool), request_bytes_max_(request_bytes_max) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;

 private:
  void Describe(v1::Model& out) const;

  const ServedModel& model_;
  const WorkerPool& pool_;
  const int64_t request_bytes_max_;
};

}  // namespace cleave
