// A TCP proxy on the loopback device that a test can cut.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/base/check.h"

namespace cleave {

// Forwards every connection to 127.0.0.1:`port`. One thread, TcpProxy::Run.
class TcpProxy {
 public:
  explicit TcpProxy(int port) : target_port_(port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(::listen(listener_, 16) == 0);
    socklen_t length = sizeof(address);
    CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~TcpProxy() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }

  int port() const { return port_; }
  // Breaks all connections, wherever in the stream they are.
  void Cut() { cut_ = true; }
  // New connections are broken at once.
  void Refuse(bool refuse) { refuse_ = refuse; }
  int64_t connections() const { return connections_; }

 private:
  struct Pair {
    int client;
    int server;
  };

  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }

  void Run() {
    while (!stop_) {
      if (cut_.exchange(false)) CloseAll();
      std::vector<pollfd> fds = {{listener_, POLLIN, 0}};
      for (const Pair& pair : pairs_) {
        fds.push_back({pair.client, POLLIN, 0});
        fds.push_back({pair.server, POLLIN, 0});
      }
      ::poll(fds.data(), fds.size(), 2);
      size_t at = 1;
      for (auto pair = pairs_.begin(); pair != pairs_.end(); at += 2) {
        const bool alive = (fds[at].revents == 0 || Forward(pair->client, pair->server)) &&
                           (fds[at + 1].revents == 0 || Forward(pair->server, pair->client));
        if (alive) {
          ++pair;
          continue;
        }
        Close(*pair);
        pair = pairs_.erase(pair);
      }
      if (fds[0].revents != 0) Accept();
    }
    CloseAll();
  }

  void Accept() {
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    ++connections_;
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(target_port_);
    const bool connected =
        ::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    if (refuse_ || !connected) return Close({client, server});
    pairs_.push_back({client, server});
  }

  static bool Forward(int from, int to) {
    char buffer[16384];
    const ssize_t n = ::recv(from, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    for (ssize_t done = 0; done < n;) {
      const ssize_t sent = ::send(to, buffer + done, static_cast<size_t>(n - done), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      done += sent;
    }
    return true;
  }

  void CloseAll() {
    for (const Pair& pair : pairs_) Close(pair);
    pairs_.clear();
  }
  static void Close(const Pair& pair) {
    ::close(pair.client);
    ::close(pair.server);
  }

  const int target_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<bool> cut_{false};
  std::atomic<bool> refuse_{false};
  std::atomic<int64_t> connections_{0};
  std::list<Pair> pairs_;  // the thread's
  std::thread thread_;
};

}  // namespace cleave
