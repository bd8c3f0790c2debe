// The weight files of a Hugging Face checkpoint folder, mapped and looked up by tensor name.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/safetensors.h"

namespace cleave {

// Immutable, so any thread may read it. Tensors are views into the mapped files.
class Checkpoint {
 public:
  // Opens `folder`/model.safetensors, or the shards that `folder`/model.safetensors.index.json
  // names. Fails, naming file and tensor, on anything malformed, on a tensor that two shards hold,
  // and on one that the index places in a shard without it.
  static absl::StatusOr<Checkpoint> Open(const std::string& folder);

  // The tensor with exactly this shape, in bfloat16 or float32. Released names are asked for; the
  // names that newer transformers use in memory (embed_vision.patch_dense, and so on) are found
  // too. An error names the file and the tensor.
  absl::StatusOr<StoredTensor> Get(const std::string& name,
                                   const std::vector<int64_t>& shape) const;

  // XXH3-64 over names, shapes, dtypes and a sample of the bytes of every tensor, in hex: equal
  // weights give equal strings in every worker, however they are split into files. Reads a few MB
  // at most.
  std::string Fingerprint() const;

 private:
  // The file that holds the tensor, or nullptr.
  const SafetensorsFile* FindFile(const std::string& name) const;
  absl::Status AddFile(const std::string& path);

  std::string list_path_;  // of the index, or of the only file: where a missing tensor is missed
  std::vector<SafetensorsFile> files_;
};

}  // namespace cleave
