#include "runtime/link/link_proto.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

namespace pb = kvlink::v1;

constexpr size_t kDetailBytesMax = 256;  // of a peer's text that ends up in our errors

absl::Status Unknown(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("KV link message with an unknown ", what));
}

// --- to protobuf ---

void SetTransfer(TransferId id, pb::TransferId* proto) {
  proto->set_ticket(static_cast<uint64_t>(id.ticket));
  proto->set_epoch(static_cast<uint32_t>(id.epoch));
}

std::string NameOf(Reason reason) {
  return reason == Reason::kUnspecified ? "" : std::string(ReasonName(reason));
}

pb::Mover MoverToProto(MoverKind mover) {
  return mover == MoverKind::kNccl ? pb::MOVER_NCCL : pb::MOVER_GRPC;
}

void Set(const LinkIdentity& identity, pb::LinkIdentity* proto) {
  proto->set_protocol_version(identity.protocol_version);
  proto->set_layout_hash(identity.layout_hash);
  proto->set_build(identity.build);
  proto->set_model_id(identity.model_id);
  proto->set_numerics_fingerprint(identity.numerics_fingerprint);
  proto->set_nccl_version(identity.nccl_version);
}

void Set(const FrameHeader& header, pb::FrameHeader* proto) {
  SetTransfer(header.transfer, proto->mutable_transfer());
  proto->set_sequence_number(header.sequence_number);
  proto->set_pool(header.pool == PoolKind::kFull ? pb::PAGE_POOL_FULL : pb::PAGE_POOL_SLIDING);
  proto->set_layer(static_cast<uint32_t>(header.layer));
  proto->set_first_page(static_cast<uint32_t>(header.first_page));
  proto->set_page_count(static_cast<uint32_t>(header.page_count));
  proto->set_bytes(static_cast<uint64_t>(header.bytes));
}

void Set(const Abort& abort, pb::Abort* proto) {
  SetTransfer(abort.transfer, proto->mutable_transfer());
  proto->set_reason(NameOf(abort.reason));
  proto->set_detail(abort.detail);
}

void Set(const Keepalive& keepalive, pb::Keepalive* proto) {
  for (const TransferId id : keepalive.transfers) SetTransfer(id, proto->add_transfers());
}

// One overload for each message, which sets its place in the envelope.
void Put(const OpenLink& open, pb::PrefillToDecode& envelope) {
  pb::OpenLink* proto = envelope.mutable_open();
  Set(open.identity, proto->mutable_identity());
  proto->set_prefill_incarnation(static_cast<uint64_t>(open.prefill_incarnation));
  proto->set_link_epoch(static_cast<uint32_t>(open.link_epoch));
  for (const MoverKind mover : open.movers) proto->add_movers(MoverToProto(mover));
  proto->set_checksums(open.checksums);
}

void Put(const Claim& claim, pb::PrefillToDecode& envelope) {
  pb::Claim* proto = envelope.mutable_claim();
  SetTransfer(claim.transfer, proto->mutable_transfer());
  pb::TransferPlan* plan = proto->mutable_plan();
  plan->set_full_pages(static_cast<uint32_t>(claim.plan.full_pages));
  plan->set_first_sliding_page(static_cast<uint32_t>(claim.plan.first_sliding_page));
  plan->set_sliding_pages(static_cast<uint32_t>(claim.plan.sliding_pages));
  plan->set_total_bytes(static_cast<uint64_t>(claim.plan.total_bytes));
}

void Put(const FrameAnnounce& announce, pb::PrefillToDecode& envelope) {
  Set(announce.header, envelope.mutable_frame_announce()->mutable_header());
}

