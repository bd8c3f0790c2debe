#include "gateway/field_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "runtime/base/error.h"

namespace cleave {
namespace {

ErrorDetail Refusal(const absl::Status& status) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return GetErrorDetail(status).value_or(ErrorDetail{});
}

TEST(FieldReaderTest, TextsAreCountedTogether) {
  const RequestLimits limits{.text_bytes_max = 10};
  FieldReader reader(limits);
  EXPECT_TRUE(reader.CheckText("a", "12345").ok());
  EXPECT_TRUE(reader.CheckText("b", "12345").ok());
  const ErrorDetail detail = Refusal(reader.CheckText("c", "1"));
  EXPECT_EQ(detail.field, "c");
  EXPECT_EQ(detail.limit, "at most 10 bytes of text");
  EXPECT_EQ(detail.actual, "11 bytes up to here");
  FieldReader other(limits);
  EXPECT_EQ(Refusal(other.CheckText("a", "\xFF")).reason, Reason::kTextNotUtf8);
}

TEST(FieldReaderTest, Words) {
  const RequestLimits limits;
  const FieldReader reader(limits);
  EXPECT_TRUE(reader.CheckToolName("n", "aZ_09.-").ok());
  EXPECT_TRUE(reader.CheckToolName("n", std::string(64, 'a')).ok());
  EXPECT_EQ(Refusal(reader.CheckToolName("n", std::string(65, 'a'))).actual, "65 bytes");
  EXPECT_EQ(Refusal(reader.CheckToolName("n", "")).actual, "nothing");
  EXPECT_EQ(Refusal(reader.CheckToolName("n", "a b")).actual, "another character at byte 1");
  EXPECT_TRUE(reader.CheckCallId("i", "call-1/~!").ok());
  EXPECT_EQ(Refusal(reader.CheckCallId("i", "a\n")).actual, "another character at byte 1");
  EXPECT_EQ(Refusal(reader.CheckCallId("i", "\xC3\xA9")).actual, "another character at byte 0");
}

TEST(FieldReaderTest, JsonIsBoundedAloneAndTogether) {
  const RequestLimits limits{.json_bytes_max = 10, .json_depth_max = 2};
  FieldReader reader(limits);
  EXPECT_EQ(Refusal(reader.ReadJson("a", "[1,2]", 4).status()).limit, "at most 4 bytes");
  EXPECT_TRUE(reader.ReadJson("a", "[[1]]", 5).ok());
  EXPECT_EQ(Refusal(reader.ReadJson("b", "[[[", 5).status()).actual,
            "JSON: nested deeper than 2 levels");
  EXPECT_EQ(Refusal(reader.ReadJson("c", "[1]", 5).status()).actual, "11 bytes up to here");
}

}  // namespace
}  // namespace cleave
