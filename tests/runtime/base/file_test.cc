#include "runtime/base/file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>

namespace cleave {
namespace {

class FileTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = testing::TempDir() + "cleave_file_test_" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
};

TEST_F(FileTest, ReadsAllBytes) {
  const std::string content("a\0b\r\n\xff", 6);
  EXPECT_EQ(ReadFile(Write("bytes", content)).value(), content);
  EXPECT_EQ(ReadFile(Write("empty", "")).value(), "");
}

TEST_F(FileTest, RefusesWhatIsTooLarge) {
  const std::string path = Write("large", "12345");
  EXPECT_TRUE(ReadFile(path, 5).ok());
  const absl::Status status = ReadFile(path, 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("5 bytes, at most 4"), absl::string_view::npos);
}

TEST_F(FileTest, NamesTheFileThatIsMissing) {
  const absl::Status status = ReadFile("/nonexistent/file").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("/nonexistent/file"), absl::string_view::npos);
  EXPECT_EQ(MappedFile::Open("/nonexistent/file").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, RefusesDirectories) {
  EXPECT_EQ(ReadFile("/tmp").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MappedFile::Open("/tmp").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(FileTest, MapsAndMoves) {
  auto file = MappedFile::Open(Write("mapped", "hello"));
  ASSERT_TRUE(file.ok());
  MappedFile moved = *std::move(file);
  EXPECT_EQ(std::string(moved.bytes().begin(), moved.bytes().end()), "hello");
  auto empty = MappedFile::Open(Write("empty_map", ""));
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->bytes().empty());
  moved = *std::move(empty);
  EXPECT_TRUE(moved.bytes().empty());
}

}  // namespace
}  // namespace cleave
