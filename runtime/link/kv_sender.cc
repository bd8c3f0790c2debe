#include "runtime/link/kv_sender.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/planted_bug.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

constexpr int64_t kCreditsMax = 1 << 20;  // keeps the sum of a hostile peer's credits finite

int64_t ClampCredits(int64_t credits) { return std::clamp<int64_t>(credits, 0, kCreditsMax); }

absl::Status LinkLost() {
  return LinkError(Reason::kWorkerLost, "the link to the decode worker has failed");
}

}  // namespace

KvSender::KvSender(const LinkIdentity& own, Incarnation incarnation, LinkEpoch epoch,
                   std::vector<MoverKind> movers, const KvShape& shape, const LinkLimits& limits,
                   SenderTransport& transport, SenderListener& listener, const Clock& clock,
                   LinkObserver* observer)
    : own_(own),
      incarnation_(incarnation),
      epoch_(epoch),
      movers_(std::move(movers)),
      shape_(shape),
      limits_(limits),
      transport_(transport),
      listener_(listener),
      clock_(clock),
      observer_(observer),
      rate_(limits) {}

KvSender::~KvSender() { CHECK(transfers_.empty()); }

void KvSender::Open() {
  CHECK(state_ == State::kNew);
  state_ = State::kOpening;
  state_since_ = clock_.Now();
  transport_.Send(OpenLink{own_, incarnation_, epoch_, movers_, limits_.checksums});
}

// --- the engine's calls ---

void KvSender::Begin(const TransferSpec& spec) {
  if (!usable()) {
    ++counters_.failures[static_cast<size_t>(Reason::kWorkerLost)];
    return listener_.OnFinished(spec.id, LinkLost());
  }
  const auto [at, is_new] = transfers_.emplace(spec.id, Transfer());
  CHECK(is_new);
  Transfer& transfer = at->second;
  transfer.spec = spec;
  if (open()) SendClaim(transfer);
}

void KvSender::QueueFrame(TransferId id, const FrameSlice& slice, std::vector<PageBytes> pages,
                          std::function<void()> release) {
  Transfer* transfer = Find(id);
  if (transfer == nullptr) return release();
  CHECK(CheckSlice(slice, shape_, transfer->spec.plan).ok());
  CHECK(static_cast<int64_t>(pages.size()) == slice.page_count);
  for (const PageBytes page : pages) {
    CHECK(static_cast<int64_t>(page.size()) == shape_.page_bytes(slice.pool));
  }
  CHECK(!transfer->commit.has_value() && transfer->phase != Phase::kCommitted);
  transfer->slices.push_back({slice, std::move(pages), std::move(release)});
  Pump();
}

void KvSender::Commit(TransferId id, CommitPayload payload) {
  Transfer* transfer = Find(id);
  if (transfer == nullptr) return;
  CHECK(!transfer->commit.has_value() && transfer->phase != Phase::kCommitted);
  transfer->commit = std::move(payload);
  SendCommitIfReady(*transfer);
}

void KvSender::Cancel(TransferId id, Reason reason) {
  Transfer* transfer = Find(id);
  if (transfer == nullptr) return;
  End(*transfer, LinkError(reason, "the transfer was cancelled"), /*tell_peer=*/true);
}

void KvSender::Fail(const absl::Status& why) {
  if (!usable()) return;
  state_ = State::kClosing;
  state_since_ = clock_.Now();
  in_flight_.clear();
  listener_.OnLinkFailed(why);
  transport_.Close(why);
  EndAll(GetReason(why) == Reason::kWorkerMismatch ? why : LinkLost());
}

// --- the transport's calls ---

void KvSender::OnMessage(DecodeToPrefill message) {
  if (!usable()) {
    ++counters_.messages_ignored;
    return;
  }
  last_heard_ = clock_.Now();
  if (open() == std::holds_alternative<OpenLinkReply>(message)) {
    return Fail(LinkError(Reason::kWorkerLost, "the decode worker answered out of turn"));
  }
  std::visit([this](const auto& content) { Handle(content); }, message);
}

