#include "gateway/reply_assembler.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status.h"

namespace cleave {
namespace {

// How many bytes at the end of `text` are a beginning of `stop`, but not all of it.
size_t BegunAtEnd(absl::string_view text, absl::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == stop.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

ReplyAssembler::ReplyAssembler(const Vocabulary& vocabulary, std::vector<std::string> stop_strings)
    : vocabulary_(vocabulary),
      stop_strings_(std::move(stop_strings)),
      detokenizer_(vocabulary, /*skip_special=*/true) {}

absl::Status ReplyAssembler::Push(absl::Span<const TokenId> ids, std::string& text) {
  for (const TokenId id : ids) {
    if (stopped_by_) return absl::OkStatus();
    RETURN_IF_ERROR(PushId(id));
  }
  CutAtStop();
  Release(text);
  return absl::OkStatus();
}

absl::Status ReplyAssembler::PushId(TokenId id) {
  std::string hidden;
  RETURN_IF_ERROR(detokenizer_.Push(id, in_thought_ ? hidden : pending_));
  const SpecialTokens& special = vocabulary_.special();
  if (id == special.channel_begin) in_thought_ = true;
  if (id == special.channel_end) in_thought_ = false;
  return absl::OkStatus();
}

void ReplyAssembler::Finish(std::string& text) {
  if (stopped_by_) return;
  std::string hidden;
  detokenizer_.Finish(in_thought_ ? hidden : pending_);
  CutAtStop();
  text += std::exchange(pending_, "");
}

// Of several stop strings the one that is complete first ends the text; of two that are complete at
// the same byte, the longer.
void ReplyAssembler::CutAtStop() {
  size_t best_end = std::string::npos;
  for (size_t i = 0; i < stop_strings_.size(); ++i) {
    const size_t begin = pending_.find(stop_strings_[i]);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop_strings_[i].size();
    const bool is_better =
        end < best_end ||
        (end == best_end && stop_strings_[i].size() > stop_strings_[*stopped_by_].size());
    if (!is_better) continue;
    best_end = end;
    stopped_by_ = i;
  }
  if (stopped_by_) pending_.resize(best_end - stop_strings_[*stopped_by_].size());
}

void ReplyAssembler::Release(std::string& text) {
  size_t held = 0;
  if (!stopped_by_) {
    for (const std::string& stop : stop_strings_) held = std::max(held, BegunAtEnd(pending_, stop));
  }
  text.append(pending_, 0, pending_.size() - held);
  pending_.erase(0, pending_.size() - held);
}

}  // namespace cleave
