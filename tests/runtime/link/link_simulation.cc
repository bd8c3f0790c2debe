// Longer than 600 lines: both workers, the wire between them and the gateway that drives them are
// one machine, whose parts are only understood beside each other.
#include "tests/runtime/link/link_simulation.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "runtime/link/link_error.h"

namespace cleave::simulation {
namespace {

constexpr absl::Duration kWorldTimeMax = absl::Minutes(5);
constexpr int64_t kHiddenBytes = 12;

Incarnation NewIncarnation(RandomWalk& walk) { return Incarnation{walk.Bits()}; }

// Runs of pages of one layer, cut anywhere.
void AddSlices(RandomWalk& walk, PoolKind pool, int64_t layers, int64_t first, int64_t pages,
               std::vector<FrameSlice>& slices) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t at = 0; at < pages;) {
      const int64_t count = walk.Between(1, static_cast<int>(pages - at));
      slices.push_back({pool, layer, first + at, count});
      at += count;
    }
  }
}

void CorruptHeader(RandomWalk& walk, FrameHeader& header) {
  const int64_t numbers[] = {-1, 0, 1, 2, 3, int64_t{1} << 32, INT64_MAX, INT64_MIN};
  const int64_t number = numbers[walk.Below(8)];
  switch (walk.Below(8)) {
    case 0:
      header.transfer.ticket = Ticket{static_cast<uint64_t>(number)};
      return;
    case 1:
      header.transfer.epoch = RequestEpoch{static_cast<uint32_t>(number)};
      return;
    case 2:
      header.sequence_number = static_cast<uint32_t>(number);
      return;
    case 3:
      header.pool = header.pool == PoolKind::kFull ? PoolKind::kSliding : PoolKind::kFull;
      return;
    case 4:
      header.layer = number;
      return;
    case 5:
      header.first_page = number;
      return;
    case 6:
      header.page_count = number;
      return;
    default:
      header.bytes = number;
  }
}

void CorruptBytes(RandomWalk& walk, std::vector<uint8_t>& bytes) {
  const auto at = static_cast<size_t>(walk.Below(static_cast<int>(bytes.size())));
  if (walk.OneIn(2)) {
    bytes.resize(at);
  } else {
    bytes[at] ^= static_cast<uint8_t>(1 << walk.Below(8));
  }
}

}  // namespace

// --- pools ---

Pool::Pool(int num_pages, int64_t layers, int64_t page_bytes)
    : layers_(layers),
      page_bytes_(page_bytes),
      memory_(static_cast<size_t>(num_pages * layers * page_bytes), kPoison),
      pages_(num_pages, [this](PageId page) {
        const absl::Span<uint8_t> bytes = Page(page);
        std::fill(bytes.begin(), bytes.end(), kPoison);
      }) {}

absl::Status Pool::Take(absl::Span<PageId> pages) {
  const absl::Status status = pages_.Allocate(pages);
  if (!status.ok()) return status;
  for (const PageId page : pages) {
    for (const uint8_t byte : Page(page)) EXPECT_EQ(byte, kPoison) << "a free page was written";
  }
  return status;
}

absl::Span<uint8_t> Pool::Page(PageId page) {
  const auto bytes = static_cast<size_t>(layers_ * page_bytes_);
  return absl::MakeSpan(memory_).subspan(static_cast<size_t>(page) * bytes, bytes);
}

absl::Span<uint8_t> Pool::PageLayer(PageId page, int64_t layer) {
  EXPECT_GT(pages_.pins(page), 0) << "memory of a page that nobody pins";
  return Page(page).subspan(static_cast<size_t>(layer * page_bytes_),
                            static_cast<size_t>(page_bytes_));
}

void Pool::CheckAllFree() {
  EXPECT_EQ(pages_.num_free(), pages_.num_pages());
  EXPECT_EQ(std::count(memory_.begin(), memory_.end(), kPoison),
            static_cast<std::ptrdiff_t>(memory_.size()));
}

PageId Pages::At(PoolKind pool, const TransferPlan& plan, int64_t ordinal) const {
  return pool == PoolKind::kFull
             ? full.at(static_cast<size_t>(ordinal))
             : sliding.at(static_cast<size_t>(ordinal - plan.first_sliding_page));
}

// --- the decode worker's end ---