void KvSender::OnFrameMoved(TransferId id, uint32_t sequence_number) {
  const auto found = transfers_.find(id);
  CHECK(found != transfers_.end());
  Transfer& transfer = found->second;
  const auto frame = transfer.in_mover.find(sequence_number);
  CHECK(frame != transfer.in_mover.end());
  Slice* slice = frame->second.slice;
  mover_bytes_ -= frame->second.bytes;
  transfer.in_mover.erase(frame);
  --slice->frames_in_mover;
  const bool all_sent = slice->pages_sent == slice->pages.size();
  if (slice->frames_in_mover == 0 && (all_sent || transfer.phase == Phase::kEnding)) {
    slice->release();
    transfer.slices.remove_if([slice](const Slice& other) { return &other == slice; });
  }
  FinishIfQuiet(transfer);
  Pump();
}

void KvSender::OnTransportClosed(const absl::Status& why) {
  CHECK(state_ != State::kClosed);
  if (usable()) {
    state_ = State::kClosing;
    in_flight_.clear();
    listener_.OnLinkFailed(
        LinkError(Reason::kWorkerLost, absl::StrCat("the decode worker hung up: ", why.message())));
    EndAll(LinkLost());
  }
  // The mover has given everything back, so every transfer has ended with the last of its frames.
  CHECK(transfers_.empty() && mover_bytes_ == 0);
  state_ = State::kClosed;
}

// --- the decode worker's messages ---

void KvSender::Handle(const OpenLinkReply& reply) {
  if (const auto* refused = std::get_if<LinkRefused>(&reply.answer)) {
    return Fail(refused->reason == Reason::kWorkerMismatch
                    ? MismatchError(refused->field, refused->expected, refused->actual)
                    : LinkError(refused->reason, "the decode worker refused the link"));
  }
  const auto& accepted = std::get<LinkAccepted>(reply.answer);
  const int64_t page_bytes_max = std::max(shape_.full_page_bytes, shape_.sliding_page_bytes);
  if (accepted.frame_bytes_max < page_bytes_max) {
    return Fail(MismatchError("frame_bytes_max", absl::StrCat("at least ", page_bytes_max),
                              absl::StrCat(accepted.frame_bytes_max)));
  }
  state_ = State::kOpen;
  state_since_ = clock_.Now();
  next_keepalive_ = clock_.Now() + limits_.heartbeat;
  frame_bytes_max_ = std::min(accepted.frame_bytes_max, limits_.frame_bytes_max);
  frame_bytes_max_ = std::max(frame_bytes_max_, page_bytes_max);
  listener_.OnLinkOpen(accepted);
  for (auto& [id, transfer] : transfers_) SendClaim(transfer);
}

void KvSender::Handle(const Grant& grant) {
  Transfer* transfer = FindIn(grant.transfer, Phase::kClaimed);
  if (transfer == nullptr) return;
  transfer->phase = Phase::kGranted;
  transfer->granted = clock_.Now();
  transfer->leased_until = clock_.Now() + limits_.lease;
  transfer->credits = ClampCredits(grant.credits);
  const double waited = absl::ToDoubleSeconds(transfer->granted - transfer->first_claimed);
  ++counters_.grants;
  if (observer_ != nullptr) observer_->OnGrantWaitSeconds(waited);
  listener_.OnGranted(grant.transfer);
  if (!Planted(Bug::kGrantWakesNobody)) Pump();
  SendCommitIfReady(*transfer);
}

