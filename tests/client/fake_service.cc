// Stands in for cleave-prefill, cleave-decode and cleave-gateway in the tests of `cleave local`: it
// takes their flags, serves health on --listen and goes on until SIGTERM. --fail: says why, exits
// with 3. --stubborn: ignores SIGTERM. --mute: never becomes healthy.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "runtime/base/clock.h"
#include "runtime/base/shutdown_signal.h"
#include "runtime/rpc/server.h"

int main(int argc, char** argv) {
  cleave::ShutdownSignal shutdown;
  std::string listen;
  bool mute = false, stubborn = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--listen") == 0 && i + 1 < argc) listen = argv[i + 1];
    if (std::strcmp(argv[i], "--mute") == 0) mute = true;
    if (std::strcmp(argv[i], "--stubborn") == 0) stubborn = true;
    if (std::strcmp(argv[i], "--fail") == 0) {
      std::fprintf(stderr, "told to fail\n");
      return 3;
    }
  }
  const auto server = cleave::RpcServer::Start(
      {.address = listen, .message_bytes_max = 1 << 20, .health_names = {}}, {});
  if (!server.ok()) return 1;
  (*server)->SetServing(!mute);
  while (true) {
    shutdown.Wait();
    std::fprintf(stderr, "asked to stop\n");
    if (!stubborn) return 0;
  }
}
