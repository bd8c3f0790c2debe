// How sequences get their pages and the KV of their prompts.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "decode/decode_engine.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/link/link_error.h"

namespace cleave {
namespace {

// The reserved pages of one transfer as host memory, for the link thread. The ids are copies, so
// the engine's table may change meanwhile.
class Destination final : public TransferDestination {
 public:
  Destination(const KvMemory& memory, const TransferPlan& plan, std::vector<PageId> full,
              std::vector<PageId> sliding)
      : memory_(memory), plan_(plan), full_(std::move(full)), sliding_(std::move(sliding)) {}

  absl::Span<uint8_t> PageLayer(PoolKind pool, int64_t layer, int64_t page) override {
    const bool full = pool == PoolKind::kFull;
    const size_t index = static_cast<size_t>(full ? page : page - plan_.first_sliding_page);
    return memory_.HostLayerBytes(full ? KvKind::kFull : KvKind::kSliding,
                                  full ? full_[index] : sliding_[index], static_cast<int>(layer));
  }

 private:
  const KvMemory& memory_;
  const TransferPlan plan_;
  const std::vector<PageId> full_;     // [plan.full_pages]
  const std::vector<PageId> sliding_;  // [plan.sliding_pages]
};

}  // namespace

void DecodeEngine::Handle(const Expected& expected) {
  Sequence* sequence = Find(expected.transfer);
  if (sequence == nullptr || sequence->phase == Phase::kEnded) return;
  if (expected.status.ok()) {
    sequence->job.replies->OnTicket(sequence->job.key, sequence->transfer);
  } else {
    EndWithError(*sequence, expected.status);
  }
}

void DecodeEngine::Handle(const Claimed& claimed) {
  Sequence* sequence = Find(claimed.transfer);
  if (sequence == nullptr || sequence->phase != Phase::kAnnounced) {
    intake_.Reserved(claimed.transfer, LinkError(Reason::kStaleEpoch, "not expected any more"));
    return;
  }
  sequence->claimed = claimed.plan;
}

// Oldest first: a large prompt is not overtaken by small ones again and again.
void DecodeEngine::GrantClaims() {
  for (Sequence& sequence : sequences_) {
    if (sequence.job.local && sequence.phase == Phase::kAnnounced && !StartPrompt(sequence)) return;
    if (!sequence.claimed) continue;
    if (!HasRoomFor(sequence, *sequence.claimed)) return;
    const TransferPlan plan = *sequence.claimed;
    sequence.claimed.reset();
    intake_.Reserved(sequence.transfer, Reserve(sequence, plan));
  }
}

// False: there are no pages for all of its prompt yet.
bool DecodeEngine::StartPrompt(Sequence& sequence) {
  const SequenceRequest& request = sequence.job.request;
  const KvPools pools = host_.pools();
  DecodeSequence& answer = sequence.answers.front();
  const int full = answer.table.FullPagesNeeded(request.num_positions());
  const int sliding =
      std::min(full, SlidingPagesMax(shape_.window, static_cast<int>(options_.prompt_rows_max),
                                     shape_.page_tokens));
  const Room others = RoomForOthers(sequence);
  if (pools.full.num_free() < full + others.full ||
      pools.sliding.num_free() < sliding + others.sliding) {
    return false;
  }
  step_.JoinPrompt(answer, request);
  sequence.phase = Phase::kComputing;
  --load_.requests_waiting;
  ++load_.requests_running;
  Log(Severity::kInfo, "sequence_starts_here",
      {{"request", request.request_id}, {"tokens", request.num_positions()}});
  return true;
}

int64_t DecodeEngine::Sequence::open_answers() const {
  return std::count_if(answers.begin(), answers.end(), [](const DecodeSequence& answer) {
    return answer.finish == FinishCause::kNone;
  });
}

// A page for each of them to grow into, and all of a prompt that is being computed: a newcomer must
// not end an older answer.
DecodeEngine::Room DecodeEngine::RoomForOthers(const Sequence& sequence) const {
  Room room;
  for (const Sequence& other : sequences_) {
    if (&other == &sequence || !(other.active() || other.phase == Phase::kReceiving)) continue;
    const BlockTable& table = other.answers.front().table;
    const int64_t left = other.phase == Phase::kComputing
                             ? other.job.request.num_positions() - table.num_tokens()
                             : 1;
    const int64_t answers = other.open_answers();
    room.full += answers * std::max(1, table.FullPagesNeeded(left));
    room.sliding +=
        answers * std::max(1, table.SlidingPagesNeeded(std::min(left, options_.prompt_rows_max)));
  }
  return room;
}

bool DecodeEngine::HasRoomFor(const Sequence& sequence, const TransferPlan& plan) const {
  const KvPools pools = host_.pools();
  const Room others = RoomForOthers(sequence);
  const int copies = sequence.job.request.candidates - 1;  // of the page that the prompt ends in
  return pools.full.num_free() >= plan.full_pages + others.full + copies &&
         pools.sliding.num_free() >= plan.sliding_pages + others.sliding + copies;
}

std::unique_ptr<TransferDestination> DecodeEngine::Reserve(Sequence& sequence,
                                                           const TransferPlan& plan) {
  BlockTable& table = sequence.answers.front().table;
  table = BlockTable(host_.pools());
  table.DropBefore(plan.first_sliding_page * shape_.page_tokens);
  CHECK(table.Extend(sequence.job.request.num_positions()).ok());
  const auto copy = [](absl::Span<const PageId> pages) {
    return std::vector<PageId>(pages.begin(), pages.end());
  };
  sequence.pinned_full = copy(table.full().pages);
  sequence.pinned_sliding = copy(table.sliding().pages);
  host_.pools().full.Pin(sequence.pinned_full);
  host_.pools().sliding.Pin(sequence.pinned_sliding);
  sequence.pinned = true;
  sequence.phase = Phase::kReceiving;
  return std::make_unique<Destination>(host_.kv_memory(), plan, sequence.pinned_full,
                                       sequence.pinned_sliding);
}

void DecodeEngine::Handle(Committed& committed) {
  Sequence* sequence = Find(committed.transfer);
  if (sequence == nullptr) return;
  Unpin(*sequence);
  if (sequence->phase != Phase::kReceiving) return;  // cancelled meanwhile
  const SequenceRequest& request = sequence->job.request;
  for (DecodeSequence& answer : sequence->answers) {
    const int32_t token =
        committed.payload.first_tokens[static_cast<size_t>(answer.candidate)].token;
    if (token < 0 || token >= host_.config().vocabulary_size) {
      return EndWithError(*sequence, LinkError(Reason::kKvTransferCorrupt,
                                               absl::StrCat("a first token is ", token, " of ",
                                                            host_.config().vocabulary_size)));
    }
    answer.output.push_back(token);
    answer.finish = CheckFinish(request, token, static_cast<int64_t>(answer.output.size()),
                                host_.context_tokens_max());
  }
  if (sequence->open_answers() == 0) {
    return EndWithError(*sequence, LinkError(Reason::kKvTransferCorrupt,
                                             "the first tokens leave nothing to generate"));
  }
  for (DecodeSequence& answer : sequence->answers) {
    const bool is_open = answer.finish == FinishCause::kNone;
    if (is_open && answer.candidate > 0 && !Fork(*sequence, answer)) return Preempt(*sequence);
  }
  for (DecodeSequence& answer : sequence->answers) {
    if (answer.finish != FinishCause::kNone) {
      answer.table.Release();
    } else {
      step_.Join(answer, request, committed.payload.last_hidden_state);
    }
  }
  sequence->committed = committed.at;
  sequence->phase = Phase::kRunning;
  --load_.requests_waiting;
  ++load_.requests_running;
  Log(Severity::kInfo, "sequence_joined",
      {{"request", request.request_id}, {"tokens", request.num_positions()}});
}

// Shares the first answer's pages; the one that the prompt ends in is copied, since both write
// behind it. False: there is no page for it, and nobody is given back before it.
bool DecodeEngine::Fork(Sequence& sequence, DecodeSequence& answer) {
  const BlockTable& from = sequence.answers.front().table;
  while (true) {
    const auto copies = answer.table.Share(from.full(), from.sliding(), from.num_tokens());
    if (copies.ok()) {
      host_.CopyPages(*copies);
      return true;
    }
    Sequence* const victim = Victim(sequence);
    if (victim == nullptr || victim == &sequence) return false;
    Preempt(*victim);
  }
}

// The gateway hears of it from the prefill worker, and either cancels here or tries again.
void DecodeEngine::Handle(const Failed& failed) {
  Sequence* sequence = Find(failed.transfer);
  if (sequence == nullptr) return;
  Unpin(*sequence);
  if (GetReason(failed.status) != Reason::kCancelled) {  // an answer of one token needs no transfer
    Log(Severity::kWarning, "transfer_failed",
        {{"request", sequence->job.request.request_id},
         {"reason", std::string(ReasonName(GetReason(failed.status)))},
         {"message", std::string(failed.status.message())}});
  }
  if (sequence->phase != Phase::kReceiving) return;
  sequence->answers.front().table.Release();
  sequence->phase = Phase::kAnnounced;
}

void DecodeEngine::Unpin(Sequence& sequence) {
  host_.pools().full.Unpin(sequence.pinned_full);
  host_.pools().sliding.Unpin(sequence.pinned_sliding);
  sequence.pinned_full.clear();
  sequence.pinned_sliding.clear();
  sequence.pinned = false;
}

}  // namespace cleave
