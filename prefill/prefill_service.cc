#include "prefill/prefill_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/sequence_proto.h"
#include "runtime/base/log.h"
#include "runtime/base/status.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

using cluster::v1::GatewayToPrefill;
using cluster::v1::MediaPiece;
using cluster::v1::PrefillToGateway;

// Messages of one attachment that may wait for the gateway to read.
constexpr size_t kMessagesQueuedMax = 4096;

// The engine's answers as messages on one attachment.
class StreamReplies final : public PrefillReplies {
 public:
  explicit StreamReplies(std::shared_ptr<StreamSender<PrefillToGateway>> sender)
      : sender_(std::move(sender)) {}

  void OnFirstToken(RequestKey key, RequestEpoch epoch, int candidate, const TokenChoice& choice,
                    FinishCause finish, const PrefillTimings& timings) override {
    PrefillToGateway message;
    cluster::v1::FirstToken& first = *message.mutable_first_token();
    first.set_request(key.request);
    first.set_epoch(static_cast<uint32_t>(epoch));
    first.set_candidate(static_cast<uint32_t>(candidate));
    first.set_id(choice.id);
    if (choice.log_probabilities) {
      *first.mutable_log_probabilities() = ToProto(*choice.log_probabilities);
    }
    first.set_finish(FinishToProto(finish));
    first.set_cached_tokens(static_cast<uint32_t>(timings.cached_tokens));
    first.mutable_timings()->set_queue_seconds(absl::ToDoubleSeconds(timings.queue));
    first.mutable_timings()->set_media_seconds(absl::ToDoubleSeconds(timings.media));
    first.mutable_timings()->set_prefill_seconds(absl::ToDoubleSeconds(timings.prefill));
    first.mutable_timings()->set_grant_wait_seconds(absl::ToDoubleSeconds(timings.grant_wait));
    sender_->Send(std::move(message));
  }

  void OnEnded(RequestKey key, RequestEpoch epoch, const absl::Status& status,
               int64_t kv_bytes) override {
    PrefillToGateway message;
    cluster::v1::PrefillEnded& ended = *message.mutable_ended();
    ended.set_request(key.request);
    ended.set_epoch(static_cast<uint32_t>(epoch));
    *ended.mutable_status() = ToProto(status);
    ended.set_kv_bytes(static_cast<uint64_t>(kv_bytes));
    sender_->Send(std::move(message));
  }

 private:
  std::shared_ptr<StreamSender<PrefillToGateway>> sender_;
};

// Collects the pieces of one file.
class MediaReader final : public grpc::ServerReadReactor<MediaPiece> {
 public:
  MediaReader(MediaStore& store, int64_t bytes_max) : store_(store), bytes_max_(bytes_max) {
    StartRead(&piece_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(ToGrpc(Complete()));
      return;
    }
    const absl::Status status = Add();
    if (!status.ok()) {
      Finish(ToGrpc(status));
      return;
    }
    piece_.Clear();
    StartRead(&piece_);
  }
  void OnDone() override { delete this; }

 private:
  absl::Status Add() {
    if (!started_) {
      started_ = true;
      ASSIGN_OR_RETURN(hash_, ContentHashFromProto(piece_.content_hash()));
      total_bytes_ = piece_.total_bytes();
      if (total_bytes_ > static_cast<uint64_t>(bytes_max_)) {
        return InvalidField(Reason::kMediaLimit, "total_bytes",
                            absl::StrCat("at most ", bytes_max_), absl::StrCat(total_bytes_));
      }
    }
    if (bytes_.size() + piece_.data().size() > total_bytes_) {
      return InvalidField(Reason::kFieldInvalid, "data", absl::StrCat(total_bytes_, " bytes"),
                          "more");
    }
    bytes_.append(piece_.data());
    return absl::OkStatus();
  }