DecodeEnd::DecodeEnd(World& world, std::function<void(DecodeToPrefill)> to_prefill,
                     std::function<void()> on_close)
    : world_(world),
      to_prefill_(std::move(to_prefill)),
      on_close_(std::move(on_close)),
      receiver_(world.identity_, world.decodes_.back()->incarnation, world.shape_, world.limits_,
                world.decodes_.back()->tickets, world.decodes_.back()->registry, *this, *this,
                world.clock_) {}

void DecodeEnd::Hear(PrefillToDecode message) {
  if (!closed_) receiver_.OnMessage(std::move(message));
}

void DecodeEnd::HearFrame(const FrameHeader& header, const std::vector<uint8_t>& bytes) {
  if (closed_) return;
  ++frames_arrived_;
  bytes_arrived_ += static_cast<int64_t>(bytes.size());
  receiver_.OnFrame(header, bytes);
}

void DecodeEnd::CloseTransport() {
  if (std::exchange(closed_, true)) return;
  receiver_.OnTransportClosed(absl::UnavailableError("closed"));
}

void DecodeEnd::ReservePages(TransferId transfer, const TransferPlan& plan) {
  EXPECT_TRUE(reserving_.emplace(transfer, plan).second);
  for (const World::Request& request : world_.requests_) {
    if (request.id.ticket == transfer.ticket) {
      EXPECT_EQ(request.id, transfer) << "an old epoch got so far";
    }
  }
  if (world_.walk_.OneIn(2)) return AnswerReserve(transfer, plan);
  const absl::Duration slow = world_.walk_.OneIn(20) ? absl::Seconds(3) : world_.Soon();
  world_.At(slow, [this, transfer, plan] { AnswerReserve(transfer, plan); });
}

// The engine's answer: pages, all or none.
void DecodeEnd::AnswerReserve(TransferId transfer, const TransferPlan& plan) {
  if (reserving_.erase(transfer) == 0) return;  // answered when the process died
  World::DecodeNode& node = *world_.decodes_.back();
  Pages pages{std::vector<PageId>(static_cast<size_t>(plan.full_pages)),
              std::vector<PageId>(static_cast<size_t>(plan.sliding_pages))};
  absl::Status status = node.full.Take(absl::MakeSpan(pages.full));
  if (status.ok()) {
    status = node.sliding.Take(absl::MakeSpan(pages.sliding));
    if (!status.ok()) node.full.pages().Release(pages.full);
  }
  if (!status.ok()) {
    return receiver_.OnReserved(transfer, LinkError(Reason::kKvCacheFull, "no room",
                                                    absl::Milliseconds(world_.walk_.Below(300))));
  }
  node.full.pages().Pin(pages.full);
  node.sliding.pages().Pin(pages.sliding);
  struct Destination final : TransferDestination {
    Destination(World::DecodeNode& n, Pages p, const TransferPlan& pl)
        : node(n), pages(std::move(p)), plan(pl) {}
    absl::Span<uint8_t> PageLayer(PoolKind pool, int64_t layer, int64_t page) override {
      Pool& memory = pool == PoolKind::kFull ? node.full : node.sliding;
      return memory.PageLayer(pages.At(pool, plan, page), layer);
    }
    World::DecodeNode& node;
    Pages pages;
    TransferPlan plan;
  };
  EXPECT_TRUE(reserved_.emplace(transfer, pages).second) << "reserved twice";
  receiver_.OnReserved(transfer, std::make_unique<Destination>(node, pages, plan));
}

void DecodeEnd::AnswerAllReserves() {
  while (!reserving_.empty()) {
    const auto [transfer, plan] = *reserving_.begin();
    AnswerReserve(transfer, plan);
  }
}

bool DecodeEnd::HoldsPagesOf(Ticket ticket) const {
  return std::any_of(reserved_.begin(), reserved_.end(),
                     [ticket](const auto& entry) { return entry.first.ticket == ticket; });
}

void DecodeEnd::OnCommitted(TransferId transfer, CommitPayload payload) {
  const auto pages = reserved_.extract(transfer);
  ASSERT_FALSE(pages.empty()) << "ended twice";
  world_.CheckCommitted(transfer, pages.mapped(), payload);
  EXPECT_TRUE(world_.committed_.insert(transfer).second) << "committed twice";
  ++world_.tally_.committed;
  for (World::Request& request : world_.requests_) {
    if (request.id.ticket == transfer.ticket) request.committed = true;
  }
  World::DecodeNode* node = world_.decodes_.back().get();
  node->full.pages().Unpin(pages.mapped().full);
  node->sliding.pages().Unpin(pages.mapped().sliding);
  world_.At(world_.Soon() * 20, [node, held = pages.mapped()] {  // the sequence has ended
    node->full.pages().Release(held.full);
    node->sliding.pages().Release(held.sliding);
  });
}

