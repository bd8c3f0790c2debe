// The KV link over real sockets: a client and a server of the gRPC mover, two page pools, three
// threads of the test's own (P's engine is the test's thread) and a proxy that cuts connections.
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "runtime/base/mailbox.h"
#include "runtime/kv/page_allocator.h"
#include "runtime/link/grpc_link_client.h"
#include "runtime/link/grpc_link_server.h"
#include "runtime/link/link_error.h"
#include "tests/runtime/link/tcp_proxy.h"
#include "tests/runtime/random_walk.h"

namespace cleave {
namespace {

constexpr KvShape kShape = {.page_tokens = 8,
                            .window = 33,
                            .full_layers = 2,
                            .sliding_layers = 3,
                            .full_page_bytes = 4096,
                            .sliding_page_bytes = 16384};
constexpr int64_t kHiddenBytes = 256;

uint8_t Pattern(TransferId id, PoolKind pool, int64_t layer, int64_t page) {
  const uint64_t x = static_cast<uint64_t>(id.ticket) * 131 + static_cast<uint64_t>(id.epoch) * 17 +
                     static_cast<uint64_t>(pool) * 7 + static_cast<uint64_t>(layer * 3 + page);
  return static_cast<uint8_t>(x % 251);
}

CommitPayload PayloadOf(TransferId id, int64_t num_positions) {
  return {.first_tokens = {{static_cast<int32_t>(id.ticket), -1.5f}, {7, -0.25f}},
          .last_hidden_state = std::string(kHiddenBytes, static_cast<char>(id.epoch)),
          .num_positions = num_positions};
}

// One kind's pages and their bytes: [num_pages, layers, page_bytes].
struct Pool {
  Pool(PoolKind pool, int num_pages)
      : kind(pool),
        memory(static_cast<size_t>(num_pages * kShape.layers(pool) * kShape.page_bytes(pool))),
        pages(num_pages) {}
  absl::Span<uint8_t> PageLayer(PageId page, int64_t layer) {
    const auto bytes = static_cast<size_t>(kShape.page_bytes(kind));
    const auto at = static_cast<size_t>(page) * static_cast<size_t>(kShape.layers(kind)) +
                    static_cast<size_t>(layer);
    return absl::MakeSpan(memory).subspan(at * bytes, bytes);
  }
  const PoolKind kind;
  std::vector<uint8_t> memory;
  PageAllocator pages;
};

// The pages of one transfer on one side, pinned.
class Held {
 public:
  static absl::StatusOr<std::unique_ptr<Held>> Take(Pool& full, Pool& sliding,
                                                    const TransferPlan& plan) {
    auto held = std::unique_ptr<Held>(new Held(full, sliding, plan));
    const absl::Status status = full.pages.Allocate(absl::MakeSpan(held->full_ids_));
    if (!status.ok()) return Empty(std::move(held), status);
    const absl::Status second = sliding.pages.Allocate(absl::MakeSpan(held->sliding_ids_));
    if (!second.ok()) {
      full.pages.Release(held->full_ids_);
      return Empty(std::move(held), second);
    }
    full.pages.Pin(held->full_ids_);
    sliding.pages.Pin(held->sliding_ids_);
    return held;
  }
  ~Held() {
    for (auto [pool, ids] : {std::pair(&full_, &full_ids_), std::pair(&sliding_, &sliding_ids_)}) {
      pool->pages.Unpin(*ids);
      pool->pages.Release(*ids);
    }
  }
  absl::Span<uint8_t> PageLayer(PoolKind kind, int64_t layer, int64_t page) {
    if (kind == PoolKind::kFull) {
      return full_.PageLayer(full_ids_[static_cast<size_t>(page)], layer);
    }
    const auto index = static_cast<size_t>(page - plan_.first_sliding_page);
    return sliding_.PageLayer(sliding_ids_[index], layer);
  }
  const TransferPlan& plan() const { return plan_; }

