#include "runtime/link/kv_receiver.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

absl::Status Corrupt(absl::string_view what, int64_t found, int64_t expected) {
  return LinkError(Reason::kKvTransferCorrupt,
                   absl::StrCat(what, " is ", found, ", expected ", expected));
}

absl::Status LinkLost() {
  return LinkError(Reason::kWorkerLost, "the link to the prefill worker has failed");
}

}  // namespace

KvReceiver::KvReceiver(const LinkIdentity& own, Incarnation incarnation, const KvShape& shape,
                       const LinkLimits& limits, TicketTable& tickets, LinkRegistry& registry,
                       ReceiverTransport& transport, ReceiverListener& listener, const Clock& clock,
                       LinkObserver* observer)
    : own_(own),
      incarnation_(incarnation),
      shape_(shape),
      limits_(limits),
      tickets_(tickets),
      registry_(registry),
      transport_(transport),
      listener_(listener),
      clock_(clock),
      observer_(observer),
      state_since_(clock.Now()) {}

KvReceiver::~KvReceiver() { CHECK(transfers_.empty() && !prefill_.has_value()); }

// --- the transport's calls ---

void KvReceiver::OnMessage(PrefillToDecode message) {
  if (state_ >= State::kClosing) {
    ++counters_.messages_ignored;
    return;
  }
  last_heard_ = clock_.Now();
  if (open() == std::holds_alternative<OpenLink>(message)) {
    return Fail(LinkError(Reason::kWorkerLost, "the prefill worker spoke out of turn"));
  }
  std::visit([this](auto& content) { Handle(content); }, message);
}

void KvReceiver::OnFrame(const FrameHeader& header, absl::Span<const uint8_t> bytes) {
  if (state_ == State::kOpening) {
    return Fail(LinkError(Reason::kWorkerLost, "the prefill worker spoke out of turn"));
  }
  ++counters_.frames;
  counters_.bytes += static_cast<int64_t>(bytes.size());
  if (!open()) {
    ++counters_.frames_ignored;
    return;
  }
  last_heard_ = clock_.Now();
  transport_.Send(Received{header.transfer, header.sequence_number});
  Transfer* transfer = Find(header.transfer);
  if (transfer == nullptr) {
    ++counters_.frames_ignored;
    return;
  }
  const absl::Status checked = CheckFrame(*transfer, header, bytes);
  if (!checked.ok()) return End(*transfer, checked, /*tell_peer=*/true);
  WriteFrame(*transfer, header, bytes);
  transport_.Send(Credit{header.transfer, 1});
}

void KvReceiver::OnTransportClosed(const absl::Status& why) {
  CHECK(state_ != State::kClosed);
  if (state_ < State::kClosing) {
    LeaveRegistry(LinkError(Reason::kWorkerLost,
                            absl::StrCat("the prefill worker hung up: ", why.message())));
    EndAll(LinkLost());
  }
  state_ = State::kClosed;
}

// --- the engine's calls ---

void KvReceiver::OnReserved(TransferId id,
                            absl::StatusOr<std::unique_ptr<TransferDestination>> destination) {
  const auto found = transfers_.find(id);
  CHECK(found != transfers_.end() && found->second.phase != Phase::kReceiving);
  Transfer& transfer = found->second;
  if (transfer.phase == Phase::kDoomed) {
    const absl::Status status = transfer.end_status;
    transfers_.erase(found);
    if (destination.ok()) listener_.OnFailed(id, status);
    return;
  }
  if (!destination.ok()) {
    tickets_.Unclaim(id);
    transfers_.erase(found);
    return RefuseClaim(id, destination.status());
  }
  transfer.phase = Phase::kReceiving;
  transfer.destination = *std::move(destination);
  transfer.coverage.emplace(shape_, transfer.expectation.plan);
  transfer.granted = clock_.Now();
  transfer.leased_until = clock_.Now() + limits_.lease;
  const double waited = absl::ToDoubleSeconds(transfer.granted - transfer.claimed);
  ++counters_.grants;
  if (observer_ != nullptr) observer_->OnGrantWaitSeconds(waited);
  transport_.Send(Grant{id, limits_.credits});
}

