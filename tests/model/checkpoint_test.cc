#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

using testing::Fails;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    folder_ =
        ::testing::TempDir() + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
  }
  // A file with one two-element bfloat16 tensor for each name.
  void WriteTensors(const std::string& file, const std::vector<std::string>& names) {
    std::string header = "{";
    size_t at = 0;
    for (const std::string& name : names) {
      absl::StrAppend(&header, at == 0 ? "" : ",", "\"", name,
                      "\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[", at, ",", at + 4,
                      "]}");
      at += 4;
    }
    header += "}";
    const uint64_t size = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &size, 8);
    Write(file, bytes + header + std::string(at, '\1'));
  }

  std::string folder_;
};

TEST_F(CheckpointTest, ReadsASingleFile) {
  WriteTensors("model.safetensors", {"a", "b"});
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint, Checkpoint::Open(folder_));
  EXPECT_OK(checkpoint.Get("a", {2}));
  EXPECT_THAT(checkpoint.Get("a", {3}), Fails(kInvalid, "expected is float32 or bfloat16 [3]"));
  EXPECT_THAT(checkpoint.Get("a", {3}), Fails(kInvalid, "/model.safetensors: a is bfloat16 [2]"));
  EXPECT_THAT(checkpoint.Get("c", {2}),
              Fails(kInvalid, "/model.safetensors: the tensor c is missi"));
}

TEST_F(CheckpointTest, ReadsShardsByTheirIndex) {
  WriteTensors("one.safetensors", {"a"});
  WriteTensors("two.safetensors", {"b"});
  Write("model.safetensors.index.json",
        R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint, Checkpoint::Open(folder_));
  EXPECT_OK(checkpoint.Get("a", {2}));
  EXPECT_OK(checkpoint.Get("b", {2}));
  EXPECT_THAT(checkpoint.Get("b", {3}), Fails(kInvalid, "/two.safetensors: b is"));
  EXPECT_THAT(checkpoint.Get("c", {3}), Fails(kInvalid, "index.json: the tensor c is missing"));
}

TEST_F(CheckpointTest, RefusesAnIndexThatLies) {
  WriteTensors("one.safetensors", {"a"});
  WriteTensors("two.safetensors", {"a"});
  Write("model.safetensors.index.json",
        R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})");
  EXPECT_THAT(Checkpoint::Open(folder_), Fails(kInvalid, "a is in another shard too"));
  Write("model.safetensors.index.json",
        R"({"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}})");
  EXPECT_THAT(Checkpoint::Open(folder_), Fails(kInvalid, "one.safetensors does not hold"));
  WriteTensors("two.safetensors", {"b"});
  Write("model.safetensors.index.json",
        R"({"weight_map": {"a": "two.safetensors", "b": "one.safetensors"}})");
  EXPECT_THAT(Checkpoint::Open(folder_), Fails(kInvalid, "/two.safetensors does not hold"));
  Write("model.safetensors.index.json", R"({"weight_map": {"a": "../one.safetensors"}})");
  EXPECT_THAT(Checkpoint::Open(folder_), Fails(kInvalid, "not a shard of this folder"));
}

TEST_F(CheckpointTest, FindsTheNamesOfNewerWriters) {
  WriteTensors("model.safetensors",
               {"model.embed_vision.patch_dense.bias",
                "model.embed_vision.multimodal_embedder.embedding_projection.weight"});
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint, Checkpoint::Open(folder_));
  EXPECT_OK(checkpoint.Get("model.vision_embedder.patch_dense.bias", {2}));
  EXPECT_OK(checkpoint.Get("model.embed_vision.embedding_projection.weight", {2}));
}

TEST_F(CheckpointTest, AFolderWithoutWeightsIsNotFound) {
  EXPECT_THAT(Checkpoint::Open(folder_), Fails(absl::StatusCode::kNotFound, "model.safetensors"));
}

TEST_F(CheckpointTest, TheFingerprintFollowsTheBytes) {
  WriteTensors("model.safetensors", {"a"});
  ASSERT_OK_AND_ASSIGN(const Checkpoint one, Checkpoint::Open(folder_));
  const std::string fingerprint = one.Fingerprint();
  EXPECT_EQ(Checkpoint::Open(folder_)->Fingerprint(), fingerprint);
  WriteTensors("model.safetensors", {"b"});
  EXPECT_NE(Checkpoint::Open(folder_)->Fingerprint(), fingerprint);
}

TEST_F(CheckpointTest, TheFingerprintDoesNotFollowTheFiles) {
  WriteTensors("model.safetensors", {"a", "b"});
  const std::string fingerprint = Checkpoint::Open(folder_)->Fingerprint();
  WriteTensors("one.safetensors", {"b"});
  WriteTensors("two.safetensors", {"a"});
  Write("model.safetensors.index.json",
        R"({"weight_map": {"b": "one.safetensors", "a": "two.safetensors"}})");
  EXPECT_EQ(Checkpoint::Open(folder_)->Fingerprint(), fingerprint);
}

}  // namespace
}  // namespace cleave
