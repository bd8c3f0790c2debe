// How the prefill engine hands KV to decode workers: the sending side of the KV link, as the engine
// sees it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/link/kv_sender.h"

namespace cleave {

// Calls may come from any thread, return at once and are carried out in order. See KvSender for
// what each means; the answers come through SenderListener's OnGranted, OnRefused and OnFinished.
class KvOutlet {
 public:
  virtual ~KvOutlet() = default;
  // `decode_address`: host:port of the decode worker's KV link.
  virtual void Begin(const std::string& decode_address, const TransferSpec& spec) = 0;
  virtual void QueueFrame(TransferId transfer, const FrameSlice& slice,
                          std::vector<PageBytes> pages, std::function<void()> release) = 0;
  virtual void Commit(TransferId transfer, CommitPayload payload) = 0;
  virtual void Cancel(TransferId transfer, Reason reason) = 0;
};

}  // namespace cleave