void KvReceiver::Fail(const absl::Status& why) {
  if (state_ >= State::kClosing) return;
  state_ = State::kClosing;
  state_since_ = clock_.Now();
  LeaveRegistry(why);
  transport_.Close(why);
  EndAll(LinkLost());
}

void KvReceiver::OnTicketRevoked(TransferId id, const absl::Status& why) {
  Transfer* transfer = Find(id);
  if (transfer != nullptr) End(*transfer, why, /*tell_peer=*/true);
}

void KvReceiver::OnSuperseded() {
  Fail(LinkError(Reason::kStaleEpoch, "the prefill worker has opened a newer link"));
}

// --- the prefill worker's messages ---

void KvReceiver::Handle(OpenLink& open) {
  const absl::StatusOr<LinkAccepted> accepted = AcceptLink(open);
  if (!accepted.ok()) {
    const ErrorDetail detail = GetErrorDetail(accepted.status()).value_or(ErrorDetail{});
    transport_.Send(
        OpenLinkReply{LinkRefused{detail.reason, detail.field, detail.limit, detail.actual}});
    // The prefill worker closes when it has read why; the open limit sees to it.
    return;
  }
  prefill_ = open.prefill_incarnation;
  checksums_ = open.checksums;
  state_ = State::kOpen;
  state_since_ = clock_.Now();
  next_keepalive_ = clock_.Now() + limits_.heartbeat;
  transport_.Send(OpenLinkReply{*accepted});
  listener_.OnLinkOpen(*prefill_);
}

absl::StatusOr<LinkAccepted> KvReceiver::AcceptLink(const OpenLink& open) {
  RETURN_IF_ERROR(CheckIdentity(own_, open.identity));
  const auto offered = [&](MoverKind mover) {
    return std::find(open.movers.begin(), open.movers.end(), mover) != open.movers.end();
  };
  const bool nccl = offered(MoverKind::kNccl) && !own_.nccl_version.empty();
  const bool same_nccl = own_.nccl_version == open.identity.nccl_version;
  if (!offered(MoverKind::kGrpc)) {
    if (nccl && !same_nccl) {
      return MismatchError("nccl_version", own_.nccl_version, open.identity.nccl_version);
    }
    if (!nccl) return MismatchError("movers", "grpc", "none that this worker has");
  }
  RETURN_IF_ERROR(registry_.Enter(open.prefill_incarnation, open.link_epoch, *this));
  return LinkAccepted{.decode_incarnation = incarnation_,
                      .mover = nccl && same_nccl ? MoverKind::kNccl : MoverKind::kGrpc,
                      .frame_bytes_max = limits_.frame_bytes_max};
}

void KvReceiver::Handle(Claim& claim) {
  ++counters_.claims;
  if (draining_) {
    return RefuseClaim(claim.transfer,
                       LinkError(Reason::kDraining, "the decode worker is draining"));
  }
  // An ended transfer of this id may still wait for its pages, and the ticket be expected anew.
  if (transfers_.contains(claim.transfer)) {
    return RefuseClaim(claim.transfer,
                       LinkError(Reason::kStaleEpoch, "the transfer was claimed before"));
  }
  const absl::Time now = clock_.Now();
  absl::StatusOr<TicketExpectation> expectation =
      tickets_.Claim(claim.transfer, claim.plan, *this, now);
  if (!expectation.ok()) return RefuseClaim(claim.transfer, expectation.status());
  Transfer& transfer = transfers_[claim.transfer];
  transfer.id = claim.transfer;
  transfer.expectation = *std::move(expectation);
  transfer.claimed = now;
  transfer.leased_until = now + limits_.lease;
  listener_.ReservePages(claim.transfer, claim.plan);
}

void KvReceiver::Handle(FrameAnnounce&) {
  Fail(LinkError(Reason::kWorkerLost, "the gRPC mover announces no frames"));
}

