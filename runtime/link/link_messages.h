// What the two halves of a KV link say to each other, as plain structs. The wire form is
// proto/cleave/kvlink/v1/kv_link.proto, message by message; runtime/link/link_proto converts.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "runtime/base/error.h"

namespace cleave {

inline constexpr uint32_t kLinkProtocolVersion = 1;

// The decode worker's name for a request that it expects.
enum class Ticket : uint64_t {};
// The gateway's count of attempts at a request. Higher is newer; older ones are refused by number.
enum class RequestEpoch : uint32_t {};
// A prefill process's count of its links. Higher is newer.
enum class LinkEpoch : uint32_t {};
// Drawn at random when a process starts, so that a restarted one is not taken for the old one.
enum class Incarnation : uint64_t {};

// One attempt at moving one request's KV. Every message about a transfer carries it whole.
struct TransferId {
  Ticket ticket{};
  RequestEpoch epoch{};
  friend auto operator<=>(const TransferId&, const TransferId&) = default;
};

enum class PoolKind : uint8_t { kFull, kSliding };
enum class MoverKind : uint8_t { kGrpc, kNccl };

// What both ends must agree on for KV pages to mean the same thing on both.
struct LinkIdentity {
  uint32_t protocol_version = kLinkProtocolVersion;
  std::string layout_hash;  // of model/kv_layout: page size, dtype, layer schedule, form
  std::string build;        // of the binary
  std::string model_id;
  std::string numerics_fingerprint;  // backend, ISA, kernel versions, weight file
  std::string nccl_version;          // empty without NCCL; must agree only for the NCCL mover
};

// The pages of one transfer. Both ends compute it from the prompt's length (MakeTransferPlan), so
// page ids never travel.
struct TransferPlan {
  int64_t full_pages = 0;          // ordinals 0 .. full_pages-1
  int64_t first_sliding_page = 0;  // ordinal
  int64_t sliding_pages = 0;
  int64_t total_bytes = 0;  // of all frames together
  friend bool operator==(const TransferPlan&, const TransferPlan&) = default;
};

// One layer of consecutive pages. A frame's bytes are that layer's range of each page, in order.
struct FrameHeader {
  TransferId transfer;
  uint32_t sequence_number = 0;  // 0, 1, 2, ... within the transfer
  PoolKind pool = PoolKind::kFull;
  int64_t layer = 0;       // among the layers of that kind
  int64_t first_page = 0;  // ordinal in the sequence: position / page_tokens
  int64_t page_count = 0;
  int64_t bytes = 0;
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

struct FirstToken {
  int32_t token = 0;
  float log_probability = 0;  // natural logarithm
  friend bool operator==(const FirstToken&, const FirstToken&) = default;
};

// What the decode worker needs besides the pages to go on generating.
struct CommitPayload {
  std::vector<FirstToken> first_tokens;  // one for each candidate
  std::string last_hidden_state;         // of the prompt's last position, for the drafter
  int64_t num_positions = 0;             // positions whose KV was sent
  friend bool operator==(const CommitPayload&, const CommitPayload&) = default;
};

// --- prefill to decode ---

// The first message of a session.
struct OpenLink {
  LinkIdentity identity;
  Incarnation prefill_incarnation{};
  LinkEpoch link_epoch{};
  std::vector<MoverKind> movers;  // offered, best first
  bool checksums = true;          // in every Commit
};

// Asks for the pages of one transfer. Answered by Grant or Refuse.
struct Claim {
  TransferId transfer;
  TransferPlan plan;
};

// For movers whose bytes do not ride in the stream: the frame is ready, post its receive. Answered
// by a Credit; the gRPC mover never sends it.
struct FrameAnnounce {
  FrameHeader header;
};

// All frames were sent. Answered by CommitReply.
struct Commit {
  TransferId transfer;
  int64_t frames = 0;
  int64_t bytes = 0;
  uint64_t checksum = 0;  // FrameChecksum over all frames, in order; with OpenLink::checksums
  CommitPayload payload;
};

// --- decode to prefill ---

struct LinkAccepted {
  Incarnation decode_incarnation{};
  MoverKind mover = MoverKind::kGrpc;
  int64_t frame_bytes_max = 0;
};

struct LinkRefused {
  Reason reason = Reason::kUnspecified;
  std::string field;     // of LinkIdentity, for WORKER_MISMATCH
  std::string expected;  // the decode worker's value
  std::string actual;    // the prefill worker's value
};

struct OpenLinkReply {
  std::variant<LinkAccepted, LinkRefused> answer;
};

// All pages of the plan are reserved. `credits` frames may be on their way at once.
struct Grant {
  TransferId transfer;
  int64_t credits = 0;
};

struct Refuse {
  TransferId transfer;
  Reason reason = Reason::kUnspecified;
  std::string detail;
  std::optional<absl::Duration> retry_after;  // with KV_CACHE_FULL: claim again after this time
};

// More frames may be on their way.
struct Credit {
  TransferId transfer;
  int64_t frames = 0;
};

// Sent for every frame that arrives, in the order of arrival, also for frames that are ignored: it
// tells that the frame has left the wire.
struct Received {
  TransferId transfer;
  uint32_t sequence_number = 0;
};

// kUnspecified: the sequence is the decode worker's now.
struct CommitReply {
  TransferId transfer;
  Reason reason = Reason::kUnspecified;
  std::string detail;
};

// --- both ways ---

// The sender of this message has ended the transfer. Not answered.
struct Abort {
  TransferId transfer;
  Reason reason = Reason::kUnspecified;
  std::string detail;
};

// Says that the process lives, and which transfers it works on: those named get a new lease.
struct Keepalive {
  std::vector<TransferId> transfers;
};

// Frames travel by the mover, in order with these.
using PrefillToDecode = std::variant<OpenLink, Claim, FrameAnnounce, Commit, Abort, Keepalive>;
using DecodeToPrefill =
    std::variant<OpenLinkReply, Grant, Refuse, Credit, Received, CommitReply, Abort, Keepalive>;

}  // namespace cleave
