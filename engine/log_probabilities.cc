#include "engine/log_probabilities.h"

#include <algorithm>

#include "engine/portable_math.h"

namespace cleave {

PlaceLogProbabilities LogProbabilities(absl::Span<const float> logits, int32_t chosen, int top) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += PortableExp(logit - largest);
  const double log_sum = largest + PortableLog(sum);
  const auto log_probability = [&](int32_t id) {
    return static_cast<float>(logits[static_cast<size_t>(id)] - log_sum);
  };
  PlaceLogProbabilities place{.chosen = log_probability(chosen)};
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  // A heap of the likeliest so far, the least likely of them in front.
  std::vector<int32_t> kept;
  kept.reserve(static_cast<size_t>(top) + 1);
  for (int32_t id = 0; top > 0 && id < static_cast<int32_t>(logits.size()); ++id) {
    if (kept.size() == static_cast<size_t>(top) && !likelier(id, kept.front())) continue;
    kept.push_back(id);
    std::push_heap(kept.begin(), kept.end(), likelier);
    if (kept.size() <= static_cast<size_t>(top)) continue;
    std::pop_heap(kept.begin(), kept.end(), likelier);
    kept.pop_back();
  }
  std::sort(kept.begin(), kept.end(), likelier);
  for (const int32_t id : kept) place.top.push_back({id, log_probability(id)});
  return place;
}

}  // namespace cleave
