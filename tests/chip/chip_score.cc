#include "tests/chip/chip_score.h"

#include <atomic>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/chat_client.h"
#include "runtime/base/status.h"

namespace cleave {
namespace {

constexpr absl::Duration kTimeout = absl::Minutes(5);

absl::StatusOr<std::string> Answer(ChatClient& client, const ChipCase& asked) {
  AskOptions options;
  options.base = asked.request;
  options.timeout = kTimeout;
  ASSIGN_OR_RETURN(const AskResult result, client.Ask(options, [](const v1::GenerateEvent&) {}));
  if (result.tool_calls.empty()) return std::string(absl::StripAsciiWhitespace(result.text));
  std::vector<std::string> calls;
  for (const v1::ToolCall& call : result.tool_calls) {
    ASSIGN_OR_RETURN(std::string described, DescribeCall(call.name(), call.arguments()));
    calls.push_back(std::move(described));
  }
  return absl::StrJoin(calls, " ");
}

}  // namespace

absl::StatusOr<std::map<std::string, SkillScore>> ScoreCases(const std::string& gateway,
                                                             const std::vector<ChipCase>& cases,
                                                             int at_once) {
  std::vector<absl::StatusOr<std::string>> answers(cases.size(), "");
  std::atomic<size_t> next = 0;
  std::vector<std::thread> askers;
  askers.reserve(static_cast<size_t>(at_once));
  for (int i = 0; i < at_once; ++i) {
    askers.emplace_back([&] {
      ChatClient client(gateway);
      for (size_t k = next++; k < cases.size(); k = next++) answers[k] = Answer(client, cases[k]);
    });
  }
  for (std::thread& asker : askers) asker.join();
  std::map<std::string, SkillScore> scores;
  for (size_t k = 0; k < cases.size(); ++k) {
    RETURN_IF_ERROR(answers[k].status());
    const std::string wanted =
        cases[k].calls.empty() ? cases[k].text : absl::StrJoin(cases[k].calls, " ");
    SkillScore& score = scores[cases[k].skill];
    ++score.asked;
    if (*answers[k] == absl::StripAsciiWhitespace(wanted)) {
      ++score.right;
    } else {
      score.wrong.push_back(absl::StrCat("wanted ", wanted, "\n       came ", *answers[k]));
    }
  }
  return scores;
}

std::string FormatScores(const std::map<std::string, SkillScore>& scores) {
  std::string table;
  for (const auto& [skill, score] : scores) {
    absl::StrAppendFormat(&table, "%-40s %5.1f %%  %4d of %d\n", skill,
                          100.0 * score.right / score.asked, score.right, score.asked);
  }
  return table;
}

}  // namespace cleave
