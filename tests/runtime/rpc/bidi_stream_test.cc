// Both ends of a stream over loopback, with the messages of Decode.Attach.
#include "runtime/rpc/bidi_stream.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "cleave/cluster/v1/decode.grpc.pb.h"
#include "runtime/rpc/server.h"

namespace cleave {
namespace {

using cluster::v1::DecodeToGateway;
using cluster::v1::GatewayToDecode;

// What came in on one end, for the test's thread.
template <typename In>
class Inbox {
 public:
  void Add(const In& message) {
    std::lock_guard lock(mutex_);
    messages_.push_back(message);
    changed_.notify_all();
  }
  void Close(const absl::Status& status) {
    std::lock_guard lock(mutex_);
    closed_ = status;
    ++times_closed_;
    changed_.notify_all();
  }
  size_t WaitForMessages(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return messages_.size() >= count; });
    return messages_.size();
  }
  absl::Status WaitForClose() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return times_closed_ > 0; }));
    EXPECT_EQ(times_closed_, 1);
    return closed_;
  }

 private:
  static constexpr std::chrono::seconds kPatience{30};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<In> messages_;
  absl::Status closed_;
  int times_closed_ = 0;
};

template <typename In>
class InboxHandler final : public StreamHandler<In> {
 public:
  explicit InboxHandler(std::shared_ptr<Inbox<In>> inbox) : inbox_(std::move(inbox)) {}
  void OnMessage(In& message) override { inbox_->Add(message); }
  void OnClosed(const absl::Status& status) override { inbox_->Close(status); }

 private:
  std::shared_ptr<Inbox<In>> inbox_;
};

class AttachService final : public cluster::v1::Decode::CallbackService {
 public:
  explicit AttachService(size_t capacity)
      : sender(std::make_shared<StreamSender<DecodeToGateway>>(capacity)) {}
  grpc::ServerBidiReactor<GatewayToDecode, DecodeToGateway>* Attach(
      grpc::CallbackServerContext* context) override {
    return new ServerBidiStream<GatewayToDecode, DecodeToGateway>(
        *context, sender, std::make_unique<InboxHandler<GatewayToDecode>>(inbox));
  }

  const std::shared_ptr<StreamSender<DecodeToGateway>> sender;
  const std::shared_ptr<Inbox<GatewayToDecode>> inbox = std::make_shared<Inbox<GatewayToDecode>>();
};

// A server and a stub to it.
class BidiStreamTest : public ::testing::Test {
 protected:
  void Serve(size_t capacity) {
    service_ = std::make_unique<AttachService>(capacity);
    server_ = *RpcServer::Start({.address = "127.0.0.1:0", .message_bytes_max = 1 << 20},
                                {service_.get()});
    stub_ = cluster::v1::Decode::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", server_->port()), grpc::InsecureChannelCredentials()));
  }
  void TearDown() override { server_->Shutdown(absl::ZeroDuration()); }

  void Attach() {
    ClientBidiStream<DecodeToGateway, GatewayToDecode>::Open(
        sender_, std::make_unique<InboxHandler<DecodeToGateway>>(inbox_),
        [this](grpc::ClientContext* context, auto* reactor) {
          stub_->async()->Attach(context, reactor);
        });
  }

  static DecodeToGateway Large() {
    DecodeToGateway message;
    message.mutable_ended()->mutable_status()->set_message(std::string(64 << 10, 'x'));
    return message;
  }

  std::unique_ptr<AttachService> service_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<cluster::v1::Decode::Stub> stub_;
  const std::shared_ptr<StreamSender<GatewayToDecode>> sender_ =
      std::make_shared<StreamSender<GatewayToDecode>>(1024);
  const std::shared_ptr<Inbox<DecodeToGateway>> inbox_ = std::make_shared<Inbox<DecodeToGateway>>();
};

TEST_F(BidiStreamTest, CarriesMessagesBothWaysAndEndsInOrder) {
  Serve(1024);
  Attach();
  for (int i = 0; i < 500; ++i) {
    EXPECT_TRUE(sender_->Send({}));
    EXPECT_TRUE(service_->sender->Send({}));
  }
  EXPECT_EQ(service_->inbox->WaitForMessages(500), 500u);
  EXPECT_EQ(inbox_->WaitForMessages(500), 500u);
  sender_->Close();
  EXPECT_TRUE(inbox_->WaitForClose().ok());
  EXPECT_TRUE(service_->inbox->WaitForClose().ok());
  EXPECT_FALSE(sender_->Send({}));
  EXPECT_FALSE(service_->sender->Send({}));
}

// A peer that does not read: the sender says so, and the stream ends instead of losing a message.
TEST_F(BidiStreamTest, AFullQueueEndsTheStream) {
  Serve(4);
  grpc::ClientContext context;
  const auto stream = stub_->Attach(&context);
  DecodeToGateway message;
  EXPECT_TRUE(service_->sender->Send({}));
  ASSERT_TRUE(stream->Read(&message));  // attached; never read while it fills
  int sent = 0;
  while (sent < 10'000 && service_->sender->Send(Large())) ++sent;
  EXPECT_GE(sent, 4);  // one more if the first is written already
  EXPECT_LT(sent, 10'000);
  static_cast<void>(service_->inbox->WaitForClose());
  EXPECT_FALSE(service_->sender->Send({}));
  while (stream->Read(&message)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(BidiStreamTest, WhatHappensBeforeTheStreamIsThereIsNotForgotten) {
  Serve(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(service_->sender->Send({}));
  EXPECT_FALSE(service_->sender->Send({}));
  Attach();
  EXPECT_EQ(inbox_->WaitForClose().code(), absl::StatusCode::kCancelled);
}

TEST_F(BidiStreamTest, ASenderClosedBeforeTheStreamIsThereEndsIt) {
  Serve(4);
  service_->sender->Close();
  Attach();
  EXPECT_TRUE(inbox_->WaitForClose().ok());
}

TEST_F(BidiStreamTest, AServerThatIsGoneIsToldOnce) {
  Serve(1024);
  Attach();
  EXPECT_TRUE(sender_->Send({}));
  service_->inbox->WaitForMessages(1);
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(inbox_->WaitForClose().ok());
  EXPECT_FALSE(sender_->Send({}));
}

}  // namespace
}  // namespace cleave
