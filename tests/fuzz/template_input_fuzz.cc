// A conversation as JSON, up to ids: whatever is refused is refused in typed words, and in what is
// rendered no control token stands but those that the format wrote. Its tool schemas are rendered
// as they are and brought into the form that can be shown.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "tests/support/conversation_json.h"
#include "tests/tokenizer/small_tokenizer.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tool_schema.h"

namespace cleave {
namespace {

constexpr int kDepthMax = 40;  // what stands around 32 levels

std::vector<MediaExtent> Extents(const RenderedPrompt& prompt) {
  std::vector<MediaExtent> extents(prompt.media.size());
  for (size_t i = 0; i < extents.size(); ++i) {
    extents[i].tokens = 1;
    if (prompt.media[i].kind == MediaKind::kVideo) extents[i].frames = {{1, 1}};
  }
  return extents;
}

void CheckIds(const RenderedPrompt& prompt, const Tokenizer& tokenizer) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const auto encoded = EncodePrompt(prompt, Extents(prompt), tokenizer);
  CHECK(encoded.ok());
  const auto is_control = [&](TokenId id) {
    CHECK(vocabulary.Contains(id));
    return vocabulary.IsControl(id);
  };
  const auto is_written = [](const RenderedPrompt::Segment& segment) {
    return std::holds_alternative<RenderedPrompt::Control>(segment);
  };
  const auto found = std::count_if(encoded->ids.begin(), encoded->ids.end(), is_control);
  const auto written = std::count_if(prompt.segments.begin(), prompt.segments.end(), is_written);
  CHECK(found == written + 3 * static_cast<std::ptrdiff_t>(prompt.media.size()));
}

void Render(const Conversation& conversation, const TemplateOptions& options,
            const Tokenizer& tokenizer) {
  const auto prompt = RenderChat(conversation, options, tokenizer.vocabulary());
  if (prompt.ok()) {
    CheckIds(*prompt, tokenizer);
  } else {
    CHECK(GetReason(prompt.status()) != Reason::kUnspecified);
  }
}

// A schema that was brought into form can always be rendered.
void NormalizeTools(Conversation& conversation) {
  const auto normalize = [](Tool& tool) {
    Json* parameters = tool.function.Find("parameters");
    Json* response = tool.function.Find("response");
    const Json* name = tool.function.Find("name");
    const bool is_good = name != nullptr && name->AsString() != nullptr &&
                         (parameters == nullptr || NormalizeParameters(*parameters).ok()) &&
                         (response == nullptr || NormalizeResponse(*response).ok());
    return !is_good;
  };
  auto& tools = conversation.tools;
  tools.erase(std::remove_if(tools.begin(), tools.end(), normalize), tools.end());
}

}  // namespace
}  // namespace cleave

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleave;  // NOLINT(google-build-using-namespace): this function is all there is
  static const std::unique_ptr<const Tokenizer>& tokenizer =
      *new std::unique_ptr<const Tokenizer>(*Tokenizer::Create(SmallTokenizer().Json()));
  const auto json = ParseJson({reinterpret_cast<const char*>(data), size}, kDepthMax);
  if (!json.ok()) return 0;
  CHECK(FormatJson(*ParseJson(FormatJson(*json), kDepthMax)) == FormatJson(*json));
  absl::StatusOr<Conversation> conversation = ReadConversation(*json);
  if (!conversation.ok()) return 0;
  const TemplateOptions options = ReadTemplateOptions(*json);
  Render(*conversation, options, *tokenizer);
  MoveTextBesideCalls(conversation->messages, tokenizer->vocabulary());
  NormalizeTools(*conversation);
  const Conversation tools_alone{{}, conversation->tools};
  CHECK(RenderChat(tools_alone, options, tokenizer->vocabulary()).ok());
  Render(*conversation, options, *tokenizer);
  return 0;
}