void KvSender::Handle(const Refuse& refuse) {
  Transfer* transfer = FindIn(refuse.transfer, Phase::kClaimed);
  if (transfer == nullptr) return;
  ++counters_.refusals;
  const absl::Status why = LinkError(
      refuse.reason, absl::StrCat("the decode worker refused the transfer: ", refuse.detail),
      refuse.retry_after);
  if (refuse.reason != Reason::kKvCacheFull) return End(*transfer, why, /*tell_peer=*/false);
  const absl::Duration pause =
      std::max(refuse.retry_after.value_or(limits_.retry_min), limits_.retry_min);
  const absl::Time claim_at = clock_.Now() + pause;
  if (claim_at >= transfer->first_claimed + limits_.grant) {
    return End(*transfer, why, /*tell_peer=*/false);
  }
  transfer->phase = Phase::kUnclaimed;
  transfer->claim_at = claim_at;
  listener_.OnRefused(refuse.transfer, why);
}

void KvSender::Handle(const Credit& credit) {
  Transfer* transfer = FindIn(credit.transfer, Phase::kGranted);
  if (transfer == nullptr) return;
  transfer->credits = ClampCredits(transfer->credits + ClampCredits(credit.frames));
  Pump();
}

void KvSender::Handle(const Received& received) {
  if (in_flight_.empty() || in_flight_.front().transfer != received.transfer ||
      in_flight_.front().sequence_number != received.sequence_number) {
    return Fail(LinkError(Reason::kWorkerLost, "the decode worker received what was not sent"));
  }
  rate_.Add(in_flight_.front().bytes, clock_.Now() - head_since_);
  in_flight_.pop_front();
  head_since_ = clock_.Now();
}

void KvSender::Handle(const CommitReply& reply) {
  Transfer* transfer = FindIn(reply.transfer, Phase::kCommitted);
  if (transfer == nullptr) return;
  if (reply.reason != Reason::kUnspecified) {
    return End(*transfer, LinkError(reply.reason, reply.detail), /*tell_peer=*/false);
  }
  const double took = absl::ToDoubleSeconds(clock_.Now() - transfer->granted);
  if (observer_ != nullptr) observer_->OnTransferSeconds(took);
  End(*transfer, absl::OkStatus(), /*tell_peer=*/false);
}

void KvSender::Handle(const Abort& abort) {
  Transfer* transfer = Find(abort.transfer);
  if (transfer == nullptr || transfer->phase == Phase::kUnclaimed) {
    ++counters_.messages_ignored;
    return;
  }
  End(*transfer, LinkError(abort.reason, abort.detail), /*tell_peer=*/false);
}

void KvSender::Handle(const Keepalive& keepalive) {
  for (const TransferId id : keepalive.transfers) {
    Transfer* transfer = Find(id);
    if (transfer != nullptr && transfer->phase >= Phase::kGranted) {
      transfer->leased_until = clock_.Now() + limits_.lease;
    }
  }
}

// --- sending ---

KvSender::Transfer* KvSender::Find(TransferId id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end() || found->second.phase == Phase::kEnding) return nullptr;
  return &found->second;
}

KvSender::Transfer* KvSender::FindIn(TransferId id, Phase phase) {
  Transfer* transfer = Find(id);
  if (transfer != nullptr && transfer->phase == phase) return transfer;
  ++counters_.messages_ignored;
  return nullptr;
}

void KvSender::SendClaim(Transfer& transfer) {
  const absl::Time now = clock_.Now();
  transfer.phase = Phase::kClaimed;
  transfer.first_claimed = std::min(transfer.first_claimed, now);
  ++counters_.claims;
  transport_.Send(Claim{transfer.spec.id, transfer.spec.plan});
}

void KvSender::Pump() {
  while (open() && mover_bytes_ < limits_.mover_bytes_max) {
    Transfer* transfer = NextToSend();
    if (transfer == nullptr) return;
    SendFrame(*transfer);
    SendCommitIfReady(*transfer);
  }
}

// The first transfer after last_turn_, in the order of ids and around its end, that may send.
KvSender::Transfer* KvSender::NextToSend() {
  auto at = transfers_.upper_bound(last_turn_);
  for (size_t i = 0; i < transfers_.size(); ++i, ++at) {
    if (at == transfers_.end()) at = transfers_.begin();
    Transfer& transfer = at->second;
    if (transfer.phase == Phase::kGranted && transfer.credits > 0 && UnsentSlice(transfer)) {
      return &transfer;
    }
  }
  return nullptr;
}

