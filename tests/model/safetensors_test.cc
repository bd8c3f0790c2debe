#include "model/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

using testing::Fails;

std::vector<uint8_t> File(const std::string& header, size_t data_bytes) {
  std::vector<uint8_t> bytes(8 + header.size() + data_bytes);
  const uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < data_bytes; ++i) bytes[8 + header.size() + i] = static_cast<uint8_t>(i);
  return bytes;
}

absl::StatusOr<std::map<std::string, StoredTensor>> Parse(const std::string& header,
                                                          size_t data_bytes) {
  static std::vector<uint8_t> bytes;  // the tensors point into it
  bytes = File(header, data_bytes);
  return SafetensorsFile::ParseTensors(bytes, "weights");
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  int begin, int end) {
  return absl::StrCat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape,
                      ",\"data_offsets\":[", begin, ",", end, "]}");
}

TEST(SafetensorsTest, ReadsTensorsInAnyOrder) {
  ASSERT_OK_AND_ASSIGN(const auto tensors, Parse("{" + Entry("b", "BF16", "[3]", 16, 22) + "," +
                                                     Entry("a", "F32", "[2,2]", 0, 16) +
                                                     ",\"__metadata__\":{\"format\":\"pt\"}}",
                                                 22));
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors.at("a").Describe(), "float32 [2, 2]");
  EXPECT_EQ(tensors.at("b").bytes[0], 16);
  EXPECT_EQ(tensors.at("b").elements(), 3);
}

TEST(SafetensorsTest, RefusesWhatDoesNotFit) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(SafetensorsFile::ParseTensors({}, "weights"), Fails(kInvalid, "too short"));
  EXPECT_THAT(Parse("{" + Entry("a", "F64", "[1]", 0, 8) + "}", 8), Fails(kInvalid, "F64"));
  EXPECT_THAT(Parse("{" + Entry("a", "F32", "[2]", 0, 4) + "}", 4), Fails(kInvalid, " a"));
  EXPECT_THAT(Parse("{" + Entry("a", "F32", "[1]", 0, 8) + "}", 4), Fails(kInvalid, "allowed"));
  EXPECT_THAT(Parse("{" + Entry("a", "U8", "[4]", 4, 0) + "}", 4), Fails(kInvalid, "fit"));
  EXPECT_THAT(Parse("{" + Entry("a", "U8", "[-1]", 0, 0) + "}", 0), Fails(kInvalid, "shape"));
  EXPECT_THAT(Parse("{" + Entry("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) + "}", 1),
              Fails(kInvalid, "9 elements, allowed are at most 8"));
  EXPECT_THAT(
      Parse("{" + Entry("a", "U8", "[2]", 0, 2) + "," + Entry("b", "U8", "[2]", 1, 3) + "}", 3),
      Fails(kInvalid, "overlaps"));
  EXPECT_THAT(Parse("{" + Entry("a", "U8", "[2]", 1, 3) + "}", 3), Fails(kInvalid, "unused"));
  EXPECT_THAT(Parse("{" + Entry("a", "U8", "[2]", 0, 2) + "}", 3),
              Fails(kInvalid, "after the last"));
  EXPECT_THAT(
      Parse("{" + Entry("a", "U8", "[1]", 0, 1) + "," + Entry("a", "U8", "[1]", 1, 2) + "}", 2),
      Fails(kInvalid, "twice"));
  EXPECT_THAT(Parse("{" + Entry("a", "F32", "[1099511627776,1099511627776,4]", 0, 0) + "}", 0),
              Fails(kInvalid, "fit"));
  EXPECT_THAT(Parse("[]", 0), Fails(kInvalid, "object"));
  EXPECT_THAT(Parse(std::string(100, '['), 0), Fails(kInvalid, "nested"));
}

TEST(SafetensorsTest, ALongNameIsNotEchoed) {
  EXPECT_OK(Parse("{" + Entry(std::string(512, 'n'), "U8", "[1]", 0, 1) + "}", 1));
  const std::string name(8 << 20, 'n');
  const absl::Status status = Parse("{" + Entry(name, "U8", "[1]", 0, 1) + "}", 1).status();
  EXPECT_THAT(status, Fails(absl::StatusCode::kInvalidArgument,
                            "has 8388608 bytes, allowed are at most 512"));
  EXPECT_LT(status.message().size(), 200u);
}

TEST(SafetensorsTest, AHeaderLongerThanTheFileIsRefusedBeforeItIsRead) {
  std::vector<uint8_t> bytes = File("{}", 0);
  const uint64_t claim = uint64_t{1} << 40;
  std::memcpy(bytes.data(), &claim, 8);
  EXPECT_THAT(SafetensorsFile::ParseTensors(bytes, "weights"),
              Fails(absl::StatusCode::kInvalidArgument, "claims"));
}

}  // namespace
}  // namespace cleave
