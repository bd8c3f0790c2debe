// A gateway's requests on simulated workers, with everything that may happen to them. All that a
// walk decides comes from its seed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/generation.h"
#include "tests/cluster/prompts.h"
#include "tests/cluster/simulation/connections.h"

namespace cleave::simulation {

class Cluster final : public Surroundings, public Rerouter {
 public:
  // Everything by reference outlives it.
  Cluster(uint64_t seed, Hosts& hosts, const std::vector<testing::Prompt>& prompts, Tally& tally);
  ~Cluster() override;

  // Until every request has ended, all is quiet and all is checked.
  void Run();

 private:
  // One client's call: what it was told.
  class Call;
  template <typename NodeType, typename ConnectionType>
  struct Worker {
    std::unique_ptr<NodeType> node;
    std::shared_ptr<ConnectionType> connection;
  };

  // Surroundings
  Events& events() override { return events_; }
  RandomWalk& walk() override { return walk_; }
  Faults& faults() override { return faults_; }
  Hosts& hosts() override { return hosts_; }
  std::shared_ptr<Wire> MakeWire(const Node& from, KvSender& sender,
                                 const std::string& address) override;
  // Rerouter
  absl::StatusOr<Route> ChooseAgain(const Route& last) override;
  void After(absl::Duration pause, std::function<void()> call) override {
    events_.After(pause, std::move(call));
  }
  void OnReplay(Reason reason, const Route& last, const Route& next) override;

  void AddPrefill(const std::string& address);
  void AddDecode(const std::string& address);
  absl::StatusOr<Route> Choose(bool local);
  void StartRequest(Call& call);
  void CauseTrouble();
  template <typename Workers>
  void TroubleWorkers(Workers& workers, Fault kill, Fault drain);
  template <typename WorkerType>
  void Kill(WorkerType& worker);
  template <typename WorkerType>
  void Drain(WorkerType& worker);
  void Replace(const Node& node);
  void RunUntil(const std::function<bool()>& done);
  void ForEachNode(const std::function<void(Node&)>& what);
  bool AllCallsEnded() const;

  RandomWalk walk_;
  Tally& tally_;
  Faults faults_;
  Hosts& hosts_;
  Events events_;
  LinkLimits limits_;
  int drafts_ = 0;
  int64_t prompt_rows_ = 0;  // 0: decode workers compute no prompts
  std::vector<Worker<PrefillNode, PrefillConnection>> prefills_;  // those that are gone, too
  std::vector<Worker<DecodeNode, DecodeConnection>> decodes_;
  struct Stream {
    std::shared_ptr<Wire> wire;
    const Node* prefill;
    const Node* decode;  // null until it is connected
  };
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<std::shared_ptr<Call>> calls_;
  const std::vector<testing::Prompt>& prompts_;
  bool stopping_ = false;  // every request has ended; no process takes another's place
};

}  // namespace cleave::simulation