void Put(const Commit& commit, pb::PrefillToDecode& envelope) {
  pb::Commit* proto = envelope.mutable_commit();
  SetTransfer(commit.transfer, proto->mutable_transfer());
  proto->set_frames(static_cast<uint32_t>(commit.frames));
  proto->set_bytes(static_cast<uint64_t>(commit.bytes));
  proto->set_checksum(commit.checksum);
  for (const FirstToken& first : commit.payload.first_tokens) {
    pb::FirstToken* token = proto->add_first_tokens();
    token->set_token(first.token);
    token->set_log_probability(first.log_probability);
  }
  proto->set_last_hidden_state(commit.payload.last_hidden_state);
  proto->set_num_positions(static_cast<uint64_t>(commit.payload.num_positions));
}

void Put(const Abort& abort, pb::PrefillToDecode& envelope) {
  Set(abort, envelope.mutable_abort());
}
void Put(const Keepalive& keepalive, pb::PrefillToDecode& envelope) {
  Set(keepalive, envelope.mutable_keepalive());
}

void Put(const OpenLinkReply& reply, pb::DecodeToPrefill& envelope) {
  pb::OpenLinkReply* proto = envelope.mutable_open_reply();
  if (const auto* refused = std::get_if<LinkRefused>(&reply.answer)) {
    proto->mutable_refused()->set_reason(NameOf(refused->reason));
    proto->mutable_refused()->set_field(refused->field);
    proto->mutable_refused()->set_expected(refused->expected);
    proto->mutable_refused()->set_actual(refused->actual);
    return;
  }
  const auto& accepted = std::get<LinkAccepted>(reply.answer);
  proto->mutable_accepted()->set_decode_incarnation(
      static_cast<uint64_t>(accepted.decode_incarnation));
  proto->mutable_accepted()->set_mover(MoverToProto(accepted.mover));
  proto->mutable_accepted()->set_frame_bytes_max(static_cast<uint64_t>(accepted.frame_bytes_max));
}

void Put(const Grant& grant, pb::DecodeToPrefill& envelope) {
  SetTransfer(grant.transfer, envelope.mutable_grant()->mutable_transfer());
  envelope.mutable_grant()->set_credits(static_cast<uint32_t>(grant.credits));
}

