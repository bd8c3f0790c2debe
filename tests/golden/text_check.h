// Compares the tokenizer, the chat template, the detokenizer and the output parser with cases made
// by the reference implementations (Hugging Face tokenizers, SentencePiece, the model's Jinja
// template).
#pragma once

#include <string>

#include "tests/golden/report.h"

namespace cleave::golden {

// `cases_dir` holds tokenizer.jsonl, detokenizer.jsonl, chat.jsonl and parser.jsonl, one JSON
// object a line; `tokenizer_file` is the model's tokenizer.json, or that packed as .json.xz (then
// the program `xz` unpacks it). Each check opens one case of `report` for each "kind" of line, with
// the ids of the lines that fail, and returns how many fail; a file that cannot be read is one
// failed case.

// tokenizer.jsonl: text to ids, control tokens matched or not.
int CheckTokenizer(const std::string& cases_dir, const std::string& tokenizer_file, Report& report);

// chat.jsonl: conversations to prompt text and ids, or to a refusal.
int CheckTemplate(const std::string& cases_dir, const std::string& tokenizer_file, Report& report);

// detokenizer.jsonl: ids to text, and to the text that each id releases.
int CheckDetokenizer(const std::string& cases_dir, const std::string& tokenizer_file,
                     Report& report);

// parser.jsonl: ids of answers to thought, text and tool calls; the same when cut anywhere.
int CheckParser(const std::string& cases_dir, const std::string& tokenizer_file, Report& report);

}  // namespace cleave::golden