void DecodeEnd::OnFailed(TransferId transfer, const absl::Status& status) {
  EXPECT_FALSE(status.ok());
  EXPECT_NE(GetReason(status), Reason::kUnspecified) << status;
  const auto pages = reserved_.extract(transfer);
  ASSERT_FALSE(pages.empty()) << "ended twice";
  World::DecodeNode& node = *world_.decodes_.back();
  node.full.pages().Unpin(pages.mapped().full);
  node.sliding.pages().Unpin(pages.mapped().sliding);
  node.full.pages().Release(pages.mapped().full);
  node.sliding.pages().Release(pages.mapped().sliding);
}

void DecodeEnd::Check() {
  EXPECT_TRUE(receiver_.done());
  EXPECT_TRUE(reserved_.empty()) << "never ended";
  EXPECT_EQ(opens_, fails_);
  EXPECT_EQ(receiver_.counters().bytes, bytes_arrived_);
  EXPECT_EQ(receiver_.counters().frames, frames_arrived_);
}

// --- a session ---

Session::Session(World& world, int prefill)
    : world_(world),
      decode_(
          world, [this](DecodeToPrefill message) { Backward(std::move(message)); },
          [this] {
            world_.At(world_.Soon(), [this] { decode_.CloseTransport(); });
            if (!black_hole_) world_.At(world_.Soon(), [this] { CloseSenderEnd(); });
          }),
      sender_(world.identity_, world.prefills_[static_cast<size_t>(prefill)]->incarnation,
              LinkEpoch{++world.prefills_[static_cast<size_t>(prefill)]->link_epoch},
              {MoverKind::kGrpc}, world.shape_, world.limits_, *this, *this, world.clock_) {
  ++world.tally_.links;
  sender_.Open();
}

void Session::Send(PrefillToDecode message) {
  outbound_.emplace_back(std::move(message));
  ScheduleStep();
}

void Session::SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) {
  ++frames_out_;
  bytes_out_ += header.bytes;
  EXPECT_GT(credits_[header.transfer]--, 0) << "a frame without credit";
  ++world_.tally_.frames;
  outbound_.emplace_back(FrameOut{header, {pages.begin(), pages.end()}});
  ScheduleStep();
}

void Session::Close(const absl::Status&) {
  world_.At(world_.Soon(), [this] { CloseSenderEnd(); });
  if (!black_hole_) world_.At(world_.Soon(), [this] { decode_.CloseTransport(); });
}

void Session::Cut() {
  for (const bool sender_end : {true, false}) {
    const absl::Duration after = world_.walk_.OneIn(4) ? absl::Seconds(1) : world_.Soon();
    world_.At(after,
              [this, sender_end] { sender_end ? CloseSenderEnd() : decode_.CloseTransport(); });
  }
  outbound_.erase(
      std::remove_if(outbound_.begin(), outbound_.end(),
                     [](const Outbound& o) { return std::holds_alternative<PrefillToDecode>(o); }),
      outbound_.end());
  black_hole_ = true;
}

// Gives all memory back, then says that the stream has ended.
void Session::CloseSenderEnd() {
  if (std::exchange(sender_end_closed_, true)) return;
  while (!outbound_.empty()) {
    const Outbound message = std::move(outbound_.front());
    outbound_.pop_front();
    const auto* frame = std::get_if<FrameOut>(&message);
    if (frame != nullptr) {
      sender_.OnFrameMoved(frame->header.transfer, frame->header.sequence_number);
    }
  }
  sender_.OnTransportClosed(absl::UnavailableError("closed"));
  outbound_.clear();
}

void Session::ScheduleStep() {
  if (std::exchange(step_scheduled_, true)) return;
  world_.At(world_.Soon() / 4, [this] { Step(); });
}

void Session::Step() {
  step_scheduled_ = false;
  if (sender_end_closed_ || outbound_.empty() || black_hole_) return;
  Outbound message = std::move(outbound_.front());
  outbound_.pop_front();
  Leave(std::move(message));
  if (!outbound_.empty()) ScheduleStep();
}

