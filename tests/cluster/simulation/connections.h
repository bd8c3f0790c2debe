// The gateway's connections to simulated workers: what gateway/worker_connection.h does over gRPC.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/worker.h"
#include "tests/cluster/prompts.h"
#include "tests/cluster/simulation/workers.h"

namespace cleave::simulation {

// A stream of messages both ways. It may be lost, and come again under another session.
class Connection {
 public:
  Connection(Surroundings& around, Node& node);
  virtual ~Connection() = default;

  Node& node() const { return node_; }
  bool attached() const { return attached_; }
  // Takes new requests.
  bool usable() const { return attached_ && !draining_; }
  bool draining() const { return draining_; }
  void set_draining() { draining_ = true; }
  void Attach();
  // The gateway loses the worker, and each request that it holds hears so. The worker learns it
  // later, unless it is dead.
  void Lose();

 protected:
  struct Held {
    std::shared_ptr<WorkerEvents> events;
    uint32_t epoch = 0;
  };

  bool Hold(RequestNumber request, uint32_t epoch, std::shared_ptr<WorkerEvents> events);
  void LetGo(RequestNumber request) { held_.erase(request); }
  // Null unless this is what the gateway waits for.
  std::shared_ptr<WorkerEvents> Find(RequestKey key, RequestEpoch epoch) const;
  std::shared_ptr<WorkerEvents> Take(RequestKey key, RequestEpoch epoch);

  // To the worker, of this session, and back. What is under way when it is lost arrives there, but
  // not here.
  void Forward(std::function<void(SessionId)> arrive);
  void Back(SessionId session, std::function<void()> arrive);
  virtual void LoseSession(SessionId session) = 0;
  virtual void TellLost(WorkerEvents& events, uint32_t epoch) = 0;
  absl::Duration Delay();

  Surroundings& around_;
  Node& node_;

 private:
  Lane forward_, back_;
  uint64_t session_ = 0;
  bool attached_ = false, draining_ = false;
  std::map<RequestNumber, Held> held_;
};

class DecodeConnection final : public Connection, public DecodeWorker {
 public:
  DecodeConnection(Surroundings& around, DecodeNode& node)
      : Connection(around, node), decode_(node) {}
  bool Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
              absl::Duration time_left, std::shared_ptr<WorkerEvents> events) override;
  void Cancel(RequestNumber request, const std::string& reason) override;
  void CancelCandidate(RequestNumber request, int candidate) override;
  void Forget(RequestNumber request) override { LetGo(request); }
  std::string name() const override { return node_.address(); }
  std::string kv_link_address() const override { return node_.address(); }

 private:
  class Replies;
  void LoseSession(SessionId session) override { decode_.engine().CancelSession(session); }
  void TellLost(WorkerEvents& events, uint32_t epoch) override { events.OnDecodeLost(epoch); }
  DecodeNode& decode_;
};

// Gives the decoded media of a request.
using MediaOf = std::function<std::vector<PreparedMedia>(RequestNumber)>;

class PrefillConnection final : public Connection, public PrefillWorker {
 public:
  PrefillConnection(Surroundings& around, PrefillNode& node, MediaOf media_of, Tally& tally)
      : Connection(around, node),
        prefill_(node),
        media_of_(std::move(media_of)),
        tally_(tally),
        preparer_(around.events()) {}
  void PutMedia(const MediaItem& item, absl::Duration time_left,
                std::function<void(absl::Status)> done) override;
  bool Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
           absl::Duration time_left, uint64_t ticket, const std::string& decode_address,
           std::shared_ptr<WorkerEvents> events) override;
  void Cancel(RequestNumber request, const std::string& reason) override;
  void Forget(RequestNumber request) override { LetGo(request); }
  std::string name() const override { return node_.address(); }

 private:
  class Replies;
  // At once for a job in the engine, and behind those whose media are being decoded.
  void CancelBoth(std::function<void()> cancel);
  void TellLost(WorkerEvents& events, uint32_t epoch) override { events.OnPrefillLost(epoch); }
  void LoseSession(SessionId session) override {
    CancelBoth([this, session] { prefill_.engine().CancelSession(session); });
  }
  PrefillNode& prefill_;
  const MediaOf media_of_;
  Tally& tally_;
  Lane preparer_;  // decodes one file after the other
};

}  // namespace cleave::simulation
