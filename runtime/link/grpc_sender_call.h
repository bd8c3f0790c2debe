// One stream to a decode worker, as a transport of the KV link.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "cleave/kvlink/v1/kv_link.grpc.pb.h"
#include "runtime/base/mutex.h"
#include "runtime/link/kv_sender.h"
#include "runtime/link/link_thread.h"

namespace cleave {

// The reactor of one Session call. Shared by its transport, by the tasks it has posted and, while
// the call is open, by itself (gRPC holds a plain pointer).
//
// The link thread calls Send, SendFrame, Close and ReadMore; gRPC's threads call the On... ones.
class GrpcSenderCall final
    : public grpc::ClientBidiReactor<kvlink::v1::PrefillToDecode, kvlink::v1::DecodeToPrefill>,
      public std::enable_shared_from_this<GrpcSenderCall> {
 public:
  // `sender` is used on the link thread only, until its OnTransportClosed.
  GrpcSenderCall(std::unique_ptr<kvlink::v1::KvLink::StubInterface> stub, LinkThread& thread,
                 KvSender& sender);

  // See SenderTransport. The first message starts the call.
  void Send(PrefillToDecode message);
  void SendFrame(const FrameHeader& header, absl::Span<const PageBytes> pages);
  void Close();

 private:
  struct FrameOut {
    FrameHeader header;
    std::vector<PageBytes> pages;
  };
  using Outbound = std::variant<PrefillToDecode, FrameOut>;
  using FrameKey = std::pair<TransferId, uint32_t>;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  void Start();
  void Enqueue(Outbound message);
  void Write(Outbound message);  // only whoever has set writing_
  void ReadMore();
  void GiveBack(const absl::Status& why);

  const std::unique_ptr<kvlink::v1::KvLink::StubInterface> stub_;
  LinkThread& thread_;
  KvSender& sender_;
  grpc::ClientContext context_;
  bool started_ = false;                  // the link thread's
  std::shared_ptr<GrpcSenderCall> self_;  // from Start to OnDone

  kvlink::v1::DecodeToPrefill incoming_;   // gRPC's while a read is open
  kvlink::v1::PrefillToDecode outgoing_;   // whoever has set writing_
  std::optional<FrameKey> frame_written_;  // likewise: the frame in outgoing_

  Mutex mutex_;
  std::deque<Outbound> queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // a write has failed: no other may start
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;   // a read has failed: the call is over
  int unread_ ABSL_GUARDED_BY(mutex_) = 0;       // messages posted that the link has not seen
  bool read_paused_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace cleave