 private:
  Held(Pool& full, Pool& sliding, const TransferPlan& plan)
      : full_(full),
        sliding_(sliding),
        plan_(plan),
        full_ids_(static_cast<size_t>(plan.full_pages)),
        sliding_ids_(static_cast<size_t>(plan.sliding_pages)) {}
  static absl::Status Empty(std::unique_ptr<Held> held, const absl::Status& status) {
    held->full_ids_.clear();
    held->sliding_ids_.clear();
    return status;
  }
  Pool& full_;
  Pool& sliding_;
  const TransferPlan plan_;
  std::vector<PageId> full_ids_, sliding_ids_;
};

using Task = std::function<void()>;

// The link thread's figures, to be read when it has ended.
struct LastFigures final : LinkObserver {
  void OnFigures(const LinkFigures& figures) override { last = figures; }
  void OnTransferSeconds(double) override {}
  void OnGrantWaitSeconds(double) override {}
  LinkFigures last;
};

// A decode worker: its engine is one thread, DecodeSide::Run, which owns the pools.
class DecodeSide final : public ReceiverListener, public TicketListener {
 public:
  DecodeSide(const ReceiverLinksOptions& options, const Clock& clock, int port = 0)
      : server_(options, *this, *this, clock, &figures_), engine_([this] { Run(); }) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(),
                             &port_);
    builder.SetMaxReceiveMessageSize(GrpcLinkServer::MessageBytesMax(options.limits));
    builder.RegisterService(&server_.service());
    grpc_ = builder.BuildAndStart();
    CHECK(grpc_ != nullptr);
  }
  ~DecodeSide() override { Stop(); }

  void Stop() {
    if (!engine_.joinable()) return;
    server_.Shutdown();
    grpc_->Shutdown();
    inbox_.Close();
    engine_.join();
    EXPECT_TRUE(held_.empty());
  }

  int port() const { return port_; }
  GrpcLinkServer& server() { return server_; }
  // After Shutdown.
  const LinkFigures& figures() const { return figures_.last; }
  // Any thread. What was committed well, by id.
  std::set<TransferId> committed() {
    MutexLock lock(mutex_);
    return committed_;
  }

  void ReservePages(TransferId transfer, const TransferPlan& plan) override {
    inbox_.PushAlways([this, transfer, plan] { Reserve(transfer, plan); });
  }
  void OnCommitted(TransferId transfer, CommitPayload payload) override {
    inbox_.PushAlways([this, transfer, payload] {
      EXPECT_EQ(payload, PayloadOf(transfer, payload.num_positions));
      CheckContent(transfer);
      EXPECT_EQ(held_.erase(transfer), 1u);
      MutexLock lock(mutex_);
      EXPECT_TRUE(committed_.insert(transfer).second);
    });
  }
  void OnFailed(TransferId transfer, const absl::Status& status) override {
    inbox_.PushAlways([this, transfer, status] {
      EXPECT_NE(GetReason(status), Reason::kUnspecified) << status;
      EXPECT_EQ(held_.erase(transfer), 1u);
    });
  }
  void OnLinkOpen(Incarnation) override {}
  void OnLinkFailed(Incarnation, const absl::Status&) override {}
  void OnTicketExpired(TransferId) override {}

 private:
  struct Destination final : TransferDestination {
    explicit Destination(Held& pages) : held(pages) {}
    absl::Span<uint8_t> PageLayer(PoolKind pool, int64_t layer, int64_t page) override {
      return held.PageLayer(pool, layer, page);
    }
    Held& held;  // the engine keeps it until the transfer's end
  };

  void Run() {
    std::vector<Task> tasks;
    while (!inbox_.closed()) {
      inbox_.TakeAll(tasks, absl::InfiniteDuration());
      for (Task& task : tasks) task();
    }
    inbox_.TakeAll(tasks, absl::ZeroDuration());
    for (Task& task : tasks) task();
  }

  void Reserve(TransferId transfer, const TransferPlan& plan) {
    auto held = Held::Take(full_, sliding_, plan);
    if (!held.ok()) return server_.OnReserved(transfer, held.status());
    Held& pages = **held;
    EXPECT_TRUE(held_.emplace(transfer, *std::move(held)).second);
    server_.OnReserved(transfer, std::make_unique<Destination>(pages));
  }

  void CheckContent(TransferId id) {
    Held& held = *held_.at(id);
    const TransferPlan& plan = held.plan();
    for (const PoolKind kind : {PoolKind::kFull, PoolKind::kSliding}) {
      const bool full = kind == PoolKind::kFull;
      const int64_t first = full ? 0 : plan.first_sliding_page;
      const int64_t end = first + (full ? plan.full_pages : plan.sliding_pages);
      for (int64_t layer = 0; layer < kShape.layers(kind); ++layer) {
        for (int64_t page = first; page < end; ++page) {
          const absl::Span<uint8_t> memory = held.PageLayer(kind, layer, page);
          EXPECT_EQ(std::count(memory.begin(), memory.end(), Pattern(id, kind, layer, page)),
                    static_cast<std::ptrdiff_t>(memory.size()));
        }
      }
    }
  }

