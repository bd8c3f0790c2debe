#include "gateway/event_queue.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace cleave {
namespace {

v1::GenerateEvent Text(const std::string& text, uint32_t candidate = 0) {
  v1::GenerateEvent event;
  event.set_candidate(candidate);
  event.mutable_text()->set_text(text);
  event.mutable_text()->set_tokens(1);
  return event;
}

TEST(EventQueueTest, NumbersWhatItGives) {
  EventQueue queue;
  EXPECT_FALSE(queue.Pop().has_value());
  ASSERT_TRUE(queue.Push(Text("a")).ok());
  ASSERT_TRUE(queue.Push(Text("b")).ok());
  EXPECT_EQ(queue.Pop()->index(), 0u);
  EXPECT_EQ(queue.Pop()->index(), 1u);
}

TEST(EventQueueTest, JoinsTextOfASlowClient) {
  EventQueue queue(/*events_max=*/2, /*steps_max=*/5);
  for (const char* text : {"a", "b", "c", "d"}) ASSERT_TRUE(queue.Push(Text(text)).ok());
  v1::GenerateEvent finished;
  finished.mutable_finished();
  ASSERT_TRUE(queue.Push(finished).ok()) << "what is not text is never dropped";
  EXPECT_EQ(queue.Pop()->text().text(), "a");
  const v1::GenerateEvent joined = *queue.Pop();
  EXPECT_EQ(joined.text().text(), "bcd");
  EXPECT_EQ(joined.text().tokens(), 3u);
  EXPECT_EQ(joined.index(), 1u);
  EXPECT_TRUE(queue.Pop()->has_finished());
}

TEST(EventQueueTest, JoinsLogProbabilitiesToo) {
  EventQueue queue(/*events_max=*/2, /*steps_max=*/9);
  for (uint32_t id = 0; id < 5; ++id) {
    v1::GenerateEvent event;
    event.set_candidate(0);
    event.mutable_log_probabilities()->add_tokens()->mutable_chosen()->set_token_id(id);
    ASSERT_TRUE(queue.Push(event).ok());
    ASSERT_TRUE(queue.Push(Text(std::to_string(id))).ok());
  }
  const v1::GenerateEvent places = *queue.Pop();
  ASSERT_EQ(places.log_probabilities().tokens_size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(places.log_probabilities().tokens(i).chosen().token_id(), static_cast<uint32_t>(i));
  }
  EXPECT_EQ(queue.Pop()->text().text(), "01234");
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueueTest, JoinsWhatIsOfOneKind) {
  const auto thought = [](const std::string& text) {
    v1::GenerateEvent event;
    event.set_candidate(0);
    event.mutable_thought()->set_text(text);
    event.mutable_thought()->set_tokens(1);
    return event;
  };
  v1::GenerateEvent call;
  call.set_candidate(0);
  call.mutable_tool_call()->set_name("f");
  EventQueue queue(/*events_max=*/1, /*steps_max=*/9);
  for (const auto& event : {thought("a"), thought("b"), Text("c"), Text("d"), call, call}) {
    ASSERT_TRUE(queue.Push(event).ok());
  }
  EXPECT_EQ(queue.Pop()->thought().text(), "ab");
  EXPECT_EQ(queue.Pop()->text().text(), "cd");
  EXPECT_EQ(queue.Pop()->tool_call().name(), "f");
  EXPECT_TRUE(queue.Pop()->has_tool_call());
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueueTest, JoinsEachCandidateWithItself) {
  EventQueue queue(/*events_max=*/2, /*steps_max=*/99);
  for (const char* text : {"a", "b", "c"}) {
    ASSERT_TRUE(queue.Push(Text(text, 0)).ok());
    ASSERT_TRUE(queue.Push(Text(text, 1)).ok());
  }
  v1::GenerateEvent finished;
  finished.set_candidate(1);
  finished.mutable_finished();
  ASSERT_TRUE(queue.Push(finished).ok());
  ASSERT_TRUE(queue.Push(Text("d", 0)).ok());
  for (const uint32_t candidate : {0u, 1u}) {
    const v1::GenerateEvent joined = *queue.Pop();
    EXPECT_EQ(joined.candidate(), candidate);
    EXPECT_EQ(joined.text().text(), candidate == 0 ? "abcd" : "abc");
  }
  EXPECT_TRUE(queue.Pop()->has_finished());
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueueTest, NothingComesBeforeWhatItsCandidateSentEarlier) {
  EventQueue queue(/*events_max=*/1, /*steps_max=*/99);
  v1::GenerateEvent call;
  call.set_candidate(0);
  call.mutable_tool_call()->set_name("f");
  for (const auto& event : {Text("a", 0), Text("b", 1), call, Text("c", 0), Text("d", 1)}) {
    ASSERT_TRUE(queue.Push(event).ok());
  }
  EXPECT_EQ(queue.Pop()->text().text(), "a");
  EXPECT_EQ(queue.Pop()->text().text(), "bd");
  EXPECT_TRUE(queue.Pop()->has_tool_call());
  EXPECT_EQ(queue.Pop()->text().text(), "c");
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueueTest, GivesAClientUp) {
  EventQueue queue(/*events_max=*/2, /*steps_max=*/3);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(queue.Push(Text("a")).ok());
  const absl::Status status = queue.Push(Text("a"));
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(GetReason(status), Reason::kSlowReader);
  queue.Pop();
  EXPECT_TRUE(queue.Push(Text("a")).ok());
}

}  // namespace
}  // namespace cleave
