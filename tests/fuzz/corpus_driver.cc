// Runs a fuzz target without libFuzzer: over every file of a folder, the empty input, and seeded
// mutations of both, so that each test run exercises the parsers a little. The long runs are
// `tests/run --preset fuzz`.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

Bytes ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Bytes Mutate(Bytes input, std::mt19937_64& random) {
  for (int edits = 1 + static_cast<int>(random() % 8); edits > 0; --edits) {
    const size_t at = input.empty() ? 0 : random() % input.size();
    switch (random() % 4) {
      case 0:
        if (!input.empty()) input[at] = static_cast<uint8_t>(random());
        break;
      case 1:
        if (!input.empty()) input[at] ^= static_cast<uint8_t>(1u << random() % 8);
        break;
      case 2:
        input.resize(at);
        break;
      default:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), 1 + random() % 4,
                     static_cast<uint8_t>(random()));
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> paths;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) paths.push_back(entry);
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> inputs = {{}};
  for (const auto& path : paths) inputs.push_back(ReadAll(path));
  for (const Bytes& input : inputs) LLVMFuzzerTestOneInput(input.data(), input.size());

  constexpr uint64_t kSeed = 20261124;
  constexpr int kMutations = 1000;
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < kMutations; ++i) {
    const Bytes input = Mutate(inputs[random() % inputs.size()], random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu inputs and %d mutations (seed %llu)\n", inputs.size(), kMutations,
              static_cast<unsigned long long>(kSeed));
  return 0;
}
