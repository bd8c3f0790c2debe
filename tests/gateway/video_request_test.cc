// Videos on their way from the request to the prompt.
#include "gateway/video_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "gateway/prompt_builder.h"
#include "gateway/sequence_proto.h"
#include "runtime/base/error.h"
#include "tests/gateway/refusal.h"
#include "tests/gateway/test_model.h"
#include "tests/media/media_files.h"

namespace cleave {
namespace {

using ::testing::Each;

class VideoRequestTest : public testing::Test {
 protected:
  VideoRequestTest() {
    v1::Message& message = *request_.add_messages();
    message.set_role(v1::ROLE_USER);
    message.add_parts()->set_text("see");
    video_ = message.add_parts()->mutable_video();
  }
  // Frames of 96 x 48 pixels, each of its own color.
  void AddFrames(int count) {
    for (int i = 0; i < count; ++i) {
      RgbImage picture = media_test::Gradient(96, 48);
      picture.pixels[0] = static_cast<uint8_t>(i);
      video_->add_frames()->set_data(media_test::PngFile(picture));
    }
  }
  absl::StatusOr<ChatRequest> Read() {
    v1::GenerateRequest copy = request_;
    return ReadChatRequest(copy, model_);
  }
  std::vector<int> Times() {
    const absl::StatusOr<ChatRequest> read = Read();
    EXPECT_TRUE(read.ok()) << read.status();
    std::vector<int> times;
    for (const VideoFrameInput& frame : read->media.at(0).frames) times.push_back(frame.seconds);
    return times;
  }
  std::string Refusal(Reason reason = Reason::kFieldInvalid) {
    return CheckRefusal(Read().status(), reason);
  }