// The moment when the mover reads the pages.
void Session::Leave(Outbound message) {
  const int copies = world_.Happens(Fault::kRepeat, 60) ? 2 : 1;
  if (auto* control = std::get_if<PrefillToDecode>(&message)) {
    if (world_.old_messages_.size() < 200) world_.old_messages_.push_back(*control);
    for (int i = 0; i < copies; ++i) {
      world_.events_.emplace(ArriveAfter(forward_last_), [this, sent = *control] {
        if (!black_hole_) decode_.Hear(sent);
      });
    }
    return;
  }
  auto& frame = std::get<FrameOut>(message);
  std::vector<uint8_t> bytes;
  for (const PageBytes page : frame.pages) bytes.insert(bytes.end(), page.begin(), page.end());
  world_.CheckSent(frame.header.transfer, frame.header, bytes);
  FrameHeader header = frame.header;
  if (world_.old_frames_.size() < 200) world_.old_frames_.emplace_back(header, bytes);
  if (world_.Happens(Fault::kCorruptHeader, 100)) CorruptHeader(world_.walk_, header);
  if (world_.Happens(Fault::kCorruptBytes, 100)) CorruptBytes(world_.walk_, bytes);
  for (int i = 0; i < copies; ++i) {
    world_.events_.emplace(ArriveAfter(forward_last_), [this, header, bytes] {
      if (!black_hole_) decode_.HearFrame(header, bytes);
    });
  }
  sender_.OnFrameMoved(frame.header.transfer, frame.header.sequence_number);
}

void Session::Backward(DecodeToPrefill message) {
  const int copies = world_.Happens(Fault::kRepeat, 200) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    world_.events_.emplace(ArriveAfter(backward_last_), [this, message] {
      if (sender_end_closed_ || black_hole_) return;
      if (const auto* grant = std::get_if<Grant>(&message)) {
        credits_[grant->transfer] += grant->credits;
      } else if (const auto* credit = std::get_if<Credit>(&message)) {
        credits_[credit->transfer] += credit->frames;
      }
      sender_.OnMessage(message);
    });
  }
}

absl::Time Session::ArriveAfter(absl::Time& last) {
  const bool stalls = world_.Happens(Fault::kStall, 150);
  const absl::Duration delay =
      stalls ? absl::Milliseconds(world_.walk_.Between(30, 3000)) : world_.Soon();
  last = std::max(last + absl::Nanoseconds(1), world_.clock_.Now() + delay);
  return last;
}

void Session::OnFinished(TransferId transfer, const absl::Status& status) {
  world_.EndAttempt(transfer, status);
}

void Session::Check() {
  EXPECT_TRUE(sender_.done());
  EXPECT_EQ(sender_.num_transfers(), 0);
  EXPECT_EQ(sender_.counters().bytes, bytes_out_);
  EXPECT_EQ(sender_.counters().frames, frames_out_);
  decode_.Check();
}

// --- the world ---

World::PrefillNode::PrefillNode(Incarnation id, const KvShape& shape)
    : incarnation(id),
      full(60, shape.full_layers, shape.full_page_bytes),
      sliding(30, shape.sliding_layers, shape.sliding_page_bytes) {}

World::DecodeNode::DecodeNode(Incarnation id, const KvShape& shape, int full_pages,
                              int sliding_pages)
    : incarnation(id),
      full(full_pages, shape.full_layers, shape.full_page_bytes),
      sliding(sliding_pages, shape.sliding_layers, shape.sliding_page_bytes),
      tickets(100, [](TransferId) {}) {}

World::World(uint64_t seed, Tally& tally) : walk_(seed), tally_(tally) {
  calm_ = walk_.OneIn(8);
  for (bool& enabled : enabled_) enabled = !calm_ && walk_.OneIn(4);
  shape_ = {.page_tokens = 4,
            .window = walk_.Between(2, 14),
            .full_layers = walk_.Between(0, 2),
            .sliding_layers = walk_.Between(1, 3),
            .full_page_bytes = 24,
            .sliding_page_bytes = 16};
  limits_.lease = absl::Seconds(2);
  limits_.grant = absl::Seconds(calm_ ? 10 : walk_.Between(1, 6));
  limits_.first_rate = 1e5;
  limits_.frame_bytes_max = walk_.Between(24, 90);
  limits_.mover_bytes_max = walk_.Between(1, 200);
  limits_.credits = walk_.Between(1, 4);
  const int num_prefills = walk_.Between(1, 2);
  for (int i = 0; i < num_prefills; ++i) {
    prefills_.push_back(std::make_unique<PrefillNode>(NewIncarnation(walk_), shape_));
  }
  const bool small = Happens(Fault::kPoolFull, 1);
  decodes_.push_back(
      std::make_unique<DecodeNode>(NewIncarnation(walk_), shape_, small ? 9 : 80, small ? 5 : 40));
  requests_.resize(static_cast<size_t>(walk_.Between(1, 5)));
}

