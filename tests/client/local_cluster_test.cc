// `cleave local` as a process, with stand-ins for the three services.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/child_process.h"
#include "runtime/base/clock.h"
#include "runtime/base/file.h"

namespace cleave {
namespace {

using ::testing::HasSubstr;

constexpr char kBinaries[] = CLEAVE_BINARY_DIR "/bin";

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1500; ++i) {
    if (condition()) return true;
    cleave::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

class LocalClusterTest : public testing::Test {
 protected:
  LocalClusterTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "cleave-local-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    for (const char* name : {"cleave-prefill", "cleave-decode", "cleave-gateway"}) {
      std::filesystem::create_symlink(absl::StrCat(kBinaries, "/fake_service"),
                                      absl::StrCat(folder_, "/", name));
    }
  }
  ~LocalClusterTest() override { std::filesystem::remove_all(folder_); }

  ChildProcess StartLocal(std::vector<std::string> flags = {}) {
    std::vector<std::string> arguments{absl::StrCat(kBinaries, "/cleave"),
                                       "local",
                                       folder_,
                                       "--bin-dir",
                                       folder_,
                                       "--log-dir",
                                       folder_ + "/logs"};
    if (std::find(flags.begin(), flags.end(), "--port") == flags.end()) {
      flags.insert(flags.end(), {"--port", "0"});
    }
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    absl::StatusOr<ChildProcess> child =
        ChildProcess::Start("local", std::move(arguments), folder_ + "/local.log");
    EXPECT_TRUE(child.ok()) << child.status();
    return *std::move(child);
  }

  std::string Log(const std::string& name) const {
    return ReadFile(absl::StrCat(folder_, "/", name)).value_or("");
  }
  bool IsReady() const { return absl::StrContains(Log("local.log"), "ready: gateway"); }

  // Processes of this machine whose command line names this test's folder as the program's.
  std::set<int> Services() const {
    std::set<int> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      int pid = 0;
      if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
      if (absl::StartsWith(CommandLine(pid), folder_ + "/cleave-")) found.insert(pid);
    }
    return found;
  }

  // Arguments end with NUL. Empty when there is no such process.
  static std::string CommandLine(int pid) {
    FILE* file = std::fopen(absl::StrCat("/proc/", pid, "/cmdline").c_str(), "r");
    if (file == nullptr) return "";
    char buffer[4096];
    const size_t size = std::fread(buffer, 1, sizeof(buffer), file);
    std::fclose(file);
    return std::string(buffer, size);
  }

  std::string folder_;
};

TEST_F(LocalClusterTest, StartsAndStopsAll) {
  ChildProcess local = StartLocal({"--prefill-workers", "2", "--decode-workers", "2"});
  ASSERT_TRUE(Eventually([&] { return IsReady(); })) << Log("local.log");
  EXPECT_EQ(Services().size(), 5u);
  EXPECT_THAT(Log("local.log"), HasSubstr("cleave ask"));
  ::kill(local.pid(), SIGINT);
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  EXPECT_EQ(*local.Ended(), "exit code 0");
  EXPECT_TRUE(Services().empty());
  for (const char* name : {"gateway", "prefill-1", "decode-0"}) {
    EXPECT_THAT(Log(absl::StrCat("logs/", name, ".log")), HasSubstr("asked to stop"));
  }
}

// Another gateway there would answer in place of the own one.
TEST_F(LocalClusterTest, APortThatIsTakenIsRefusedBeforeAnythingStarts) {
  const int taken = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(taken, generic, size), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  ASSERT_EQ(::getsockname(taken, generic, &size), 0);
  const std::string port = absl::StrCat(ntohs(address.sin_port));
  ChildProcess local = StartLocal({"--port", port});
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  ::close(taken);
  EXPECT_EQ(*local.Ended(), "exit code 1");
  EXPECT_THAT(Log("local.log"), HasSubstr(absl::StrCat("port ", port, " is taken")));
  EXPECT_TRUE(Services().empty());
}

