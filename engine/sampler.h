// The choice of the next token, as a function of its place: nothing is remembered between calls, so
// another worker, another batch or another try chooses the same.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sequence.h"

namespace cleave {

// Where a token stands: what its noise depends on besides the seed.
struct TokenPlace {
  uint32_t candidate = 0;
  int64_t position = 0;  // in the sequence, prompt included
};

// Owns scratch memory of two vocabularies, so a call allocates nothing. One thread uses it.
class Sampler {
 public:
  // `suppressed_ids` never win.
  Sampler(int vocabulary_size, const std::vector<int32_t>& suppressed_ids);

  // logits: [vocabulary], after the softcap, infinite ones allowed. Greedy, or where the largest
  // logit / temperature is beyond a float: the largest, the lowest id on a tie. Otherwise arg max
  // over the kept ids of (logit / temperature + Gumbel noise), which draws from the softmax (Gumbel
  // 1954; Maddison, Tarlow, Minka 2014). Kept: first the top_k largest (ties with the last stay),
  // of these the smallest set of likeliest whose share reaches top_p, of these the ones at least
  // min_p times as likely as the likeliest. In the reference's order.
  int32_t Choose(absl::Span<const float> logits, const SamplingParameters& sampling,
                 TokenPlace place);

  // A copy in memory of its own, valid until the next: for who changes logits before a choice.
  absl::Span<const float> Copy(absl::Span<const float> logits);

 private:
  struct Candidate {
    float score;  // logit / temperature
    int32_t id;
  };
  // The id breaks ties, so that a set does not depend on how a sort works.
  struct Likelier {
    bool operator()(const Candidate& a, const Candidate& b) const {
      return a.score != b.score ? a.score > b.score : a.id < b.id;
    }
  };
  int32_t Likeliest(absl::Span<const float> logits) const;
  void ListCandidates(absl::Span<const float> logits, float temperature);
  void KeepTopK(size_t top_k);
  void KeepTopP(float top_p, double largest);
  void KeepMinP(float min_p, double largest);
  bool KeepRoughly(float top_p, double largest);
  int32_t Draw(uint64_t seed, TokenPlace place) const;

  std::vector<bool> suppressed_;
  std::vector<Candidate> candidates_;
  std::vector<float> copy_;
};

// Standard Gumbel noise, -log(-log(u)) with u uniform in (0, 1): a fixed function of its arguments.
double GumbelNoise(uint64_t seed, TokenPlace place, int32_t token);

}  // namespace cleave
