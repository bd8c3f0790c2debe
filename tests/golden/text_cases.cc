#include "tests/golden/text_cases.h"

#include <cstdio>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"

namespace cleave::golden {
namespace {

constexpr size_t kTokenizerBytesMax = size_t{256} << 20;
constexpr size_t kShownMax = 3;

absl::StatusOr<std::string> Unpack(const std::string& file) {
  if (absl::StrContains(file, "'")) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": a quote in the name"));
  }
  std::FILE* pipe = ::popen(absl::StrCat("xz -dc '", file, "'").c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("cannot run xz");
  std::string content;
  char buffer[65536];
  while (const size_t n = std::fread(buffer, 1, sizeof(buffer), pipe)) content.append(buffer, n);
  if (::pclose(pipe) != 0) return absl::InvalidArgumentError(absl::StrCat(file, ": xz failed"));
  return content;
}

// The lines of one kind, so far.
struct Kind {
  int same = 0;
  std::vector<std::string> failed_ids;
  std::vector<std::string> details;
};

void ReportKind(absl::string_view name, const Kind& kind, Report& report) {
  const size_t failed = kind.failed_ids.size();
  report.Case(absl::StrCat(name, ": ", kind.same, " of ", kind.same + failed));
  if (failed == 0) return;
  report.Exact("lines", false, absl::StrJoin(kind.failed_ids, " "));
  for (const std::string& detail : kind.details) report.Note(detail);
}

absl::Status CheckLine(const std::string& text, const LineCheck& check,
                       std::map<std::string, Kind>& kinds) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, "line"));
  const JsonValue line = document.root();
  ASSIGN_OR_RETURN(const std::string name, line.String("kind"));
  ASSIGN_OR_RETURN(const int64_t id, line.Int("id"));
  absl::StatusOr<LineResult> result = check(line, text);
  if (!result.ok()) result = LineResult{Verdict::kDiffers, std::string(result.status().message())};
  // "cldr/af" and "cldr/am" are one kind to the reader.
  Kind& kind = kinds[name.substr(0, name.find('/'))];
  if (result->verdict == Verdict::kSame) ++kind.same;
  if (result->verdict == Verdict::kDiffers) {
    kind.failed_ids.push_back(absl::StrCat(id));
    if (kind.details.size() < kShownMax) {
      kind.details.push_back(absl::StrCat("line ", id, ": ", result->detail));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const std::string& file) {
  std::string content;
  if (absl::EndsWith(file, ".xz")) {
    ASSIGN_OR_RETURN(content, Unpack(file));
  } else {
    ASSIGN_OR_RETURN(content, ReadFile(file, kTokenizerBytesMax));
  }
  return Tokenizer::Create(std::move(content), "", file);
}

absl::StatusOr<std::vector<TokenId>> ReadIds(const JsonValue& line, absl::string_view key) {
  ASSIGN_OR_RETURN(const JsonValue member, line.Member(key));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> elements, member.AsArray());
  std::vector<TokenId> ids;
  ids.reserve(elements.size());
  for (const JsonValue& element : elements) {
    ASSIGN_OR_RETURN(const int64_t id, element.AsInt({0, INT32_MAX}));
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

std::string ShowIds(const std::vector<TokenId>& ids) { return absl::StrJoin(ids, " "); }

int CheckLines(const std::string& path, absl::string_view subject, const LineCheck& check,
               Report& report) {
  std::map<std::string, Kind> kinds;
  std::ifstream file(path);
  int lines = 0;
  for (std::string text; std::getline(file, text); ++lines) {
    const absl::Status status = CheckLine(text, check, kinds);
    if (!status.ok()) return ReportFailure(subject, status, report);
  }
  if (lines == 0) {
    return ReportFailure(subject, absl::NotFoundError(absl::StrCat(path, ": no lines")), report);
  }
  int failed = 0, same = 0;
  for (const auto& [name, kind] : kinds) {
    ReportKind(absl::StrCat(subject, "/", name), kind, report);
    failed += static_cast<int>(kind.failed_ids.size());
    same += kind.same;
  }
  report.Note(absl::StrCat(subject, ": ", same, " of ", same + failed, " lines the same"));
  return failed;
}

int ReportFailure(absl::string_view subject, const absl::Status& status, Report& report) {
  report.Case(subject);
  report.Exact("reading", false, status.ToString());
  return 1;
}

}  // namespace cleave::golden