bool World::Happens(Fault fault, int one_in) {
  if (!enabled_[static_cast<size_t>(fault)] || !walk_.OneIn(one_in)) return false;
  ++tally_.faults[static_cast<size_t>(fault)];
  return true;
}

uint8_t World::Pattern(TransferId id, PoolKind pool, int64_t layer, int64_t page, size_t i) {
  uint64_t x = static_cast<uint64_t>(id.ticket) * 1000 + static_cast<uint64_t>(id.epoch);
  x = (x * 8 + static_cast<uint64_t>(pool)) * 64 + static_cast<uint64_t>(layer);
  x = (x * 256 + static_cast<uint64_t>(page)) * 64 + i;
  return static_cast<uint8_t>((x * 0x9E3779B97F4A7C15u) >> 56);
}

CommitPayload World::PayloadOf(TransferId id, int64_t num_positions) {
  return {.first_tokens = {{static_cast<int32_t>(id.ticket), -0.5f}},
          .last_hidden_state = std::string(kHiddenBytes, static_cast<char>(id.epoch)),
          .num_positions = num_positions};
}

// The gateway announces the next attempt to D, then starts it at some P.
void World::StartAttempt(size_t index) {
  Request& request = requests_[index];
  if (request.over) return;  // a newer attempt was faster than this repeat
  request.id.epoch = RequestEpoch{static_cast<uint32_t>(request.id.epoch) + 1};
  const TicketExpectation expectation{.plan = MakeTransferPlan(shape_, request.num_positions),
                                      .num_positions = request.num_positions,
                                      .num_candidates = 1,
                                      .last_hidden_bytes = kHiddenBytes,
                                      .deadline = request.deadline};
  ASSERT_TRUE(decodes_.back()->tickets.Expect(request.id, expectation).ok());
  CheckNoPagesOf(request.id.ticket);
  Attempt& attempt = attempts_[request.id];
  attempt.request = index;
  attempt.plan = expectation.plan;
  attempt.prefill = walk_.Below(static_cast<int>(prefills_.size()));
  At(Soon(), [this, id = request.id] { Begin(id); });
}

void World::Begin(TransferId id) {
  Attempt& attempt = attempts_[id];
  PrefillNode& node = *prefills_[static_cast<size_t>(attempt.prefill)];
  const TransferPlan& plan = attempt.plan;
  if (node.full.pages().num_free() < plan.full_pages ||
      node.sliding.pages().num_free() < plan.sliding_pages) {
    return At(Soon(), [this, id] { Begin(id); });  // other attempts end
  }
  attempt.pages = {std::vector<PageId>(static_cast<size_t>(plan.full_pages)),
                   std::vector<PageId>(static_cast<size_t>(plan.sliding_pages))};
  ASSERT_TRUE(node.full.Take(absl::MakeSpan(attempt.pages.full)).ok());
  ASSERT_TRUE(node.sliding.Take(absl::MakeSpan(attempt.pages.sliding)).ok());
  attempt.owned = true;
  AddSlices(walk_, PoolKind::kFull, shape_.full_layers, 0, plan.full_pages, attempt.todo);
  AddSlices(walk_, PoolKind::kSliding, shape_.sliding_layers, plan.first_sliding_page,
            plan.sliding_pages, attempt.todo);
  for (size_t i = attempt.todo.size(); i > 1; --i) {
    std::swap(attempt.todo[i - 1],
              attempt.todo[static_cast<size_t>(walk_.Below(static_cast<int>(i)))]);
  }
  attempt.session = SessionOf(attempt.prefill);
  ++tally_.transfers;
  attempt.session->sender().Begin({id, plan, requests_[attempt.request].deadline});
  Continue(id);
}