TEST_F(LocalClusterTest, SaysWhoCouldNotStart) {
  ChildProcess local = StartLocal({"--decode-flag=--fail"});
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  EXPECT_EQ(*local.Ended(), "exit code 1");
  EXPECT_THAT(Log("local.log"), HasSubstr("decode-0 ended: exit code 3\n  told to fail"));
  EXPECT_TRUE(Services().empty());
}

TEST_F(LocalClusterTest, GivesUpWhenItDoesNotBecomeReady) {
  ChildProcess local = StartLocal({"--gateway-flag=--mute", "--ready-timeout", "1"});
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  EXPECT_EQ(*local.Ended(), "exit code 1");
  EXPECT_THAT(Log("local.log"), HasSubstr("not ready after 1s"));
  EXPECT_TRUE(Services().empty());
}

TEST_F(LocalClusterTest, AServiceThatDiesStopsAll) {
  ChildProcess local = StartLocal();
  ASSERT_TRUE(Eventually([&] { return IsReady(); })) << Log("local.log");
  ::kill(*Services().begin(), SIGKILL);
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  EXPECT_EQ(*local.Ended(), "exit code 1");
  EXPECT_THAT(Log("local.log"), HasSubstr("ended: signal 9"));
  EXPECT_TRUE(Services().empty());
}

TEST_F(LocalClusterTest, LeavesNoOrphanWhenKilled) {
  ChildProcess local = StartLocal({"--prefill-flag=--stubborn"});
  ASSERT_TRUE(Eventually([&] { return IsReady(); })) << Log("local.log");
  EXPECT_EQ(Services().size(), 3u);
  ::kill(local.pid(), SIGKILL);
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  EXPECT_TRUE(Eventually([&] { return Services().empty(); }));
}

TEST_F(LocalClusterTest, AFolderThatIsNoneIsAUsageError) {
  ChildProcess local = *ChildProcess::Start(
      "local", {absl::StrCat(kBinaries, "/cleave"), "local", "/nowhere"}, folder_ + "/local.log");
  ASSERT_TRUE(Eventually([&] { return local.Ended().has_value(); }));
  EXPECT_EQ(*local.Ended(), "exit code 2");
  EXPECT_THAT(Log("local.log"), HasSubstr("MODEL_DIR /nowhere is no folder"));
}

TEST_F(LocalClusterTest, TheBundledModelIsTheDefault) {
  if (!std::filesystem::exists(CLEAVE_SOURCE_DIR "/deploy/chip/config.json")) {
    GTEST_SKIP() << "deploy/chip holds no checkpoint yet; deploy/chip/train/run makes one";
  }
  ChildProcess local =
      *ChildProcess::Start("local",
                           {absl::StrCat(kBinaries, "/cleave"), "local", "--bin-dir", folder_,
                            "--log-dir", folder_ + "/logs", "--port", "0"},
                           folder_ + "/local.log");
  ASSERT_TRUE(Eventually([&] { return IsReady(); })) << Log("local.log");
  for (const int pid : Services()) {
    EXPECT_THAT(CommandLine(pid), HasSubstr(CLEAVE_SOURCE_DIR "/deploy/chip"));
  }
  EXPECT_EQ(Services().size(), 3u);
}

TEST(ChildProcessTest, StopsEvenTheStubborn) {
  const std::string log =
      (std::filesystem::temp_directory_path() / "cleave-child-test.log").string();
  ChildProcess child = *ChildProcess::Start(
      "sh", {"/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"}, log);
  cleave::SleepFor(absl::Milliseconds(200));
  child.Stop(absl::Milliseconds(200));
  EXPECT_EQ(child.Ended(), "signal 9");
  EXPECT_FALSE(ChildProcess::Start("none", {"/nowhere/none"}, log).ok());
  std::filesystem::remove(log);
}

TEST(FindFreePortsTest, TheyDiffer) {
  const std::vector<int> ports = *FindFreePorts(8);
  EXPECT_EQ(std::set<int>(ports.begin(), ports.end()).size(), 8u);
}

}  // namespace
}  // namespace cleave
