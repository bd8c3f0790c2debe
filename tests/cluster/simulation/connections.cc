#include "tests/cluster/simulation/connections.h"

#include "engine/sequence_proto.h"
#include "gateway/request_error.h"
#include "gateway/sequence_proto.h"

namespace cleave::simulation {
namespace {

RequestNumber NumberOf(RequestKey key) { return RequestNumber{key.request}; }

AnswerTokens Tokens(absl::Span<const int32_t> ids) {
  return {.ids = {ids.begin(), ids.end()}, .log_probabilities = {}};
}

}  // namespace

Connection::Connection(Surroundings& around, Node& node)
    : around_(around), node_(node), forward_(around.events()), back_(around.events()) {
  Attach();
}

void Connection::Attach() {
  if (node_.dead() || attached_) return;
  attached_ = true;
  ++session_;
}

void Connection::Lose() {
  if (!std::exchange(attached_, false)) return;
  for (auto& [request, held] : std::exchange(held_, {})) {
    around_.events().After(absl::ZeroDuration(),
                           [this, lost = held] { TellLost(*lost.events, lost.epoch); });
  }
  const absl::Duration late = absl::Milliseconds(around_.walk().Below(4000));
  forward_.Send(late, [this, session = SessionId{session_}] {
    if (!node_.dead()) LoseSession(session);
  });
}

absl::Duration Connection::Delay() {
  RandomWalk& walk = around_.walk();
  if (around_.faults().Happens(Fault::kStall, 100)) return absl::Milliseconds(walk.Below(3000));
  return absl::Microseconds(walk.Between(10, 2000));
}

bool Connection::Hold(RequestNumber request, uint32_t epoch, std::shared_ptr<WorkerEvents> events) {
  if (!attached_) return false;
  held_[request] = {std::move(events), epoch};
  return true;
}

std::shared_ptr<WorkerEvents> Connection::Find(RequestKey key, RequestEpoch epoch) const {
  const auto found = held_.find(NumberOf(key));
  const bool is_held = found != held_.end() && RequestEpoch{found->second.epoch} == epoch;
  return is_held ? found->second.events : nullptr;
}

std::shared_ptr<WorkerEvents> Connection::Take(RequestKey key, RequestEpoch epoch) {
  std::shared_ptr<WorkerEvents> events = Find(key, epoch);
  if (events != nullptr) held_.erase(NumberOf(key));
  return events;
}

void Connection::Forward(std::function<void(SessionId)> arrive) {
  if (!attached_) return;
  forward_.Send(Delay(), [this, session = SessionId{session_}, arrive = std::move(arrive)] {
    if (!node_.dead()) arrive(session);
  });
}

void Connection::Back(SessionId session, std::function<void()> arrive) {
  if (node_.dead()) return;
  back_.Send(Delay(), [this, session, arrive = std::move(arrive)] {
    if (attached_ && session == SessionId{session_}) arrive();
  });
}

// ---- Decode.

class DecodeConnection::Replies final : public DecodeReplies {
 public:
  Replies(DecodeConnection& connection, SessionId session)
      : connection_(connection), session_(session) {}
  void OnTicket(RequestKey key, TransferId transfer) override {
    connection_.Back(session_, [&c = connection_, key, transfer] {
      if (const auto events = c.Find(key, transfer.epoch)) {
        events->OnTicket(static_cast<uint32_t>(transfer.epoch),
                         static_cast<uint64_t>(transfer.ticket));
      }
    });
  }
  void OnStep(absl::Span<const StepTokens> sequences) override {
    struct Step {
      RequestKey key;
      RequestEpoch epoch;
      int candidate;
      int64_t first_index;
      AnswerTokens tokens;
      EndCause finish;
    };
    std::vector<Step> steps;
    for (const StepTokens& step : sequences) {
      steps.push_back({step.key, step.epoch, step.candidate, step.first_index, Tokens(step.tokens),
                       FromProto(FinishToProto(step.finish))});
    }
    connection_.Back(session_, [&c = connection_, steps = std::move(steps)] {
      for (const Step& step : steps) {
        if (const auto events = c.Find(step.key, step.epoch)) {
          events->OnStepTokens(static_cast<uint32_t>(step.epoch), step.candidate, step.first_index,
                               step.tokens, step.finish, std::nullopt);
        }
      }
    });
  }
  void OnEnded(RequestKey key, RequestEpoch epoch, const absl::Status& status) override {
    connection_.Back(session_, [&c = connection_, key, epoch, status] {
      if (const auto events = c.Take(key, epoch)) {
        events->OnDecodeEnded(static_cast<uint32_t>(epoch), status);
      }
    });
  }