  Pool full_{PoolKind::kFull, 120};
  Pool sliding_{PoolKind::kSliding, 60};
  std::map<TransferId, std::unique_ptr<Held>> held_;  // the engine thread's
  Mailbox<Task> inbox_{64};
  Mutex mutex_;
  std::set<TransferId> committed_ ABSL_GUARDED_BY(mutex_);
  LastFigures figures_;
  GrpcLinkServer server_;
  std::thread engine_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> grpc_;
};

// A prefill worker and the gateway: the engine is the thread that calls Run.
class PrefillSide final : public SenderListener {
 public:
  PrefillSide(const SenderLinksOptions& options, const Clock& clock)
      : clock_(clock),
        client_(options, grpc::InsecureChannelCredentials(), *this, clock, &figures_) {}
  ~PrefillSide() override {
    client_.Shutdown();
    Drain(absl::ZeroDuration());
    EXPECT_TRUE(transfers_.empty());
  }

  GrpcLinkClient& client() { return client_; }
  // After Shutdown.
  const LinkFigures& figures() const { return figures_.last; }
  int64_t finished() const { return finished_; }
  const std::map<Reason, int>& failures() const { return failures_; }

  // Moves `count` prompts, at most `concurrent` at once, each until it is committed; `poke` is
  // called for every attempt that ends.
  void Run(DecodeSide& decode, const std::string& address, int count, int concurrent,
           RandomWalk& walk, const std::function<void()>& poke) {
    int started = 0;
    committed_ = 0;
    const absl::Time limit = clock_.Now() + absl::Seconds(240);
    while (committed_ < count) {
      ASSERT_LT(clock_.Now(), limit) << committed_ << " of " << count;
      while (started < count && static_cast<int>(transfers_.size()) < concurrent) {
        Start(decode, address, {Ticket{next_ticket_++}, RequestEpoch{1}}, walk.Between(1, 90));
        ++started;
      }
      Drain(absl::Milliseconds(100));
      for (const auto& [id, status] : std::exchange(ended_, {})) {
        poke();
        if (status.ok() || decode.committed().contains(id)) {
          ++committed_;
          decode.server().Forget(id.ticket, Reason::kCancelled);
          continue;
        }
        Start(decode, address, {id.ticket, RequestEpoch{static_cast<uint32_t>(id.epoch) + 1}},
              num_positions_[id.ticket]);
      }
    }
  }

  // Starts `count` prompts, and waits until `ended` attempts have ended.
  void Launch(DecodeSide& decode, const std::string& address, int count) {
    for (int i = 0; i < count; ++i) {
      Start(decode, address, {Ticket{next_ticket_++}, RequestEpoch{1}}, 80);
    }
  }
  void AwaitEnds(int64_t ended) {
    const absl::Time limit = clock_.Now() + absl::Seconds(120);
    while (finished_ < ended) {
      ASSERT_LT(clock_.Now(), limit);
      Drain(absl::Milliseconds(100));
    }
  }

  void OnGranted(TransferId) override {}
  void OnRefused(TransferId, const absl::Status&) override {}
  void OnFinished(TransferId transfer, const absl::Status& status) override {
    inbox_.PushAlways([this, transfer, status] { Finish(transfer, status); });
  }
  void OnLinkOpen(const LinkAccepted&) override {}
  void OnLinkFailed(const absl::Status&) override {}

  void Drain(absl::Duration wait) {
    std::vector<Task> tasks;
    inbox_.TakeAll(tasks, wait);
    for (Task& task : tasks) task();
  }

 private:
  struct Transfer {
    std::unique_ptr<Held> held;
    int unreleased = 0;
    bool finished = false;
  };

  void Start(DecodeSide& decode, const std::string& address, TransferId id, int64_t positions) {
    const TransferPlan plan = MakeTransferPlan(kShape, positions);
    num_positions_[id.ticket] = positions;
    auto held = Held::Take(full_, sliding_, plan);
    ASSERT_TRUE(held.ok()) << held.status();
    transfers_[id].held = *std::move(held);
    decode.server().Expect(
        id,
        {.plan = plan,
         .num_positions = positions,
         .num_candidates = 2,
         .last_hidden_bytes = kHiddenBytes,
         .deadline = clock_.Now() + absl::Seconds(200)},
        [this, id, plan, address, positions](const absl::Status& status) {
          EXPECT_TRUE(status.ok()) << status;
          inbox_.PushAlways([=, this] { Prefill(address, id, plan, positions); });
        });
  }