KvSender::Slice* KvSender::UnsentSlice(Transfer& transfer) {
  for (Slice& slice : transfer.slices) {
    if (slice.pages_sent < slice.pages.size()) return &slice;
  }
  return nullptr;
}

void KvSender::SendFrame(Transfer& transfer) {
  Slice& slice = *UnsentSlice(transfer);
  const int64_t page_bytes = shape_.page_bytes(slice.slice.pool);
  const auto count = std::min(slice.pages.size() - slice.pages_sent,
                              static_cast<size_t>(frame_bytes_max_ / page_bytes));
  const auto pages = absl::MakeConstSpan(slice.pages).subspan(slice.pages_sent, count);
  const FrameHeader header{
      .transfer = transfer.spec.id,
      .sequence_number = static_cast<uint32_t>(transfer.frames),
      .pool = slice.slice.pool,
      .layer = slice.slice.layer,
      .first_page = slice.slice.first_page + static_cast<int64_t>(slice.pages_sent),
      .page_count = static_cast<int64_t>(count),
      .bytes = static_cast<int64_t>(count) * page_bytes};
  if (limits_.checksums) {
    transfer.checksum.AddHeader(header);
    for (const PageBytes page : pages) transfer.checksum.AddBytes(page);
  }
  slice.pages_sent += count;
  ++slice.frames_in_mover;
  transfer.in_mover.emplace(header.sequence_number, FrameInMover{&slice, header.bytes});
  --transfer.credits;
  ++transfer.frames;
  transfer.bytes += header.bytes;
  mover_bytes_ += header.bytes;
  ++counters_.frames;
  counters_.bytes += header.bytes;
  if (in_flight_.empty()) head_since_ = clock_.Now();
  in_flight_.push_back({header.transfer, header.sequence_number, header.bytes});
  last_turn_ = header.transfer;
  transport_.SendFrame(header, pages);
}

void KvSender::SendCommitIfReady(Transfer& transfer) {
  if (transfer.phase != Phase::kGranted || !transfer.commit) return;
  if (UnsentSlice(transfer) && !Planted(Bug::kCommitBeforeData)) return;
  transfer.phase = Phase::kCommitted;
  transport_.Send(cleave::Commit{transfer.spec.id, transfer.frames, transfer.bytes,
                                 transfer.checksum.value(), *std::move(transfer.commit)});
  transfer.commit.reset();
}

void KvSender::SendKeepalive() {
  Keepalive keepalive;
  for (const auto& [id, transfer] : transfers_) {
    const bool known_to_peer = transfer.phase >= Phase::kClaimed && transfer.phase < Phase::kEnding;
    if (known_to_peer) keepalive.transfers.push_back(id);
  }
  transport_.Send(std::move(keepalive));
  next_keepalive_ = clock_.Now() + limits_.heartbeat;
}

// --- ending ---

void KvSender::End(Transfer& transfer, const absl::Status& status, bool tell_peer) {
  const bool known_to_peer = transfer.phase >= Phase::kClaimed;
  if (tell_peer && known_to_peer && open()) {
    transport_.Send(Abort{transfer.spec.id, GetReason(status), std::string(status.message())});
  }
  if (status.ok()) {
    ++counters_.commits;
  } else {
    ++counters_.failures[static_cast<size_t>(GetReason(status))];
  }
  transfer.phase = Phase::kEnding;
  transfer.end_status = status;
  transfer.commit.reset();
  for (auto slice = transfer.slices.begin(); slice != transfer.slices.end();) {
    if (slice->frames_in_mover > 0) {
      ++slice;
      continue;
    }
    slice->release();
    slice = transfer.slices.erase(slice);
  }
  FinishIfQuiet(transfer);
}

