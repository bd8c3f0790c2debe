// MB/s of encoding and decoding: tokenizer_bench TOKENIZER.json[.xz] [--benchmark_...]
//
// Cold is the first text that a new tokenizer meets, 2 KB of it; warm is 100 KB whose words were
// met before. Hostile text has few cuts or no word twice, so it says what SentencePiece does.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/text_cases.h"
#include "tokenizer/stream_detokenizer.h"
#include "tokenizer/tokenizer.h"

namespace cleave {
namespace {

constexpr size_t kLongBytes = 100'000;
constexpr size_t kHugeBytes = 1'000'000;

constexpr char kEnglish[] =
    "I have been trying to repair the pump behind the old greenhouse, and I think the valve is "
    "stuck. When I open the tap slowly, nothing happens for about ten seconds; then the pipe "
    "starts "
    "to shake and a thin stream of brown water comes out. Could you explain what might cause this, "
    "and whether it is safe to leave it running overnight? My neighbour says that sand in the well "
    "does this every spring, but last year we cleaned the filter twice and it made no "
    "difference.\n\n"
    "Sure! Two things fit what you describe. First, a valve that sticks because of limescale will "
    "open late and then all at once, which is why the pipe shakes. Second, brown water after a "
    "pause "
    "usually means that sediment has settled near the intake. Before you take anything apart, "
    "switch "
    "off the power, close the main tap and let the pressure fall. Then unscrew the cap, look for "
    "white crust on the spring, and rinse it with vinegar. If the spring is broken, replace it; "
    "they "
    "cost less than three dollars. Please do not leave the pump running dry, since the seal would "
    "overheat within an hour. If you send me a photograph of the label, I can look for the "
    "manual.\n";

constexpr char kCjk[] =
    "明日の朝六時の電車で京都へ行きます。駅まで歩いて二十分ほどかかるので、五時半には家を出るつもり"
    "です。"
    "昨天晚上下了一场大雨，河水漫过了小桥，孩子们只好绕路去学校。老师说今天的课可以晚一点开始，大家"
    "不用着急。"
    "어제 시장에서 산 사과가 아주 달아서 동생이 세 개나 먹었어요. 내일은 할머니께 드릴 배를 사러 "
    "갈 거예요.\n";

constexpr char kCode[] =
    "template <typename Item>\nclass BoundedQueue {\n public:\n  explicit BoundedQueue(size_t "
    "capacity) "
    ": capacity_(capacity) {}\n\n  bool Push(Item item) {\n    std::lock_guard<std::mutex> "
    "lock(mutex_);\n    if (items_.size() >= capacity_) return false;  // the caller tries again\n"
    "    items_.push_back(std::move(item));\n    not_empty_.notify_one();\n    return true;\n  "
    "}\n\n"
    " private:\n  const size_t capacity_;\n  std::mutex mutex_;\n  std::condition_variable "
    "not_empty_;\n  std::deque<Item> items_;\n};\n";

std::string Repeat(const std::string& text, size_t bytes) {
  std::string repeated;
  while (repeated.size() < bytes) repeated += text;
  return repeated;
}

// `count` draws from `alphabet`, whose elements are whole characters.
std::string Random(const std::vector<std::string>& alphabet, size_t count) {
  std::mt19937_64 random(20261124);
  std::string text;
  for (size_t i = 0; i < count; ++i) text += alphabet[random() % alphabet.size()];
  return text;
}

std::vector<std::string> Letters() {
  std::vector<std::string> letters;
  for (char c = 'a'; c <= 'z'; ++c) letters.emplace_back(1, c);
  return letters;
}

void SetRate(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void EncodeCold(benchmark::State& state, const std::string& file, const std::string& text) {
  for (auto _ : state) {
    const auto tokenizer = *golden::LoadTokenizer(file);
    const auto begin = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(tokenizer->Encode(text, false));
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  SetRate(state, text);
}

void EncodeWarm(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  benchmark::DoNotOptimize(tokenizer.Encode(text, false));
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.Encode(text, false));
  SetRate(state, text);
}

void Decode(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<TokenId> ids = *tokenizer.Encode(text, false);
  for (auto _ : state) benchmark::DoNotOptimize(Detokenize(tokenizer.vocabulary(), ids, true));
  SetRate(state, text);
}

void Load(benchmark::State& state, const std::string& file) {
  for (auto _ : state) benchmark::DoNotOptimize(golden::LoadTokenizer(file));
}

void RegisterAll(const std::string& file, const Tokenizer& tokenizer) {
  using benchmark::RegisterBenchmark;
  RegisterBenchmark("Load", [=](benchmark::State& state) {
    Load(state, file);
  })->Unit(benchmark::kMillisecond);
  const std::pair<std::string, std::string> ordinary[] = {
      {"English", kEnglish}, {"Cjk", kCjk}, {"Code", kCode}};
  for (const auto& [name, sample] : ordinary) {
    RegisterBenchmark(
        ("EncodeCold/" + name).c_str(),
        [file, text = sample](benchmark::State& state) { EncodeCold(state, file, text); })
        ->UseManualTime()
        ->Iterations(5);
    const std::string text = Repeat(sample, kLongBytes);
    RegisterBenchmark(("EncodeWarm/" + name).c_str(), [&tokenizer, text](benchmark::State& state) {
      EncodeWarm(state, tokenizer, text);
    });
    RegisterBenchmark(("Decode/" + name).c_str(), [&tokenizer, text](benchmark::State& state) {
      Decode(state, tokenizer, text);
    });
  }
  const std::vector<std::string> mixed = {"a",  " ",  "\n", "\t", ">",   "<",
                                          "</", "中", "é",  "😀",  "the "};
  const std::pair<std::string, std::string> hostile[] = {
      {"OneLetter100k", std::string(kLongBytes, 'a')},
      {"OneLetter1M", std::string(kHugeBytes, 'a')},
      {"RandomLetters100k", Random(Letters(), kLongBytes)},
      {"RandomLetters1M", Random(Letters(), kHugeBytes)},
      {"Newlines1M", std::string(kHugeBytes, '\n')},
      {"Quotes1M", Repeat("> ", kHugeBytes)},
      {"Mixed1M", Random(mixed, kHugeBytes / 2)}};
  for (const auto& [name, text] : hostile) {
    RegisterBenchmark(("EncodeHostile/" + name).c_str(), [&tokenizer,
                                                          text = text](benchmark::State& state) {
      EncodeWarm(state, tokenizer, text);
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace
}  // namespace cleave

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenizer_bench TOKENIZER.json[.xz] [--benchmark_...]\n");
    return 2;
  }
  const auto tokenizer = cleave::golden::LoadTokenizer(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
    return 1;
  }
  cleave::RegisterAll(argv[1], **tokenizer);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
