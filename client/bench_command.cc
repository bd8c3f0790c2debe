#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands.h"
#include "client/engine_bench.h"
#include "engine/worker_flags.h"
#include "runtime/base/status.h"
#include "tokenizer/tokenizer.h"

namespace cleave {
namespace {

struct BenchFlags {
  ModelHostOptions model{.kv_bytes_max = int64_t{1} << 30, .context_tokens_max = 4096};
  std::vector<int64_t> batches{1, 2, 4, 8};
  std::vector<int> drafts{0, 1, 2, 3, 4, 5, 6};
  std::vector<int64_t> prompts{256, 1024, 4000};
  std::vector<int64_t> chunks{64, 256, 1024};
  std::vector<std::string> questions;
  std::vector<int64_t> local_prompts{4000};
  int64_t local_rows = 256;
  double step_milliseconds = 50;
  double temperature = 0;
  bool ignore_stops = false;
  bool arg_max_drafts = false;
  double seconds = 2;
  bool json = false;
};

// Asked when no others are given: what a model of any size answers in more than a word.
const std::vector<std::string> kQuestions = {
    "Count from 1 to 30.",    "List 20 even numbers from 4.",
    "What can you do?",       "Count from 11 to 61 by fives.",
    "What is 347 + 586?",     "What is the capital of Norway?",
    "Spell the word garden.", "Sort these numbers: 42, 7, 88, 15."};

absl::StatusOr<std::vector<std::vector<int32_t>>> Encode(const BenchFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer,
                   Tokenizer::Load(flags.model.folder));
  std::vector<std::vector<int32_t>> prompts;
  for (const std::string& question : flags.questions.empty() ? kQuestions : flags.questions) {
    ASSIGN_OR_RETURN(
        std::vector<int32_t> ids,
        tokenizer->Encode(absl::StrCat("<bos><|turn>user\n", question, "<turn|>\n<|turn>model\n"),
                          true));
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

// Shares of rounds in which at least so many drafts were accepted.
std::vector<double> Acceptance(const DecodeFigure& figure) {
  std::vector<double> shares;
  for (size_t place = 0; place < kDraftsMax && figure.drafted[place] > 0; ++place) {
    shares.push_back(static_cast<double>(figure.accepted[place]) /
                     static_cast<double>(figure.drafted[place]));
  }
  return shares;
}

class Printer {
 public:
  Printer(bool json, int64_t weight_bytes) : json_(json), weight_bytes_(weight_bytes) {}

  void Prefill(const PrefillFigure& figure) {
    if (json_) {
      Json("prefill", {absl::StrCat("\"prompt_tokens\":", figure.prompt_tokens),
                       absl::StrCat("\"chunk_tokens\":", figure.chunk_tokens),
                       absl::StrCat("\"seconds\":", figure.seconds),
                       absl::StrCat("\"tokens_per_second\":", figure.tokens_per_second())});
    } else {
      Title("\nprompt  chunk      ms  tokens/s\n", 1);
      std::printf("%6ld %6ld %7.1f %9.0f\n", static_cast<long>(figure.prompt_tokens),
                  static_cast<long>(figure.chunk_tokens), figure.seconds * 1e3,
                  figure.tokens_per_second());
    }
    std::fflush(stdout);
  }
  void Rows(const RowsFigure& figure) {
    const std::optional<double> drafter = figure.drafter_seconds;
    if (json_) {
      Json("rows",
           {absl::StrCat("\"rows\":", figure.rows),
            absl::StrCat("\"target_seconds\":", figure.target_seconds),
            absl::StrCat("\"drafter_seconds\":", drafter ? absl::StrCat(*drafter) : "null")});
    } else {
      Title("\nrows  target ms  a row  drafter ms\n", 4);
      std::printf("%4ld %10.3f %6.3f %11s\n", static_cast<long>(figure.rows),
                  figure.target_seconds * 1e3,
                  figure.target_seconds * 1e3 / static_cast<double>(figure.rows),
                  drafter ? absl::StrFormat("%.3f", *drafter * 1e3).c_str() : "-");
    }
    std::fflush(stdout);
  }
  void Local(const LocalFigure& figure) {
    if (json_) {
      Json("local",
           {absl::StrCat("\"sequences\":", figure.sequences),
            absl::StrCat("\"prompt_tokens\":", figure.prompt_tokens),
            absl::StrCat("\"alone_seconds\":[", figure.alone.half, ",", figure.alone.most, "]"),
            absl::StrCat("\"beside_seconds\":[", figure.beside.half, ",", figure.beside.most, "]"),
            absl::StrCat("\"prompt_tokens_per_second\":", figure.prompt_tokens_per_second)});
    } else {
      Title("\nbatch  prompt beside  alone p50, p99 ms  beside p50, p99 ms  prompt tokens/s\n", 3);
      std::printf("%5ld %14ld %9.2f %7.2f %9.2f %9.2f %16.0f\n",
                  static_cast<long>(figure.sequences), static_cast<long>(figure.prompt_tokens),
                  figure.alone.half * 1e3, figure.alone.most * 1e3, figure.beside.half * 1e3,
                  figure.beside.most * 1e3, figure.prompt_tokens_per_second);
    }
    std::fflush(stdout);
  }
  // GB/s: the decoder's weights, once a step; drafts and KV come on top.
  void Decode(const DecodeFigure& figure) {
    const std::vector<double> shares = Acceptance(figure);
    if (json_) {
      Json("decode",
           {absl::StrCat("\"sequences\":", figure.sequences),
            absl::StrCat("\"drafts\":", figure.drafts),
            absl::StrCat("\"adaptive\":", figure.adaptive ? "true" : "false"),
            absl::StrCat("\"steps\":", figure.steps), absl::StrCat("\"tokens\":", figure.tokens),
            absl::StrCat("\"seconds\":", figure.seconds),
            absl::StrCat("\"step_seconds\":", figure.step_seconds()),
            absl::StrCat("\"tokens_per_second\":", figure.tokens_per_second()),
            absl::StrCat("\"accepted\":[", absl::StrJoin(shares, ","), "]")});
    } else {
      Title("\nbatch  drafts  step ms  GB/s  tokens/step  tokens/s  at least so many accepted, %\n",
            2);
      const std::string drafts = absl::StrCat(figure.adaptive ? "<=" : "", figure.drafts);
      std::printf("%5ld %7s %8.3f %5.1f %12.2f %9.1f  %s\n", static_cast<long>(figure.sequences),
                  drafts.c_str(), figure.step_seconds() * 1e3,
                  static_cast<double>(weight_bytes_) / figure.step_seconds() / 1e9,
                  figure.tokens_per_step(), figure.tokens_per_second(),
                  absl::StrJoin(shares, " ", [](std::string* out, double share) {
                    absl::StrAppendFormat(out, "%.0f", 100 * share);
                  }).c_str());
    }
    std::fflush(stdout);
  }

 private:
  void Title(const char* title, int number) {
    if (title_ != number) std::fputs(title, stdout);
    title_ = number;
  }
  static void Json(const char* kind, const std::vector<std::string>& members) {
    std::printf("{\"kind\":\"%s\",%s}\n", kind, absl::StrJoin(members, ",").c_str());
  }

  const bool json_;
  const int64_t weight_bytes_;
  int title_ = 0;
};

absl::Status BenchLocal(const BenchFlags& flags, const ModelHost& host, EngineBench& bench,
                        Printer& printer) {
  for (const int64_t sequences : flags.batches) {
    for (const int64_t tokens : flags.local_prompts) {
      if (tokens >= host.context_tokens_max()) continue;
      ASSIGN_OR_RETURN(const LocalFigure figure,
                       bench.Local(sequences, tokens, flags.local_rows,
                                   flags.step_milliseconds / 1e3, absl::Seconds(flags.seconds)));
      printer.Local(figure);
    }
  }
  return absl::OkStatus();
}

absl::Status Bench(BenchFlags& flags) {
  ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> prompts, Encode(flags));
  ModelHostOptions& model = flags.model;
  if (model.drafter_folder.empty()) model.drafter_folder = DrafterBeside(model.folder);
  const int64_t batch = *std::max_element(flags.batches.begin(), flags.batches.end());
  const int64_t chunk = *std::max_element(flags.chunks.begin(), flags.chunks.end());
  model.step_sequences_max = batch + 1;  // and one whose prompt is computed beside them
  model.step_outputs_max = batch * (1 + kDraftsMax) + 1;
  model.step_rows_max = std::max(chunk, model.step_outputs_max + flags.local_rows);
  for (const auto& prompt : prompts) {
    model.step_rows_max = std::max(model.step_rows_max, static_cast<int64_t>(prompt.size()));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelHost> host, ModelHost::Load(model));
  if (!flags.json) std::printf("%s\n", host->MemoryTable().c_str());
  EngineBench bench(*host, std::move(prompts), flags.ignore_stops);
  Printer printer(flags.json, host->decoder_bytes());
  for (const int64_t tokens : flags.prompts) {
    if (tokens > host->context_tokens_max()) continue;
    for (const int64_t rows : flags.chunks) {
      ASSIGN_OR_RETURN(const PrefillFigure figure, bench.Prefill(tokens, rows));
      printer.Prefill(figure);
    }
  }
  const SamplingParameters sampling{.temperature = static_cast<float>(flags.temperature)};
  const int64_t rows_max = std::min(model.step_outputs_max, host->context_tokens_max());
  for (int64_t rows = 1; rows <= rows_max; rows *= 2) {
    ASSIGN_OR_RETURN(const RowsFigure figure, bench.Rows(rows, sampling));
    printer.Rows(figure);
  }
  for (const int64_t sequences : flags.batches) {
    std::vector<DraftOptions> options;
    for (const int drafts : flags.drafts) {
      if (drafts == 0 || host->drafter() != nullptr) options.push_back({drafts, false});
    }
    if (host->drafter() != nullptr) options.push_back({});
    for (DraftOptions& drafts : options) {
      drafts.shared_noise = !flags.arg_max_drafts;
      ASSIGN_OR_RETURN(const DecodeFigure figure,
                       bench.Decode(sequences, drafts, sampling, absl::Seconds(flags.seconds)));
      printer.Decode(figure);
    }
  }
  return BenchLocal(flags, *host, bench, printer);
}

}  // namespace

std::function<int()> DeclareBench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();  // shared by the parser and the returned function
  CLI::App& bench = *app.add_subcommand("bench", "Measure this machine with a model");
  bench.require_subcommand(1);
  CLI::App& engine = *bench.add_subcommand(
      "engine",
      "One process, no network: prompts by length and chunk, passes by rows, answers by batch and "
      "drafts");
  engine.add_option("MODEL_DIR", flags->model.folder, "Folder of the Hugging Face checkpoint")
      ->required()
      ->check(CLI::ExistingDirectory);
  AddKernelFlags(engine, flags->model.kernels);
  AddArithmeticFlags(engine, flags->model);
  AddKvMemoryFlags(engine, flags->model);
  engine.add_option("--drafter", flags->model.drafter_folder,
                    "Folder of the MTP drafter; by default MODEL_DIR/assistant, when it is there");
  engine.add_option("--batches", flags->batches, "Sequences that generate together")
      ->check(CLI::Range(1, 256))
      ->delimiter(',')
      ->capture_default_str();
  engine.add_option("--drafts", flags->drafts, "Drafts of each sequence in a step")
      ->check(CLI::Range(0, kDraftsMax))
      ->delimiter(',')
      ->capture_default_str();
  engine.add_option("--prompts", flags->prompts, "Lengths of prompts, in tokens")
      ->check(CLI::Range(1, 1 << 20))
      ->delimiter(',')
      ->capture_default_str();
  engine.add_option("--chunks", flags->chunks, "Rows of a prefill step")
      ->check(CLI::Range(1, 8192))
      ->delimiter(',')
      ->capture_default_str();
  engine.add_option("--question", flags->questions, "What is asked; may be given again")
      ->allow_extra_args(false);
  engine.add_option("--temperature", flags->temperature, "0 (greedy) to 2")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str();
  engine.add_flag("--ignore-stops", flags->ignore_stops,
                  "Go on behind the end of an answer, where a small model is less sure");
  engine.add_flag("--arg-max-drafts", flags->arg_max_drafts,
                  "Draft the likeliest tokens instead of drawing with the target's noise");
  engine
      .add_option("--local-prompts", flags->local_prompts,
                  "Lengths of prompts that are computed beside answers; none: not measured")
      ->check(CLI::Range(1, 1 << 20))
      ->delimiter(',')
      ->expected(0, 64)
      ->capture_default_str();
  engine.add_option("--local-rows", flags->local_rows, "Most rows of such a prompt in a step")
      ->check(CLI::Range(1, 8192))
      ->capture_default_str();
  engine
      .add_option("--step-milliseconds", flags->step_milliseconds,
                  "How long a step with such rows may take")
      ->check(CLI::Range(0.1, 10000.0))
      ->capture_default_str();
  engine.add_option("--seconds", flags->seconds, "Time taken for each line of the decode table")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  engine.add_flag("--json", flags->json, "Print every figure as a line of JSON");
  return [flags] {
    const absl::Status status = Bench(*flags);
    if (status.ok()) return kExitOk;
    std::fprintf(stderr, "cleave bench: %s\n", std::string(status.message()).c_str());
    return kExitFailed;
  };
}

}  // namespace cleave
