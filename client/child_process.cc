#include "client/child_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "runtime/base/clock.h"
#include "runtime/base/file.h"

namespace cleave {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(20);

absl::Status SystemError(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// In the child, between fork and exec: only calls that are safe there. On failure writes errno to
// `report` and ends.
[[noreturn]] void RunChild(char* const* arguments, int log, int report, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execv(arguments[0], arguments);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(report, &error, sizeof(error));
  ::_exit(127);
}

}  // namespace

ChildProcess::ChildProcess(std::string name, pid_t pid, std::string log_path)
    : name_(std::move(name)), pid_(pid), log_path_(std::move(log_path)) {}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, -1)),
      log_path_(std::move(other.log_path_)),
      end_(std::move(other.end_)) {}

ChildProcess::~ChildProcess() { Stop(absl::ZeroDuration()); }

absl::StatusOr<ChildProcess> ChildProcess::Start(std::string name,
                                                 std::vector<std::string> arguments,
                                                 std::string log_path) {
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return SystemError(log_path);
  int report[2];  // closed by a successful exec
  if (::pipe2(report, O_CLOEXEC) != 0) {
    ::close(log);
    return SystemError("pipe");
  }
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) RunChild(pointers.data(), log, report[1], parent);
  const int fork_error = errno;
  ::close(log);
  ::close(report[1]);
  int error = pid < 0 ? fork_error : 0;
  if (pid > 0 && ::read(report[0], &error, sizeof(error)) > 0) ::waitpid(pid, nullptr, 0);
  ::close(report[0]);
  errno = error;
  if (error != 0) return SystemError(absl::StrCat("cannot run ", arguments[0]));
  return ChildProcess(std::move(name), pid, std::move(log_path));
}

std::optional<std::string> ChildProcess::Ended() {
  if (end_ || pid_ < 0) return end_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  end_ = WIFSIGNALED(status) ? absl::StrCat("signal ", WTERMSIG(status))
                             : absl::StrCat("exit code ", WEXITSTATUS(status));
  return end_;
}

void ChildProcess::AskToStop() {
  if (pid_ >= 0 && !Ended()) ::kill(pid_, SIGTERM);
}

void ChildProcess::Stop(absl::Duration patience) {
  if (pid_ < 0 || Ended()) return;
  if (patience > absl::ZeroDuration()) AskToStop();
  for (absl::Duration waited; waited < patience && !Ended(); waited += kPollInterval) {
    cleave::SleepFor(kPollInterval);
  }
  if (Ended()) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  while (!Ended()) cleave::SleepFor(kPollInterval);
}

std::string ChildProcess::LogTail(int lines) const {
  const absl::StatusOr<std::string> log = ReadFile(log_path_);
  if (!log.ok()) return absl::StrCat("  (", log.status().message(), ")\n");
  std::vector<absl::string_view> all = absl::StrSplit(*log, '\n', absl::SkipEmpty());
  if (all.size() > static_cast<size_t>(lines)) all.erase(all.begin(), all.end() - lines);
  if (all.empty()) return "  (its log is empty)\n";
  return absl::StrCat("  ", absl::StrJoin(all, "\n  "), "\n");
}

absl::StatusOr<std::vector<int>> FindFreePorts(int count, int first) {
  std::vector<int> sockets, ports;
  absl::Status status;
  for (int i = 0; i < count && status.ok(); ++i) {
    const int port = i == 0 ? first : 0;
    sockets.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const int reuse = 1;  // a port whose last connections are still ending is free
    ::setsockopt(sockets.back(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(sockets.back(), generic, size) != 0 ||
        ::getsockname(sockets.back(), generic, &size) != 0) {
      status = port == 0 ? SystemError("no free port on 127.0.0.1")
                         : absl::UnavailableError(absl::StrCat(
                               "port ", port, " is taken; --port 0 takes one that is free"));
    }
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int socket : sockets) ::close(socket);  // after the last bind: so they all differ
  if (!status.ok()) return status;
  return ports;
}

}  // namespace cleave
