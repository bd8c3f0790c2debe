#include "gateway/reply_assembler.h"

#include <algorithm>
#include <iterator>
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

ReplyAssembler::ReplyAssembler(const Vocabulary& vocabulary, std::vector<std::string> stop_strings,
                               bool starts_in_thought)
    : vocabulary_(vocabulary),
      stop_strings_(std::move(stop_strings)),
      parser_(vocabulary, starts_in_thought) {}

absl::Status ReplyAssembler::Push(absl::Span<const TokenId> ids, ReplyDelta& delta) {
  for (const TokenId id : ids) {
    if (stopped_by_) return absl::OkStatus();
    RETURN_IF_ERROR(PushId(id, delta));
  }
  return absl::OkStatus();
}

absl::Status ReplyAssembler::PushId(TokenId id, ReplyDelta& delta) {
  const bool was_in_thought = parser_.in_thought();
  OutputDelta parsed;
  RETURN_IF_ERROR(parser_.Push(id, parsed));
  const bool begins_call = id == vocabulary_.special().tool_call_begin;
  if (!begins_call && (was_in_thought || parser_.in_thought())) ++delta.thought_tokens;
  Add(std::move(parsed), delta);
  Release(HeldForStop(), delta);
  return absl::OkStatus();
}

void ReplyAssembler::Finish(ReplyDelta& delta) {
  if (stopped_by_) return;
  OutputDelta parsed;
  parser_.Finish(parsed);
  Add(std::move(parsed), delta);
  Release(0, delta);
}

// One id releases either text or what is none, but for the text that waits in front of it.
void ReplyAssembler::Add(OutputDelta parsed, ReplyDelta& delta) {
  pending_ += parsed.content;
  CutAtStop();
  if (stopped_by_) return;
  delta.thought += parsed.thought;
  tool_calls_ += static_cast<int>(parsed.tool_calls.size());
  std::move(parsed.tool_calls.begin(), parsed.tool_calls.end(),
            std::back_inserter(delta.tool_calls));
  has_malformed_call_ = has_malformed_call_ || !parsed.malformed.empty();
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

size_t ReplyAssembler::HeldForStop() const {
  size_t held = 0;
  if (stopped_by_) return held;
  for (const std::string& stop : stop_strings_) held = std::max(held, BegunAtEnd(pending_, stop));
  return held;
}

void ReplyAssembler::Release(size_t held, ReplyDelta& delta) {
  const size_t released = pending_.size() - held;
  trimmer_.Push(absl::string_view(pending_).substr(0, released), delta.text);
  pending_.erase(0, released);
}

}  // namespace cleave