void Put(const Refuse& refuse, pb::DecodeToPrefill& envelope) {
  pb::Refuse* proto = envelope.mutable_refuse();
  SetTransfer(refuse.transfer, proto->mutable_transfer());
  proto->set_reason(NameOf(refuse.reason));
  proto->set_detail(refuse.detail);
  if (!refuse.retry_after) return;
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(*refuse.retry_after);
  proto->mutable_retry_after()->set_seconds(nanoseconds / 1'000'000'000);
  proto->mutable_retry_after()->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
}

void Put(const Credit& credit, pb::DecodeToPrefill& envelope) {
  SetTransfer(credit.transfer, envelope.mutable_credit()->mutable_transfer());
  envelope.mutable_credit()->set_frames(static_cast<uint32_t>(credit.frames));
}

void Put(const Received& received, pb::DecodeToPrefill& envelope) {
  SetTransfer(received.transfer, envelope.mutable_received()->mutable_transfer());
  envelope.mutable_received()->set_sequence_number(received.sequence_number);
}

void Put(const CommitReply& reply, pb::DecodeToPrefill& envelope) {
  pb::CommitReply* proto = envelope.mutable_commit_reply();
  SetTransfer(reply.transfer, proto->mutable_transfer());
  proto->set_reason(NameOf(reply.reason));
  proto->set_detail(reply.detail);
}

void Put(const Abort& abort, pb::DecodeToPrefill& envelope) {
  Set(abort, envelope.mutable_abort());
}
void Put(const Keepalive& keepalive, pb::DecodeToPrefill& envelope) {
  Set(keepalive, envelope.mutable_keepalive());
}

// --- from protobuf ---

// An empty reason means that nothing is wrong; one that this build does not know must not.
Reason GetReasonOf(const std::string& name) {
  const Reason reason = ReasonFromName(name);
  return reason == Reason::kUnspecified && !name.empty() ? Reason::kInvariant : reason;
}

TransferId Get(const pb::TransferId& proto) {
  return {Ticket{proto.ticket()}, RequestEpoch{proto.epoch()}};
}

std::string Clip(const std::string& text) { return text.substr(0, kDetailBytesMax); }

Abort Get(const pb::Abort& proto) {
  return {Get(proto.transfer()), GetReasonOf(proto.reason()), Clip(proto.detail())};
}

Keepalive Get(const pb::Keepalive& proto) {
  Keepalive keepalive;
  keepalive.transfers.reserve(static_cast<size_t>(proto.transfers_size()));
  for (const pb::TransferId& id : proto.transfers()) keepalive.transfers.push_back(Get(id));
  return keepalive;
}

LinkIdentity Get(const pb::LinkIdentity& proto) {
  return {.protocol_version = proto.protocol_version(),
          .layout_hash = proto.layout_hash(),
          .build = proto.build(),
          .model_id = proto.model_id(),
          .numerics_fingerprint = proto.numerics_fingerprint(),
          .nccl_version = proto.nccl_version()};
}

absl::StatusOr<MoverKind> Get(pb::Mover mover) {
  if (mover == pb::MOVER_GRPC) return MoverKind::kGrpc;
  if (mover == pb::MOVER_NCCL) return MoverKind::kNccl;
  return Unknown("mover");
}

// Movers that this build does not know are passed over: a newer peer may offer them.
OpenLink Get(const pb::OpenLink& proto) {
  OpenLink open{.identity = Get(proto.identity()),
                .prefill_incarnation = Incarnation{proto.prefill_incarnation()},
                .link_epoch = LinkEpoch{proto.link_epoch()},
                .movers = {},
                .checksums = proto.checksums()};
  for (const int mover : proto.movers()) {
    const absl::StatusOr<MoverKind> known = Get(static_cast<pb::Mover>(mover));
    if (known.ok()) open.movers.push_back(*known);
  }
  return open;
}

Claim Get(const pb::Claim& proto) {
  const pb::TransferPlan& plan = proto.plan();
  return {Get(proto.transfer()),
          {.full_pages = plan.full_pages(),
           .first_sliding_page = plan.first_sliding_page(),
           .sliding_pages = plan.sliding_pages(),
           .total_bytes = static_cast<int64_t>(plan.total_bytes())}};
}

Commit Get(const pb::Commit& proto) {
  Commit commit{.transfer = Get(proto.transfer()),
                .frames = proto.frames(),
                .bytes = static_cast<int64_t>(proto.bytes()),
                .checksum = proto.checksum(),
                .payload = {.first_tokens = {},
                            .last_hidden_state = proto.last_hidden_state(),
                            .num_positions = static_cast<int64_t>(proto.num_positions())}};
  for (const pb::FirstToken& token : proto.first_tokens()) {
    commit.payload.first_tokens.push_back({token.token(), token.log_probability()});
  }
  return commit;
}

absl::StatusOr<DecodeToPrefill> Get(const pb::OpenLinkReply& proto) {
  if (proto.has_refused()) {
    return OpenLinkReply{
        LinkRefused{GetReasonOf(proto.refused().reason()), Clip(proto.refused().field()),
                    Clip(proto.refused().expected()), Clip(proto.refused().actual())}};
  }
  if (!proto.has_accepted()) return Unknown("answer to OpenLink");
  ASSIGN_OR_RETURN(const MoverKind mover, Get(proto.accepted().mover()));
  return OpenLinkReply{
      LinkAccepted{.decode_incarnation = Incarnation{proto.accepted().decode_incarnation()},
                   .mover = mover,
                   .frame_bytes_max = static_cast<int64_t>(proto.accepted().frame_bytes_max())}};
}

Refuse Get(const pb::Refuse& proto) {
  Refuse refuse{Get(proto.transfer()), GetReasonOf(proto.reason()), Clip(proto.detail()),
                std::nullopt};
  if (proto.has_retry_after()) {
    refuse.retry_after = absl::Seconds(proto.retry_after().seconds()) +
                         absl::Nanoseconds(proto.retry_after().nanos());
  }
  return refuse;
}

}  // namespace