// P's engine computes a chunk now and then.
void World::Continue(TransferId id) {
  Attempt& attempt = attempts_[id];
  if (attempt.ended) return;
  KvSender& sender = attempt.session->sender();
  if (Happens(Fault::kCancel, 40)) sender.Cancel(id, Reason::kCancelled);
  if (attempt.ended) return;
  for (int n = walk_.Between(0, 4); n > 0 && !attempt.todo.empty(); --n) QueueSlice(id, attempt);
  if (!attempt.todo.empty()) {
    const absl::Duration pause = walk_.OneIn(100) ? absl::Seconds(4) : Soon();
    return At(pause, [this, id] { Continue(id); });
  }
  sender.Commit(id, PayloadOf(id, requests_[attempt.request].num_positions));
  // The sequence may leave the engine while its pages are still on their way.
  if (walk_.OneIn(2)) ReleaseOwned(attempt);
  if (enabled_[static_cast<size_t>(Fault::kCancel)]) {
    At(Soon(), [this, id] {
      Attempt& late = attempts_[id];
      if (!late.ended && Happens(Fault::kCancel, 5)) {
        late.session->sender().Cancel(id, Reason::kCancelled);
      }
    });
  }
}

void World::QueueSlice(TransferId id, Attempt& attempt) {
  const FrameSlice slice = attempt.todo.back();
  attempt.todo.pop_back();
  PrefillNode& node = *prefills_[static_cast<size_t>(attempt.prefill)];
  Pool& pool = slice.pool == PoolKind::kFull ? node.full : node.sliding;
  std::vector<PageBytes> bytes;
  std::vector<PageId> pinned;
  for (int64_t page = slice.first_page; page < slice.first_page + slice.page_count; ++page) {
    pinned.push_back(attempt.pages.At(slice.pool, attempt.plan, page));
    pool.pages().Pin(pinned.back());
    const absl::Span<uint8_t> memory = pool.PageLayer(pinned.back(), slice.layer);
    for (size_t i = 0; i < memory.size(); ++i) {
      memory[i] = Pattern(id, slice.pool, slice.layer, page, i);
    }
    bytes.push_back(memory);
  }
  ++attempt.slices_queued;
  attempt.session->sender().QueueFrame(id, slice, std::move(bytes), [&attempt, &pool, pinned] {
    EXPECT_FALSE(attempt.ended) << "released after the end";
    ++attempt.slices_released;
    pool.pages().Unpin(pinned);
  });
}

void World::EndAttempt(TransferId id, const absl::Status& status) {
  Attempt& attempt = attempts_[id];
  EXPECT_FALSE(std::exchange(attempt.ended, true)) << "ended twice";
  EXPECT_EQ(attempt.slices_queued, attempt.slices_released);
  ReleaseOwned(attempt);
  if (status.ok()) {
    EXPECT_TRUE(committed_.contains(id)) << "P believes in a commit that D never made";
  } else {
    EXPECT_FALSE(calm_) << status;
    EXPECT_NE(GetReason(status), Reason::kUnspecified) << status;
    ++tally_.failures[static_cast<size_t>(GetReason(status))];
    if (committed_.contains(id)) ++tally_.lost_replies;
  }
  Request& request = requests_[attempt.request];
  if (request.id != id || request.over) return;  // an older attempt
  const bool retry = !request.committed && static_cast<uint32_t>(id.epoch) < 4 &&
                     GetReason(status) != Reason::kCancelled && clock_.Now() < request.deadline;
  if (retry) return At(Soon(), [this, index = attempt.request] { StartAttempt(index); });
  request.over = true;
  decodes_.back()->tickets.Forget(id.ticket, Reason::kCancelled);
  CheckNoPagesOf(id.ticket);
}

// An older epoch, or a forgotten request, holds nothing at D any more.
void World::CheckNoPagesOf(Ticket ticket) {
  for (const auto& session : sessions_) EXPECT_FALSE(session->decode().HoldsPagesOf(ticket));
  for (const auto& replay : replays_) EXPECT_FALSE(replay->HoldsPagesOf(ticket));
}

void World::ReleaseOwned(Attempt& attempt) {
  if (!std::exchange(attempt.owned, false)) return;
  PrefillNode& node = *prefills_[static_cast<size_t>(attempt.prefill)];
  node.full.pages().Release(attempt.pages.full);
  node.sliding.pages().Release(attempt.pages.sliding);
}

Session* World::SessionOf(int prefill) {
  PrefillNode& node = *prefills_[static_cast<size_t>(prefill)];
  if (node.session == nullptr || !node.session->sender().usable()) {
    sessions_.push_back(std::make_unique<Session>(*this, prefill));
    node.session = sessions_.back().get();
  }
  return node.session;
}

