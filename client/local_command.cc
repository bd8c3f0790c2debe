#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/chat_client.h"
#include "client/commands.h"
#include "client/local_cluster.h"
#include "runtime/base/clock.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr absl::Duration kStopPatience = absl::Seconds(5);  // beyond the drain
constexpr absl::Duration kHealthTimeout = absl::Milliseconds(500);
constexpr absl::Duration kPollInterval = absl::Milliseconds(100);
constexpr int kLogLines = 5;

struct LocalFlags {
  LocalClusterOptions cluster;
  double ready_timeout_seconds = 600;
};

// SIGINT, SIGTERM and SIGCHLD as something to wait for. Made before any thread.
class Signals {
 public:
  Signals() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&signals_, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  // True when SIGINT or SIGTERM came within `timeout`. A child's end cuts the wait short.
  bool AskedToStop(absl::Duration timeout) const {
    const timespec limit = absl::ToTimespec(timeout);
    const int signal = ::sigtimedwait(&signals_, nullptr, &limit);
    return signal == SIGINT || signal == SIGTERM;
  }

 private:
  sigset_t signals_;
};

enum class Readiness { kReady, kStopped, kFailed };

Readiness WaitUntilReady(LocalCluster& cluster, const Signals& signals, absl::Duration timeout) {
  const RealClock clock;
  const absl::Time give_up = clock.Now() + timeout;
  while (true) {
    if (const auto ended = cluster.FindEnded()) {
      std::fprintf(stderr, "cleave local: %s", ended->c_str());
      return Readiness::kFailed;
    }
    // A new client each time: one remembers a refused connection for a while.
    const absl::StatusOr<bool> serving =
        ChatClient(cluster.gateway_address()).IsServing(kHealthTimeout);
    if (serving.ok() && *serving) return Readiness::kReady;
    if (clock.Now() >= give_up) {
      std::fprintf(stderr, "cleave local: not ready after %s; the logs end so:\n%s",
                   absl::FormatDuration(timeout).c_str(), cluster.LogTails(kLogLines).c_str());
      return Readiness::kFailed;
    }
    if (signals.AskedToStop(kPollInterval)) return Readiness::kStopped;
  }
}

void PrintHowTo(const LocalCluster& cluster, const std::string& log_dir) {
  std::printf(
      "ready: gateway %s, logs in %s. Ctrl-C stops all.\n"
      "  cleave ask \"What can you do?\" --gateway %s --verbose\n"
      "  cleave status --gateway %s --prefill %s --decode %s\n"
      "  curl http://%s/metrics\n",
      cluster.gateway_address().c_str(), log_dir.c_str(), cluster.gateway_address().c_str(),
      cluster.gateway_address().c_str(), absl::StrJoin(cluster.prefill_addresses(), ",").c_str(),
      absl::StrJoin(cluster.decode_addresses(), ",").c_str(), cluster.metrics_address().c_str());
  std::fflush(stdout);
}

std::filesystem::path OwnFolder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

// Chip, the small model that comes with Cleave: where this program is installed, or in the source
// tree that it was built in. Empty when it is in neither.
std::string BundledModel() {
  std::error_code error;
  for (const char* place : {"../share/cleave/chip", "../../../deploy/chip"}) {
    const std::filesystem::path folder = OwnFolder() / place;
    if (std::filesystem::exists(folder / "config.json", error)) {
      return std::filesystem::canonical(folder, error).string();
    }
  }
  return "";
}

absl::Status Complete(LocalClusterOptions& options) {
  std::error_code error;
  if (options.binary_dir.empty()) options.binary_dir = OwnFolder().string();
  if (options.model_dir.empty()) options.model_dir = BundledModel();
  if (options.model_dir.empty()) {
    return absl::NotFoundError(
        "MODEL_DIR is missing, and so is the bundled model (deploy/chip/train/run makes it)");
  }
  if (!std::filesystem::is_directory(options.model_dir, error)) {
    return absl::NotFoundError(absl::StrCat("MODEL_DIR ", options.model_dir, " is no folder"));
  }
  if (options.log_dir.empty()) {
    std::string pattern = (std::filesystem::temp_directory_path(error) / "cleave-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      return absl::UnavailableError(absl::StrCat("cannot make a folder for logs: ", pattern));
    }
    options.log_dir = pattern;
  } else {
    std::filesystem::create_directories(options.log_dir, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat(options.log_dir, ": ", error.message()));
    }
  }
  return absl::OkStatus();
}

