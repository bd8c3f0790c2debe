// The pictures and sounds of a golden case, embedded.
#pragma once

#include <vector>

#include "model/safetensors.h"
#include "tests/support/model_runner.h"

namespace cleave::golden {

// From the tensors mm_token_type_ids, tiles, tile_positions, tiles_per_picture, audio_frames and
// frames_per_audio of a case's inputs.
std::vector<testing::RunnerMedia> EmbedCaseMedia(const SafetensorsFile& inputs,
                                                 testing::ModelRunner& runner);

}  // namespace cleave::golden
