// golden_check model|media|layout|tokenizer|detokenizer --cases DIR [--tokenizer FILE] [--kernels
// NAME]
//
// Compares Cleave with data of the reference implementation, and prints the largest error of every
// case and stage beside its bound. DIR is laid out as tests/golden/data is. Exits non-zero on a
// failure and when there was nothing to compare.
#include <CLI/CLI.hpp>

#include "tests/golden/layout_check.h"
#include "tests/golden/media_check.h"
#include "tests/golden/model_check.h"
#include "tests/golden/report.h"
#include "tests/golden/text_check.h"

int main(int argc, char** argv) {
  using cleave::golden::Report;
  std::string cases, tokenizer, kernels = "reference";
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
  model->add_option("--kernels", kernels, "Kernel backend: reference")->capture_default_str();
  CLI::App* media = command("media", "Decoding and scaling of pictures, sounds; frames of videos");
  const auto text_command = [&](const char* name, const char* help) {
    CLI::App* sub = command(name, help);
    sub->add_option("--tokenizer", tokenizer, "tokenizer.json, or the same packed as .xz")
        ->required();
    return sub;
  };
  CLI::App* layout = text_command("layout", "Prompts with media, to ids");
  CLI::App* tokenizer_command = text_command("tokenizer", "Text to ids, and the chat template");
  CLI::App* detokenizer_command = text_command("detokenizer", "Ids to text, as it is released");
  CLI11_PARSE(app, argc, argv);

  Report report(quiet);
  if (model->parsed()) {
    const cleave::golden::ModelCheckOptions options{.cases_dir = cases, .kernels = kernels};
    cleave::golden::CheckModel(options, report);
    cleave::golden::CheckOperations(options, report);
  } else if (media->parsed()) {
    cleave::golden::CheckMedia(cases, report);
  } else if (layout->parsed()) {
    cleave::golden::CheckLayout(cases, tokenizer, report);
  } else if (tokenizer_command->parsed()) {
    cleave::golden::CheckTokenizer(cases, tokenizer, report);
    cleave::golden::CheckTemplate(cases, tokenizer, report);
  } else if (detokenizer_command->parsed()) {
    cleave::golden::CheckDetokenizer(cases, tokenizer, report);
  }
  return report.Finish();
}
