#include "model/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
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

absl::Status Checkpoint::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
  for (const auto& [name, tensor] : file.tensors()) {
    if (const SafetensorsFile* other = FindFile(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", name, " is in another shard too, ", other->path()));
    }
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& folder) {
  Checkpoint checkpoint;
  const std::string index_path = folder + "/" + kIndexFile;
  absl::StatusOr<std::string> index = ReadFile(index_path);
  if (absl::IsNotFound(index.status())) {
    checkpoint.list_path_ = absl::StrCat(folder, "/", kSingleFile);
    RETURN_IF_ERROR(checkpoint.AddFile(checkpoint.list_path_));
    return checkpoint;
  }
  checkpoint.list_path_ = index_path;
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
  for (const std::string& shard : shards) {
    RETURN_IF_ERROR(checkpoint.AddFile(absl::StrCat(folder, "/", shard)));
  }
  for (const auto& [name, shard] : entries) {
    const SafetensorsFile* file = checkpoint.FindFile(std::string(name));
    const std::string path = absl::StrCat(folder, "/", *shard.AsString());
    if (file == nullptr || file->path() != path) {
      return absl::InvalidArgumentError(
          absl::StrCat(shard.Where(), ": ", path, " does not hold this tensor"));
    }
  }
  return checkpoint;
}

const SafetensorsFile* Checkpoint::FindFile(const std::string& name) const {
  for (const SafetensorsFile& file : files_) {
    if (file.Find(name) != nullptr) return &file;
  }
  return nullptr;
}

absl::StatusOr<StoredTensor> Checkpoint::Get(const std::string& name,
                                             const std::vector<int64_t>& shape) const {
  std::string stored_name = name;
  const SafetensorsFile* file = FindFile(name);
  for (const auto& [released, newer] : kSpellings) {
    if (file != nullptr || !absl::StartsWith(name, released)) continue;
    stored_name = newer + name.substr(std::string(released).size());
    file = FindFile(stored_name);
  }
  if (file == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(list_path_, ": the tensor ", name, " is missing"));
  }
  const StoredTensor& tensor = *file->Find(stored_name);
  const bool is_float = tensor.dtype == DType::kFloat32 || tensor.dtype == DType::kBFloat16;
  if (!is_float || tensor.shape != shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(file->path(), ": ", stored_name, " is ", tensor.Describe(),
                     ", expected is float32 or bfloat16 [", absl::StrJoin(shape, ", "), "]"));
  }
  return tensor;
}

std::string Checkpoint::Fingerprint() const {
  constexpr size_t kSampleBytes = 4096;
  std::map<absl::string_view, const StoredTensor*> tensors;
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, tensor] : file.tensors()) tensors.emplace(name, &tensor);
  }
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (const auto& [name, tensor] : tensors) {
    const std::string header = absl::StrCat(name, " ", tensor->Describe(), "\n");
    XXH3_64bits_update(state, header.data(), header.size());
    const size_t sample = std::min(kSampleBytes, tensor->bytes.size());
    XXH3_64bits_update(state, tensor->bytes.data(), sample);
    XXH3_64bits_update(state, tensor->bytes.data() + tensor->bytes.size() - sample, sample);
  }
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return absl::StrFormat("%016x", hash);
}

}  // namespace cleave
