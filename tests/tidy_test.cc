// Rules about the source tree itself: who may include whom, which outside library has which door,
// what is ambient, and how long a file may be.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = CLEAVE_SOURCE_DIR;

// A new edge is a decision, so it is made here. Folders may include themselves.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"runtime", {"proto"}},
    {"tokenizer", {"runtime"}},
    {"media", {"runtime"}},
    {"kernels", {"runtime"}},
    {"model", {"kernels", "runtime"}},
    {"engine", {"model", "kernels", "runtime", "proto"}},
    {"prefill", {"engine", "model", "kernels", "runtime", "media", "proto"}},
    {"decode", {"engine", "model", "kernels", "runtime", "proto"}},
    {"gateway", {"tokenizer", "media", "runtime", "proto"}},
    {"client", {"tokenizer", "media", "engine", "model", "kernels", "runtime", "proto"}},
};

// Headers of an outside library, and the only places that may include them.
struct Door {
  const char* header;  // regular expression over the included name
  const char* places;  // regular expression over the file's path
};
const Door kDoors[] = {
    {"cuda.*|cublas.*", "(runtime/device|kernels/cuda)/.*"},
    {"nccl.*", "runtime/link/nccl_.*"},
    {"sentencepiece.*", "tokenizer/sentencepiece_door\\.cc"},
    {"unicode/.*", "tokenizer/unicode_door\\.cc"},
    {"jpeglib\\.h|jerror\\.h|png\\.h|webp/.*|gif_lib\\.h|sndfile\\.h|opusfile\\.h|vorbis/.*|"
     "mpg123\\.h|soxr\\.h",
     "(media|tests/media)/.*"},
    {"rapidjson/.*",
     "(runtime/base/json(_tree|_reader)?|tokenizer/tokenizer_json|tests/golden/.*|client/"
     ".*)\\.(cc|h)"},
    {"prometheus/.*", "(runtime/metrics/.*|tests/.*)"},
    {"grpcpp/.*|.*\\.grpc\\.pb\\.h",
     "(runtime/(rpc|link/grpc_.*|link/link_proto.*)|gateway|prefill|decode|client|tests)/?.*"},
    {".*\\.pb\\.h",
     "(runtime/(rpc|link/grpc_.*|link/link_proto.*)|engine/(sequence_proto|worker_state)"
     "|gateway|prefill|decode|client|tests)/?.*"},
    {"CLI/.*", "(.*/main|runtime/base/service_flags|engine/worker_flags|client/.*|tests/.*)\\.?.*"},
};

struct SourceFile {
  std::string path;  // relative to the root, with forward slashes
  std::vector<std::string> lines;
  std::string folder() const { return path.substr(0, path.find('/')); }
};

std::vector<SourceFile> ReadSources() {
  std::vector<SourceFile> files;
  for (const char* folder : {"runtime", "tokenizer", "media", "kernels", "model", "engine",
                             "prefill", "decode", "gateway", "client", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      const std::string extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      SourceFile file{fs::relative(entry.path(), kRoot).generic_string(), {}};
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line);) file.lines.push_back(line);
      files.push_back(std::move(file));
    }
  }
  return files;
}

const std::vector<SourceFile>& Sources() {
  static const std::vector<SourceFile> files = ReadSources();
  return files;
}

// The name inside #include "..." or <...>; empty for other lines.
std::string IncludedName(const std::string& line) {
  static const std::regex pattern("^#include [\"<]([^\">]+)[\">].*");
  std::smatch match;
  return std::regex_match(line, match, pattern) ? match[1].str() : "";
}

bool Matches(const std::string& text, const std::string& pattern) {
  return std::regex_match(text, std::regex(pattern));
}

TEST(TidyTest, IncludesPointDown) {
  for (const SourceFile& file : Sources()) {
    if (file.folder() == "tests") continue;
    const std::set<std::string>& allowed = kMayInclude.at(file.folder());
    for (const std::string& line : file.lines) {
      const std::string name = IncludedName(line);
      std::string folder = name.substr(0, name.find('/'));
      if (folder == "cleave" || folder == "google") folder = "proto";
      const bool ours = kMayInclude.count(folder) > 0 || folder == "proto" || folder == "tests";
      if (!ours || name.find('/') == std::string::npos) continue;
      EXPECT_TRUE(folder == file.folder() || allowed.count(folder) > 0)
          << file.path << " may not include " << name;
    }
  }
}