// What the mover reads is what P wrote: the page was not reused under it.
void World::CheckSent(TransferId id, const FrameHeader& header, const std::vector<uint8_t>& bytes) {
  const auto page_bytes = static_cast<size_t>(shape_.page_bytes(header.pool));
  ASSERT_EQ(bytes.size(), static_cast<size_t>(header.page_count) * page_bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int64_t page = header.first_page + static_cast<int64_t>(i / page_bytes);
    ASSERT_EQ(bytes[i], Pattern(id, header.pool, header.layer, page, i % page_bytes));
  }
}

void World::CheckCommitted(TransferId id, const Pages& pages, const CommitPayload& payload) {
  const Attempt& attempt = attempts_[id];
  const TransferPlan& plan = attempt.plan;
  EXPECT_EQ(payload, PayloadOf(id, requests_[attempt.request].num_positions));
  DecodeNode& node = *decodes_.back();
  for (const PoolKind kind : {PoolKind::kFull, PoolKind::kSliding}) {
    const bool full = kind == PoolKind::kFull;
    const int64_t first = full ? 0 : plan.first_sliding_page;
    const int64_t end = first + (full ? plan.full_pages : plan.sliding_pages);
    Pool& pool = full ? node.full : node.sliding;
    for (int64_t layer = 0; layer < shape_.layers(kind); ++layer) {
      for (int64_t page = first; page < end; ++page) {
        const absl::Span<uint8_t> memory = pool.PageLayer(pages.At(kind, plan, page), layer);
        for (size_t i = 0; i < memory.size(); ++i) {
          ASSERT_EQ(memory[i], Pattern(id, kind, layer, page, i));
        }
      }
    }
  }
}

// --- trouble ---

void World::CauseTrouble() {
  const auto any_session = [this]() -> Session* {
    if (sessions_.empty()) return nullptr;
    return sessions_[static_cast<size_t>(walk_.Below(static_cast<int>(sessions_.size())))].get();
  };
  Session* session = any_session();
  if (session != nullptr && Happens(Fault::kCut, 3)) session->Cut();
  session = any_session();
  if (session != nullptr && Happens(Fault::kBlackHole, 3)) session->BlackHole();
  if (Happens(Fault::kKillPrefill, 3)) KillPrefill(walk_.Below(static_cast<int>(prefills_.size())));
  if (Happens(Fault::kKillDecode, 3)) KillDecode();
  if (Happens(Fault::kReplay, 2)) Replay();
  Request& request =
      requests_[static_cast<size_t>(walk_.Below(static_cast<int>(requests_.size())))];
  if (!request.over && request.id.epoch > RequestEpoch{0}) {
    if (Happens(Fault::kForget, 3)) {
      decodes_.back()->tickets.Forget(request.id.ticket, Reason::kCancelled);
      CheckNoPagesOf(request.id.ticket);
    } else if (!request.committed && Happens(Fault::kZombie, 3)) {
      StartAttempt(static_cast<size_t>(&request - requests_.data()));
    }
  }
}

// The process is gone, and with it all it held; D hears of it at once, late or never.
void World::KillPrefill(int prefill) {
  PrefillNode& node = *prefills_[static_cast<size_t>(prefill)];
  Session* session = std::exchange(node.session, nullptr);
  node.incarnation = NewIncarnation(walk_);
  if (session == nullptr) return;
  session->BlackHole();
  session->CloseSenderEnd();
  if (walk_.OneIn(2)) At(Soon(), [session] { session->decode().CloseTransport(); });
}

void World::KillDecode() {
  const auto end = [](DecodeEnd& decode) {
    decode.CloseTransport();
    decode.AnswerAllReserves();
  };
  for (const auto& session : sessions_) {
    session->BlackHole();
    end(session->decode());
    if (walk_.OneIn(2)) At(Soon(), [s = session.get()] { s->CloseSenderEnd(); });
  }
  for (const auto& replay : replays_) end(*replay);
  decodes_.push_back(std::make_unique<DecodeNode>(NewIncarnation(walk_), shape_, 80, 40));
}

