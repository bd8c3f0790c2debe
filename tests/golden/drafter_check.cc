#include "tests/golden/drafter_check.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/mtp_drafter.h"
#include "model/safetensors.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"
#include "tests/golden/case_media.h"
#include "tests/golden/tensor_compare.h"
#include "tests/support/model_runner.h"

namespace cleave::golden {
namespace {

using testing::HostRows;
using testing::ModelRunner;

// The README's tolerances.
constexpr double kHiddenBound = 3e-5;
constexpr double kDrafterBound = 1e-5;
constexpr int kDraftsMax = 4;
constexpr int kDraftSteps = 4;
constexpr size_t kTokens = 32;

struct Round {
  int64_t cached = 0;  // verified positions
  int32_t token = 0;   // the newest one, at that position
  std::vector<int32_t> drafted;
  int64_t accepted = 0;

  std::string Describe() const {
    return absl::StrCat("cached ", cached, " token ", token, " drafted ",
                        absl::StrJoin(drafted, " "), " accepted ", accepted);
  }
};

class DrafterCase {
 public:
  DrafterCase(const SafetensorsFile& tensors, ModelRunner& runner, MtpDrafter& drafter,
              Report& report)
      : tensors_(tensors), runner_(runner), drafter_(drafter), report_(report) {}

  void CheckSteps() {
    const std::vector<int32_t> ids = Ints(*tensors_.Find("input_ids"));
    const auto media = EmbedCaseMedia(tensors_, runner_);
    runner_.Reset();
    runner_.Forward(ids, media, true);
    const HostRows hidden = runner_.Fetch(runner_.transformer().final_hidden());
    std::vector<float> golden = Floats(*tensors_.Find("target_hidden"));
    golden.resize(hidden.values.size());
    report_.Stage("target_hidden", RelativeError(hidden.values, golden), kHiddenBound);
    hidden_ = LastRow(hidden, hidden.rows - 1);
    token_ = runner_.ArgMax(LastRow(runner_.Fetch(runner_.transformer().logits()), ids.size() - 1));

    std::vector<int32_t> drafted;
    int step = 0;
    const auto compare = [&](absl::string_view stage, int layer, TensorView value) {
      const std::string name =
          layer < 0 ? std::string(stage) : absl::StrCat("layer.", layer, ".out");
      if (layer >= 0 && stage != "out") return;
      CompareStage(absl::StrCat("a.step", step, ".", name), value);
    };
    drafter_.set_tap(compare);
    drafted = Draft(kDraftSteps, [&] {
      CompareStage(absl::StrCat("a.step", step, ".logits"), drafter_.logits());
      CompareStage(absl::StrCat("a.step", step, ".projected"), drafter_.projected());
      ++step;
    });
    drafter_.set_tap(nullptr);
    const std::vector<int32_t> expected = Ints(*tensors_.Find("a.drafted"));
    report_.Exact("drafted", drafted == expected, absl::StrJoin(drafted, " "));
  }

  // Continues behind the prompt: draft, verify in one step of several rows, keep what agrees.
  std::vector<Round> Decode() {
    std::vector<Round> rounds;
    emitted_ = {token_};
    while (emitted_.size() < kTokens) {
      Round round{.cached = runner_.positions(), .token = token_};
      const int left = static_cast<int>(kTokens - emitted_.size());
      round.drafted = Draft(std::min(kDraftsMax, left - 1), [] {});
      std::vector<int32_t> rows{token_};
      rows.insert(rows.end(), round.drafted.begin(), round.drafted.end());
      runner_.Forward(rows, {}, true);
      const HostRows logits = runner_.Fetch(runner_.transformer().logits());
      const HostRows hidden = runner_.Fetch(runner_.transformer().final_hidden());
      for (size_t row = 0;; ++row) {
        token_ = runner_.ArgMax(LastRow(logits, static_cast<int64_t>(row)));
        emitted_.push_back(token_);
        if (row == round.drafted.size() || token_ != round.drafted[row]) break;
        ++round.accepted;
      }
      hidden_ = LastRow(hidden, round.accepted);
      runner_.Truncate(round.cached + round.accepted + 1);
      rounds.push_back(std::move(round));
    }
    return rounds;
  }

  const std::vector<int32_t>& emitted() const { return emitted_; }

 private:
  static std::vector<float> LastRow(const HostRows& rows, int64_t row) {
    const auto begin = rows.values.begin() + row * rows.cols;
    return {begin, begin + rows.cols};
  }

  // `count` drafts behind the verified positions and token_. `after_step` sees each step's results.
  template <class AfterStep>
  std::vector<int32_t> Draft(int count, AfterStep after_step) {
    std::vector<int32_t> drafted;
    std::vector<float> previous = hidden_;
    int32_t token = token_;
    for (int i = 0; i < count; ++i) {
      const TensorView view{.data = previous.data(),
                            .dtype = DType::kFloat32,
                            .device = runner_.kernels().device().id(),
                            .rows = 1,
                            .cols = static_cast<int64_t>(previous.size()),
                            .row_stride = static_cast<int64_t>(previous.size())};
      drafter_.Step(runner_.PrepareDrafts({runner_.positions()}, {token}), view, runner_.kv());
      after_step();
      // Drafts are taken as they come, suppressed ids included.
      const HostRows logits = runner_.Fetch(drafter_.logits());
      token = static_cast<int32_t>(std::max_element(logits.values.begin(), logits.values.end()) -
                                   logits.values.begin());
      drafted.push_back(token);
      previous = runner_.Fetch(drafter_.projected()).values;
    }
    return drafted;
  }

