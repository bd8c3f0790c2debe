#include "runtime/link/sender_links.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/random.h"
#include "runtime/link/link_error.h"

namespace cleave {

// One link and what it tells.
class SenderLinks::Link final : public SenderListener, public SenderTransport {
 public:
  Link(SenderLinks& owner, const std::string& address, LinkEpoch epoch, absl::Time dial_at)
      : owner_(owner),
        address_(address),
        epoch_(epoch),
        dial_at_(dial_at),
        sender_(owner.options_.identity, owner.options_.incarnation, epoch, owner.options_.movers,
                owner.options_.shape, owner.options_.limits, *this, *this, owner.clock_,
                owner.observer_),
        transport_(owner.dialer_.Dial(address, sender_)) {}

  KvSender& sender() { return sender_; }
  const KvSender& sender() const { return sender_; }
  const std::string& address() const { return address_; }

  bool dialled() const { return dialled_; }
  absl::Time dial_at() const { return dial_at_; }
  void Dial() {
    dialled_ = true;
    sender_.Open();
  }

  // SenderTransport. A link that was never dialled has no stream to wait for.
  void Send(PrefillToDecode message) override { transport_->Send(std::move(message)); }
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages) override {
    transport_->SendFrame(header, pages);
  }
  void Close(const absl::Status& why) override {
    if (dialled_) transport_->Close(why);
  }
  bool done() const { return sender_.done(); }

  // SenderListener.
  void OnGranted(TransferId transfer) override { owner_.listener_.OnGranted(transfer); }
  void OnRefused(TransferId transfer, const absl::Status& why) override {
    owner_.listener_.OnRefused(transfer, why);
  }
  void OnFinished(TransferId transfer, const absl::Status& status) override {
    owner_.OnFinished(*this, transfer, status);
  }
  void OnLinkOpen(const LinkAccepted& accepted) override {
    ++owner_.links_opened_;
    Log(Severity::kInfo, "kvlink_open",
        {{"peer", address_}, {"epoch", static_cast<uint32_t>(epoch_)}});
    owner_.listener_.OnLinkOpen(accepted);
  }
  void OnLinkFailed(const absl::Status& why) override { owner_.OnLinkFailed(*this, why); }

 private:
  SenderLinks& owner_;
  const std::string address_;
  const LinkEpoch epoch_;
  const absl::Time dial_at_;
  bool dialled_ = false;
  KvSender sender_;
  std::unique_ptr<SenderTransport> transport_;
};

SenderLinks::SenderLinks(const SenderLinksOptions& options, LinkDialer& dialer,
                         SenderListener& listener, const Clock& clock, LinkObserver* observer)
    : options_(options), dialer_(dialer), listener_(listener), clock_(clock), observer_(observer) {}

SenderLinks::~SenderLinks() { CHECK(links_.empty()); }

void SenderLinks::Connect(const std::string& address) {
  if (!shut_down_ && Breaker(peers_[address]).ok()) LinkTo(address);
}

void SenderLinks::Begin(const std::string& address, const TransferSpec& spec) {
  const absl::Status status = shut_down_
                                  ? LinkError(Reason::kDraining, "the prefill worker is stopping")
                                  : Breaker(peers_[address]);
  if (!status.ok()) return listener_.OnFinished(spec.id, status);
  Link& link = LinkTo(address);
  CHECK(routes_.emplace(spec.id, &link).second);
  link.sender().Begin(spec);
}

void SenderLinks::QueueFrame(TransferId transfer, const FrameSlice& slice,
                             std::vector<PageBytes> pages, std::function<void()> release) {
  const auto route = routes_.find(transfer);
  if (route == routes_.end()) return release();
  route->second->sender().QueueFrame(transfer, slice, std::move(pages), std::move(release));
}

void SenderLinks::Commit(TransferId transfer, CommitPayload payload) {
  const auto route = routes_.find(transfer);
  if (route != routes_.end()) route->second->sender().Commit(transfer, std::move(payload));
}

void SenderLinks::Cancel(TransferId transfer, Reason reason) {
  const auto route = routes_.find(transfer);
  if (route != routes_.end()) route->second->sender().Cancel(transfer, reason);
}

void SenderLinks::Shutdown() {
  shut_down_ = true;
  for (const auto& link : links_) {
    link->sender().Fail(LinkError(Reason::kDraining, "the prefill worker is stopping"));
  }
  Sweep();
}