 private:
  DecodeConnection& connection_;
  const SessionId session_;
};

bool DecodeConnection::Expect(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                              absl::Duration time_left, std::shared_ptr<WorkerEvents> events) {
  if (!Hold(request, epoch, std::move(events))) return false;
  const Ticket ticket{order.ticket.value_or(around_.walk().Bits())};
  Forward([this, request, epoch, ticket, spec = ToProto(order, time_left),
           goes_on = order.ticket.has_value(), local = order.local](SessionId session) {
    const RequestKey key{session, static_cast<uint64_t>(request)};
    auto replies = std::make_shared<Replies>(*this, session);
    auto sequence = SequenceFromProto(spec, decode_.host().config(),
                                      decode_.host().context_tokens_max(), around_.events().Now());
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    if (draining()) {
      if (goes_on) decode_.engine().Cancel(key);
      return replies->OnEnded(key, RequestEpoch{epoch}, Draining());
    }
    ASSERT_TRUE(decode_.engine().Submit({.key = key,
                                         .epoch = RequestEpoch{epoch},
                                         .ticket = ticket,
                                         .local = local,
                                         .request = *std::move(sequence),
                                         .replies = std::move(replies)}));
  });
  return true;
}

void DecodeConnection::Cancel(RequestNumber request, const std::string&) {
  LetGo(request);
  Forward([this, request](SessionId session) {
    decode_.engine().Cancel({session, static_cast<uint64_t>(request)});
  });
}

void DecodeConnection::CancelCandidate(RequestNumber request, int candidate) {
  Forward([this, request, candidate](SessionId session) {
    decode_.engine().CancelCandidate({session, static_cast<uint64_t>(request)}, candidate);
  });
}

// ---- Prefill.

class PrefillConnection::Replies final : public PrefillReplies {
 public:
  Replies(PrefillConnection& connection, SessionId session)
      : connection_(connection), session_(session) {}
  void OnFirstToken(RequestKey key, RequestEpoch epoch, int candidate, const TokenChoice& first,
                    FinishCause finish, const PrefillTimings& timings) override {
    connection_.tally_.cached_prompts += timings.cached_tokens > 0 ? 1 : 0;
    connection_.Back(session_, [&c = connection_, key, epoch, candidate, id = first.id,
                                finish = FromProto(FinishToProto(finish))] {
      if (const auto events = c.Find(key, epoch)) {
        events->OnFirstToken(static_cast<uint32_t>(epoch), candidate, Tokens({id}), finish, {});
      }
    });
  }
  void OnEnded(RequestKey key, RequestEpoch epoch, const absl::Status& status, int64_t) override {
    connection_.Back(session_, [&c = connection_, key, epoch, status] {
      if (const auto events = c.Take(key, epoch)) {
        events->OnPrefillEnded(static_cast<uint32_t>(epoch), status);
      }
    });
  }

 private:
  PrefillConnection& connection_;
  const SessionId session_;
};

void PrefillConnection::PutMedia(const MediaItem&, absl::Duration,
                                 std::function<void(absl::Status)> done) {
  const bool lost = !attached() || around_.faults().Happens(Fault::kLoseUpload, 4);
  around_.events().After(Delay(), [done = std::move(done), lost] {
    done(lost ? WorkerLost("prefill") : absl::OkStatus());
  });
}

bool PrefillConnection::Run(RequestNumber request, uint32_t epoch, const SequenceOrder& order,
                            absl::Duration time_left, uint64_t ticket,
                            const std::string& decode_address,
                            std::shared_ptr<WorkerEvents> events) {
  if (!Hold(request, epoch, std::move(events))) return false;
  Forward([this, request, epoch, ticket, decode_address,
           spec = ToProto(order, time_left)](SessionId session) {
    const RequestKey key{session, static_cast<uint64_t>(request)};
    auto replies = std::make_shared<Replies>(*this, session);
    const absl::Time now = around_.events().Now();
    auto sequence = SequenceFromProto(spec, prefill_.host().config(),
                                      prefill_.host().context_tokens_max(), now);
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    if (draining()) {
      return replies->OnEnded(key, RequestEpoch{epoch}, Draining(), 0);
    }
    PrefillJob job{.key = key,
                   .request = *std::move(sequence),
                   .transfer = {Ticket{ticket}, RequestEpoch{epoch}},
                   .decode_address = decode_address,
                   .replies = std::move(replies),
                   .accepted = now,
                   .media = media_of_(request)};
    const absl::Duration decoding =
        job.media.empty() ? absl::ZeroDuration() : absl::Microseconds(around_.walk().Below(3000));
    preparer_.Send(decoding, [this, job = std::move(job)] { prefill_.engine().Submit(job); });
  });
  return true;
}

void PrefillConnection::Cancel(RequestNumber request, const std::string&) {
  LetGo(request);
  Forward([this, request](SessionId session) {
    const RequestKey key{session, static_cast<uint64_t>(request)};
    CancelBoth([this, key, at = around_.events().Now()] {
      prefill_.engine().Cancel(key, Reason::kCancelled, at);
    });
  });
}

void PrefillConnection::CancelBoth(std::function<void()> cancel) {
  cancel();
  preparer_.Send(absl::ZeroDuration(), std::move(cancel));
}

}  // namespace cleave::simulation
