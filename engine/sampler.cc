#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/portable_math.h"
#include "runtime/base/check.h"
#include "runtime/base/random.h"

namespace cleave {
namespace {

constexpr uint32_t kBlock = 4;  // neighbouring tokens, which the words of one Philox block serve

std::array<uint32_t, kBlock> NoiseWords(uint64_t seed, TokenPlace place, uint32_t block) {
  return Philox4x32({block, static_cast<uint32_t>(place.position),
                     static_cast<uint32_t>(place.position >> 32), place.candidate},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

double NoiseOfWord(uint32_t word) {
  constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;
  const double uniform = (word + 0.5) * kTwoToMinus32;
  return -PortableLog(-PortableLog(uniform));
}

// What the noise of the word is not above, without a logarithm: -log(u) is more than 1 - u, and
// behind n leading ones that is at least 2^-(n + 1).
double NoiseBound(uint32_t word) {
  constexpr double kAboveLog2 = 0.6932;
  return kAboveLog2 * (std::countl_one(word) + 1);
}

}  // namespace

Sampler::Sampler(int vocabulary_size, const std::vector<int32_t>& suppressed_ids)
    : suppressed_(static_cast<size_t>(vocabulary_size), false) {
  for (const int32_t id : suppressed_ids) suppressed_[static_cast<size_t>(id)] = true;
  candidates_.reserve(static_cast<size_t>(vocabulary_size));
  copy_.reserve(static_cast<size_t>(vocabulary_size));
}

double GumbelNoise(uint64_t seed, TokenPlace place, int32_t token) {
  const auto id = static_cast<uint32_t>(token);
  return NoiseOfWord(NoiseWords(seed, place, id / kBlock)[id % kBlock]);
}

int32_t Sampler::Choose(absl::Span<const float> logits, const SamplingParameters& sampling,
                        TokenPlace place) {
  CHECK(logits.size() == suppressed_.size());
  const int32_t likeliest = Likeliest(logits);
  const float largest = logits[static_cast<size_t>(likeliest)];
  // Beyond the range of float, logits that differ are farther apart than any noise reaches.
  const bool nearly_greedy = std::isinf(largest / sampling.temperature);
  if (sampling.temperature == 0 || nearly_greedy) return likeliest;
  ListCandidates(logits, sampling.temperature);
  KeepTopK(static_cast<size_t>(sampling.top_k));
  KeepTopP(sampling.top_p, largest / sampling.temperature);
  KeepMinP(sampling.min_p, largest / sampling.temperature);
  return Draw(sampling.seed, place);
}

absl::Span<const float> Sampler::Copy(absl::Span<const float> logits) {
  copy_.assign(logits.begin(), logits.end());
  return copy_;
}

int32_t Sampler::Likeliest(absl::Span<const float> logits) const {
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (best >= 0 && !(logits[i] > logits[static_cast<size_t>(best)])) continue;
    if (!suppressed_[i]) best = static_cast<int32_t>(i);
  }
  CHECK(best >= 0);
  return best;
}

void Sampler::ListCandidates(absl::Span<const float> logits, float temperature) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (suppressed_[i]) continue;
    candidates_.push_back({logits[i] / temperature, static_cast<int32_t>(i)});
  }
}

// Few candidates come near the best so far, so few are worth the logarithms of their noise.
int32_t Sampler::Draw(uint64_t seed, TokenPlace place) const {
  std::array<uint32_t, kBlock> words{};
  std::optional<uint32_t> block;  // whose words they are
  int32_t best_id = -1;
  double best_score = -std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates_) {
    const auto id = static_cast<uint32_t>(candidate.id);
    if (block != id / kBlock) {
      block = id / kBlock;
      words = NoiseWords(seed, place, *block);
    }
    const uint32_t word = words[id % kBlock];
    if (candidate.score + NoiseBound(word) < best_score) continue;
    const double score = candidate.score + NoiseOfWord(word);
    const bool better =
        best_id < 0 || score > best_score || (score == best_score && candidate.id < best_id);
    if (!better) continue;
    best_id = candidate.id;
    best_score = score;
  }
  CHECK(best_id >= 0);
  return best_id;
}

void Sampler::KeepTopK(size_t top_k) {
  if (top_k == 0 || top_k >= candidates_.size()) return;
  const auto higher = [](const Candidate& a, const Candidate& b) { return a.score > b.score; };
  const auto last_kept = candidates_.begin() + static_cast<std::ptrdiff_t>(top_k) - 1;
  std::nth_element(candidates_.begin(), last_kept, candidates_.end(), higher);
  const float threshold = last_kept->score;
  std::erase_if(candidates_, [&](const Candidate& c) { return c.score < threshold; });
}

// The share is one of the sum of all weights, likeliest first. But to sort a vocabulary is dear, so
// rough sums say where it is reached; only where their error leaves a doubt everything is sorted.
void Sampler::KeepTopP(float top_p, double largest) {
  if (top_p >= 1) return;
  if (KeepRoughly(top_p, largest)) return;
  std::sort(candidates_.begin(), candidates_.end(), Likelier{});
  double total = 0, reached = 0;
  for (const Candidate& candidate : candidates_) total += PortableExp(candidate.score - largest);
  size_t kept = 0;
  while (kept < candidates_.size() && reached < top_p * total) {
    reached += PortableExp(candidates_[kept].score - largest);
    ++kept;
  }
  candidates_.resize(kept);
}

// Narrows the candidates down to the one with which the share is reached. False: it is reached so
// closely that the error of the sums counts.
bool Sampler::KeepRoughly(float top_p, double largest) {
  const auto at = [&](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  const auto weight = [&](size_t begin, size_t end) {
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += RoughExp(candidates_[i].score - largest);
    return sum;
  };
  const double wanted = top_p * weight(0, candidates_.size());
  constexpr double kDeep = 8;  // most of a vocabulary is farther below the likeliest
  const auto near = [&](const Candidate& c) { return c.score >= largest - kDeep; };
  const auto far = std::partition(candidates_.begin(), candidates_.end(), near);
  size_t begin = 0, end = candidates_.size();
  auto middle = static_cast<size_t>(far - candidates_.begin());
  double before = 0;  // weight of those likelier than [begin, end)
  while (true) {
    const double half = weight(begin, middle);
    const bool reached = before + half >= wanted;
    before += reached ? 0 : half;
    (reached ? end : begin) = middle;
    if (end - begin <= 1) break;
    middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), Likelier{});
  }
  // Of two sums each, over as many weights as there are candidates, in another order.
  const double error = 2 * (kRoughExpError + std::numeric_limits<double>::epsilon() *
                                                 static_cast<double>(candidates_.size()));
  const double reached = before + weight(begin, end);
  if (before >= wanted * (1 - error) || reached < wanted * (1 + error)) return false;
  candidates_.resize(end);
  return true;
}

void Sampler::KeepMinP(float min_p, double largest) {
  if (min_p <= 0) return;
  const double threshold = largest + PortableLog(double{min_p});
  std::erase_if(candidates_, [&](const Candidate& c) { return c.score < threshold; });
}

}  // namespace cleave
