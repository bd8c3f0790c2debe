// Mistakes that a build for the purpose makes, one at a time, to see that the tests find them:
// tests/planted_bugs. In every other build there are none, and the compiler drops the questions.
#pragma once

namespace cleave {

enum class Bug {
  kPageReusedTooEarly,  // prefill does not pin pages that the mover reads
  kOneDraftTooMany,     // the first wrong draft is taken as right
  kStaleEpochClaims,    // a ticket is given to a try that is over
  kWindowOffByOne,      // the window ends one position late
  kGrantWakesNobody,    // a grant does not start the frames
  kFreedTwice,          // a cancelled sequence gives its pages back twice
  kCommitBeforeData,    // the commit overtakes the frames
  kFirstTokenTwice,     // decode tells the first token again
  kNoiseOfTheStep,      // noise depends on the row of the step instead of the position
  kPictureCut,          // a chunk ends inside a picture
};

#ifdef CLEAVE_PLANTED_BUGS
// Whether it is the one that the environment variable CLEAVE_PLANTED_BUG names ("kFreedTwice").
bool Planted(Bug bug);
#else
constexpr bool Planted(Bug) { return false; }
#endif

}  // namespace cleave
