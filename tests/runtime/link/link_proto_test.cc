#include "runtime/link/link_proto.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/runtime/link/link_fakes.h"

namespace cleave {
namespace {

namespace pb = kvlink::v1;

// What comes out of the wire form of `message`.
template <typename Content, typename Message = PrefillToDecode>
Content RoundTrip(const Message& message) {
  auto proto = ToProto(message);
  const std::string wire = proto.SerializeAsString();
  decltype(proto) parsed;
  EXPECT_TRUE(parsed.ParseFromString(wire));
  const auto back = FromProto(parsed);
  EXPECT_TRUE(back.ok()) << back.status();
  return std::get<Content>(*back);
}

const FrameHeader kHeader{Id(~0ull, 3), 7, PoolKind::kSliding, 39, 1u << 31, 17, int64_t{1} << 40};

TEST(LinkProtoTest, OpenLink) {
  const auto back = RoundTrip<OpenLink>(PrefillToDecode(OpenLink{
      SmallIdentity(), Incarnation{~0ull}, LinkEpoch{5}, {MoverKind::kNccl, MoverKind::kGrpc}}));
  EXPECT_EQ(back.identity.protocol_version, kLinkProtocolVersion);
  EXPECT_EQ(back.identity.layout_hash, "layout");
  EXPECT_EQ(back.identity.build, "build");
  EXPECT_EQ(back.identity.model_id, "model");
  EXPECT_EQ(back.identity.numerics_fingerprint, "fingerprint");
  EXPECT_EQ(back.identity.nccl_version, "2.27.3");
  EXPECT_EQ(back.prefill_incarnation, Incarnation{~0ull});
  EXPECT_EQ(back.link_epoch, LinkEpoch{5});
  EXPECT_EQ(back.movers, (std::vector{MoverKind::kNccl, MoverKind::kGrpc}));
  EXPECT_TRUE(back.checksums);
  EXPECT_FALSE(RoundTrip<OpenLink>(PrefillToDecode(OpenLink{.checksums = false})).checksums);
}

TEST(LinkProtoTest, PrefillMessages) {
  const TransferPlan plan{1000, 984, 16, int64_t{1} << 41};
  EXPECT_EQ(RoundTrip<Claim>(PrefillToDecode(Claim{Id(1, 2), plan})).plan, plan);
  EXPECT_EQ(RoundTrip<FrameAnnounce>(PrefillToDecode(FrameAnnounce{kHeader})).header, kHeader);
  const CommitPayload payload{{{5, -0.5f}, {6, 0}}, std::string("a\0b", 3), 64000};
  const auto commit = RoundTrip<Commit>(PrefillToDecode(Commit{Id(1), 9, 99, ~0ull, payload}));
  EXPECT_EQ(commit.transfer, Id(1));
  EXPECT_EQ(commit.frames, 9);
  EXPECT_EQ(commit.bytes, 99);
  EXPECT_EQ(commit.checksum, ~0ull);
  EXPECT_EQ(commit.payload, payload);
  const auto abort = RoundTrip<Abort>(PrefillToDecode(Abort{Id(4), Reason::kCancelled, "why"}));
  EXPECT_EQ(abort.reason, Reason::kCancelled);
  EXPECT_EQ(abort.detail, "why");
  const std::vector<TransferId> ids = {Id(1), Id(2, 7)};
  EXPECT_EQ(RoundTrip<Keepalive>(PrefillToDecode(Keepalive{ids})).transfers, ids);
}

TEST(LinkProtoTest, DecodeMessages) {
  const auto accepted = std::get<LinkAccepted>(
      RoundTrip<OpenLinkReply>(
          DecodeToPrefill(OpenLinkReply{LinkAccepted{Incarnation{3}, MoverKind::kGrpc, 1 << 22}}))
          .answer);
  EXPECT_EQ(accepted.decode_incarnation, Incarnation{3});
  EXPECT_EQ(accepted.frame_bytes_max, 1 << 22);
  const auto refused = std::get<LinkRefused>(
      RoundTrip<OpenLinkReply>(
          DecodeToPrefill(OpenLinkReply{LinkRefused{Reason::kWorkerMismatch, "build", "1", "2"}}))
          .answer);
  EXPECT_EQ(refused.reason, Reason::kWorkerMismatch);
  EXPECT_EQ(refused.field + refused.expected + refused.actual, "build12");
  EXPECT_EQ(RoundTrip<Grant>(DecodeToPrefill(Grant{Id(1), 4})).credits, 4);
  const absl::Duration pause = absl::Milliseconds(1250);
  const auto refuse =
      RoundTrip<Refuse>(DecodeToPrefill(Refuse{Id(1), Reason::kKvCacheFull, "full", pause}));
  EXPECT_EQ(refuse.retry_after, pause);
  EXPECT_FALSE(
      RoundTrip<Refuse>(DecodeToPrefill(Refuse{Id(1), Reason::kDraining, "", {}})).retry_after);
  EXPECT_EQ(RoundTrip<Credit>(DecodeToPrefill(Credit{Id(1), 2})).frames, 2);
  EXPECT_EQ(RoundTrip<Received>(DecodeToPrefill(Received{Id(1), 8})).sequence_number, 8u);
  EXPECT_EQ(RoundTrip<CommitReply>(DecodeToPrefill(CommitReply{Id(1)})).reason,
            Reason::kUnspecified);
  EXPECT_EQ(RoundTrip<Abort>(DecodeToPrefill(Abort{Id(1), Reason::kStaleEpoch, ""})).reason,
            Reason::kStaleEpoch);
  EXPECT_EQ(RoundTrip<Keepalive>(DecodeToPrefill(Keepalive{{Id(1)}})).transfers.size(), 1u);
}

TEST(LinkProtoTest, Frame) {
  const uint8_t bytes[] = {1, 2, 3, 4, 5};
  const std::vector<PageBytes> pages = {PageBytes(bytes, 2), PageBytes(bytes + 2, 3)};
  FrameHeader header = kHeader;
  header.bytes = 5;
  pb::Frame frame;
  FrameToProto(header, pages, frame);
  EXPECT_EQ(frame.data(), "\1\2\3\4\5");
  EXPECT_EQ(FromProto(frame.header()).value(), header);
}

// A reason of a later version must not pass for success.
TEST(LinkProtoTest, UnknownReasonIsAnError) {
  pb::DecodeToPrefill proto;
  proto.mutable_commit_reply()->set_reason("FROM_THE_FUTURE");
  EXPECT_EQ(std::get<CommitReply>(*FromProto(proto)).reason, Reason::kInvariant);
}

TEST(LinkProtoTest, WhatNoPeerSendsIsRefused) {
  EXPECT_FALSE(FromProto(pb::PrefillToDecode()).ok());
  EXPECT_FALSE(FromProto(pb::DecodeToPrefill()).ok());
  EXPECT_FALSE(FromProto(pb::FrameHeader()).ok()) << "no pool";
  pb::DecodeToPrefill reply;
  reply.mutable_open_reply();
  EXPECT_FALSE(FromProto(reply).ok());
  reply.mutable_open_reply()->mutable_accepted()->set_frame_bytes_max(1);
  EXPECT_FALSE(FromProto(reply).ok()) << "no mover";
}

TEST(LinkProtoTest, MoversOfLaterVersionsArePassedOver) {
  pb::PrefillToDecode proto;
  proto.mutable_open()->add_movers(static_cast<pb::Mover>(99));
  proto.mutable_open()->add_movers(pb::MOVER_GRPC);
  EXPECT_EQ(std::get<OpenLink>(*FromProto(proto)).movers, std::vector{MoverKind::kGrpc});
}

TEST(LinkProtoTest, LongTextOfAPeerIsClipped) {
  pb::DecodeToPrefill proto;
  proto.mutable_abort()->set_detail(std::string(10000, 'x'));
  EXPECT_LE(std::get<Abort>(*FromProto(proto)).detail.size(), 256u);
}

}  // namespace
}  // namespace cleave
