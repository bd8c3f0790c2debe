// cleave.v1.TokenService.
#pragma once

#include "cleave/v1/token.grpc.pb.h"
#include "gateway/admission.h"
#include "gateway/served_model.h"
#include "gateway/task_pool.h"

namespace cleave {

// Bytes in, as ChatService has them, and work on the task pool within the same limits. Thread-safe.
class TokenService final
    : public v1::TokenService::WithRawCallbackMethod_Tokenize<
          v1::TokenService::WithRawCallbackMethod_Detokenize<v1::TokenService::Service>> {
 public:
  // All outlive the service.
  TokenService(const ServedModel& model, Admission& admission, TaskPool& tasks)
      : model_(model), admission_(admission), tasks_(tasks) {}

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;

 private:
  const ServedModel& model_;
  Admission& admission_;
  TaskPool& tasks_;
};

// What the two methods compute. Any thread.
absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request,
                                              const ServedModel& model);
absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request,
                                                  const ServedModel& model);

}  // namespace cleave