SenderLinks::Link& SenderLinks::LinkTo(const std::string& address) {
  Peer& peer = peers_[address];
  if (peer.link == nullptr) {
    links_.push_back(
        std::make_unique<Link>(*this, address, LinkEpoch{++last_epoch_}, peer.dial_at));
    peer.link = links_.back().get();
    if (clock_.Now() >= peer.dial_at) peer.link->Dial();
  }
  return *peer.link;
}

// OK when a transfer may begin, be it that it must wait.
absl::Status SenderLinks::Breaker(const Peer& peer) const {
  const absl::Duration wait = peer.dial_at - clock_.Now();
  if (peer.failures < options_.failures_max || wait <= absl::ZeroDuration()) {
    return absl::OkStatus();
  }
  if (GetReason(peer.last_failure) == Reason::kWorkerMismatch) return peer.last_failure;
  return LinkError(
      Reason::kNoDecodeWorker,
      absl::StrCat("the link to the decode worker has failed ", peer.failures, " times in a row"),
      wait);
}

absl::Duration SenderLinks::Backoff(int failures) {
  const absl::Duration full =
      std::min(options_.backoff_max, options_.backoff_first * (1 << std::min(failures - 1, 16)));
  const auto draw = static_cast<uint32_t>(++jitter_draws_);
  const auto seed = options_.jitter_seed;
  const uint32_t random = Philox4x32(
      {draw, 0, 0, 0}, {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)})[0];
  return full * (0.5 + 0.5 * random / 4294967296.0);
}

void SenderLinks::OnLinkFailed(Link& link, const absl::Status& why) {
  Peer& peer = peers_[link.address()];
  ++links_failed_;
  const bool mismatch = GetReason(why) == Reason::kWorkerMismatch;
  peer.failures = mismatch ? std::max(peer.failures + 1, options_.failures_max) : peer.failures + 1;
  peer.dial_at = clock_.Now() + Backoff(peer.failures);
  peer.last_failure = why;
  if (peer.link == &link) peer.link = nullptr;
  const bool stopping = GetReason(why) == Reason::kDraining;
  Log(stopping ? Severity::kInfo : Severity::kWarning, "kvlink_failed",
      {{"peer", link.address()}, {"failures", peer.failures}, {"why", std::string(why.message())}});
  listener_.OnLinkFailed(why);
}

void SenderLinks::OnFinished(Link& link, TransferId transfer, const absl::Status& status) {
  if (status.ok()) peers_[link.address()].failures = 0;
  routes_.erase(transfer);
  listener_.OnFinished(transfer, status);
}

void SenderLinks::OnTick() {
  for (const auto& link : links_) {
    if (!link->dialled() && link->sender().usable() && clock_.Now() >= link->dial_at()) {
      link->Dial();
    }
    link->sender().OnTick();
  }
  Sweep();
  if (observer_ != nullptr) observer_->OnFigures(figures());
}

absl::Time SenderLinks::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& link : links_) {
    if (!link->dialled()) next = std::min(next, link->dial_at());
    next = std::min(next, link->sender().NextDeadline());
  }
  return next;
}

// Destroys links that have ended, here and not in their own calls.
void SenderLinks::Sweep() {
  for (const auto& link : links_) {
    // Never dialled, so no transport will say that it has closed.
    if (!link->dialled() && !link->sender().usable() && !link->sender().done()) {
      link->sender().OnTransportClosed(absl::CancelledError("never opened"));
    }
    if (!link->sender().done()) continue;
    ended_ += link->sender().counters();
  }
  links_.erase(std::remove_if(links_.begin(), links_.end(),
                              [](const auto& link) { return link->sender().done(); }),
               links_.end());
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    const bool forgotten = peer->second.link == nullptr &&
                           clock_.Now() >= peer->second.dial_at + options_.forget_after;
    peer = forgotten ? peers_.erase(peer) : std::next(peer);
  }
}

LinkFigures SenderLinks::figures() const {
  LinkFigures figures{
      .counters = ended_, .links_opened = links_opened_, .links_failed = links_failed_};
  for (const auto& link : links_) {
    figures.counters += link->sender().counters();
    if (link->sender().open()) ++figures.links_open;
    if (link->sender().close_overdue()) ++figures.links_overdue;
  }
  return figures;
}

}  // namespace cleave
