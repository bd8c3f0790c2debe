// One stream of the KV link between two simulated workers.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "runtime/link/kv_receiver.h"
#include "runtime/link/kv_sender.h"
#include "tests/cluster/simulation/events.h"
#include "tests/cluster/simulation/faults.h"

namespace cleave::simulation {

// Shared by its two ends, which the links own, and by the events about it.
class Wire final : public std::enable_shared_from_this<Wire> {
 public:
  // Called with the first message: the receiver for the other end, or null where nobody listens.
  using Connect = std::function<KvReceiver*(std::unique_ptr<ReceiverTransport>)>;

  Wire(Events& events, RandomWalk& walk, Faults& faults, KvSender& sender, Connect connect);
  // The end that the prefill worker's link owns.
  std::unique_ptr<SenderTransport> MakeSenderEnd();

  // It breaks, and each end hears of it in its own time.
  void Cut();
  // Nothing arrives any more, and nobody says so.
  void BlackHole() { black_hole_ = true; }
  // The process at this end is gone, and with it what it held.
  void EndSender();
  void EndReceiver();

 private:
  class SenderEnd;
  class ReceiverEnd;
  struct Frame {
    FrameHeader header;
    std::vector<PageBytes> pages;
  };
  using Outbound = std::variant<PrefillToDecode, Frame>;

  absl::Duration Delay();
  void Queue(Outbound message);
  void SendOne();
  void Arrive(PrefillToDecode message);
  void Leave(const Frame& frame);
  void Back(DecodeToPrefill message);
  void CloseFromSender();
  void CloseFromReceiver();
  absl::Duration Soon() { return absl::Microseconds(walk_.Between(10, 500)); }
  void EndSenderSoon();
  void EndReceiverSoon();

  Events& events_;
  RandomWalk& walk_;
  Faults& faults_;
  Connect connect_;  // until it is called
  KvSender* sender_;
  KvReceiver* receiver_ = nullptr;
  std::deque<Outbound> outbound_;
  Lane forward_, backward_;
  bool sending_ = false, black_hole_ = false, sender_told_ = false, receiver_told_ = false;
};

}  // namespace cleave::simulation