  void Prefill(const std::string& address, TransferId id, const TransferPlan& plan,
               int64_t positions) {
    client_.Begin(address, {id, plan, clock_.Now() + absl::Seconds(200)});
    for (const PoolKind kind : {PoolKind::kFull, PoolKind::kSliding}) {
      const bool full = kind == PoolKind::kFull;
      for (int64_t layer = 0; layer < kShape.layers(kind); ++layer) {
        QueueLayer(id, {kind, layer, full ? 0 : plan.first_sliding_page,
                        full ? plan.full_pages : plan.sliding_pages});
      }
    }
    client_.Commit(id, PayloadOf(id, positions));
  }

  void QueueLayer(TransferId id, const FrameSlice& slice) {
    Transfer& transfer = transfers_.at(id);
    std::vector<PageBytes> pages;
    for (int64_t page = slice.first_page; page < slice.first_page + slice.page_count; ++page) {
      const absl::Span<uint8_t> memory = transfer.held->PageLayer(slice.pool, slice.layer, page);
      std::fill(memory.begin(), memory.end(), Pattern(id, slice.pool, slice.layer, page));
      pages.push_back(memory);
    }
    ++transfer.unreleased;
    client_.QueueFrame(id, slice, std::move(pages), [this, id] {
      inbox_.PushAlways([this, id] {
        --transfers_.at(id).unreleased;
        EraseIfQuiet(id);
      });
    });
  }

  void Finish(TransferId id, const absl::Status& status) {
    EXPECT_FALSE(std::exchange(transfers_.at(id).finished, true));
    EXPECT_TRUE(status.ok() || GetReason(status) != Reason::kUnspecified) << status;
    if (!status.ok()) ++failures_[GetReason(status)];
    ++finished_;
    ended_.emplace_back(id, status);
    EraseIfQuiet(id);
  }

  // Frames that were queued when the transfer had ended come back after its end.
  void EraseIfQuiet(TransferId id) {
    const Transfer& transfer = transfers_.at(id);
    if (transfer.finished && transfer.unreleased == 0) transfers_.erase(id);
  }

  const Clock& clock_;
  Pool full_{PoolKind::kFull, 400};
  Pool sliding_{PoolKind::kSliding, 200};
  Mailbox<Task> inbox_{64};
  std::map<TransferId, Transfer> transfers_;
  std::map<Ticket, int64_t> num_positions_;
  std::vector<std::pair<TransferId, absl::Status>> ended_;
  std::map<Reason, int> failures_;
  uint64_t next_ticket_ = 1;
  int committed_ = 0;
  int64_t finished_ = 0;
  LastFigures figures_;
  GrpcLinkClient client_;
};

LinkIdentity Identity() {
  return {.layout_hash = "layout", .build = "test", .model_id = "m", .numerics_fingerprint = "f"};
}

LinkLimits Limits() {
  LinkLimits limits;
  // Nothing here waits for a time to pass; a sanitizer on a busy machine must not make it.
  limits.open = limits.grant = limits.frame_min = limits.lease = absl::Seconds(100);
  limits.heartbeat = absl::Seconds(30);
  limits.frame_bytes_max = 50'000;
  return limits;
}

ReceiverLinksOptions DecodeOptions() {
  return {
      .identity = Identity(), .incarnation = Incarnation{77}, .shape = kShape, .limits = Limits()};
}

SenderLinksOptions PrefillOptions() {
  SenderLinksOptions options;
  options.identity = Identity();
  options.incarnation = Incarnation{55};
  options.shape = kShape;
  options.limits = Limits();
  options.backoff_first = absl::Milliseconds(2);
  options.backoff_max = absl::Milliseconds(50);
  options.failures_max = 1000;
  return options;
}

std::string AddressOf(int port) { return absl::StrCat("127.0.0.1:", port); }

