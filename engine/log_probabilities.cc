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
  const auto likelier = [&](const TokenLogProbability& a, const TokenLogProbability& b) {
    const float x = logits[static_cast<size_t>(a.id)], y = logits[static_cast<size_t>(b.id)];
    return x != y ? x > y : a.id < b.id;
  };
  // A heap of the likeliest so far, the least likely of them in front.
  for (int32_t id = 0; top > 0 && id < static_cast<int32_t>(logits.size()); ++id) {
    const TokenLogProbability token{.id = id};
    if (place.top.size() == static_cast<size_t>(top)) {
      if (!likelier(token, place.top.front())) continue;
      std::pop_heap(place.top.begin(), place.top.end(), likelier);
      place.top.pop_back();
    }
    place.top.push_back(token);
    std::push_heap(place.top.begin(), place.top.end(), likelier);
  }
  std::sort(place.top.begin(), place.top.end(), likelier);
  for (TokenLogProbability& token : place.top) token.log_probability = log_probability(token.id);
  return place;
}

}  // namespace cleave