  const std::string kVideo = "messages[0].parts[1].video";
  ServedModel model_ = LoadTestModel();
  v1::GenerateRequest request_;
  v1::Video* video_;
};

TEST_F(VideoRequestTest, FramesAreChosenAndTimed) {
  AddFrames(5);
  video_->set_fps(0.5);
  EXPECT_EQ(Times(), (std::vector<int>{0, 2, 4, 6, 8}));
  video_->set_frames_max(2);
  EXPECT_EQ(Times(), (std::vector<int>{0, 4}));
  EXPECT_EQ(Read()->media[0].frames[1].field, kVideo + ".frames[2].data");
  EXPECT_EQ(Read()->media[0].image_token_budget, 70);
  video_->set_token_budget(140);
  EXPECT_EQ(Read()->media[0].image_token_budget, 140);
}

TEST_F(VideoRequestTest, DefaultsAreTheReferences) {
  AddFrames(49);  // of 24 a second; 32 of them are seen
  const std::vector<int> times = Times();
  EXPECT_EQ(times.size(), 32u);
  EXPECT_EQ(times.back(), 47 / 24);
}

TEST_F(VideoRequestTest, FramesMayStateTheirTimes) {
  AddFrames(4);
  video_->set_fps(1);
  video_->mutable_frames(2)->set_seconds(2.999);
  video_->mutable_frames(3)->set_seconds(125);
  EXPECT_EQ(Times(), (std::vector<int>{0, 1, 2, 125}));
  video_->mutable_frames(3)->set_seconds(2.99);
  EXPECT_EQ(Refusal(), kVideo + ".frames[3].seconds");
}

TEST_F(VideoRequestTest, WhatIsMissingOrWrongIsNamed) {
  EXPECT_EQ(Refusal(), kVideo + ".frames");
  AddFrames(2);
  video_->mutable_frames(1)->clear_data();
  EXPECT_EQ(Refusal(), kVideo + ".frames[1].data");
  video_->mutable_frames(1)->set_data(video_->frames(0).data());
  for (const double fps : {0.0, -1.0, 0.0009, 1000.1, std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    video_->set_fps(fps);
    EXPECT_EQ(Refusal(), kVideo + ".fps") << fps;
  }
  video_->set_fps(1000);
  for (const double seconds : {-0.1, 86'400.1, std::numeric_limits<double>::quiet_NaN()}) {
    video_->mutable_frames(1)->set_seconds(seconds);
    EXPECT_EQ(Refusal(), kVideo + ".frames[1].seconds") << seconds;
  }
  video_->mutable_frames(1)->set_seconds(86'400);
  EXPECT_TRUE(Read().ok());
  video_->set_token_budget(71);
  EXPECT_EQ(Refusal(), kVideo + ".token_budget");
}

TEST_F(VideoRequestTest, LimitsHoldAtTheLimitAndOneOver) {
  const auto fill = [&](int frames) {
    video_->clear_frames();
    for (int i = 0; i < frames; ++i) video_->add_frames()->set_data("x");
  };
  fill(1024);
  EXPECT_TRUE(Read().ok());
  fill(1025);
  EXPECT_EQ(Refusal(Reason::kMediaLimit), kVideo + ".frames");
  fill(1);
  video_->set_frames_max(128);
  EXPECT_TRUE(Read().ok());
  for (const uint32_t frames : {0u, 129u, 0xffffffffu}) {
    video_->set_frames_max(frames);
    EXPECT_EQ(Refusal(), kVideo + ".frames_max");
  }
  video_->clear_frames_max();
  const v1::Part part = request_.messages(0).parts(1);
  for (int i = 0; i < 3; ++i) *request_.mutable_messages(0)->add_parts() = part;
  EXPECT_TRUE(Read().ok());
  *request_.mutable_messages(0)->add_parts() = part;
  EXPECT_EQ(Refusal(Reason::kMediaLimit), "messages[0].parts[5].video");
}

TEST_F(VideoRequestTest, FramesBecomeSpansOfTheVideosToken) {
  AddFrames(3);
  video_->set_fps(0.1);
  const absl::StatusOr<ChatRequest> read = Read();
  ASSERT_TRUE(read.ok());
  const absl::StatusOr<Prompt> prompt = BuildPrompt(*read, model_);
  ASSERT_TRUE(prompt.ok()) << prompt.status();
  ASSERT_EQ(prompt->media.size(), 3u);
  int tokens = 0;
  for (size_t i = 0; i < 3; ++i) {
    const MediaItem& item = prompt->media[i];
    tokens += item.tokens;
    EXPECT_EQ(item.kind, MediaKind::kVideo);
    EXPECT_EQ(item.image_token_budget, 70);
    EXPECT_EQ(item.content_hash, HashOf(video_->frames(static_cast<int>(i)).data()));
    EXPECT_EQ(item.field, kVideo + ".frames[" + std::to_string(i) + "].data");
    EXPECT_EQ(prompt->ids[static_cast<size_t>(item.first) - 1], IdOf("<|image>"));
    EXPECT_THAT(std::vector<TokenId>(prompt->ids.begin() + item.first,
                                     prompt->ids.begin() + item.first + item.tokens),
                Each(IdOf("<|video|>")));
    SequenceOrder order;
    order.media = {item};
    EXPECT_EQ(ToProto(order, absl::Seconds(1)).media(0).kind(),
              cluster::v1::MEDIA_KIND_VIDEO_FRAME);
  }
  EXPECT_EQ(prompt->video_tokens, tokens);
  EXPECT_EQ(prompt->image_tokens, 0);
}

TEST_F(VideoRequestTest, ABrokenFrameIsNamed) {
  AddFrames(3);
  video_->mutable_frames(1)->set_data("\xff\xd8\xff broken");
  const absl::Status status = BuildPrompt(*Read(), model_).status();
  EXPECT_EQ(GetReason(status), Reason::kMediaUndecodable);
  EXPECT_EQ(GetErrorDetail(status)->field, kVideo + ".frames[1].data");
}

}  // namespace
}  // namespace cleave