void KvReceiver::Handle(Commit& commit) {
  Transfer* transfer = Find(commit.transfer);
  if (transfer == nullptr) {
    ++counters_.messages_ignored;
    return;
  }
  const absl::Status checked = CheckCommit(*transfer, commit);
  transport_.Send(CommitReply{commit.transfer,
                              checked.ok() ? Reason::kUnspecified : GetReason(checked),
                              std::string(checked.message())});
  if (!checked.ok()) return End(*transfer, checked, /*tell_peer=*/false);
  const double took = absl::ToDoubleSeconds(clock_.Now() - transfer->granted);
  ++counters_.commits;
  if (observer_ != nullptr) observer_->OnTransferSeconds(took);
  tickets_.Finish(commit.transfer);
  transfers_.erase(commit.transfer);
  listener_.OnCommitted(commit.transfer, std::move(commit.payload));
}

void KvReceiver::Handle(Abort& abort) {
  Transfer* transfer = Find(abort.transfer);
  if (transfer == nullptr) {
    ++counters_.messages_ignored;
    return;
  }
  End(*transfer, LinkError(abort.reason, abort.detail), /*tell_peer=*/false);
}

void KvReceiver::Handle(Keepalive& keepalive) {
  for (const TransferId id : keepalive.transfers) {
    Transfer* transfer = Find(id);
    if (transfer != nullptr) transfer->leased_until = clock_.Now() + limits_.lease;
  }
}

void KvReceiver::RefuseClaim(TransferId transfer, const absl::Status& why) {
  ++counters_.refusals;
  if (!open()) return;
  const std::optional<ErrorDetail> detail = GetErrorDetail(why);
  transport_.Send(Refuse{transfer, GetReason(why), std::string(why.message()),
                         detail ? detail->retry_after : std::nullopt});
}

// --- frames ---

absl::Status KvReceiver::CheckFrame(Transfer& transfer, const FrameHeader& header,
                                    absl::Span<const uint8_t> bytes) {
  if (transfer.phase != Phase::kReceiving) {
    return LinkError(Reason::kKvTransferCorrupt, "a frame came before its grant");
  }
  if (header.sequence_number != transfer.frames) {
    return Corrupt("frame number", header.sequence_number, transfer.frames);
  }
  if (header.bytes != static_cast<int64_t>(bytes.size())) {
    return Corrupt("frame size", static_cast<int64_t>(bytes.size()), header.bytes);
  }
  return transfer.coverage->Add(header);
}

void KvReceiver::WriteFrame(Transfer& transfer, const FrameHeader& header,
                            absl::Span<const uint8_t> bytes) {
  const auto page_bytes = static_cast<size_t>(shape_.page_bytes(header.pool));
  for (int64_t i = 0; i < header.page_count; ++i) {
    const absl::Span<uint8_t> page =
        transfer.destination->PageLayer(header.pool, header.layer, header.first_page + i);
    CHECK(page.size() == page_bytes);
    std::memcpy(page.data(), bytes.data() + static_cast<size_t>(i) * page_bytes, page_bytes);
  }
  if (checksums_) {
    transfer.checksum.AddHeader(header);
    transfer.checksum.AddBytes(bytes);
  }
  ++transfer.frames;
  transfer.bytes += header.bytes;
  transfer.leased_until = clock_.Now() + limits_.lease;
}

absl::Status KvReceiver::CheckCommit(const Transfer& transfer, const Commit& commit) const {
  const TicketExpectation& expected = transfer.expectation;
  const CommitPayload& payload = commit.payload;
  if (transfer.phase != Phase::kReceiving) {
    return LinkError(Reason::kKvTransferCorrupt, "a commit came before its grant");
  }
  if (commit.frames != transfer.frames) {
    return Corrupt("the number of frames", transfer.frames, commit.frames);
  }
  if (commit.bytes != transfer.bytes) {
    return Corrupt("the number of bytes", transfer.bytes, commit.bytes);
  }
  if (!transfer.coverage->complete()) {
    return LinkError(Reason::kKvTransferCorrupt, "pages of the plan are missing");
  }
  if (checksums_ && commit.checksum != transfer.checksum.value()) {
    return LinkError(Reason::kKvTransferCorrupt, "the checksum of the frames differs");
  }
  if (payload.num_positions != expected.num_positions) {
    return Corrupt("the number of positions", payload.num_positions, expected.num_positions);
  }
  const auto first_tokens = static_cast<int64_t>(payload.first_tokens.size());
  if (first_tokens != expected.num_candidates) {
    return Corrupt("the number of first tokens", first_tokens, expected.num_candidates);
  }
  const auto hidden_bytes = static_cast<int64_t>(payload.last_hidden_state.size());
  if (hidden_bytes != expected.last_hidden_bytes) {
    return Corrupt("the size of the hidden state", hidden_bytes, expected.last_hidden_bytes);
  }
  return absl::OkStatus();
}

