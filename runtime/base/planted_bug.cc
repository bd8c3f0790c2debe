#include "runtime/base/planted_bug.h"

#ifdef CLEAVE_PLANTED_BUGS

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace cleave {
namespace {

constexpr std::array<std::string_view, 10> kNames = {
    "kPageReusedTooEarly", "kOneDraftTooMany", "kStaleEpochClaims", "kWindowOffByOne",
    "kGrantWakesNobody",   "kFreedTwice",      "kCommitBeforeData", "kFirstTokenTwice",
    "kNoiseOfTheStep",     "kPictureCut"};

int PlantedIndex() {
  const char* name = std::getenv("CLEAVE_PLANTED_BUG");
  if (name == nullptr) return -1;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<int>(i);
  }
  std::fprintf(stderr, "CLEAVE_PLANTED_BUG: there is no bug %s\n", name);
  std::abort();
}

}  // namespace

bool Planted(Bug bug) {
  static const int index = PlantedIndex();
  return static_cast<int>(bug) == index;
}

}  // namespace cleave

#endif
