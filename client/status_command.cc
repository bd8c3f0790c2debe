#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cleave/cluster/v1/worker.grpc.pb.h"
#include "client/chat_client.h"
#include "client/commands.h"
#include "runtime/base/address.h"
#include "runtime/rpc/deadline.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(3);

struct StatusFlags {
  std::string gateway = kGatewayDefault;
  std::vector<std::string> prefill, decode;
};

void PrintModel(const v1::Model& model) {
  const v1::Sampling& sampling = model.default_sampling();
  const v1::Limits& limits = model.limits();
  std::fputs(
      absl::StrFormat(
          "model      %s, context %u tokens, template %s, tokenizer %s, build %s\n"
          "defaults   temperature %g, top_k %u, top_p %g, %u tokens a picture\n"
          "limits     %u messages of %u parts, %u bytes of text, %u pictures of %u bytes and %u "
          "pixels, %u sounds of %u bytes and %g s\n"
          "budgets    %s\n",
          model.name(), model.context_tokens_max(), model.template_version(),
          model.tokenizer_hash(), model.build(), sampling.temperature(), sampling.top_k(),
          sampling.top_p(), model.default_image_token_budget(), limits.messages_max(),
          limits.parts_per_message_max(), limits.text_bytes_max(), limits.images_max(),
          limits.image_bytes_max(), limits.image_pixels_max(), limits.audios_max(),
          limits.audio_bytes_max(), limits.audio_seconds_max(),
          absl::StrJoin(limits.image_token_budgets(), ", "))
          .c_str(),
      stdout);
}

bool PrintGateway(const std::string& address) {
  ChatClient client(address);
  const absl::StatusOr<bool> serving = client.IsServing(kTimeout);
  if (!serving.ok()) {
    std::printf("gateway    %s: %s\n", address.c_str(), DescribeError(serving.status()).c_str());
    return false;
  }
  std::printf("gateway    %s: %s\n", address.c_str(), *serving ? "SERVING" : "NOT_SERVING");
  const absl::StatusOr<v1::Model> model = client.GetModel(kTimeout);
  if (model.ok()) {
    PrintModel(*model);
  } else {
    std::printf("model      %s\n", DescribeError(model.status()).c_str());
  }
  return *serving && model.ok();
}

absl::StatusOr<cluster::v1::WorkerState> WatchOnce(const std::string& address) {
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  const auto stub = cluster::v1::Worker::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(GrpcDeadline(kTimeout));
  const auto reader = stub->Watch(&context, {});
  cluster::v1::WorkerState state;
  if (reader->Read(&state)) {
    context.TryCancel();
    reader->Finish();
    return state;
  }
  const absl::Status status = FromGrpc(reader->Finish());
  return status.ok() ? absl::UnavailableError("the worker told no state") : status;
}

bool PrintWorker(const char* role, cluster::v1::WorkerRole expected, const std::string& address) {
  absl::StatusOr<cluster::v1::WorkerState> state = WatchOnce(address);
  if (state.ok() && state->identity().role() != expected) {
    state = absl::FailedPreconditionError(
        absl::StrCat(state->identity().name(), " is no ", role, " worker"));
  }
  if (!state.ok()) {
    std::printf("%-10s %s: %s\n", role, address.c_str(), DescribeError(state.status()).c_str());
    return false;
  }
  const cluster::v1::WorkerIdentity& identity = state->identity();
  const cluster::v1::WorkerLoad& load = state->load();
  std::fputs(
      absl::StrFormat(
          "%-10s %s: %s%s, build %s, %u running, %u waiting (%u tokens), pages free %u/%u "
          "sliding %u/%u full, step %.1f ms\n"
          "           weights %s, layout %s, numerics %s, context %u\n",
          role, address, identity.name(), state->draining() ? " (draining)" : "", identity.build(),
          load.requests_running(), load.requests_waiting(), load.queued_tokens(),
          load.sliding_pages().free(), load.sliding_pages().total(), load.full_pages().free(),
          load.full_pages().total(), load.step_seconds() * 1e3, identity.weights_fingerprint(),
          identity.kv_layout(), identity.numerics_fingerprint(), identity.context_tokens_max())
          .c_str(),
      stdout);
  return true;
}

int Run(const StatusFlags& flags) {
  bool good = PrintGateway(flags.gateway);
  for (const std::string& address : flags.prefill) {
    good = PrintWorker("prefill", cluster::v1::WORKER_ROLE_PREFILL, address) && good;
  }
  for (const std::string& address : flags.decode) {
    good = PrintWorker("decode", cluster::v1::WORKER_ROLE_DECODE, address) && good;
  }
  return good ? kExitOk : kExitFailed;
}

}  // namespace

std::function<int()> DeclareStatus(CLI::App& app) {
  auto flags = std::make_shared<StatusFlags>();  // shared by the parser and the returned function
  CLI::App& status = *app.add_subcommand("status", "Show what a gateway and its workers say");
  status.add_option("--gateway", flags->gateway, "host:port of the gateway")
      ->check(AddressProblem)
      ->envname("CLEAVE_GATEWAY")
      ->capture_default_str();
  status.add_option("--prefill", flags->prefill, "host:port of prefill workers to ask as well")
      ->check(AddressProblem)
      ->envname("CLEAVE_PREFILL")
      ->delimiter(',');
  status.add_option("--decode", flags->decode, "host:port of decode workers to ask as well")
      ->check(AddressProblem)
      ->envname("CLEAVE_DECODE")
      ->delimiter(',');
  status.footer("Exit codes: 0 all answer and the gateway serves, 1 not so, 2 wrong flags.");
  return [flags] { return Run(*flags); };
}

}  // namespace cleave
