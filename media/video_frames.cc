#include "media/video_frames.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace cleave {

std::vector<int> SampleFrames(int total, int frames_max) {
  const int count = std::min(total, frames_max);
  std::vector<int> indices;
  indices.reserve(static_cast<size_t>(count));
  for (int64_t j = 0; j < count; ++j) indices.push_back(static_cast<int>(j * total / count));
  return indices;
}

double FrameSeconds(int index, double fps) { return index / fps; }

int WholeSeconds(double seconds) { return static_cast<int>(std::floor(seconds)); }

}  // namespace cleave
