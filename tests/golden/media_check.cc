#include "tests/golden/media_check.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "media/audio_decode.h"
#include "media/image_decode.h"
#include "media/image_probe.h"
#include "media/image_size.h"
#include "media/image_tiles.h"
#include "model/safetensors.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"
#include "tests/golden/layout_check.h"

namespace cleave::golden {
namespace {

// What the format allows, not what a server should: the data may hold anything.
constexpr MediaLimits kLimits{.image_bytes_max = int64_t{1} << 30,
                              .image_side_max = 65'535,
                              .image_pixels_max = int64_t{1} << 28,
                              .audio_bytes_max = int64_t{1} << 30,
                              .audio_seconds_max = kAudioSecondsHardMax,
                              .audio_channels_max = 64,
                              .audio_rate_min = 1,
                              .audio_rate_max = 768'000};

// The README's bounds on resized pixels.
constexpr double kBeyondOneLevelMax = 0.001;  // part of the values
constexpr double kLevelsMax = 2;
constexpr double kTileMeanMax = 0.1;

using Bytes = absl::Span<const uint8_t>;

std::string Sha256(Bytes bytes) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

// The floats of a stored tensor, little-endian as this machine.
std::vector<float> Floats(const StoredTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(float));
  return values;
}

absl::StatusOr<const StoredTensor*> Stored(const SafetensorsFile& file, const std::string& name) {
  const StoredTensor* tensor = file.Find(name);
  if (tensor == nullptr) return absl::NotFoundError(absl::StrCat("no stored tensor ", name));
  return tensor;
}

absl::StatusOr<std::vector<int>> Ints(const JsonValue& parent, absl::string_view key) {
  ASSIGN_OR_RETURN(const JsonValue list, parent.Member(key));
  ASSIGN_OR_RETURN(const std::vector<JsonValue> values, list.AsArray());
  std::vector<int> ints;
  ints.reserve(values.size());
  for (const JsonValue& value : values) {
    ASSIGN_OR_RETURN(const int64_t number, value.AsInt({0, 1 << 30}));
    ints.push_back(static_cast<int>(number));
  }
  return ints;
}

// ---- pictures ----

// The resized picture again, [height, width, 3], for its SHA-256.
std::vector<uint8_t> Assemble(const ImageTiles& tiles) {
  std::vector<uint8_t> pixels(tiles.tiles.size());
  const size_t run = size_t{3} * kTileSide;
  const size_t row_bytes = run * static_cast<size_t>(tiles.columns);
  for (int index = 0; index < tiles.count(); ++index) {
    const auto [x, y] = tiles.position(index);
    for (size_t r = 0; r < kTileSide; ++r) {
      const size_t row = static_cast<size_t>(y) * kTileSide + r;
      std::memcpy(&pixels[row * row_bytes + static_cast<size_t>(x) * run],
                  tiles.tile(index).data() + r * run, run);
    }
  }
  return pixels;
}

struct Difference {
  int64_t values = 0;
  int64_t beyond_one = 0;
  int largest = 0;
};

void Compare(Bytes actual, Bytes expected, Difference& difference) {
  for (size_t i = 0; i < actual.size(); ++i) {
    const int levels = std::abs(int{actual[i]} - int{expected[i]});
    difference.beyond_one += levels > 1 ? 1 : 0;
    difference.largest = std::max(difference.largest, levels);
  }
  difference.values += static_cast<int64_t>(actual.size());
}

// means: [rows, columns, 3].
double LargestMeanError(const ImageTiles& tiles, const std::vector<float>& means) {
  double largest = 0.0;
  for (int index = 0; index < tiles.count(); ++index) {
    const Bytes tile = tiles.tile(index);
    std::array<int64_t, 3> sums = {};
    for (size_t i = 0; i < tile.size(); ++i) sums[i % 3] += tile[i];
    for (size_t channel = 0; channel < 3; ++channel) {
      const double mean = static_cast<double>(sums[channel]) / (kTileSide * kTileSide);
      const double expected = static_cast<double>(means[static_cast<size_t>(index) * 3 + channel]);
      largest = std::max(largest, std::abs(mean - expected));
    }
  }
  return largest;
}

// How many resized pictures were compared, and how many were equal in every byte.
struct ResizeTally {
  int compared = 0;
  int equal = 0;
};

// One budget of one picture. `name` is "PICTURE.BUDGET".
absl::Status CheckBudget(const std::string& name, absl::string_view file, const ImageInfo& info,
                         int budget, const JsonValue& expected, const SafetensorsFile& stored,
                         Report& report, ResizeTally& tally) {
  ASSIGN_OR_RETURN(const int64_t height, expected.Int("height"));
  ASSIGN_OR_RETURN(const int64_t width, expected.Int("width"));
  ASSIGN_OR_RETURN(const int64_t tokens, expected.Int("tokens"));
  ASSIGN_OR_RETURN(const std::string sha256, expected.String("sha256"));
  ASSIGN_OR_RETURN(const std::vector<int> stored_tiles, Ints(expected, "stored_tiles"));
  ASSIGN_OR_RETURN(const StoredTensor* tiles_tensor, Stored(stored, absl::StrCat(name, ".tiles")));
  ASSIGN_OR_RETURN(const StoredTensor* means, Stored(stored, absl::StrCat(name, ".tile_means")));

  ASSIGN_OR_RETURN(const TargetImageSize size,
                   ComputeTargetImageSize(info.height, info.width, budget));
  ASSIGN_OR_RETURN(const ImageTiles tiles, PrepareImage(file, budget, kLimits));
  report.Exact(absl::StrCat(budget, " size and tokens"),
               size.height == height && size.width == width && size.tokens == tokens &&
                   tiles.rows == size.rows && tiles.columns == size.columns &&
                   tiles.count() == tokens,
               absl::StrCat(size.width, " x ", size.height, ", ", size.tokens, " tokens"));
  if (tiles.count() != tokens) return absl::OkStatus();
  if (tiles_tensor->bytes.size() != stored_tiles.size() * kTileBytes ||
      means->bytes.size() != static_cast<size_t>(tokens) * 3 * sizeof(float)) {
    return absl::InvalidArgumentError("stored tensors of another shape");
  }

  Difference difference;
  for (size_t i = 0; i < stored_tiles.size(); ++i) {
    if (stored_tiles[i] >= tiles.count()) return absl::InvalidArgumentError("no such tile");
    Compare(tiles.tile(stored_tiles[i]), tiles_tensor->bytes.subspan(i * kTileBytes, kTileBytes),
            difference);
  }
  report.Stage(absl::StrCat(budget, " part off by over 1 level"),
               static_cast<double>(difference.beyond_one) / static_cast<double>(difference.values),
               kBeyondOneLevelMax);
  report.Stage(absl::StrCat(budget, " levels"), difference.largest, kLevelsMax);
  report.Stage(absl::StrCat(budget, " tile means"), LargestMeanError(tiles, Floats(*means)),
               kTileMeanMax);
  ++tally.compared;
  tally.equal += Sha256(Assemble(tiles)) == sha256 ? 1 : 0;
  return absl::OkStatus();
}

absl::Status CheckPicture(const std::string& name, const std::string& path,
                          const JsonValue& expected, const SafetensorsFile& stored, Report& report,
                          ResizeTally& tally) {
  ASSIGN_OR_RETURN(const std::string file, ReadFile(path));
  ASSIGN_OR_RETURN(const std::vector<int> size, Ints(expected, "rgb_size"));
  ASSIGN_OR_RETURN(const std::string rgb_sha256, expected.String("rgb_sha256"));
  ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(file, kLimits));
  ASSIGN_OR_RETURN(const RgbImage image, DecodeImage(file, kLimits));
  if (size.size() != 2) return absl::InvalidArgumentError("rgb_size");
  report.Exact("decoded size", info.width == size[0] && info.height == size[1],
               absl::StrCat(info.width, " x ", info.height));
  report.Exact("decoded pixels", Sha256(image.pixels) == rgb_sha256, "another SHA-256");
  const StoredTensor* rgb = stored.Find(absl::StrCat(name, ".rgb"));
  if (rgb != nullptr) report.Exact("stored pixels", rgb->bytes == Bytes(image.pixels), "bytes");
  ASSIGN_OR_RETURN(const JsonValue budgets, expected.Object("budgets"));
  ASSIGN_OR_RETURN(const auto members, budgets.AsMembers());
  for (const auto& [key, value] : members) {
    int budget = 0;
    if (!absl::SimpleAtoi(key, &budget)) return absl::InvalidArgumentError("budget");
    RETURN_IF_ERROR(CheckBudget(absl::StrCat(name, ".", key), file, info, budget, value, stored,
                                report, tally));
  }
  return absl::OkStatus();
}

double Mean(Bytes levels) {
  double sum = 0;
  for (const uint8_t level : levels) sum += level;
  return sum / static_cast<double>(levels.size());
}

// The one declared deviation: the reference clips 16-bit gray at 255, we scale it. Sizes and counts
// are compared; of the levels the means are told.
absl::Status CheckScaledGray(const std::string& name, const std::string& path,
                             const JsonValue& expected, const SafetensorsFile& stored,
                             Report& report) {
  ASSIGN_OR_RETURN(const std::string file, ReadFile(path));
  ASSIGN_OR_RETURN(const JsonValue budgets, expected.Object("budgets"));
  ASSIGN_OR_RETURN(const auto members, budgets.AsMembers());
  for (const auto& [key, value] : members) {
    int budget = 0;
    if (!absl::SimpleAtoi(key, &budget)) return absl::InvalidArgumentError("budget");
    ASSIGN_OR_RETURN(const int64_t tokens, value.Int("tokens"));
    ASSIGN_OR_RETURN(const StoredTensor* tiles,
                     Stored(stored, absl::StrCat(name, ".", key, ".tiles")));
    ASSIGN_OR_RETURN(const ImageTiles actual, PrepareImage(file, budget, kLimits));
    report.Exact(absl::StrCat(key, " tokens"), actual.count() == tokens, "another count");
    report.Note(absl::StrFormat(
        "declared deviation: 16-bit gray of %s is scaled to 8 bits (mean level %.1f at budget %s), "
        "where the reference clips it (mean level %.1f)",
        name, Mean(actual.tiles), key, Mean(tiles->bytes)));
  }
  return absl::OkStatus();
}

absl::Status CheckPictures(const std::string& folder, const JsonValue& pictures, Report& report) {
  ASSIGN_OR_RETURN(const SafetensorsFile stored,
                   SafetensorsFile::Open(absl::StrCat(folder, "/expected.safetensors")));
  ASSIGN_OR_RETURN(const auto members, pictures.AsMembers());
  ResizeTally tally;
  for (const auto& [name, expected] : members) {
    ASSIGN_OR_RETURN(const std::string file_name, expected.String("file"));
    ASSIGN_OR_RETURN(const std::string mode, expected.String("file_mode"));
    const std::string path = absl::StrCat(folder, "/", file_name);
    report.Case(absl::StrCat("picture ", name));
    const absl::Status status =
        mode == "I;16" ? CheckScaledGray(std::string(name), path, expected, stored, report)
                       : CheckPicture(std::string(name), path, expected, stored, report, tally);
    if (!status.ok()) report.Exact("read", false, status.ToString());
  }
  report.Note(absl::StrCat("resized pictures equal to the reference's in every byte: ", tally.equal,
                           " of ", tally.compared));
  return absl::OkStatus();
}

// ---- sounds ----

absl::Status CheckSound(const std::string& name, const std::string& path, const JsonValue& expected,
                        const SafetensorsFile& stored, Report& report) {
  ASSIGN_OR_RETURN(const std::string file, ReadFile(path));
  ASSIGN_OR_RETURN(const int64_t samples, expected.Int("samples"));
  ASSIGN_OR_RETURN(const int64_t tokens, expected.Int("tokens"));
  ASSIGN_OR_RETURN(const std::string sha256, expected.String("sha256"));
  ASSIGN_OR_RETURN(const std::vector<int> stored_frames, Ints(expected, "stored_frames"));
  ASSIGN_OR_RETURN(const StoredTensor* tensor, Stored(stored, name));
  ASSIGN_OR_RETURN(const AudioInfo info, ProbeAudio(file, kLimits));
  ASSIGN_OR_RETURN(const AudioFrames audio, PrepareAudio(file, kLimits));
  report.Exact("samples and tokens",
               info.samples == samples && info.tokens == tokens && audio.count() == tokens,
               absl::StrCat(info.samples, " samples, ", info.tokens, " tokens"));
  const std::vector<float> frames = Floats(*tensor);
  bool equal = frames.size() == stored_frames.size() * kAudioFrameSamples;
  for (size_t i = 0; equal && i < stored_frames.size(); ++i) {
    equal = stored_frames[i] < audio.count() &&
            audio.frame(stored_frames[i]) ==
                absl::MakeConstSpan(frames).subspan(i * kAudioFrameSamples, kAudioFrameSamples);
  }
  report.Exact("stored frames", equal, "values");
  const Bytes bytes(reinterpret_cast<const uint8_t*>(audio.frames.data()),
                    audio.frames.size() * sizeof(float));
  report.Exact("all frames", Sha256(bytes) == sha256, "another SHA-256");
  return absl::OkStatus();
}

absl::Status CheckSounds(const std::string& folder, const JsonValue& sounds, Report& report) {
  ASSIGN_OR_RETURN(const SafetensorsFile stored,
                   SafetensorsFile::Open(absl::StrCat(folder, "/expected.safetensors")));
  ASSIGN_OR_RETURN(const auto members, sounds.AsMembers());
  for (const auto& [name, expected] : members) {
    report.Case(absl::StrCat("sound ", name));
    std::string file = absl::StrCat(name, ".wav");
    if (expected.Has("file")) {
      ASSIGN_OR_RETURN(file, expected.String("file"));
    }
    const absl::Status status =
        CheckSound(std::string(name), absl::StrCat(folder, "/", file), expected, stored, report);
    if (!status.ok()) report.Exact("read", false, status.ToString());
  }
  return absl::OkStatus();
}

absl::Status CheckAll(const std::string& cases_dir, Report& report) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(absl::StrCat(cases_dir, "/media.json")));
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, "media.json"));
  ASSIGN_OR_RETURN(const JsonValue pictures, document.root().Object("pictures"));
  ASSIGN_OR_RETURN(const JsonValue sounds, document.root().Object("sounds"));
  RETURN_IF_ERROR(CheckPictures(absl::StrCat(cases_dir, "/pictures"), pictures, report));
  RETURN_IF_ERROR(CheckSounds(absl::StrCat(cases_dir, "/sounds"), sounds, report));
  ASSIGN_OR_RETURN(const JsonValue videos, document.root().Member("videos"));
  return CheckVideos(videos, report);
}

}  // namespace

void CheckMedia(const std::string& cases_dir, Report& report) {
  const absl::Status status = CheckAll(cases_dir, report);
  if (status.ok()) return;
  report.Case("media data");
  report.Exact("read", false, status.ToString());
}

}  // namespace cleave::golden
