// Stand-ins for the surroundings of one half of a KV link, which write down what they are told.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/link/kv_receiver.h"
#include "runtime/link/kv_sender.h"

namespace cleave {

inline constexpr KvShape kSmallShape = {.page_tokens = 4,
                                        .window = 9,
                                        .full_layers = 1,
                                        .sliding_layers = 2,
                                        .full_page_bytes = 8,
                                        .sliding_page_bytes = 4};

inline LinkIdentity SmallIdentity() {
  return {.layout_hash = "layout",
          .build = "build",
          .model_id = "model",
          .numerics_fingerprint = "fingerprint",
          .nccl_version = "2.27.3"};
}

inline TransferId Id(uint64_t ticket, uint32_t epoch = 1) {
  return {Ticket{ticket}, RequestEpoch{epoch}};
}

// The last message of one kind, if any was sent.
template <typename Content, typename Message>
std::optional<Content> Last(const std::vector<Message>& messages) {
  for (auto at = messages.rbegin(); at != messages.rend(); ++at) {
    if (const auto* content = std::get_if<Content>(&*at)) return *content;
  }
  return std::nullopt;
}

template <typename Content, typename Message>
int Count(const std::vector<Message>& messages) {
  return static_cast<int>(std::count_if(messages.begin(), messages.end(), [](const Message& m) {
    return std::holds_alternative<Content>(m);
  }));
}

class FakeSenderTransport final : public SenderTransport {
 public:
  void Send(PrefillToDecode message) override { messages.push_back(std::move(message)); }
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes>) override {
    frames.push_back(header);
  }
  void Close(const absl::Status&) override { closed = true; }

  std::vector<PrefillToDecode> messages;
  std::vector<FrameHeader> frames;
  bool closed = false;
};

class FakeSenderListener final : public SenderListener {
 public:
  void OnGranted(TransferId transfer) override { granted.push_back(transfer); }
  void OnRefused(TransferId, const absl::Status& why) override { refused.push_back(why); }
  void OnFinished(TransferId transfer, const absl::Status& status) override {
    finished.emplace_back(transfer, status);
  }
  void OnLinkOpen(const LinkAccepted&) override { ++opens; }
  void OnLinkFailed(const absl::Status& why) override { failures.push_back(why); }

  // Of a transfer that has ended once; kUnspecified when it ended well.
  std::optional<Reason> EndOf(TransferId transfer) const {
    std::optional<Reason> end;
    for (const auto& [id, status] : finished) {
      if (id == transfer) end = status.ok() ? Reason::kUnspecified : GetReason(status);
    }
    return end;
  }

  std::vector<TransferId> granted;
  std::vector<absl::Status> refused;
  std::vector<std::pair<TransferId, absl::Status>> finished;
  int opens = 0;
  std::vector<absl::Status> failures;
};

class FakeReceiverTransport final : public ReceiverTransport {
 public:
  void Send(DecodeToPrefill message) override { messages.push_back(std::move(message)); }
  void Close(const absl::Status&) override { closed = true; }

  std::vector<DecodeToPrefill> messages;
  bool closed = false;
};

// Memory for one transfer that starts as zeros.
class FakeDestination final : public TransferDestination {
 public:
  explicit FakeDestination(std::map<std::tuple<PoolKind, int64_t, int64_t>, std::string>& pages)
      : pages_(pages) {}
  absl::Span<uint8_t> PageLayer(PoolKind pool, int64_t layer, int64_t page) override {
    std::string& bytes = pages_[{pool, layer, page}];
    bytes.resize(static_cast<size_t>(kSmallShape.page_bytes(pool)));
    return {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()};
  }

 private:
  std::map<std::tuple<PoolKind, int64_t, int64_t>, std::string>& pages_;
};

class FakeReceiverListener final : public ReceiverListener {
 public:
  void ReservePages(TransferId transfer, const TransferPlan&) override {
    reserving.push_back(transfer);
  }
  void OnCommitted(TransferId transfer, CommitPayload payload) override {
    committed.emplace_back(transfer, std::move(payload));
  }
  void OnFailed(TransferId transfer, const absl::Status& status) override {
    failed.emplace_back(transfer, GetReason(status));
  }
  void OnLinkOpen(Incarnation) override { ++opens; }
  void OnLinkFailed(Incarnation, const absl::Status& why) override { failures.push_back(why); }

  // kUnspecified when none has failed.
  std::pair<TransferId, Reason> LastFailure() const {
    return failed.empty() ? std::pair(TransferId{}, Reason::kUnspecified) : failed.back();
  }

  std::unique_ptr<TransferDestination> Destination() {
    return std::make_unique<FakeDestination>(pages);
  }

  std::vector<TransferId> reserving;
  std::vector<std::pair<TransferId, CommitPayload>> committed;
  std::vector<std::pair<TransferId, Reason>> failed;
  int opens = 0;
  std::vector<absl::Status> failures;
  std::map<std::tuple<PoolKind, int64_t, int64_t>, std::string> pages;  // those written to
};

}  // namespace cleave
