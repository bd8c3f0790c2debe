// Programs started and stopped by this one.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cleave {

// A child process in a process group of its own, so that Ctrl-C at the terminal reaches only its
// parent, and killed by the kernel should the thread that started it die. Move-only; the destructor
// kills what still runs. One thread.
class ChildProcess {
 public:
  // Runs `arguments[0]` with stdout and stderr appended to `log_path`. Starts with no signal
  // blocked. Fails when the file cannot be executed.
  static absl::StatusOr<ChildProcess> Start(std::string name, std::vector<std::string> arguments,
                                            std::string log_path);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess();

  // How it ended ("exit code 1", "signal 9"); absent while it runs. Does not wait.
  std::optional<std::string> Ended();
  // SIGTERM, unless it has ended. Does not wait.
  void AskToStop();
  // The same, then SIGKILL for what is still there after `patience`. Returns when it has ended.
  void Stop(absl::Duration patience);
  // The end of its log, indented, for error messages.
  std::string LogTail(int lines) const;

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }

 private:
  ChildProcess(std::string name, pid_t pid, std::string log_path);

  std::string name_;
  pid_t pid_;  // -1 when moved from
  std::string log_path_;
  std::optional<std::string> end_;
};

// Different TCP ports of 127.0.0.1 that were free a moment ago. `first`: the first one is this,
// unless it is 0; UNAVAILABLE when that is taken.
absl::StatusOr<std::vector<int>> FindFreePorts(int count, int first = 0);

}  // namespace cleave
