// How a page of KV memory is laid out for this model.
//
// There are two kinds of page, one for the sliding layers and one for the full ones. A page holds
// `page_tokens` consecutive positions of all layers of its kind, layer after layer; what stands
// inside one layer's range is KvLayerView's business (kernels/kernels.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/kernels.h"
#include "model/model_config.h"
#include "runtime/link/transfer_plan.h"

namespace cleave {

// What a position of a full layer stores. The two give the same results up to rounding.
enum class KvForm {
  kCompact,  // V, and of K the dimensions that rotate: 5/8 of the plain form for the 12B
  kPlain,    // K and V
};

struct KvLayoutOptions {
  int page_tokens = 64;            // 8, 16, 32 or 64
  DType dtype = DType::kBFloat16;  // kBFloat16 or kFloat32
  KvForm form = KvForm::kCompact;
};

class KvLayout {
 public:
  struct Kind {
    int layers = 0;
    int kv_heads = 0;
    int head_dim = 0;
    int rotated_dims = 0;     // of a key in the compact form; 0: plain
    int64_t layer_bytes = 0;  // one layer of one page
    int64_t page_bytes = 0;   // layers * layer_bytes
  };

  // INVALID_ARGUMENT for options that are not allowed.
  static absl::StatusOr<KvLayout> Create(const ModelConfig& config, const KvLayoutOptions& options);

  int page_tokens() const { return page_tokens_; }
  DType dtype() const { return dtype_; }
  const Kind& kind(KvKind kind) const { return kind == KvKind::kFull ? full_ : sliding_; }
  // Position of model layer `layer` among the layers of its kind.
  int index_in_kind(int layer) const { return index_in_kind_[static_cast<size_t>(layer)]; }

  // Two workers may exchange pages exactly when their strings are equal. Readable, so that a
  // mismatch explains itself.
  std::string description() const;

  // The same for the KV link, which plans from it the pages that a hand-over moves.
  KvShape shape() const;

 private:
  KvLayout() = default;
  int page_tokens_ = 0;
  int sliding_window_ = 0;
  DType dtype_ = DType::kBFloat16;
  Kind sliding_;
  Kind full_;
  std::vector<int> index_in_kind_;
};

}  // namespace cleave
