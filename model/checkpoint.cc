#include "model/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

// Released prefix, and the one of the same module in newer transformers.
constexpr std::pair<const char*, const char*> kSpellings[] = {
    {"model.vision_embedder.", "model.embed_vision."},
    {"model.embed_vision.embedding_projection.",
     "model.embed_vision.multimodal_embedder.embedding_projection."},
};

}  // namespace

absl::Status Checkpoint::AddFile(const std::string& file_name) {
  ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(folder_ + "/" + file_name));
  for (const auto& [name, tensor] : file.tensors()) {
    if (Find(name) != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder_, "/", file_name, ": ", name, " is in another shard too"));
    }
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& folder) {
  Checkpoint checkpoint(folder);
  const std::string index_path = folder + "/" + kIndexFile;
  absl::StatusOr<std::string> index = ReadFile(index_path);
  if (absl::IsNotFound(index.status())) {
    RETURN_IF_ERROR(checkpoint.AddFile(kSingleFile));
    return checkpoint;
  }
  RETURN_IF_ERROR(index.status());
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(*index, index_path));
  ASSIGN_OR_RETURN(const JsonValue map, document.root().Object("weight_map"));
  ASSIGN_OR_RETURN(const auto entries, map.AsMembers());
  std::set<std::string> shards;
  for (const auto& [name, shard] : entries) {
    ASSIGN_OR_RETURN(const absl::string_view file_name, shard.AsString());
    if (absl::StrContains(file_name, "/") || !absl::EndsWith(file_name, ".safetensors")) {
      return absl::InvalidArgumentError(
          absl::StrCat(shard.Where(), ": ", file_name, " is not a shard of this folder"));
    }
    shards.insert(std::string(file_name));
  }
  for (const std::string& shard : shards) RETURN_IF_ERROR(checkpoint.AddFile(shard));
  for (const auto& [name, shard] : entries) {
    const auto place = shards.find(std::string(*shard.AsString()));
    const auto file = static_cast<size_t>(std::distance(shards.begin(), place));
    if (checkpoint.files_[file].Find(std::string(name)) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(shard.Where(), ": ", *place, " does not hold this tensor"));
    }
  }
  return checkpoint;
}

const StoredTensor* Checkpoint::Find(const std::string& name) const {
  for (const SafetensorsFile& file : files_) {
    if (const StoredTensor* tensor = file.Find(name)) return tensor;
  }
  return nullptr;
}

absl::StatusOr<StoredTensor> Checkpoint::Get(const std::string& name,
                                             std::vector<int64_t> shape) const {
  const StoredTensor* tensor = Find(name);
  for (const auto& [released, newer] : kSpellings) {
    if (tensor != nullptr || !absl::StartsWith(name, released)) continue;
    tensor = Find(newer + name.substr(std::string(released).size()));
  }
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(folder_, ": the tensor ", name, " is missing"));
  }
  const bool is_float = tensor->dtype == DType::kFloat32 || tensor->dtype == DType::kBFloat16;
  if (!is_float || tensor->shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat(folder_, ": ", name, " is ", tensor->Describe(),
                                                   ", expected is float32 or bfloat16 [",
                                                   absl::StrJoin(shape, ", "), "]"));
  }
  return *tensor;
}

std::string Checkpoint::Fingerprint() const {
  constexpr size_t kSampleBytes = 4096;
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, tensor] : file.tensors()) {
      const std::string header = absl::StrCat(name, " ", tensor.Describe(), "\n");
      XXH3_64bits_update(state, header.data(), header.size());
      const size_t sample = std::min(kSampleBytes, tensor.bytes.size());
      XXH3_64bits_update(state, tensor.bytes.data(), sample);
      XXH3_64bits_update(state, tensor.bytes.data() + tensor.bytes.size() - sample, sample);
    }
  }
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return absl::StrFormat("%016x", hash);
}

}  // namespace cleave
