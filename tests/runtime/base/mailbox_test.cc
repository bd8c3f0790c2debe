#include "runtime/base/mailbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace cleave {
namespace {

std::vector<int> Take(Mailbox<int>& mailbox, absl::Duration timeout = absl::ZeroDuration()) {
  std::vector<int> items;
  mailbox.TakeAll(items, timeout);
  return items;
}

TEST(MailboxTest, KeepsOrderAndCapacity) {
  Mailbox<int> mailbox(2);
  EXPECT_TRUE(mailbox.Push(1));
  EXPECT_TRUE(mailbox.Push(2));
  EXPECT_FALSE(mailbox.Push(3));
  EXPECT_TRUE(mailbox.PushAlways(4));
  EXPECT_EQ(Take(mailbox), (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(Take(mailbox), std::vector<int>());
  EXPECT_TRUE(mailbox.Push(5));
}

TEST(MailboxTest, RefusedItemIsUnchanged) {
  Mailbox<std::unique_ptr<int>> mailbox(0);
  auto item = std::make_unique<int>(7);
  EXPECT_FALSE(mailbox.Push(std::move(item)));
  EXPECT_TRUE(item != nullptr && *item == 7);  // NOLINT(bugprone-use-after-move)
}

TEST(MailboxTest, CloseKeepsWhatIsQueued) {
  Mailbox<int> mailbox(4);
  EXPECT_TRUE(mailbox.Push(1));
  mailbox.Close();
  EXPECT_TRUE(mailbox.closed());
  EXPECT_FALSE(mailbox.Push(2));
  EXPECT_FALSE(mailbox.PushAlways(3));
  EXPECT_EQ(Take(mailbox, absl::Hours(1)), std::vector<int>{1});
  EXPECT_EQ(Take(mailbox, absl::Hours(1)), std::vector<int>());
}

TEST(MailboxTest, WakeEndsTheNextWait) {
  Mailbox<int> mailbox(4);
  mailbox.Wake();
  EXPECT_EQ(Take(mailbox, absl::Hours(1)), std::vector<int>());
  const absl::Time begin = absl::Now();
  EXPECT_EQ(Take(mailbox, absl::Milliseconds(20)), std::vector<int>());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(10)) << "one Wake ended two waits";
}

TEST(MailboxTest, NothingIsLostBetweenThreads) {
  constexpr int kSenders = 4, kItems = 2000;
  Mailbox<std::pair<int, int>> mailbox(8);
  std::vector<std::thread> senders;
  senders.reserve(kSenders);
  for (int sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&mailbox, sender] {
      for (int i = 0; i < kItems;) {
        if (mailbox.Push({sender, i})) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  std::vector<int> next(kSenders, 0);
  std::vector<std::pair<int, int>> items;
  for (int taken = 0; taken < kSenders * kItems; taken += static_cast<int>(items.size())) {
    mailbox.TakeAll(items, absl::InfiniteDuration());
    for (const auto& [sender, item] : items) {
      ASSERT_EQ(item, next[static_cast<size_t>(sender)]++);
    }
  }
  for (std::thread& sender : senders) sender.join();
}

}  // namespace
}  // namespace cleave
