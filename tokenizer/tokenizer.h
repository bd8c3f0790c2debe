// Text to token ids, exactly as the model's own tokenizer has them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/base/mutex.h"
#include "tokenizer/control_match.h"
#include "tokenizer/vocabulary.h"
#include "tokenizer/word_cache.h"
#include "tokenizer/word_cut.h"
#include "tokenizer/word_encoder.h"

namespace cleave {

// Any thread may encode at any time. Each call borrows a word cache (4 MiB) that no other call uses
// meanwhile; at most eight are kept between calls. Time is proportional to the text's length,
// whatever the text.
class Tokenizer {
 public:
  // Reads a checkpoint folder's tokenizer.json (and tokenizer_config.json where present); fails as
  // Vocabulary::Load does. A byte-pair model trained in the usual way (every piece is what its own
  // text encodes to) gets the ids of Hugging Face `tokenizers`.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const std::string& folder);

  // The same from the files' content; `config` is empty when there is no tokenizer_config.json.
  // `name` stands in error messages.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Create(
      std::string tokenizer_json, absl::string_view config = "",
      absl::string_view name = "tokenizer.json");

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // The ids of `text`; nothing is added in front. With `match_special` off no id is a control
  // token, whatever the text spells: this is for what users and tools wrote. On, control tokens
  // spelled in the text are matched (leftmost, then longest): only for text that this program wrote
  // itself. INVALID_ARGUMENT with Reason::kTextNotUtf8 and the byte's offset for ill-formed UTF-8.
  absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text, bool match_special) const;

  // Appends the ids of `text`, special matching off. On an error `ids` is unchanged.
  absl::Status AppendText(absl::string_view text, std::vector<TokenId>& ids) const;

 private:
  // Word caches not in use. The lock is held for a push or a pop, never while encoding.
  class CachePool {
   public:
    std::unique_ptr<WordCache> Take();
    void Return(std::unique_ptr<WordCache> cache);

   private:
    Mutex mutex_;
    std::vector<std::unique_ptr<WordCache>> idle_ ABSL_GUARDED_BY(mutex_);
  };

  explicit Tokenizer(Vocabulary vocabulary)
      : vocabulary_(std::move(vocabulary)), controls_(vocabulary_) {}
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(const TokenizerJson& json,
                                                                   absl::string_view config);
  void AppendSegment(absl::string_view text, WordCache& cache, std::vector<TokenId>& ids) const;

  const Vocabulary vocabulary_;
  const ControlMatcher controls_;
  WordCut cut_;
  std::unique_ptr<const WordEncoder> encoder_;
  mutable CachePool caches_;
};

// OK, or INVALID_ARGUMENT with Reason::kTextNotUtf8, naming `field` and the offset of the bad byte.
absl::Status CheckUtf8(absl::string_view text, absl::string_view field);

}  // namespace cleave
