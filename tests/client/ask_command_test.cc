// `cleave ask` and `cleave status` as processes, against a gateway with fake workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "client/child_process.h"
#include "runtime/base/file.h"
#include "tests/gateway/gateway_fixture.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Output {
  std::string text;  // stdout and stderr
  std::string end;
};

class AskCommandTest : public GatewayFixture {
 protected:
  Output Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), CLEAVE_BINARY_DIR "/bin/cleave");
    const std::string log = folder_.path() + "/out.log";
    std::filesystem::remove(log);
    ChildProcess child = *ChildProcess::Start("cleave", std::move(arguments), log);
    EXPECT_TRUE(Eventually([&] { return child.Ended().has_value(); }));
    return {.text = ReadFile(log).value_or(""), .end = child.Ended().value_or("")};
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", gateway_->port()); }
};

TEST_F(AskCommandTest, PrintsTheAnswer) {
  StartGateway();
  AnswerWith(Ids("hello the user"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  Output output = Run({"ask", "abc", "--gateway", address(), "--temperature", "0"});
  EXPECT_EQ(output.end, "exit code 0");
  EXPECT_EQ(output.text, "hello the user\n");
  output = Run({"ask", "abc", "--gateway", address(), "--verbose"});
  EXPECT_THAT(output.text, HasSubstr("prefill fake-prefill, decode fake-decode"));
  EXPECT_THAT(output.text, HasSubstr("ended by CONTEXT_FULL"));
  output = Run({"ask", "abc", "--gateway", address(), "--json"});
  EXPECT_THAT(output.text, StartsWith("{\"started\":{\"response_id\":"));
}

TEST_F(AskCommandTest, PrintsThoughtsAndCalls) {
  StartGateway();
  AnswerWith(Ids("<|channel>thought\nthe use<channel|>hello<|tool_call>call:abc{a:<|\"|>b<|\"|>}"
                 "<tool_call|><turn|>"),
             cluster::v1::FINISH_CAUSE_STOP_ID);
  folder_.Write("tools.json", R"([{"type":"function","function":{"name":"abc"}}])");
  const Output output = Run(
      {"ask", "abc", "--gateway", address(), "--think", "--tools", folder_.path() + "/tools.json"});
  EXPECT_EQ(output.end, "exit code 0");
  EXPECT_THAT(output.text, StartsWith("the use\nhello\n{\"id\":\"call-"));
  EXPECT_THAT(output.text, HasSubstr("-0\",\"name\":\"abc\",\"arguments\":{\"a\":\"b\"}}\n"));
}

// In the order in which they are complete, which is any.
TEST_F(AskCommandTest, PrintsSeveralAnswersOneByOne) {
  StartGateway();
  AnswerEachWith({Ids("hello the user"), Ids("abc<|tool_call>call:b{}<tool_call|>")},
                 cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  Output output = Run({"ask", "abc", "--gateway", address(), "--candidates", "2"});
  EXPECT_EQ(output.end, "exit code 0");
  EXPECT_THAT(output.text, HasSubstr("--- candidate 0 ---\nhello the user\n"));
  EXPECT_THAT(output.text, HasSubstr("--- candidate 1 ---\nabc\n{\"id\":\"call-"));
  EXPECT_THAT(output.text, HasSubstr("-c1-0\",\"name\":\"b\",\"arguments\":{}}\n"));
  output = Run({"ask", "abc", "--gateway", address(), "--candidates", "2", "--verbose"});
  EXPECT_THAT(output.text, HasSubstr("ended by CONTEXT_FULL, CONTEXT_FULL"));
  output = Run({"ask", "abc", "--gateway", address(), "--candidates", "9"});
  EXPECT_EQ(output.text, "cleave ask: FIELD_INVALID: candidates: found 9, allowed is 1 to 8\n");
}

TEST_F(AskCommandTest, PrintsCallsAloneWithoutAnEmptyLine) {
  StartGateway();
  AnswerWith(Ids("<|tool_call>call:abc{}<tool_call|><turn|>"), cluster::v1::FINISH_CAUSE_STOP_ID);
  folder_.Write("tools.json", R"([{"name":"abc"}])");
  const Output output =
      Run({"ask", "abc", "--gateway", address(), "--tools", folder_.path() + "/tools.json"});
  EXPECT_THAT(output.text, StartsWith("{\"id\":\"call-"));
}

TEST_F(AskCommandTest, AsksAWholeConversation) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  folder_.Write("loop.json", R"({"messages": [
      {"role": "ROLE_USER", "parts": [{"text": "abc"}]},
      {"role": "ROLE_MODEL", "toolCalls": [{"id": "1", "name": "abc", "arguments": "{}"}]},
      {"role": "ROLE_TOOL", "parts": [{"tool_result": {"call_id": "1", "json": "[1]"}}]}]})");
  const std::string file = folder_.path() + "/loop.json";
  EXPECT_EQ(Run({"ask", "--conversation", file, "--gateway", address()}).text, "hello\n");
  const Output both =
      Run({"ask", "abc", "--conversation", file, "--gateway", address(), "--validate-only"});
  EXPECT_THAT(both.text, HasSubstr("prompt tokens"));
}