// A process that should be dead speaks again, on a link of its own.
void World::Replay() {
  const size_t index = replays_.size();
  replays_.push_back(std::make_unique<DecodeEnd>(
      *this, [](const DecodeToPrefill&) {},
      [this, index] { At(Soon(), [this, index] { replays_[index]->CloseTransport(); }); }));
  DecodeEnd& decode = *replays_.back();
  decode.Hear(OpenLink{identity_, NewIncarnation(walk_), LinkEpoch{1}, {MoverKind::kGrpc}});
  for (int i = 0; i < 20; ++i) {
    if (!old_messages_.empty() && walk_.OneIn(2)) {
      const auto at = static_cast<size_t>(walk_.Below(static_cast<int>(old_messages_.size())));
      if (!std::holds_alternative<OpenLink>(old_messages_[at])) decode.Hear(old_messages_[at]);
    } else if (!old_frames_.empty()) {
      const auto at = static_cast<size_t>(walk_.Below(static_cast<int>(old_frames_.size())));
      decode.HearFrame(old_frames_[at].first, old_frames_[at].second);
    }
  }
}

// --- time ---

void World::Run() {
  const absl::Time start = clock_.Now();
  for (size_t i = 0; i < requests_.size(); ++i) {
    requests_[i].id.ticket = Ticket{i + 1};
    requests_[i].num_positions = walk_.Between(1, 30);
    requests_[i].deadline = clock_.Now() + absl::Seconds(calm_ ? 100 : walk_.Between(2, 30));
    At(absl::Milliseconds(walk_.Below(30)), [this, i] { StartAttempt(i); });
  }
  for (int i = walk_.Between(1, 5); i > 0; --i) {
    At(absl::Milliseconds(walk_.Below(60)), [this] { CauseTrouble(); });
  }
  RunUntil([this] { return AllEnded(); });
  for (const auto& session : sessions_) {
    session->sender().Fail(LinkError(Reason::kDraining, "the walk is over"));
  }
  RunUntil([this] {
    return events_.empty() &&
           std::all_of(sessions_.begin(), sessions_.end(),
                       [](const auto& session) { return session->over(); }) &&
           std::all_of(replays_.begin(), replays_.end(),
                       [](const auto& replay) { return replay->receiver().done(); });
  });
  EXPECT_LT(clock_.Now() - start, kWorldTimeMax);
  for (const auto& session : sessions_) session->Check();
  for (const auto& replay : replays_) replay->Check();
  for (const auto& node : prefills_) {
    node->full.CheckAllFree();
    node->sliding.CheckAllFree();
  }
  for (const auto& node : decodes_) {
    EXPECT_EQ(node->registry.size(), 0);
    node->full.CheckAllFree();
    node->sliding.CheckAllFree();
  }
}

void World::RunUntil(const std::function<bool()>& done) {
  const absl::Time limit = clock_.Now() + kWorldTimeMax;
  while (!done()) {
    const absl::Time next =
        events_.empty() ? NextDeadline() : std::min(events_.begin()->first, NextDeadline());
    ASSERT_LT(next, limit) << "something hangs";
    if (next > clock_.Now()) clock_.Advance(next - clock_.Now());
    while (!events_.empty() && events_.begin()->first <= clock_.Now()) {
      const auto event = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      event();
    }
    TickAll();
    if (testing::Test::HasFailure()) return;
  }
}

// Ticks only where a deadline says so: a wait without a deadline would hang.
void World::TickAll() {
  const absl::Time now = clock_.Now();
  const auto tick = [now](auto& machine) {
    if (machine.NextDeadline() > now) return;
    machine.OnTick();
    EXPECT_GT(machine.NextDeadline(), now) << "a deadline that stays in the past";
  };
  for (size_t i = 0; i < sessions_.size(); ++i) {
    tick(sessions_[i]->sender());
    tick(sessions_[i]->decode().receiver());
  }
  for (size_t i = 0; i < replays_.size(); ++i) tick(replays_[i]->receiver());
  TicketTable& tickets = decodes_.back()->tickets;
  if (tickets.NextDeadline() <= now) tickets.OnTick(now);
}

absl::Time World::NextDeadline() {
  absl::Time next = decodes_.back()->tickets.NextDeadline();
  for (const auto& session : sessions_) {
    next = std::min(
        {next, session->sender().NextDeadline(), session->decode().receiver().NextDeadline()});
  }
  for (const auto& replay : replays_) next = std::min(next, replay->receiver().NextDeadline());
  return next;
}

bool World::AllEnded() const {
  for (const auto& [id, attempt] : attempts_) {
    if (!attempt.ended) return false;
  }
  return std::all_of(requests_.begin(), requests_.end(),
                     [](const Request& request) { return request.over; });
}

}  // namespace cleave::simulation