pb::PrefillToDecode ToProto(const PrefillToDecode& message) {
  pb::PrefillToDecode envelope;
  std::visit([&](const auto& content) { Put(content, envelope); }, message);
  return envelope;
}

pb::DecodeToPrefill ToProto(const DecodeToPrefill& message) {
  pb::DecodeToPrefill envelope;
  std::visit([&](const auto& content) { Put(content, envelope); }, message);
  return envelope;
}

void FrameToProto(const FrameHeader& header, absl::Span<const PageBytes> pages, pb::Frame& proto) {
  Set(header, proto.mutable_header());
  std::string* data = proto.mutable_data();
  data->clear();
  data->reserve(static_cast<size_t>(header.bytes));
  for (const PageBytes page : pages) {
    data->append(reinterpret_cast<const char*>(page.data()), page.size());
  }
}

absl::StatusOr<FrameHeader> FromProto(const pb::FrameHeader& proto) {
  if (proto.pool() != pb::PAGE_POOL_FULL && proto.pool() != pb::PAGE_POOL_SLIDING) {
    return Unknown("page pool");
  }
  return FrameHeader{
      .transfer = Get(proto.transfer()),
      .sequence_number = proto.sequence_number(),
      .pool = proto.pool() == pb::PAGE_POOL_FULL ? PoolKind::kFull : PoolKind::kSliding,
      .layer = proto.layer(),
      .first_page = proto.first_page(),
      .page_count = proto.page_count(),
      .bytes = static_cast<int64_t>(proto.bytes())};
}

absl::StatusOr<PrefillToDecode> FromProto(const pb::PrefillToDecode& proto) {
  switch (proto.message_case()) {
    case pb::PrefillToDecode::kOpen:
      return Get(proto.open());
    case pb::PrefillToDecode::kClaim:
      return Get(proto.claim());
    case pb::PrefillToDecode::kFrameAnnounce: {
      ASSIGN_OR_RETURN(const FrameHeader header, FromProto(proto.frame_announce().header()));
      return FrameAnnounce{header};
    }
    case pb::PrefillToDecode::kCommit:
      return Get(proto.commit());
    case pb::PrefillToDecode::kAbort:
      return Get(proto.abort());
    case pb::PrefillToDecode::kKeepalive:
      return Get(proto.keepalive());
    case pb::PrefillToDecode::kFrame:
    case pb::PrefillToDecode::MESSAGE_NOT_SET:
      break;
  }
  return Unknown("content");
}

absl::StatusOr<DecodeToPrefill> FromProto(const pb::DecodeToPrefill& proto) {
  switch (proto.message_case()) {
    case pb::DecodeToPrefill::kOpenReply:
      return Get(proto.open_reply());
    case pb::DecodeToPrefill::kGrant:
      return Grant{Get(proto.grant().transfer()), proto.grant().credits()};
    case pb::DecodeToPrefill::kRefuse:
      return Get(proto.refuse());
    case pb::DecodeToPrefill::kCredit:
      return Credit{Get(proto.credit().transfer()), proto.credit().frames()};
    case pb::DecodeToPrefill::kReceived:
      return Received{Get(proto.received().transfer()), proto.received().sequence_number()};
    case pb::DecodeToPrefill::kCommitReply:
      return CommitReply{Get(proto.commit_reply().transfer()),
                         GetReasonOf(proto.commit_reply().reason()),
                         Clip(proto.commit_reply().detail())};
    case pb::DecodeToPrefill::kAbort:
      return Get(proto.abort());
    case pb::DecodeToPrefill::kKeepalive:
      return Get(proto.keepalive());
    case pb::DecodeToPrefill::MESSAGE_NOT_SET:
      break;
  }
  return Unknown("content");
}

}  // namespace cleave