  absl::Status Complete() {
    if (!started_ || bytes_.size() != total_bytes_) {
      return InvalidField(Reason::kFieldInvalid, "data", absl::StrCat(total_bytes_, " bytes"),
                          absl::StrCat(bytes_.size(), " bytes"));
    }
    return store_.Put(hash_, std::move(bytes_));
  }

  MediaStore& store_;
  const int64_t bytes_max_;
  MediaPiece piece_;
  bool started_ = false;
  ContentHash hash_{};
  uint64_t total_bytes_ = 0;
  std::string bytes_;
};

}  // namespace

// One attached gateway.
class PrefillService::Session final : public StreamHandler<GatewayToPrefill> {
 public:
  Session(PrefillService& service, std::shared_ptr<Sender> sender)
      : service_(service),
        sender_(std::move(sender)),
        replies_(std::make_shared<StreamReplies>(sender_)),
        id_(SessionId{++service.sessions_}) {
    Log(Severity::kInfo, "gateway_attached", {{"session", static_cast<uint64_t>(id_)}});
  }

  void OnMessage(GatewayToPrefill& message) override {
    if (message.has_run()) {
      const absl::Status status = Run(message.run());
      if (status.ok()) return;
      replies_->OnEnded({id_, message.run().request()}, RequestEpoch{message.run().epoch()}, status,
                        0);
    } else if (message.has_cancel()) {
      const RequestKey key{id_, message.cancel().request()};
      // At once for a job in the engine; once more behind one whose media are being decoded.
      const auto cancel = [&engine = service_.engine_, key, at = service_.clock_.Now()] {
        engine.Cancel(key, Reason::kCancelled, at);
      };
      cancel();
      service_.preparer_.After(cancel);
    }
  }

  void OnClosed(const absl::Status&) override {
    const auto cancel = [&engine = service_.engine_, id = id_] { engine.CancelSession(id); };
    cancel();
    service_.preparer_.After(cancel);
    Log(Severity::kInfo, "gateway_detached", {{"session", static_cast<uint64_t>(id_)}});
    MutexLock lock(service_.mutex_);
    service_.senders_.erase(sender_);
  }

 private:
  absl::Status Run(const cluster::v1::RunPrefill& run) {
    if (service_.draining_) {
      return LinkError(Reason::kDraining, "the worker stops", absl::ZeroDuration());
    }
    const absl::Time now = service_.clock_.Now();
    ASSIGN_OR_RETURN(SequenceRequest request,
                     SequenceFromProto(run.sequence(), service_.host_.config(),
                                       service_.host_.context_tokens_max(), now));
    PrefillJob job{.key = {id_, run.request()},
                   .request = std::move(request),
                   .transfer = {Ticket{run.ticket()}, RequestEpoch{run.epoch()}},
                   .decode_address = run.decode_address(),
                   .replies = replies_,
                   .accepted = now};
    return service_.preparer_.Submit(std::move(job));
  }

  PrefillService& service_;
  std::shared_ptr<Sender> sender_;
  std::shared_ptr<StreamReplies> replies_;
  const SessionId id_;
};

grpc::ServerBidiReactor<GatewayToPrefill, PrefillToGateway>* PrefillService::Attach(
    grpc::CallbackServerContext* context) {
  auto sender = std::make_shared<Sender>(kMessagesQueuedMax);
  {
    MutexLock lock(mutex_);
    senders_.insert(sender);
  }
  auto session = std::make_unique<Session>(*this, sender);
  return new ServerBidiStream<GatewayToPrefill, PrefillToGateway>(*context, sender,
                                                                  std::move(session));
}

grpc::ServerReadReactor<MediaPiece>* PrefillService::PutMedia(grpc::CallbackServerContext*,
                                                              cluster::v1::PutMediaResponse*) {
  return new MediaReader(store_, std::max(limits_.image_bytes_max, limits_.audio_bytes_max));
}

void PrefillService::CloseStreams() {
  MutexLock lock(mutex_);
  for (const std::shared_ptr<Sender>& sender : senders_) sender->Close();
}

}  // namespace cleave
