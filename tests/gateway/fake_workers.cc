#include "tests/gateway/fake_workers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/random.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

constexpr int kMessageBytesMax = 4 << 20;

std::unique_ptr<RpcServer> Serve(int port, const std::vector<grpc::Service*>& services) {
  absl::StatusOr<std::unique_ptr<RpcServer>> server =
      RpcServer::Start({.address = absl::StrCat("127.0.0.1:", port),
                        .message_bytes_max = kMessageBytesMax,
                        .health_names = {}},
                       services);
  CHECK(server.ok());
  return *std::move(server);
}

cluster::v1::TokenLogProbabilities Certain(int32_t id) {
  cluster::v1::TokenLogProbabilities place;
  place.add_top_ids(id);
  place.add_top(0);
  return place;
}

}  // namespace

FakeIdentity::FakeIdentity(cluster::v1::WorkerRole role, std::string name) {
  cluster::v1::WorkerIdentity& identity = *state_.mutable_identity();
  identity.set_role(role);
  identity.set_name(std::move(name));
  identity.set_incarnation(RandomSeed());
  identity.set_weights_fingerprint("w");
  identity.set_kv_layout("l");
  identity.set_numerics_fingerprint("n");
  identity.set_context_tokens_max(256);
}

cluster::v1::WorkerState FakeIdentity::Get() const {
  MutexLock lock(mutex_);
  while (frozen_) thawed_.Wait(mutex_);
  return state_;
}

void FakeIdentity::Freeze(bool frozen) {
  MutexLock lock(mutex_);
  frozen_ = frozen;
  thawed_.NotifyAll();
}

void FakeIdentity::Change(const std::function<void(cluster::v1::WorkerState&)>& change) {
  MutexLock lock(mutex_);
  change(state_);
}

// ---- Decode.

FakeDecodeWorker::FakeDecodeWorker(std::string name, int port)
    : identity(cluster::v1::WORKER_ROLE_DECODE, std::move(name)),
      watch_(std::make_unique<WorkerService>([this] { return identity.Get(); })) {
  attachment.SetScript([this](const cluster::v1::GatewayToDecode& message) {
    if (message.has_expect()) SendTicket(message.expect().request());
  });
  server_ = Serve(port, {this, watch_.get()});
  port_ = server_->port();
}

FakeDecodeWorker::~FakeDecodeWorker() { Kill(); }

void FakeDecodeWorker::Kill() {
  if (watch_ == nullptr) return;
  server_->Shutdown(absl::ZeroDuration());
  watch_ = nullptr;
}

std::string FakeDecodeWorker::address() const { return absl::StrCat("127.0.0.1:", port_); }

void FakeDecodeWorker::SendTicket(uint64_t request) {
  cluster::v1::DecodeToGateway message;
  message.mutable_ticket()->set_request(request);
  message.mutable_ticket()->set_epoch(EpochOf(request));
  message.mutable_ticket()->set_ticket(request + 1000);
  attachment.Send(std::move(message));
}

void FakeDecodeWorker::SendTokens(uint64_t request, uint32_t first_index,
                                  const std::vector<int32_t>& ids, cluster::v1::FinishCause finish,
                                  bool log_probabilities, uint32_t candidate) {
  cluster::v1::DecodeToGateway message;
  cluster::v1::SequenceTokens& tokens = *message.mutable_step()->add_sequences();
  tokens.set_request(request);
  tokens.set_epoch(EpochOf(request));
  tokens.set_candidate(candidate);
  tokens.set_first_index(first_index);
  tokens.mutable_ids()->Add(ids.begin(), ids.end());
  for (const int32_t id : ids) {
    if (log_probabilities) *tokens.add_log_probabilities() = Certain(id);
  }
  tokens.set_finish(finish);
  if (finish != cluster::v1::FINISH_CAUSE_UNSPECIFIED) {
    tokens.mutable_timings()->set_handover_seconds(0.25);
    tokens.mutable_timings()->set_decode_seconds(0.5);
  }
  attachment.Send(std::move(message));
}

void FakeDecodeWorker::SendEnded(uint64_t request, const absl::Status& status) {
  cluster::v1::DecodeToGateway message;
  message.mutable_ended()->set_request(request);
  message.mutable_ended()->set_epoch(EpochOf(request));
  *message.mutable_ended()->mutable_status() = ToProto(status);
  attachment.Send(std::move(message));
}

uint32_t FakeDecodeWorker::EpochOf(uint64_t request) const {
  uint32_t epoch = 1;
  for (const auto& message : attachment.received()) {
    if (message.expect().request() == request) epoch = message.expect().epoch();
  }
  return epoch;
}

