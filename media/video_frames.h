// Which frames of a video the model sees, and when they are.
#pragma once

#include <vector>

namespace cleave {

inline constexpr int kVideoFramesDefault = 32;       // seen of one video
inline constexpr int kVideoTokenBudgetDefault = 70;  // soft tokens of one frame
inline constexpr double kVideoFpsDefault = 24;       // where nobody says

// Indices of the frames that are seen, ascending: frames_max spread evenly over `total`
// (floor(j * total / frames_max)), or all of them when there are not more; the reference calls
// that an error. Both at least 1. A pure function; any thread.
std::vector<int> SampleFrames(int total, int frames_max);

// The time of a frame by its index among all, in seconds. `fps`: frames a second, above 0.
double FrameSeconds(int index, double fps);
// What the prompt says of a time, which is at least 0: rounded down.
int WholeSeconds(double seconds);

}  // namespace cleave