  void CompareStage(const std::string& stage, TensorView value) {
    const StoredTensor* golden = tensors_.Find(stage);
    if (golden == nullptr) return report_.Exact(stage, false, "the golden file has no such tensor");
    report_.Stage(stage, RelativeError(runner_.Fetch(value).values, Floats(*golden)),
                  kDrafterBound);
  }

  const SafetensorsFile& tensors_;
  ModelRunner& runner_;
  MtpDrafter& drafter_;
  Report& report_;
  std::vector<float> hidden_;  // of the position that the newest token was drawn from
  int32_t token_ = 0;          // the newest one
  std::vector<int32_t> emitted_;
};

absl::StatusOr<std::vector<Round>> ReadRounds(const JsonValue& entry) {
  ASSIGN_OR_RETURN(const JsonValue member, entry.Member("rounds"));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> values, member.AsArray());
  std::vector<Round> rounds;
  for (const JsonValue& value : values) {
    Round& round = rounds.emplace_back();
    ASSIGN_OR_RETURN(round.cached, value.Int("cached"));
    ASSIGN_OR_RETURN(const int64_t token, value.Int("token"));
    round.token = static_cast<int32_t>(token);
    ASSIGN_OR_RETURN(round.accepted, value.Int("accepted"));
    ASSIGN_OR_RETURN(const JsonValue drafted, value.Member("drafted"));
    ASSIGN_OR_RETURN(const std::vector<JsonValue> ids, drafted.AsArray());
    for (const JsonValue& id : ids) {
      ASSIGN_OR_RETURN(const int64_t number, id.AsInt());
      round.drafted.push_back(static_cast<int32_t>(number));
    }
  }
  return rounds;
}

absl::Status RunCase(const ModelCheckOptions& options, const std::string& name,
                     const JsonValue& entry, Report& report) {
  ASSIGN_OR_RETURN(const std::string checkpoint, entry.String("checkpoint"));
  const std::string folder = options.cases_dir + "/checkpoints/" + checkpoint;
  ASSIGN_OR_RETURN(
      const SafetensorsFile tensors,
      SafetensorsFile::Open(absl::StrCat(options.cases_dir, "/drafter/", name, ".safetensors")));
  const StoredTensor* ids = tensors.Find("input_ids");
  if (ids == nullptr) return absl::NotFoundError("no tensor input_ids");
  const int64_t positions = ids->elements() + static_cast<int64_t>(kTokens) + kDraftsMax;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<ModelRunner> runner,
      ModelRunner::Load(
          folder, {.kernels = options.kernels,
                   .kv = {.page_tokens = 8, .dtype = DType::kFloat32, .form = options.kv_form},
                   .positions_max = positions}));
  ASSIGN_OR_RETURN(const std::unique_ptr<MtpDrafter> drafter,
                   MtpDrafter::Load(folder + "_assistant", runner->config(), runner->weights(),
                                    runner->kernels(), {.rows_max = 1}));
  report.Case(name);
  DrafterCase test(tensors, *runner, *drafter, report);
  test.CheckSteps();
  const std::vector<Round> rounds = test.Decode();
  ASSIGN_OR_RETURN(const std::vector<Round> expected, ReadRounds(entry));
  report.Exact("number of rounds", rounds.size() == expected.size(), absl::StrCat(rounds.size()));
  for (size_t i = 0; i < std::min(rounds.size(), expected.size()); ++i) {
    report.Exact(absl::StrCat("round ", i), rounds[i].Describe() == expected[i].Describe(),
                 absl::StrCat(rounds[i].Describe(), "; expected ", expected[i].Describe()));
  }
  const std::vector<int32_t> greedy = Ints(*tensors.Find("greedy_tokens"));
  report.Exact("greedy_tokens", test.emitted() == greedy, absl::StrJoin(test.emitted(), " "));
  return absl::OkStatus();
}

absl::Status RunCases(const ModelCheckOptions& options, Report& report) {
  const std::string path = options.cases_dir + "/drafter/index.json";
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(const JsonDocument index, JsonDocument::Parse(text, path));
  ASSIGN_OR_RETURN(const auto cases, index.root().AsMembers());
  for (const auto& [name, entry] : cases) {
    const absl::Status status = RunCase(options, std::string(name), entry, report);
    if (status.ok()) continue;
    report.Case(name);
    report.Exact("load", false, std::string(status.message()));
  }
  return absl::OkStatus();
}

}  // namespace

void CheckDrafter(const ModelCheckOptions& options, Report& report) {
  const absl::Status status = RunCases(options, report);
  if (status.ok()) return;
  report.Case("index");
  report.Exact("load", false, std::string(status.message()));
}

}  // namespace cleave::golden
