#include "gateway/request_parse.h"

#include <gtest/gtest.h>

#include "cleave/v1/chat.pb.h"
#include "gateway/call_info.h"
#include "runtime/base/error.h"
#include "runtime/rpc/request_id.h"

namespace cleave {
namespace {

v1::GenerateRequest Request() {
  v1::GenerateRequest request;
  for (int i = 0; i < 2; ++i) {
    v1::Message& message = *request.add_messages();
    message.set_role(v1::ROLE_USER);
    message.add_parts()->mutable_image()->set_data("\xFF\xD8");
    message.add_parts()->set_text("text");
  }
  request.add_stop("x");
  request.set_max_output_tokens(3);
  return request;
}

TEST(RequestParseTest, RoundTrip) {
  v1::GenerateRequest parsed;
  ASSERT_TRUE(ParseRequest(SerializeReply(Request()), parsed).ok());
  EXPECT_EQ(parsed.SerializeAsString(), Request().SerializeAsString());
}

TEST(RequestParseTest, NamesTheTextThatIsNotUtf8) {
  v1::GenerateRequest parsed;
  v1::GenerateRequest request = Request();
  request.mutable_messages(1)->mutable_parts(1)->set_text("a\xC0");
  absl::Status status = ParseRequest(SerializeReply(request), parsed);
  EXPECT_EQ(GetReason(status), Reason::kTextNotUtf8);
  EXPECT_EQ(GetErrorDetail(status)->field, "messages[1].parts[1].text");
  request = Request();
  request.set_stop(0, "\xFF");
  EXPECT_EQ(GetErrorDetail(ParseRequest(SerializeReply(request), parsed))->field, "stop[0]");
  v1::CountTokensRequest count;
  *count.mutable_request() = request;
  EXPECT_EQ(GetErrorDetail(ParseRequest(SerializeReply(count), count))->field, "request.stop[0]");
}

TEST(RequestParseTest, BytesThatAreNoMessage) {
  v1::GenerateRequest parsed;
  const std::string whole = Request().SerializeAsString();
  for (size_t length = 1; length < whole.size(); ++length) {
    const grpc::Slice slice(whole.substr(0, length));
    const absl::Status status = ParseRequest(grpc::ByteBuffer(&slice, 1), parsed);
    EXPECT_TRUE(status.ok() || GetReason(status) == Reason::kFieldInvalid) << status;
  }
  const grpc::Slice slice(std::string("\x0A\xFF\xFF\xFF\xFF\x0F"));
  EXPECT_FALSE(ParseRequest(grpc::ByteBuffer(&slice, 1), parsed).ok());
}

TEST(CallInfoTest, RequestIds) {
  EXPECT_TRUE(IsValidRequestId("abc-123 ~"));
  EXPECT_TRUE(IsValidRequestId(std::string(64, 'x')));
  EXPECT_FALSE(IsValidRequestId(""));
  EXPECT_FALSE(IsValidRequestId(std::string(65, 'x')));
  EXPECT_FALSE(IsValidRequestId("a\nb"));
  EXPECT_FALSE(IsValidRequestId("\xC3\xA9"));
  EXPECT_NE(DrawId("resp-"), DrawId("resp-"));
}

}  // namespace
}  // namespace cleave