int FakeDecodeWorker::num_cancels() const {
  const auto received = attachment.received();
  return static_cast<int>(std::count_if(received.begin(), received.end(),
                                        [](const auto& m) { return m.has_cancel(); }));
}

// ---- Prefill.

// Deletes itself when the call is over.
class FakePrefillWorker::MediaReader final
    : public grpc::ServerReadReactor<cluster::v1::MediaPiece> {
 public:
  explicit MediaReader(FakePrefillWorker& worker) : worker_(worker) { StartRead(&piece_); }

 private:
  void OnReadDone(bool ok) override {
    if (ok) {
      if (hash_.empty()) {
        hash_ = piece_.content_hash();
        total_ = piece_.total_bytes();
      }
      CHECK(piece_.data().size() <= size_t{1} << 20);
      bytes_ += piece_.data();
      StartRead(&piece_);
      return;
    }
    absl::Status status;
    {
      MutexLock lock(worker_.mutex_);
      status = worker_.media_status_;
      if (bytes_.size() != total_) status = absl::DataLossError("cut short");
      if (status.ok()) worker_.media_[hash_] = bytes_;
    }
    Finish(ToGrpc(status));
  }
  void OnDone() override { delete this; }

  FakePrefillWorker& worker_;
  cluster::v1::MediaPiece piece_;
  std::string hash_, bytes_;
  uint64_t total_ = 0;
};

FakePrefillWorker::FakePrefillWorker()
    : identity(cluster::v1::WORKER_ROLE_PREFILL, "fake-prefill"),
      watch_(std::make_unique<WorkerService>([this] { return identity.Get(); })),
      server_(Serve(0, {this, watch_.get()})) {
  port_ = server_->port();
}

FakePrefillWorker::~FakePrefillWorker() { Kill(); }

void FakePrefillWorker::Kill() {
  if (watch_ == nullptr) return;
  server_->Shutdown(absl::ZeroDuration());
  watch_ = nullptr;
}

std::string FakePrefillWorker::address() const { return absl::StrCat("127.0.0.1:", port_); }

grpc::ServerReadReactor<cluster::v1::MediaPiece>* FakePrefillWorker::PutMedia(
    grpc::CallbackServerContext*, cluster::v1::PutMediaResponse*) {
  {
    MutexLock lock(mutex_);
    if (uploads_hang_) {
      ++hung_uploads_;
      return new HungCall<grpc::ServerReadReactor<cluster::v1::MediaPiece>>;
    }
  }
  return new MediaReader(*this);
}

void FakePrefillWorker::SendFirst(uint64_t request, int32_t id, cluster::v1::FinishCause finish,
                                  bool log_probabilities, uint32_t candidate) {
  cluster::v1::PrefillToGateway message;
  message.mutable_first_token()->set_request(request);
  message.mutable_first_token()->set_epoch(EpochOf(request));
  message.mutable_first_token()->set_candidate(candidate);
  message.mutable_first_token()->set_id(id);
  message.mutable_first_token()->set_finish(finish);
  if (log_probabilities) *message.mutable_first_token()->mutable_log_probabilities() = Certain(id);
  message.mutable_first_token()->mutable_timings()->set_prefill_seconds(0.125);
  attachment.Send(std::move(message));
}

void FakePrefillWorker::SendEnded(uint64_t request, const absl::Status& status) {
  cluster::v1::PrefillToGateway message;
  message.mutable_ended()->set_request(request);
  message.mutable_ended()->set_epoch(EpochOf(request));
  *message.mutable_ended()->mutable_status() = ToProto(status);
  attachment.Send(std::move(message));
}

uint32_t FakePrefillWorker::EpochOf(uint64_t request) const {
  uint32_t epoch = 1;
  for (const auto& message : attachment.received()) {
    if (message.run().request() == request) epoch = message.run().epoch();
  }
  return epoch;
}

int FakePrefillWorker::num_cancels() const {
  const auto received = attachment.received();
  return static_cast<int>(std::count_if(received.begin(), received.end(),
                                        [](const auto& m) { return m.has_cancel(); }));
}

void FakePrefillWorker::SetMediaStatus(const absl::Status& status) {
  MutexLock lock(mutex_);
  media_status_ = status;
}

void FakePrefillWorker::HangUploads() {
  MutexLock lock(mutex_);
  uploads_hang_ = true;
}

int FakePrefillWorker::hung_uploads() const {
  MutexLock lock(mutex_);
  return hung_uploads_;
}

std::map<std::string, std::string> FakePrefillWorker::media() const {
  MutexLock lock(mutex_);
  return media_;
}

}  // namespace cleave