void KvSender::FinishIfQuiet(Transfer& transfer) {
  if (transfer.phase != Phase::kEnding || !transfer.in_mover.empty()) return;
  const TransferId id = transfer.spec.id;
  const absl::Status status = transfer.end_status;
  transfers_.erase(id);
  listener_.OnFinished(id, status);
}

void KvSender::EndAll(const absl::Status& status) {
  std::vector<TransferId> ids;
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) {
    Transfer* transfer = Find(id);
    if (transfer != nullptr) End(*transfer, status, /*tell_peer=*/false);
  }
}

// --- time ---

void KvSender::OnTick() {
  const absl::Time now = clock_.Now();
  if (state_ == State::kOpening && now >= state_since_ + limits_.open) {
    return Fail(LinkError(Reason::kWorkerLost, "the decode worker did not answer"));
  }
  if (open() && now >= last_heard_ + limits_.dead_after()) {
    return Fail(LinkError(Reason::kWorkerLost, "the decode worker is silent"));
  }
  if (open() && now >= FrameDeadline()) {
    Transfer* slow = Find(in_flight_.front().transfer);
    if (slow != nullptr) {
      End(*slow, LinkError(Reason::kTransferDeadline, "a frame took too long"),
          /*tell_peer=*/false);
    }
    return Fail(LinkError(Reason::kWorkerLost, "a frame took too long"));
  }
  std::vector<TransferId> ids;
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) {
    Transfer* transfer = Find(id);
    if (transfer != nullptr) TickTransfer(*transfer, now);
  }
  if (open() && now >= next_keepalive_) SendKeepalive();
}

void KvSender::TickTransfer(Transfer& transfer, absl::Time now) {
  const auto fail = [&](absl::string_view message) {
    End(transfer, LinkError(Reason::kTransferDeadline, message), /*tell_peer=*/true);
  };
  const bool waits_for_grant = transfer.phase <= Phase::kClaimed;
  if (now >= transfer.spec.deadline) return fail("the request's deadline has passed");
  if (waits_for_grant && now >= transfer.first_claimed + limits_.grant) {
    return End(transfer,
               LinkError(Reason::kKvCacheFull, "the decode worker gave no pages in time",
                         absl::Milliseconds(100)),
               /*tell_peer=*/true);
  }
  if (now >= transfer.leased_until) return fail("the decode worker has lost the transfer");
  if (open() && transfer.phase == Phase::kUnclaimed && now >= transfer.claim_at) {
    SendClaim(transfer);
  }
}

absl::Time KvSender::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  if (state_ == State::kOpening) next = state_since_ + limits_.open;
  if (state_ == State::kClosing && !close_overdue()) next = state_since_ + limits_.close;
  if (open()) {
    next = std::min({next_keepalive_, last_heard_ + limits_.dead_after(), FrameDeadline()});
  }
  for (const auto& [id, transfer] : transfers_) next = std::min(next, DeadlineOf(transfer));
  return next;
}

absl::Time KvSender::DeadlineOf(const Transfer& transfer) const {
  absl::Time next = std::min(transfer.spec.deadline, transfer.leased_until);
  switch (transfer.phase) {
    case Phase::kUnclaimed:
      return open() ? std::min(next, transfer.claim_at) : next;
    case Phase::kClaimed:
      return std::min(next, transfer.first_claimed + limits_.grant);
    case Phase::kGranted:
    case Phase::kCommitted:
      return next;
    case Phase::kEnding:
      break;
  }
  return absl::InfiniteFuture();
}

absl::Time KvSender::FrameDeadline() const {
  if (in_flight_.empty()) return absl::InfiniteFuture();
  return head_since_ + rate_.FrameLimit(in_flight_.front().bytes);
}

bool KvSender::close_overdue() const {
  return state_ == State::kClosing && clock_.Now() >= state_since_ + limits_.close;
}

}  // namespace cleave