// --- ending ---

KvReceiver::Transfer* KvReceiver::Find(TransferId id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end() || found->second.phase == Phase::kDoomed) return nullptr;
  return &found->second;
}

void KvReceiver::End(Transfer& transfer, const absl::Status& status, bool tell_peer) {
  const TransferId id = transfer.id;
  ++counters_.failures[static_cast<size_t>(GetReason(status))];
  tickets_.Finish(id);
  if (tell_peer && open()) {
    transport_.Send(Abort{id, GetReason(status), std::string(status.message())});
  }
  if (transfer.phase == Phase::kReserving) {
    transfer.phase = Phase::kDoomed;
    transfer.end_status = status;
    return;
  }
  transfers_.erase(id);
  listener_.OnFailed(id, status);
}

void KvReceiver::EndAll(const absl::Status& status) {
  std::vector<TransferId> ids;
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) {
    Transfer* transfer = Find(id);
    if (transfer != nullptr) End(*transfer, status, /*tell_peer=*/false);
  }
}

void KvReceiver::LeaveRegistry(const absl::Status& why) {
  if (!prefill_) return;
  const Incarnation prefill = *std::exchange(prefill_, std::nullopt);
  registry_.Leave(prefill, *this);
  listener_.OnLinkFailed(prefill, why);
}

// --- time ---

void KvReceiver::OnTick() {
  const absl::Time now = clock_.Now();
  if (state_ == State::kOpening && now >= state_since_ + limits_.open) {
    return Fail(LinkError(Reason::kWorkerLost, "the prefill worker opened no link"));
  }
  if (open() && now >= last_heard_ + limits_.dead_after()) {
    return Fail(LinkError(Reason::kWorkerLost, "the prefill worker is silent"));
  }
  std::vector<TransferId> ids;
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) {
    Transfer* transfer = Find(id);
    if (transfer == nullptr) continue;
    if (now >= transfer->expectation.deadline) {
      End(*transfer, LinkError(Reason::kTransferDeadline, "the request's deadline has passed"),
          /*tell_peer=*/true);
    } else if (now >= transfer->leased_until) {
      End(*transfer,
          LinkError(Reason::kTransferDeadline, "the prefill worker has lost the transfer"),
          /*tell_peer=*/true);
    }
  }
  if (open() && now >= next_keepalive_) {
    Keepalive keepalive;
    for (const auto& [id, transfer] : transfers_) {
      if (transfer.phase != Phase::kDoomed) keepalive.transfers.push_back(id);
    }
    transport_.Send(std::move(keepalive));
    next_keepalive_ = now + limits_.heartbeat;
  }
}

absl::Time KvReceiver::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  if (state_ == State::kOpening) next = state_since_ + limits_.open;
  if (state_ == State::kClosing && !close_overdue()) next = state_since_ + limits_.close;
  if (open()) next = std::min(next_keepalive_, last_heard_ + limits_.dead_after());
  for (const auto& [id, transfer] : transfers_) {
    if (transfer.phase == Phase::kDoomed) continue;
    next = std::min({next, transfer.expectation.deadline, transfer.leased_until});
  }
  return next;
}

bool KvReceiver::close_overdue() const {
  return state_ == State::kClosing && clock_.Now() >= state_since_ + limits_.close;
}

}  // namespace cleave
