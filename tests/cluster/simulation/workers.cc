#include "tests/cluster/simulation/workers.h"

#include "engine/worker_state.h"
#include "tests/cluster/prompts.h"
#include "tests/support/status_matchers.h"

namespace cleave::simulation {
namespace {

constexpr int64_t kContextTokens = 160;
constexpr int64_t kPrefillBytes = int64_t{900} << 10, kDecodeBytes = int64_t{220} << 10;

LinkIdentity IdentityOf(const ModelHost& host) {
  return MakeLinkIdentity(MakeWorkerIdentity(cluster::v1::WORKER_ROLE_DECODE, "d", host));
}

}  // namespace

std::unique_ptr<ModelHost> Hosts::Take(std::vector<std::unique_ptr<ModelHost>>& spare,
                                       bool decode) {
  if (!spare.empty()) {
    std::unique_ptr<ModelHost> host = std::move(spare.back());
    spare.pop_back();
    return host;
  }
  ModelHostOptions options{.folder = testing::kModel,
                           .kernels = {.threads = 1},
                           .kv = {.page_tokens = testing::kPageTokens, .dtype = DType::kFloat32},
                           .kv_bytes_max = decode ? kDecodeBytes : kPrefillBytes,
                           .context_tokens_max = kContextTokens,
                           .step_rows_max = 128,
                           .step_outputs_max = 16,
                           .step_sequences_max = 16,
                           .poison_free_pages = true};
  if (decode) {
    const int64_t rows = DecodeRowsMax(DecodeNode::kSequences, kDraftsMax);
    options.drafter_folder = testing::kDrafter;
    options.step_sequences_max = DecodeNode::kSequences;
    options.step_rows_max = rows + DecodeNode::kPromptRows;
    options.step_outputs_max = rows + 1;
  }
  return *ModelHost::Load(options);
}

void Hosts::GiveBack(std::unique_ptr<ModelHost> host, bool decode) {
  const KvPools pools = host->pools();
  EXPECT_EQ(pools.full.num_free(), pools.full.num_pages());
  EXPECT_EQ(pools.sliding.num_free(), pools.sliding.num_pages());
  (decode ? decode_ : prefill_).push_back(std::move(host));
}

// ---- Any worker.

void Node::Kill() {
  dead_ = true;
  StopEngine();
  ShutLinks();
}

void Node::ToLink(std::function<void()> call) {
  to_link_.Send(absl::Microseconds(around_.walk().Between(1, 50)), std::move(call));
}

absl::Time Node::NextAct() const {
  const absl::Time turn = engine_done_ ? absl::InfiniteFuture() : std::max(NextTurn(), busy_until_);
  return std::min(turn, links().NextDeadline());
}

void Node::Act() {
  const absl::Time now = around_.events().Now();
  if (!engine_done_ && std::max(NextTurn(), busy_until_) <= now) {
    engine_done_ = !Turn();
    RandomWalk& walk = around_.walk();
    const int most = walk.OneIn(30) ? 50'000 : 3000;
    busy_until_ = now + absl::Microseconds(walk.Between(50, most));
    if (engine_done_) ShutLinks();
  }
  links().OnTick();  // as LinkThread does after every message: links that have ended go
}

// ---- A prefill worker.

PrefillNode::PrefillNode(Surroundings& around, std::string address, const LinkLimits& limits)
    : EngineNode(around, std::move(address)) {
  host_ = around.hosts().TakePrefill();
  links_ = std::make_unique<SenderLinks>(SenderLinksOptions{.identity = IdentityOf(*host_),
                                                            .incarnation = incarnation(),
                                                            .shape = host_->layout().shape(),
                                                            .limits = limits},
                                         *this, *this, around.events().clock(), &metrics_.kvlink);
  engine_ = std::make_unique<PrefillEngine>(
      *host_, *this, around.events().clock(), metrics_,
      PrefillEngineOptions{.chunk_tokens = around.walk().Between(4, 80)});
}

PrefillNode::~PrefillNode() {
  engine_.reset();
  links_.reset();
  around_.hosts().GiveBack(std::move(host_), false);
}

void PrefillNode::Check() { EXPECT_EQ(metrics_.load.kv_pages_unaccounted.Value(), 0); }

void PrefillNode::Begin(const std::string& decode_address, const TransferSpec& spec) {
  ToLink([this, decode_address, spec] { links_->Begin(decode_address, spec); });
}

void PrefillNode::QueueFrame(TransferId transfer, const FrameSlice& slice,
                             std::vector<PageBytes> pages, std::function<void()> release) {
  ToLink([this, transfer, slice, pages = std::move(pages), release = std::move(release)] {
    links_->QueueFrame(transfer, slice, pages, release);
  });
}

void PrefillNode::Commit(TransferId transfer, CommitPayload payload) {
  ToLink([this, transfer, payload = std::move(payload)] { links_->Commit(transfer, payload); });
}

void PrefillNode::Cancel(TransferId transfer, Reason reason) {
  ToLink([this, transfer, reason] { links_->Cancel(transfer, reason); });
}

// ---- A decode worker.

DecodeNode::DecodeNode(Surroundings& around, std::string address, const LinkLimits& limits,
                       int drafts, int64_t prompt_rows)
    : EngineNode(around, std::move(address)) {
  host_ = around.hosts().TakeDecode();
  links_ = std::make_unique<ReceiverLinks>(ReceiverLinksOptions{.identity = IdentityOf(*host_),
                                                                .incarnation = incarnation(),
                                                                .shape = host_->layout().shape(),
                                                                .limits = limits},
                                           *this, *this, around.events().clock(), &metrics_.kvlink);
  const DraftOptions options{.drafts_max = drafts < 0 ? 4 : drafts, .adaptive = drafts < 0};
  step_ = *DecodeStep::Create(*host_, around.events().clock(), options, prompt_rows);
  engine_ = std::make_unique<DecodeEngine>(
      *host_, *step_, *this, around.events().clock(), metrics_,
      DecodeEngineOptions{.sequences_max = kSequences, .prompt_rows_max = prompt_rows});
}

DecodeNode::~DecodeNode() {
  engine_.reset();
  step_.reset();
  links_.reset();
  around_.hosts().GiveBack(std::move(host_), true);
}

void DecodeNode::Check() { EXPECT_EQ(metrics_.load.kv_pages_unaccounted.Value(), 0); }

void DecodeNode::Expect(TransferId transfer, const TicketExpectation& expectation,
                        std::function<void(const absl::Status&)> expected) {
  ToLink([this, transfer, expectation, expected = std::move(expected)] {
    expected(links_->Expect(transfer, expectation));
  });
}

void DecodeNode::Forget(Ticket ticket, Reason reason) {
  ToLink([this, ticket, reason] { links_->Forget(ticket, reason); });
}

void DecodeNode::Reserved(TransferId transfer,
                          absl::StatusOr<std::unique_ptr<TransferDestination>> destination) {
  // An event may be copied, a destination not.
  auto shared = std::make_shared<absl::StatusOr<std::unique_ptr<TransferDestination>>>(
      std::move(destination));
  ToLink([this, transfer, shared] { links_->OnReserved(transfer, std::move(*shared)); });
}

}  // namespace cleave::simulation
