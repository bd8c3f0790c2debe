// Simulated workers: the real engines, links and model, without threads and sockets.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "decode/decode_engine.h"
#include "engine/decode_step.h"
#include "prefill/prefill_engine.h"
#include "runtime/link/receiver_links.h"
#include "runtime/link/sender_links.h"
#include "tests/cluster/simulation/wire.h"

namespace cleave::simulation {

// Loaded models, which walks use one after the other.
class Hosts {
 public:
  std::unique_ptr<ModelHost> TakePrefill() { return Take(prefill_, false); }
  std::unique_ptr<ModelHost> TakeDecode() { return Take(decode_, true); }
  // Fails the test unless all its pages are free.
  void GiveBack(std::unique_ptr<ModelHost> host, bool decode);

 private:
  std::unique_ptr<ModelHost> Take(std::vector<std::unique_ptr<ModelHost>>& spare, bool decode);
  std::vector<std::unique_ptr<ModelHost>> prefill_, decode_;
};

// What nodes share, and what they ask of the cluster they are in.
class Node;
class Surroundings {
 public:
  virtual ~Surroundings() = default;
  virtual Events& events() = 0;
  virtual RandomWalk& walk() = 0;
  virtual Faults& faults() = 0;
  virtual Hosts& hosts() = 0;
  // The stream that a prefill worker dials to `address`.
  virtual std::shared_ptr<Wire> MakeWire(const Node& from, KvSender& sender,
                                         const std::string& address) = 0;
};

// One process. It stays until the end of the walk, also when it is gone as others see it.
class Node {
 public:
  Node(Surroundings& around, std::string address)
      : around_(around), address_(std::move(address)), to_link_(around.events()) {}
  virtual ~Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const std::string& address() const { return address_; }
  Incarnation incarnation() const { return incarnation_; }
  // Nobody hears of it any more.
  bool dead() const { return dead_; }
  // Ends what it does, and tells others why.
  void Stop() { StopEngine(); }
  // The same, but nobody is told.
  void Kill();
  // Stopped, with nothing left.
  bool done() const { return engine_done_ && links().done(); }
  // Computes and ticks what is due. Between two steps passes the time that a step takes.
  void Act();
  absl::Time NextAct() const;
  virtual void Check() = 0;

 protected:
  virtual bool Turn() = 0;
  virtual absl::Time NextTurn() const = 0;
  virtual void StopEngine() = 0;
  virtual void ShutLinks() = 0;
  virtual LinkTicker& links() = 0;
  const LinkTicker& links() const { return const_cast<Node*>(this)->links(); }
  // What an engine says to its link's thread arrives there a little later, in order.
  void ToLink(std::function<void()> call);

  Surroundings& around_;

 private:
  const std::string address_;
  Lane to_link_;
  const Incarnation incarnation_{around_.walk().Bits()};
  absl::Time busy_until_ = absl::InfinitePast();
  bool engine_done_ = false, dead_ = false;
};

// What both kinds have: an engine, and the links of its process.
template <typename Engine, typename Links>
class EngineNode : public Node {
 public:
  using Node::Node;
  Engine& engine() { return *engine_; }
  const ModelHost& host() const { return *host_; }

 protected:
  bool Turn() override { return engine_->Turn(absl::ZeroDuration()); }
  absl::Time NextTurn() const override { return engine_->NextTurn(); }
  void StopEngine() override { engine_->Stop(); }
  void ShutLinks() override { links_->Shutdown(); }
  LinkTicker& links() override { return *links_; }

  std::unique_ptr<ModelHost> host_;
  std::unique_ptr<Links> links_;
  std::unique_ptr<Engine> engine_;
};

class PrefillNode final : public EngineNode<PrefillEngine, SenderLinks>,
                          public KvOutlet,
                          public SenderListener,
                          public LinkDialer {
 public:
  PrefillNode(Surroundings& around, std::string address, const LinkLimits& limits);
  ~PrefillNode() override;
  void Check() override;

 private:
  // KvOutlet
  void Begin(const std::string& decode_address, const TransferSpec& spec) override;
  void QueueFrame(TransferId transfer, const FrameSlice& slice, std::vector<PageBytes> pages,
                  std::function<void()> release) override;
  void Commit(TransferId transfer, CommitPayload payload) override;
  void Cancel(TransferId transfer, Reason reason) override;
  // SenderListener
  void OnGranted(TransferId transfer) override { engine_->OnGranted(transfer); }
  void OnRefused(TransferId, const absl::Status&) override {}
  void OnFinished(TransferId transfer, const absl::Status& status) override {
    engine_->OnFinished(transfer, status);
  }
  void OnLinkOpen(const LinkAccepted&) override {}
  void OnLinkFailed(const absl::Status&) override {}
  std::unique_ptr<SenderTransport> Dial(const std::string& address, KvSender& sender) override {
    return around_.MakeWire(*this, sender, address)->MakeSenderEnd();
  }

  prometheus::Registry registry_;
  PrefillMetrics metrics_{registry_};
};

class DecodeNode final : public EngineNode<DecodeEngine, ReceiverLinks>,
                         public KvIntake,
                         public ReceiverListener,
                         public TicketListener {
 public:
  // `drafts`: of each sequence in each step; -1: as the engine finds best.
  DecodeNode(Surroundings& around, std::string address, const LinkLimits& limits, int drafts,
             int64_t prompt_rows);
  ~DecodeNode() override;
  const DecodeMetrics& metrics() const { return metrics_; }
  KvReceiver* Accept(std::unique_ptr<ReceiverTransport> transport) {
    return links_->Accept(std::move(transport));
  }
  void Check() override;

  static constexpr int kSequences = 21, kPromptRows = 48;

 private:
  // KvIntake
  void Expect(TransferId transfer, const TicketExpectation& expectation,
              std::function<void(const absl::Status&)> expected) override;
  void Forget(Ticket ticket, Reason reason) override;
  void Reserved(TransferId transfer,
                absl::StatusOr<std::unique_ptr<TransferDestination>> destination) override;
  // ReceiverListener
  void ReservePages(TransferId transfer, const TransferPlan& plan) override {
    engine_->ReservePages(transfer, plan);
  }
  void OnCommitted(TransferId transfer, CommitPayload payload) override {
    engine_->OnCommitted(transfer, std::move(payload));
  }
  void OnFailed(TransferId transfer, const absl::Status& status) override {
    engine_->OnFailed(transfer, status);
  }
  void OnLinkOpen(Incarnation) override {}
  void OnLinkFailed(Incarnation, const absl::Status&) override {}
  void OnTicketExpired(TransferId) override {}

  prometheus::Registry registry_;
  DecodeMetrics metrics_{registry_};
  std::unique_ptr<DecodeStep> step_;
};

}  // namespace cleave::simulation
