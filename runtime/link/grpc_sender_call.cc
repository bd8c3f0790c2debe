#include "runtime/link/grpc_sender_call.h"

#include "runtime/base/check.h"
#include "runtime/link/link_error.h"
#include "runtime/link/link_proto.h"
#include "runtime/rpc/status.h"

namespace cleave {
namespace {

// The decode worker's messages are small; reading stops when so many wait for the link thread.
constexpr int kUnreadMax = 64;

}  // namespace

GrpcSenderCall::GrpcSenderCall(std::unique_ptr<kvlink::v1::KvLink::StubInterface> stub,
                               LinkThread& thread, KvSender& sender)
    : stub_(std::move(stub)), thread_(thread), sender_(sender) {}

void GrpcSenderCall::Send(PrefillToDecode message) {
  if (!started_) Start();
  Enqueue(std::move(message));
}

void GrpcSenderCall::SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) {
  Enqueue(FrameOut{header, {pages.begin(), pages.end()}});
}

void GrpcSenderCall::Close() { context_.TryCancel(); }

void GrpcSenderCall::Start() {
  started_ = true;
  self_ = shared_from_this();
  stub_->async()->Session(&context_, this);
  AddHold();  // writes start outside the reactor's own callbacks
  StartRead(&incoming_);
  StartCall();
}

// --- writing ---

void GrpcSenderCall::Enqueue(Outbound message) {
  {
    MutexLock lock(mutex_);
    if (writing_ || broken_ || ended_) {
      queue_.push_back(std::move(message));  // OnWriteDone takes it, or GiveBack
      return;
    }
    writing_ = true;
  }
  Write(std::move(message));
}

void GrpcSenderCall::Write(Outbound message) {
  if (const auto* frame = std::get_if<FrameOut>(&message)) {
    frame_written_ = {frame->header.transfer, frame->header.sequence_number};
    FrameToProto(frame->header, frame->pages, *outgoing_.mutable_frame());
  } else {
    frame_written_.reset();
    outgoing_ = ToProto(std::get<PrefillToDecode>(message));
  }
  StartWrite(&outgoing_);
}

void GrpcSenderCall::OnWriteDone(bool ok) {
  if (frame_written_) {
    thread_.Post([self = shared_from_this(), frame = *frame_written_] {
      self->sender_.OnFrameMoved(frame.first, frame.second);
    });
  }
  std::optional<Outbound> next;
  bool release_hold = false;
  {
    MutexLock lock(mutex_);
    broken_ = broken_ || !ok;
    if (broken_ || ended_ || queue_.empty()) {
      writing_ = false;
      release_hold = ended_;
    } else {
      next = std::move(queue_.front());
      queue_.pop_front();
    }
  }
  if (next) Write(*std::move(next));
  if (release_hold) RemoveHold();
}

// --- reading ---

void GrpcSenderCall::OnReadDone(bool ok) {
  if (!ok) {
    bool release_hold;
    {
      MutexLock lock(mutex_);
      ended_ = true;
      release_hold = !writing_;  // otherwise OnWriteDone does it
    }
    if (release_hold) RemoveHold();
    return;
  }
  thread_.Post([self = shared_from_this(), message = FromProto(incoming_)] {
    if (message.ok()) {
      self->sender_.OnMessage(*message);
    } else {
      self->sender_.Fail(LinkError(Reason::kWorkerLost, message.status().message()));
    }
    self->ReadMore();
  });
  MutexLock lock(mutex_);
  if (++unread_ >= kUnreadMax) {
    read_paused_ = true;
  } else {
    StartRead(&incoming_);
  }
}

// The link has seen a message.
void GrpcSenderCall::ReadMore() {
  MutexLock lock(mutex_);
  --unread_;
  if (!read_paused_) return;
  read_paused_ = false;
  StartRead(&incoming_);
}

// --- the end ---

void GrpcSenderCall::OnDone(const grpc::Status& status) {
  thread_.Post([self = std::move(self_), why = FromGrpc(status)] { self->GiveBack(why); });
}

// On the link thread, behind everything else the call has posted: nothing is being written.
void GrpcSenderCall::GiveBack(const absl::Status& why) {
  std::deque<Outbound> unsent;
  {
    MutexLock lock(mutex_);
    CHECK(!writing_);
    unsent.swap(queue_);
  }
  for (const Outbound& message : unsent) {
    const auto* frame = std::get_if<FrameOut>(&message);
    if (frame != nullptr) {
      sender_.OnFrameMoved(frame->header.transfer, frame->header.sequence_number);
    }
  }
  sender_.OnTransportClosed(why.ok() ? absl::UnavailableError("the stream has ended") : why);
}

}  // namespace cleave
