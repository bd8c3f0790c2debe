// The gRPC mover on a prefill worker: the sending side of the KV link, as the engine sees it.
#pragma once

#include <grpcpp/security/credentials.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/link/link_thread.h"
#include "runtime/link/sender_links.h"

namespace cleave {

// Owns the link thread of a prefill worker and the links on it.
//
// Threads: the engine's calls are posted and carried out in order. A frame's pages are copied into
// a protobuf message when its turn to be written has come, by the link thread or, right behind
// another frame, by a gRPC thread; until its release callback the memory must stay as it is. At
// most one message is being written to a stream, and behind it wait at most
// LinkLimits::mover_bytes_max of frames, which cost no memory of their own. The listener, release
// callbacks included, is called on the link thread.
class GrpcLinkClient {
 public:
  // The listener and the clock outlive this.
  GrpcLinkClient(const SenderLinksOptions& options,
                 std::shared_ptr<grpc::ChannelCredentials> credentials, SenderListener& listener,
                 const Clock& clock, LinkObserver* observer = nullptr);
  // After Shutdown.
  ~GrpcLinkClient();

  // Any thread. See SenderLinks and KvSender.
  void Connect(const std::string& address);
  void Begin(const std::string& address, const TransferSpec& spec);
  void QueueFrame(TransferId transfer, const FrameSlice& slice, std::vector<PageBytes> pages,
                  std::function<void()> release);
  void Commit(TransferId transfer, CommitPayload payload);
  void Cancel(TransferId transfer, Reason reason);

  // Ends all links and transfers and waits until all memory has come back. Later calls are answered
  // at once, on the caller's thread. Not from the listener.
  void Shutdown();

 private:
  class Dialer;

  SenderListener& listener_;
  LinkThread thread_;
  std::unique_ptr<Dialer> dialer_;
  SenderLinks links_;  // the link thread's
};

}  // namespace cleave
