#include "runtime/link/grpc_link_server.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <utility>

#include "cleave/kvlink/v1/kv_link.grpc.pb.h"
#include "runtime/base/check.h"
#include "runtime/link/link_error.h"
#include "runtime/link/link_proto.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

namespace pb = kvlink::v1;

constexpr int kUnreadMax = 2;           // messages of a stream that wait for the link thread
constexpr size_t kOutboundMax = 16384;  // messages to a peer that does not read

}  // namespace

// The reactor of one stream. Shared by its transport, by the tasks it has posted and, until OnDone,
// by itself (gRPC holds a plain pointer).
class GrpcLinkServer::Session final
    : public grpc::ServerBidiReactor<pb::PrefillToDecode, pb::DecodeToPrefill>,
      public std::enable_shared_from_this<GrpcLinkServer::Session> {
 public:
  Session(GrpcLinkServer& server, grpc::CallbackServerContext* context)
      : server_(server), context_(context) {}

  void Start() {
    self_ = shared_from_this();
    const bool posted = server_.thread_.Post([self = self_] { self->Accept(); });
    if (!posted) return FinishOnce(LinkError(Reason::kDraining, "the decode worker is stopping"));
    MutexLock lock(mutex_);
    if (!finished_) StartRead(&incoming_);
  }

 private:
  class Transport final : public ReceiverTransport {
   public:
    explicit Transport(std::shared_ptr<Session> session) : session_(std::move(session)) {}
    void Send(DecodeToPrefill message) override { session_->Send(ToProto(message)); }
    void Close(const absl::Status& why) override { session_->FinishOnce(why); }

   private:
    std::shared_ptr<Session> session_;  // shared with gRPC's callbacks and their tasks
  };

  // --- the link thread ---

  void Accept() {
    receiver_ = server_.links_.Accept(std::make_unique<Transport>(shared_from_this()));
    if (receiver_ != nullptr) return;
    FinishOnce(LinkError(Reason::kDraining, "the decode worker accepts no more links"));
  }

  void Send(pb::DecodeToPrefill message) {
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      if (queue_.size() < kOutboundMax) {
        queue_.push_back(std::move(message));
        if (!writing_) WriteNext();
        return;
      }
    }
    FinishOnce(LinkError(Reason::kWorkerLost, "the prefill worker does not read"));
  }

  void Handle(const pb::PrefillToDecode& message) {
    if (receiver_ == nullptr) return;
    const absl::Status status = Dispatch(message);
    if (!status.ok()) receiver_->Fail(LinkError(Reason::kWorkerLost, status.message()));
  }

  absl::Status Dispatch(const pb::PrefillToDecode& message) {
    if (message.has_frame()) {
      const absl::StatusOr<FrameHeader> header = FromProto(message.frame().header());
      if (!header.ok()) return header.status();
      const std::string& data = message.frame().data();
      receiver_->OnFrame(*header, {reinterpret_cast<const uint8_t*>(data.data()), data.size()});
      return absl::OkStatus();
    }
    absl::StatusOr<PrefillToDecode> content = FromProto(message);
    if (!content.ok()) return content.status();
    receiver_->OnMessage(*std::move(content));
    return absl::OkStatus();
  }

  // --- gRPC's threads ---

  void OnReadDone(bool ok) override {
    if (!ok) return FinishOnce(absl::OkStatus());            // the peer has hung up
    auto message = std::make_shared<pb::PrefillToDecode>();  // shared: std::function copies
    message->Swap(&incoming_);
    server_.thread_.Post([self = shared_from_this(), message] {
      self->Handle(*message);
      self->ReadMore();
    });
    MutexLock lock(mutex_);
    if (++unread_ >= kUnreadMax) {
      read_paused_ = true;
    } else if (!finished_) {
      StartRead(&incoming_);
    }
  }

  void ReadMore() {
    MutexLock lock(mutex_);
    --unread_;
    if (!std::exchange(read_paused_, false) || finished_) return;
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (ok && !finished_ && !queue_.empty()) WriteNext();
  }

  void OnCancel() override { FinishOnce(absl::CancelledError("the stream was cancelled")); }

  void OnDone() override {
    server_.thread_.Post([self = shared_from_this()] {
      if (self->receiver_ == nullptr) return;
      self->receiver_->OnTransportClosed(absl::UnavailableError("the stream has ended"));
    });
    self_.reset();
  }

  // --- any thread ---

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    writing_ = true;
    outgoing_.Swap(&queue_.front());
    queue_.pop_front();
    StartWrite(&outgoing_);
  }

  void FinishOnce(const absl::Status& status) {
    bool unwritten;
    {
      MutexLock lock(mutex_);
      if (std::exchange(finished_, true)) return;
      queue_.clear();
      unwritten = writing_;
    }
    // A peer that does not read would keep the write, and so the stream, open.
    if (unwritten) context_->TryCancel();
    Finish(ToGrpc(status));
  }

  GrpcLinkServer& server_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Session> self_;   // from Start to OnDone
  KvReceiver* receiver_ = nullptr;  // the link thread's; null when not accepted
  pb::PrefillToDecode incoming_;    // gRPC's while a read is open

  Mutex mutex_;
  std::deque<pb::DecodeToPrefill> queue_ ABSL_GUARDED_BY(mutex_);
  pb::DecodeToPrefill outgoing_;  // gRPC's while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // nothing may start any more
  int unread_ ABSL_GUARDED_BY(mutex_) = 0;         // messages posted that the link has not seen
  bool read_paused_ ABSL_GUARDED_BY(mutex_) = false;
};

