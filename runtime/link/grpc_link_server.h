// The gRPC mover on a decode worker: the receiving side of the KV link, as the engine sees it.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/clock.h"
#include "runtime/link/link_thread.h"
#include "runtime/link/receiver_links.h"

namespace cleave {

// Owns the link thread of a decode worker, the links on it and the service that feeds them.
//
// Threads: the engine's calls are posted and carried out in order. A frame's bytes are copied once,
// from the protobuf message into the destination pages, on the link thread; a stream has at most
// two messages that the link thread has not seen, so a slow worker slows its senders. Both
// listeners are called on the link thread.
class GrpcLinkServer {
 public:
  // The listeners and the clock outlive this.
  GrpcLinkServer(const ReceiverLinksOptions& options, ReceiverListener& listener,
                 TicketListener& ticket_listener, const Clock& clock,
                 LinkObserver* observer = nullptr);
  // After Shutdown, and after the server that serves the service has ended.
  ~GrpcLinkServer();

  // To be registered with the worker's server.
  grpc::Service& service();
  // The largest message a peer sends: what that server must let through.
  static int MessageBytesMax(const LinkLimits& limits);

  // Any thread. See ReceiverLinks and TicketTable. `expected` is told on the link thread that the
  // ticket is known (only then may the prefill worker hear of it), or why not.
  void Expect(TransferId transfer, const TicketExpectation& expectation,
              std::function<void(const absl::Status&)> expected);
  void Forget(Ticket ticket, Reason reason);
  // The answer to ReservePages, exactly once. After Shutdown has returned it is dropped.
  void OnReserved(TransferId transfer,
                  absl::StatusOr<std::unique_ptr<TransferDestination>> destination);
  void Drain();

  // Ends all links and transfers and waits until nothing is written any more. The engine must go on
  // answering ReservePages meanwhile. Not from a listener.
  void Shutdown();

 private:
  class Service;
  class Session;

  LinkThread thread_;
  ReceiverLinks links_;  // the link thread's
  std::unique_ptr<Service> service_;
};

}  // namespace cleave
