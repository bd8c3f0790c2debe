#include "tests/cluster/simulation/wire.h"

#include <utility>

namespace cleave::simulation {

class Wire::SenderEnd final : public SenderTransport {
 public:
  explicit SenderEnd(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  ~SenderEnd() override { wire_->sender_ = nullptr; }
  void Send(PrefillToDecode message) override { wire_->Queue(std::move(message)); }
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) override {
    wire_->Queue(Frame{header, {pages.begin(), pages.end()}});
  }
  void Close(const absl::Status&) override { wire_->CloseFromSender(); }

 private:
  const std::shared_ptr<Wire> wire_;
};

class Wire::ReceiverEnd final : public ReceiverTransport {
 public:
  explicit ReceiverEnd(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}
  ~ReceiverEnd() override { wire_->receiver_ = nullptr; }
  void Send(DecodeToPrefill message) override { wire_->Back(std::move(message)); }
  void Close(const absl::Status&) override { wire_->CloseFromReceiver(); }

 private:
  const std::shared_ptr<Wire> wire_;
};

Wire::Wire(Events& events, RandomWalk& walk, Faults& faults, KvSender& sender, Connect connect)
    : events_(events),
      walk_(walk),
      faults_(faults),
      connect_(std::move(connect)),
      sender_(&sender),
      forward_(events),
      backward_(events) {}

std::unique_ptr<SenderTransport> Wire::MakeSenderEnd() {
  return std::make_unique<SenderEnd>(shared_from_this());
}

absl::Duration Wire::Delay() {
  if (faults_.Happens(Fault::kStall, 100)) return absl::Milliseconds(walk_.Between(30, 3000));
  return Soon();
}

void Wire::Queue(Outbound message) {
  outbound_.push_back(std::move(message));
  if (std::exchange(sending_, true)) return;
  events_.After(absl::Microseconds(walk_.Between(1, 100)),
                [self = shared_from_this()] { self->SendOne(); });
}

// One message leaves. Of a frame, the pages are read now.
void Wire::SendOne() {
  sending_ = false;
  if (sender_told_ || outbound_.empty() || black_hole_) return;
  if (const Connect connect = std::exchange(connect_, nullptr)) {
    receiver_ = connect(std::make_unique<ReceiverEnd>(shared_from_this()));
    if (receiver_ == nullptr) {
      receiver_told_ = true;
      return EndSenderSoon();
    }
  }
  const Outbound message = std::move(outbound_.front());
  outbound_.pop_front();
  if (const auto* control = std::get_if<PrefillToDecode>(&message)) {
    Arrive(*control);
  } else {
    Leave(std::get<Frame>(message));
  }
  if (outbound_.empty()) return;
  sending_ = true;
  events_.After(absl::Microseconds(walk_.Between(1, 100)),
                [self = shared_from_this()] { self->SendOne(); });
}

void Wire::Arrive(PrefillToDecode message) {
  for (int copies = faults_.Happens(Fault::kRepeat, 60) ? 2 : 1; copies > 0; --copies) {
    forward_.Send(Delay(), [self = shared_from_this(), message] {
      if (!self->black_hole_ && !self->receiver_told_) self->receiver_->OnMessage(message);
    });
  }
}

void Wire::Leave(const Frame& frame) {
  std::vector<uint8_t> bytes;
  for (const PageBytes page : frame.pages) bytes.insert(bytes.end(), page.begin(), page.end());
  if (faults_.Happens(Fault::kCorruptBytes, 100)) {
    bytes[static_cast<size_t>(walk_.Below(static_cast<int>(bytes.size())))] ^= 1;
  }
  for (int copies = faults_.Happens(Fault::kRepeat, 60) ? 2 : 1; copies > 0; --copies) {
    forward_.Send(Delay(), [self = shared_from_this(), header = frame.header, bytes] {
      if (!self->black_hole_ && !self->receiver_told_) self->receiver_->OnFrame(header, bytes);
    });
  }
  sender_->OnFrameMoved(frame.header.transfer, frame.header.sequence_number);
}

void Wire::Back(DecodeToPrefill message) {
  for (int copies = faults_.Happens(Fault::kRepeat, 60) ? 2 : 1; copies > 0; --copies) {
    backward_.Send(Delay(), [self = shared_from_this(), message] {
      if (!self->black_hole_ && !self->sender_told_) self->sender_->OnMessage(message);
    });
  }
}

void Wire::EndSenderSoon() {
  events_.After(Soon(), [self = shared_from_this()] { self->EndSender(); });
}

void Wire::EndReceiverSoon() {
  events_.After(Soon(), [self = shared_from_this()] { self->EndReceiver(); });
}

void Wire::CloseFromSender() {
  EndSenderSoon();
  if (!black_hole_) EndReceiverSoon();
}

void Wire::CloseFromReceiver() {
  EndReceiverSoon();
  if (!black_hole_) EndSenderSoon();
}

void Wire::Cut() {
  black_hole_ = true;
  const auto late = [this] { return walk_.OneIn(4) ? absl::Seconds(1) : Soon(); };
  events_.After(late(), [self = shared_from_this()] { self->EndSender(); });
  events_.After(late(), [self = shared_from_this()] { self->EndReceiver(); });
}

// Gives all memory back, then says that the stream has ended.
void Wire::EndSender() {
  if (std::exchange(sender_told_, true) || sender_ == nullptr) return;
  while (!outbound_.empty()) {
    const Outbound message = std::move(outbound_.front());
    outbound_.pop_front();
    if (const auto* frame = std::get_if<Frame>(&message)) {
      sender_->OnFrameMoved(frame->header.transfer, frame->header.sequence_number);
    }
  }
  sender_->OnTransportClosed(absl::UnavailableError("closed"));
  outbound_.clear();
}

void Wire::EndReceiver() {
  if (std::exchange(receiver_told_, true) || receiver_ == nullptr) return;
  receiver_->OnTransportClosed(absl::UnavailableError("closed"));
}

}  // namespace cleave::simulation