TEST_F(AskCommandTest, FilesThatCannotBeRead) {
  folder_.Write("bad.json", R"({"messages": [{"rol": 1}]})");
  const std::string bad = folder_.path() + "/bad.json";
  for (const char* flag : {"--conversation", "--tools"}) {
    Output output = Run({"ask", "a", flag, bad});
    EXPECT_EQ(output.end, "exit code 2");
    EXPECT_THAT(output.text, HasSubstr(bad));
    output = Run({"ask", "a", flag, "/nowhere.json"});
    EXPECT_EQ(output.end, "exit code 2");
    EXPECT_THAT(output.text, HasSubstr("/nowhere.json"));
  }
}

TEST_F(AskCommandTest, SendsFramesOfAVideoInOrder) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  std::vector<std::string> arguments = {"ask",       "What moves?", "--fps",    "0.5",
                                        "--gateway", address(),     "--verbose"};
  std::vector<std::string> files;
  for (const int side : {64, 65, 66}) {
    files.push_back(media_test::PngFile(media_test::Gradient(side, 64)));
    const std::string name = absl::StrCat(side, ".png");
    folder_.Write(name, files.back());
    arguments.insert(arguments.end(), {"--video-frame", absl::StrCat(folder_.path(), "/", name)});
  }
  const Output output = Run(arguments);
  EXPECT_EQ(output.end, "exit code 0") << output.text;
  EXPECT_THAT(output.text, HasSubstr("(0 image, 0 audio, 192 video; 0 cached)"));
  EXPECT_EQ(prefill_->media().size(), 3u);
}

TEST_F(AskCommandTest, SendsFiles) {
  StartGateway();
  AnswerWith(Ids("hello"), cluster::v1::FINISH_CAUSE_MAX_TOKENS);
  folder_.Write("a.jpg", media_test::JpegFile(media_test::Gradient(64, 64)));
  folder_.Write("b.wav", media_test::WavFile(std::string(3200, '\1')));
  const Output output = Run({"ask", "What is this?", "--image", folder_.path() + "/a.jpg",
                             "--audio", folder_.path() + "/b.wav", "--gateway", address()});
  EXPECT_EQ(output.end, "exit code 0") << output.text;
  EXPECT_EQ(prefill_->media().size(), 2u);
  // A flag takes one file; what follows is the question.
  EXPECT_EQ(Run({"ask", "--gateway", address(), "--image", folder_.path() + "/a.jpg", "abc"}).end,
            "exit code 0");
}

TEST_F(AskCommandTest, ErrorsAreOneLine) {
  StartGateway();
  folder_.Write("empty.wav", "");
  Output output =
      Run({"ask", "a", "--audio", folder_.path() + "/empty.wav", "--gateway", address()});
  EXPECT_EQ(output.end, "exit code 1");
  EXPECT_THAT(output.text,
              StartsWith("cleave ask: MEDIA_UNDECODABLE: messages[0].parts[0].audio.data: found"));
  EXPECT_EQ(std::count(output.text.begin(), output.text.end(), '\n'), 1) << output.text;
  output = Run({"ask", "a", "--image-tokens", "71", "--gateway", address()});
  EXPECT_EQ(output.text,
            "cleave ask: FIELD_INVALID: image_token_budget: found 71, allowed is 70, 140, 280, "
            "560, 1120\n");
  output = Run({"ask", "\xFF", "--gateway", address()});
  EXPECT_EQ(output.end, "exit code 2");
  EXPECT_THAT(output.text, StartsWith("cleave ask: TEXT_NOT_UTF8: TEXT"));
  output = Run({"ask", "a", "--image", "/nowhere.jpg"});
  EXPECT_EQ(output.end, "exit code 2");
  EXPECT_THAT(output.text, HasSubstr("/nowhere.jpg"));
  output = Run({"ask"});
  EXPECT_EQ(output.end, "exit code 2");
}

TEST_F(AskCommandTest, Status) {
  StartGateway();
  Output output = Run({"status", "--gateway", address(), "--prefill", prefill_->address(),
                       "--decode", decode_->address()});
  EXPECT_EQ(output.end, "exit code 0") << output.text;
  EXPECT_THAT(output.text, HasSubstr("SERVING"));
  EXPECT_THAT(output.text, HasSubstr("test-model, context 256 tokens"));
  EXPECT_THAT(output.text, HasSubstr("fake-decode"));
  output = Run({"status", "--gateway", "127.0.0.1:1"});
  EXPECT_EQ(output.end, "exit code 1");
  EXPECT_THAT(output.text, HasSubstr("no gateway answers"));
}

}  // namespace
}  // namespace cleave