class GrpcLinkServer::Service final : public pb::KvLink::CallbackService {
 public:
  explicit Service(GrpcLinkServer& server) : server_(server) {}
  grpc::ServerBidiReactor<pb::PrefillToDecode, pb::DecodeToPrefill>* Session(
      grpc::CallbackServerContext* context) override {
    const auto session = std::make_shared<GrpcLinkServer::Session>(server_, context);
    session->Start();
    return session.get();  // it holds itself until OnDone
  }

 private:
  GrpcLinkServer& server_;
};

GrpcLinkServer::GrpcLinkServer(const ReceiverLinksOptions& options, ReceiverListener& listener,
                               TicketListener& ticket_listener, const Clock& clock,
                               LinkObserver* observer)
    : thread_(clock),
      links_(options, listener, ticket_listener, clock, observer),
      service_(std::make_unique<Service>(*this)) {
  thread_.Start(links_);
}

GrpcLinkServer::~GrpcLinkServer() { Shutdown(); }

grpc::Service& GrpcLinkServer::service() { return *service_; }

int GrpcLinkServer::MessageBytesMax(const LinkLimits& limits) {
  constexpr int64_t kEnvelopeMax = 1 << 20;  // header and field tags; also a Commit
  return static_cast<int>(limits.frame_bytes_max + kEnvelopeMax);
}

void GrpcLinkServer::Expect(TransferId transfer, const TicketExpectation& expectation,
                            std::function<void(const absl::Status&)> expected) {
  const bool posted = thread_.Post(
      [this, transfer, expectation, expected] { expected(links_.Expect(transfer, expectation)); });
  if (posted) return;
  // Copied above, since a task that is not taken must not lose it.
  std::exchange(expected, nullptr)(LinkError(Reason::kDraining, "the decode worker is stopping"));
}

void GrpcLinkServer::Forget(Ticket ticket, Reason reason) {
  thread_.Post([this, ticket, reason] { links_.Forget(ticket, reason); });
}

void GrpcLinkServer::OnReserved(TransferId transfer,
                                absl::StatusOr<std::unique_ptr<TransferDestination>> destination) {
  // Shared, because std::function copies.
  auto shared = std::make_shared<absl::StatusOr<std::unique_ptr<TransferDestination>>>(
      std::move(destination));
  thread_.Post([this, transfer, shared] { links_.OnReserved(transfer, std::move(*shared)); });
}

void GrpcLinkServer::Drain() {
  thread_.Post([this] { links_.Drain(); });
}

void GrpcLinkServer::Shutdown() {
  thread_.Post([this] { links_.Shutdown(); });
  thread_.Join();
}

}  // namespace cleave
