#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "engine/portable_math.h"
#include "runtime/base/check.h"
#include "runtime/base/random.h"

namespace cleave {

Sampler::Sampler(int vocabulary_size, const std::vector<int32_t>& suppressed_ids)
    : suppressed_(static_cast<size_t>(vocabulary_size), false) {
  for (const int32_t id : suppressed_ids) suppressed_[static_cast<size_t>(id)] = true;
  candidates_.reserve(static_cast<size_t>(vocabulary_size));
}

double GumbelNoise(uint64_t seed, TokenPlace place, int32_t token) {
  // One block of four words serves four neighbouring tokens.
  const uint32_t id = static_cast<uint32_t>(token);
  const std::array<uint32_t, 4> words =
      Philox4x32({id / 4, static_cast<uint32_t>(place.position),
                  static_cast<uint32_t>(place.position >> 32), place.candidate},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;
  const double uniform = (words[id % 4] + 0.5) * kTwoToMinus32;
  return -PortableLog(-PortableLog(uniform));
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
  KeepTopP(sampling.top_p);
  KeepMinP(sampling.min_p);
  return Draw(sampling.seed, place);
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

int32_t Sampler::Draw(uint64_t seed, TokenPlace place) const {
  int32_t best_id = -1;
  double best_score = 0;
  for (const Candidate& candidate : candidates_) {
    const double score = candidate.score + GumbelNoise(seed, place, candidate.id);
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

void Sampler::KeepTopP(float top_p) {
  if (top_p >= 1) return;
  // The id breaks ties, so that the set does not depend on how the sort works.
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  });
  const double largest = candidates_.front().score;
  double total = 0;
  for (const Candidate& candidate : candidates_) total += PortableExp(candidate.score - largest);
  double reached = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && reached < top_p * total) {
    reached += PortableExp(candidates_[kept].score - largest);
    ++kept;
  }
  candidates_.resize(kept);
}

void Sampler::KeepMinP(float min_p) {
  if (min_p <= 0) return;
  float largest = candidates_.front().score;
  for (const Candidate& candidate : candidates_) largest = std::max(largest, candidate.score);
  const double threshold = largest + PortableLog(double{min_p});
  std::erase_if(candidates_, [&](const Candidate& c) { return c.score < threshold; });
}

}  // namespace cleave