TEST(GrpcLinkTest, MovesTransfersBetweenPools) {
  const RealClock clock;
  RandomWalk walk(FirstSeed());
  DecodeSide decode(DecodeOptions(), clock);
  PrefillSide prefill(PrefillOptions(), clock);
  prefill.client().Connect(AddressOf(decode.port()));
  prefill.Run(decode, AddressOf(decode.port()), 200, 8, walk, [] {});
  for (const auto& [reason, count] : prefill.failures()) {
    ADD_FAILURE() << count << " transfers failed with " << ReasonName(reason);
  }
  prefill.client().Shutdown();
  decode.Stop();
  EXPECT_EQ(decode.committed().size(), 200u);
  const auto sent = prefill.figures();
  EXPECT_EQ(sent.counters.commits, 200);
  EXPECT_EQ(sent.links_opened, 1);
}

TEST(GrpcLinkTest, BytesOnTheWireAreThoseOfThePlan) {
  const RealClock clock;
  DecodeSide decode(DecodeOptions(), clock);
  LinkCounters sent, arrived;
  {
    PrefillSide prefill(PrefillOptions(), clock);
    RandomWalk walk(3), same_walk(3);
    int64_t expected = 0;
    for (int i = 0; i < 20; ++i) {
      expected += MakeTransferPlan(kShape, same_walk.Between(1, 90)).total_bytes;
    }
    prefill.Run(decode, AddressOf(decode.port()), 20, 3, walk, [] {});
    prefill.client().Shutdown();
    sent = prefill.figures().counters;
    EXPECT_EQ(sent.bytes, expected);
  }
  decode.server().Shutdown();
  arrived = decode.figures().counters;
  EXPECT_EQ(arrived.bytes, sent.bytes);
  EXPECT_EQ(arrived.frames, sent.frames);
  EXPECT_EQ(arrived.commits, 20);
}

TEST(GrpcLinkTest, ConnectionsThatBreakCostOnlyRepeats) {
  const RealClock clock;
  RandomWalk walk(FirstSeed() + 1);
  DecodeSide decode(DecodeOptions(), clock);
  TcpProxy proxy(decode.port());
  PrefillSide prefill(PrefillOptions(), clock);
  int cuts = 0;
  prefill.Run(decode, AddressOf(proxy.port()), 200, 8, walk, [&] {
    if (!walk.OneIn(10)) return;
    proxy.Cut();
    ++cuts;
  });
  EXPECT_GT(proxy.connections(), 2);
  EXPECT_FALSE(prefill.failures().empty());
  std::printf("%d cuts, %lld connections, %lld attempts for 200 transfers\n", cuts,
              static_cast<long long>(proxy.connections()),
              static_cast<long long>(prefill.finished()));
}

TEST(GrpcLinkTest, ShutdownOfEitherEndGivesAllMemoryBack) {
  const RealClock clock;
  for (const bool prefill_first : {true, false}) {
    DecodeSide decode(DecodeOptions(), clock);
    PrefillSide prefill(PrefillOptions(), clock);
    prefill.Launch(decode, AddressOf(decode.port()), 20);
    prefill.AwaitEnds(3);
    prefill_first ? prefill.client().Shutdown() : decode.server().Shutdown();
    prefill.AwaitEnds(20);
  }
}

TEST(GrpcLinkTest, WorkersThatDifferSayWhereTheyDo) {
  const RealClock clock;
  DecodeSide decode(DecodeOptions(), clock);
  SenderLinksOptions options = PrefillOptions();
  options.identity.layout_hash = "another";
  class Listener final : public SenderListener {
   public:
    void OnGranted(TransferId) override {}
    void OnRefused(TransferId, const absl::Status&) override {}
    void OnFinished(TransferId, const absl::Status& status) override {
      inbox.PushAlways(absl::Status(status));
    }
    void OnLinkOpen(const LinkAccepted&) override {}
    void OnLinkFailed(const absl::Status&) override {}
    Mailbox<absl::Status> inbox{4};
  } listener;
  GrpcLinkClient client(options, grpc::InsecureChannelCredentials(), listener, clock);
  client.Begin(AddressOf(decode.port()),
               {{Ticket{1}, RequestEpoch{1}}, MakeTransferPlan(kShape, 9)});
  std::vector<absl::Status> ended;
  while (ended.empty()) listener.inbox.TakeAll(ended, absl::Seconds(30));
  const ErrorDetail detail = GetErrorDetail(ended[0]).value_or(ErrorDetail{});
  EXPECT_EQ(detail.reason, Reason::kWorkerMismatch) << ended[0];
  EXPECT_EQ(detail.field, "layout_hash");
  EXPECT_EQ(detail.limit, "layout");
  EXPECT_EQ(detail.actual, "another");
  client.Shutdown();
}

}  // namespace
}  // namespace cleave
