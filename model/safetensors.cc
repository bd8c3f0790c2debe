#include "model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr uint64_t kHeaderBytesMax = uint64_t{16} << 20;
constexpr size_t kLengthBytes = 8;
constexpr size_t kDimensionsMax = 8;
constexpr size_t kNameBytesMax = 512;

static_assert(std::endian::native == std::endian::little, "tensors are mapped as they are stored");

std::optional<DType> DTypeFromName(absl::string_view name) {
  if (name == "F32") return DType::kFloat32;
  if (name == "BF16") return DType::kBFloat16;
  if (name == "I32") return DType::kInt32;
  if (name == "U8") return DType::kUInt8;
  return std::nullopt;
}

// The product of all dimensions and the dtype's size; nullopt beyond 2^62.
std::optional<uint64_t> ByteSize(const std::vector<int64_t>& shape, DType dtype) {
  uint64_t size = DTypeBytes(dtype);
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(size, static_cast<uint64_t>(dimension), &size)) return std::nullopt;
    if (size > uint64_t{1} << 62) return std::nullopt;
  }
  return size;
}

absl::StatusOr<StoredTensor> ParseTensor(const JsonValue& entry, absl::Span<const uint8_t> data) {
  ASSIGN_OR_RETURN(const std::string dtype_name, entry.String("dtype"));
  const std::optional<DType> dtype = DTypeFromName(dtype_name);
  if (!dtype) {
    return absl::InvalidArgumentError(absl::StrCat(
        entry.Where(), ": dtype ", dtype_name, " is not supported (F32, BF16, I32 and U8 are)"));
  }
  StoredTensor tensor{.dtype = *dtype, .shape = {}, .bytes = {}};
  ASSIGN_OR_RETURN(const JsonValue shape, entry.Member("shape"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> dimensions, shape.AsArray(kDimensionsMax));
  for (const JsonValue& dimension : dimensions) {
    ASSIGN_OR_RETURN(const int64_t size, dimension.AsInt({0, int64_t{1} << 40}));
    tensor.shape.push_back(size);
  }
  ASSIGN_OR_RETURN(const JsonValue offsets_member, entry.Member("data_offsets"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> offsets, offsets_member.AsArray(2));
  if (offsets.size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat(offsets_member.Where(), ": not two offsets"));
  }
  const IntRange within{0, static_cast<int64_t>(data.size())};
  ASSIGN_OR_RETURN(const int64_t begin, offsets[0].AsInt(within));
  ASSIGN_OR_RETURN(const int64_t end, offsets[1].AsInt(within));
  const std::optional<uint64_t> expected = ByteSize(tensor.shape, *dtype);
  if (end < begin || !expected || *expected != static_cast<uint64_t>(end - begin)) {
    return absl::InvalidArgumentError(absl::StrCat(entry.Where(), ": ", tensor.Describe(),
                                                   " does not fit bytes ", begin, " to ", end));
  }
  tensor.bytes = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return tensor;
}

// Every byte of the data area belongs to exactly one tensor.
absl::Status CheckCover(const std::map<std::string, StoredTensor>& tensors,
                        absl::Span<const uint8_t> data, absl::string_view name) {
  std::vector<std::pair<const uint8_t*, const std::string*>> order;
  order.reserve(tensors.size());
  for (const auto& [tensor_name, tensor] : tensors) {
    if (!tensor.bytes.empty()) order.emplace_back(tensor.bytes.data(), &tensor_name);
  }
  std::sort(order.begin(), order.end());
  const uint8_t* position = data.data();
  for (const auto& [begin, tensor_name] : order) {
    if (begin != position) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": ", *tensor_name,
          begin < position ? " overlaps the tensor before it" : " leaves unused bytes before it"));
    }
    position += tensors.at(*tensor_name).bytes.size();
  }
  if (position != data.data() + data.size()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", data.data() + data.size() - position,
                                                   " bytes after the last tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t StoredTensor::elements() const {
  return static_cast<int64_t>(bytes.size() / DTypeBytes(dtype));
}

std::string StoredTensor::Describe() const {
  return absl::StrCat(DTypeName(dtype), " [", absl::StrJoin(shape, ", "), "]");
}

absl::StatusOr<std::map<std::string, StoredTensor>> SafetensorsFile::ParseTensors(
    absl::Span<const uint8_t> file, absl::string_view name) {
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": too short for a safetensors file"));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), kLengthBytes);
  file.remove_prefix(kLengthBytes);
  if (header_bytes > file.size() || header_bytes > kHeaderBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": claims a header of ", header_bytes, " bytes; ", file.size(),
                     " bytes follow and at most ", kHeaderBytesMax, " are allowed"));
  }
  const absl::string_view header(reinterpret_cast<const char*>(file.data()), header_bytes);
  const absl::Span<const uint8_t> data = file.subspan(header_bytes);
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(header, name));
  ASSIGN_OR_RETURN(const auto members, document.root().AsMembers());
  std::map<std::string, StoredTensor> tensors;
  for (const auto& [tensor_name, entry] : members) {
    if (tensor_name == "__metadata__") continue;
    if (tensor_name.size() > kNameBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the name of the tensor ", tensor_name.substr(0, 32), "... has ",
                       tensor_name.size(), " bytes, allowed are at most ", kNameBytesMax));
    }
    ASSIGN_OR_RETURN(StoredTensor tensor, ParseTensor(entry, data));
    tensors.emplace(std::string(tensor_name), std::move(tensor));
  }
  RETURN_IF_ERROR(CheckCover(tensors, data, name));
  return tensors;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(auto tensors, ParseTensors(file.bytes(), path));
  return SafetensorsFile(path, std::move(file), std::move(tensors));
}

const StoredTensor* SafetensorsFile::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace cleave
