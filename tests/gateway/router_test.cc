#include "gateway/router.h"

#include <gtest/gtest.h>

#include "gateway/worker_connection.h"
#include "runtime/base/error.h"

namespace cleave {
namespace {

struct NamedPrefill final : PrefillWorker {
  explicit NamedPrefill(std::string n) : name_(std::move(n)) {}
  void PutMedia(const MediaItem&, absl::Duration, std::function<void(absl::Status)>) override {}
  bool Run(RequestNumber, uint32_t, const SequenceOrder&, absl::Duration, uint64_t,
           const std::string&, std::shared_ptr<WorkerEvents>) override {
    return false;
  }
  void Cancel(RequestNumber, const std::string&) override {}
  void Forget(RequestNumber) override {}
  std::string name() const override { return name_; }
  const std::string name_;
};

struct NamedDecode final : DecodeWorker {
  explicit NamedDecode(std::string n) : name_(std::move(n)) {}
  bool Expect(RequestNumber, uint32_t, const SequenceOrder&, absl::Duration,
              std::shared_ptr<WorkerEvents>) override {
    return false;
  }
  void Cancel(RequestNumber, const std::string&) override {}
  void CancelCandidate(RequestNumber, int) override {}
  void Forget(RequestNumber) override {}
  std::string name() const override { return name_; }
  std::string kv_link_address() const override { return name_; }
  const std::string name_;
};

WorkerStatus Usable(const std::string& compatibility = "a") {
  WorkerStatus status;
  status.usable = true;
  status.compatibility = compatibility;
  return status;
}

class RouterTest : public testing::Test {
 protected:
  void AddPrefill(const std::string& name, WorkerStatus status) {
    prefill_.push_back({std::make_shared<NamedPrefill>(name), std::move(status)});
  }
  void AddDecode(const std::string& name, WorkerStatus status) {
    decode_.push_back({std::make_shared<NamedDecode>(name), std::move(status)});
  }
  std::string Choose() {
    const absl::StatusOr<Route> route = ChooseRoute(prefill_, decode_);
    if (route.ok()) return route->prefill->name() + route->decode->name();
    EXPECT_TRUE(absl::IsUnavailable(route.status()));
    EXPECT_TRUE(GetErrorDetail(route.status())->retry_after.has_value());
    return std::string(ReasonName(GetReason(route.status())));
  }

  std::vector<PrefillCandidate> prefill_;
  std::vector<DecodeCandidate> decode_;
};

TEST_F(RouterTest, SaysWhatIsMissing) {
  EXPECT_EQ(Choose(), "NO_PREFILL_WORKER");
  AddPrefill("p", Usable());
  EXPECT_EQ(Choose(), "NO_DECODE_WORKER");
  AddDecode("d", Usable("b"));
  EXPECT_EQ(Choose(), "WORKER_MISMATCH");
  AddDecode("e", Usable("a"));
  EXPECT_EQ(Choose(), "pe");
  prefill_[0].status.usable = false;
  EXPECT_EQ(Choose(), "NO_PREFILL_WORKER");
}

TEST_F(RouterTest, PairsOnlyWhatTheKvLinkTakesForEqual) {
  cluster::v1::WorkerIdentity identity;
  const std::string plain = Compatibility(identity);
  AddPrefill("p", Usable(plain));
  for (const auto set : {&cluster::v1::WorkerIdentity::set_build<const char*>,
                         &cluster::v1::WorkerIdentity::set_weights_fingerprint<const char*>,
                         &cluster::v1::WorkerIdentity::set_kv_layout<const char*>,
                         &cluster::v1::WorkerIdentity::set_numerics_fingerprint<const char*>}) {
    cluster::v1::WorkerIdentity other;
    (other.*set)("other");
    decode_.clear();
    AddDecode("d", Usable(Compatibility(other)));
    EXPECT_EQ(Choose(), "WORKER_MISMATCH");
    AddDecode("e", Usable(plain));
    EXPECT_EQ(Choose(), "pe");
  }
  identity.set_name("another");
  identity.set_incarnation(7);
  EXPECT_EQ(Compatibility(identity), plain);
}

TEST_F(RouterTest, TakesTheLeastLoaded) {
  for (const char* name : {"p", "q"}) AddPrefill(name, Usable());
  for (const char* name : {"d", "e", "f"}) AddDecode(name, Usable());
  prefill_[0].status.queued_tokens = 10;
  decode_[0].status.requests = 2;
  decode_[1].status.requests = 1;
  decode_[2].status.requests = 1;
  decode_[1].status.pages_total = decode_[2].status.pages_total = 10;
  decode_[1].status.pages_free = 5;
  decode_[2].status.pages_free = 6;
  EXPECT_EQ(Choose(), "qf");
  prefill_[1].status.assigned_tokens = 11;  // sent, not told by the worker yet
  EXPECT_EQ(Choose(), "pf");
  decode_[2].status.assigned_requests = 3;
  EXPECT_EQ(Choose(), "pe");
}

TEST_F(RouterTest, ALocalRouteNeedsADecodeWorkerThatComputesPrompts) {
  const auto choose = [this] {
    const absl::StatusOr<Route> route = ChooseLocalRoute(decode_);
    EXPECT_TRUE(!route.ok() || route->is_local());
    return route.ok() ? route->decode->name() : std::string(ReasonName(GetReason(route.status())));
  };
  AddDecode("d", Usable());
  EXPECT_EQ(choose(), "NO_DECODE_WORKER");
  for (const char* name : {"e", "f"}) {
    AddDecode(name, Usable());
    decode_.back().status.local_prompts = true;
  }
  decode_[1].status.requests = 1;
  EXPECT_EQ(choose(), "f");
  decode_[2].status.usable = false;
  EXPECT_EQ(choose(), "e");
}

}  // namespace
}  // namespace cleave
