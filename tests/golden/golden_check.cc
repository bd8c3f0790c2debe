// golden_check model|drafter|media|layout|tokenizer|template|detokenizer|parser --cases DIR
//              [--tokenizer FILE] [--kernels NAME] [--isa NAME] [--threads N]
//              [--kv-form compact|plain]
//
// Compares Cleave with data of the reference implementation, and prints the largest error of every
// case and stage beside its bound. DIR is laid out as tests/golden/data is. Exits non-zero on a
// failure and when there was nothing to compare; with 77 on a processor without the ISA asked for.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "engine/worker_flags.h"
#include "tests/golden/drafter_check.h"
#include "tests/golden/layout_check.h"
#include "tests/golden/media_check.h"
#include "tests/golden/model_check.h"
#include "tests/golden/report.h"
#include "tests/golden/text_check.h"

namespace {

int CannotRun(const absl::Status& status) {
  std::printf("not run: %s\n", std::string(status.message()).c_str());
  return absl::IsFailedPrecondition(status) ? 77 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  using cleave::golden::Report;
  std::string cases, tokenizer;
  cleave::golden::ModelCheckOptions model_options;
  bool quiet = false;
  CLI::App app("Compares Cleave with data of the reference implementation.");
  app.require_subcommand(1);
  const auto command = [&](const char* name, const char* help) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("--cases", cases, "Folder with the golden data")->required();
    sub->add_flag("--quiet", quiet, "Print only what failed");
    return sub;
  };
  CLI::App* model = command("model", "Every stage of the model, and greedy continuations");
  CLI::App* drafter = command("drafter", "Draft steps, and speculative decodings");
  for (CLI::App* sub : {model, drafter}) {
    cleave::AddKernelFlags(*sub, model_options.kernels);
    cleave::AddKvFormFlag(*sub, model_options.kv_form);
  }
  CLI::App* media = command("media", "Decoding and scaling of pictures, sounds; frames of videos");
  const auto text_command = [&](const char* name, const char* help) {
    CLI::App* sub = command(name, help);
    sub->add_option("--tokenizer", tokenizer, "tokenizer.json, or the same packed as .xz")
        ->required();
    return sub;
  };
  CLI::App* layout = text_command("layout", "Prompts with media, to ids");
  CLI::App* tokenizer_command = text_command("tokenizer", "Text to ids");
  CLI::App* template_command = text_command("template", "Conversations to prompts");
  CLI::App* detokenizer_command = text_command("detokenizer", "Ids to text, as it is released");
  CLI::App* parser_command = text_command("parser", "Answers to thought, text and tool calls");
  CLI11_PARSE(app, argc, argv);

  Report report(quiet);
  model_options.cases_dir = cases;
  const absl::Status present = cleave::golden::CheckBackend(model_options);
  if (!present.ok()) return CannotRun(present);
  if (drafter->parsed()) {
    cleave::golden::CheckDrafter(model_options, report);
  } else if (model->parsed()) {
    cleave::golden::CheckModel(model_options, report);
    cleave::golden::CheckOperations(model_options, report);
  } else if (media->parsed()) {
    cleave::golden::CheckMedia(cases, report);
  } else if (layout->parsed()) {
    cleave::golden::CheckLayout(cases, tokenizer, report);
  } else if (tokenizer_command->parsed()) {
    cleave::golden::CheckTokenizer(cases, tokenizer, report);
  } else if (template_command->parsed()) {
    cleave::golden::CheckTemplate(cases, tokenizer, report);
  } else if (detokenizer_command->parsed()) {
    cleave::golden::CheckDetokenizer(cases, tokenizer, report);
  } else if (parser_command->parsed()) {
    cleave::golden::CheckParser(cases, tokenizer, report);
  }
  return report.Finish();
}