int Serve(LocalFlags& flags) {
  const Signals signals;
  const absl::Status complete = Complete(flags.cluster);
  if (!complete.ok()) {
    std::fprintf(stderr, "cleave local: %s\n", std::string(complete.message()).c_str());
    return kExitUsage;
  }
  absl::StatusOr<LocalCluster> cluster = LocalCluster::Start(flags.cluster);
  if (!cluster.ok()) {
    std::fprintf(stderr, "cleave local: %s\n", std::string(cluster.status().message()).c_str());
    return kExitFailed;
  }
  std::printf(
      "starting: gateway %s, prefill %s, decode %s, logs in %s\n",
      cluster->gateway_address().c_str(), absl::StrJoin(cluster->prefill_addresses(), ",").c_str(),
      absl::StrJoin(cluster->decode_addresses(), ",").c_str(), flags.cluster.log_dir.c_str());
  std::fflush(stdout);
  int exit_code = kExitOk;
  switch (WaitUntilReady(*cluster, signals, absl::Seconds(flags.ready_timeout_seconds))) {
    case Readiness::kReady:
      PrintHowTo(*cluster, flags.cluster.log_dir);
      while (!signals.AskedToStop(absl::Seconds(1))) {
        const auto ended = cluster->FindEnded();
        if (!ended) continue;
        std::fprintf(stderr, "cleave local: %s", ended->c_str());
        exit_code = kExitFailed;
        break;
      }
      break;
    case Readiness::kStopped:
      break;
    case Readiness::kFailed:
      exit_code = kExitFailed;
      break;
  }
  cluster->Stop(absl::Seconds(flags.cluster.drain_timeout_seconds) + kStopPatience);
  return exit_code;
}

}  // namespace

std::function<int()> DeclareLocal(CLI::App& app) {
  auto flags = std::make_shared<LocalFlags>();  // shared by the parser and the returned function
  LocalClusterOptions& cluster = flags->cluster;
  cluster.port = kGatewayPort;
  CLI::App& local =
      *app.add_subcommand("local", "Run a whole cluster on this machine until Ctrl-C");
  local
      .add_option("MODEL_DIR", cluster.model_dir,
                  "Checkpoint folder; default: Chip, the small model that comes with Cleave")
      ->envname("CLEAVE_MODEL");
  local
      .add_option("--model-name", cluster.model_name,
                  "Name clients may use; default: the folder's name")
      ->envname("CLEAVE_MODEL_NAME");
  local.add_option("--prefill-workers", cluster.prefill_workers, "Prefill processes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  local.add_option("--decode-workers", cluster.decode_workers, "Decode processes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  local.add_option("--port", cluster.port, "Port of the gateway on 127.0.0.1; 0: any free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  local.add_option("--log-dir", cluster.log_dir,
                   "Folder for one log a process; default: a new one for temporary files");
  local.add_option("--bin-dir", cluster.binary_dir,
                   "Folder of cleave-prefill, cleave-decode and cleave-gateway; default: where "
                   "this program is");
  local
      .add_option(
          "--prefill-flag", cluster.prefill_flags,
          "Passed to every prefill worker, as --prefill-flag=--x=1; may be given again. Not "
          "for flags that are set here: --model, --listen, --metrics, --name, of the "
          "gateway also --prefill, --decode and --drain-timeout")
      ->allow_extra_args(false);
  local.add_option("--decode-flag", cluster.decode_flags, "The same for decode workers")
      ->allow_extra_args(false);
  local.add_option("--gateway-flag", cluster.gateway_flags, "The same for the gateway")
      ->allow_extra_args(false);
  local
      .add_option("--drain-timeout", cluster.drain_timeout_seconds,
                  "Seconds that open requests get to finish after Ctrl-C")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  local
      .add_option("--ready-timeout", flags->ready_timeout_seconds,
                  "Seconds until all must be ready")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  local.footer(
      "Exit codes: 0 after Ctrl-C, 1 when a process could not start or ended, 2 wrong flags.");
  return [flags] { return Serve(*flags); };
}

}  // namespace cleave