TEST(TidyTest, EachOutsideLibraryHasItsDoor) {
  for (const SourceFile& file : Sources()) {
    for (const std::string& line : file.lines) {
      const std::string name = IncludedName(line);
      if (name.empty()) continue;
      for (const Door& door : kDoors) {
        if (!Matches(name, door.header)) continue;
        EXPECT_TRUE(Matches(file.path, door.places)) << file.path << " includes " << name;
      }
    }
  }
}

// Time, chance, sleep and the environment come in from outside.
TEST(TidyTest, NothingIsAmbient) {
  const std::regex ambient(
      "absl::Now\\(|absl::SleepFor|std::this_thread::sleep|\\bgetenv\\(|\\brand\\(|"
      "std::random_device|system_clock::now");
  for (const SourceFile& file : Sources()) {
    if (file.folder() == "tests" || file.path.rfind("runtime/base/", 0) == 0) continue;
    if (file.path == "runtime/rpc/deadline.h") continue;  // gRPC's deadlines are wall times
    for (size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(file.lines[i], ambient))
          << file.path << ":" << i + 1 << ": " << file.lines[i];
    }
  }
}

TEST(TidyTest, BackendsAreTargetsNotConditions) {
  for (const SourceFile& file : Sources()) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_FALSE(Matches(file.lines[i], "^\\s*#\\s*if(n?def)?\\b.*(CUDA|NCCL|AVX).*"))
          << file.path << ":" << i + 1;
    }
  }
}

// A longer file says why in the first lines.
TEST(TidyTest, FilesHaveOneSubject) {
  constexpr size_t kLinesMax = 600, kHeadLines = 12;
  const std::string reason = "Longer than 600 lines";
  for (const SourceFile& file : Sources()) {
    const auto head_end = file.lines.begin() + std::min(kHeadLines, file.lines.size());
    const bool explained = std::any_of(file.lines.begin(), head_end, [&](const std::string& line) {
      return line.find(reason) != std::string::npos;
    });
    EXPECT_TRUE(explained || file.lines.size() <= kLinesMax) << file.path;
  }
}

TEST(TidyTest, NothingIsLeftForLater) {
  // Spelled in two parts, so that this file passes its own test.
  const std::regex marks(std::string("TO") + "DO|FIX" + "ME|\\bXX" + "X\\b|HA" + "CK\\b");
  for (const SourceFile& file : Sources()) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(file.lines[i], marks)) << file.path << ":" << i + 1;
    }
  }
}

TEST(TidyTest, HeadersSayWhatTheyAreAndAreIncludedOnce) {
  for (const SourceFile& file : Sources()) {
    if (!Matches(file.path, ".*\\.h")) continue;
    ASSERT_FALSE(file.lines.empty()) << file.path;
    EXPECT_EQ(file.lines.front().rfind("//", 0), 0u) << file.path << " has no comment at its head";
    EXPECT_NE(std::find(file.lines.begin(), file.lines.end(), "#pragma once"), file.lines.end())
        << file.path;
  }
}

// The closed list of error reasons stands in C++ and in the proto.
TEST(TidyTest, ErrorReasonsAreTheSameInCodeAndProto) {
  const auto collect = [](const fs::path& path, const std::string& pattern) {
    std::ifstream stream(kRoot / path);
    std::set<std::string> names;
    for (std::string line; std::getline(stream, line);) {
      std::smatch match;
      if (std::regex_search(line, match, std::regex(pattern))) names.insert(match[1]);
    }
    return names;
  };
  const auto proto = collect("proto/cleave/v1/error.proto", "ERROR_REASON_([A-Z0-9_]+) =");
  const auto code = collect("runtime/base/error.cc", "\\{Reason::k\\w+, \"([A-Z0-9_]+)\"\\}");
  EXPECT_EQ(proto, code);
  EXPECT_GT(code.size(), 20u);
}

}  // namespace
