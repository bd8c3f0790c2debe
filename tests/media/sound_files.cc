#include "tests/media/sound_files.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "media/ogg_pages.h"

namespace cleave::media_test {
namespace {

constexpr size_t kPositionAt = 6, kChecksumAt = 22;  // in an Ogg page

uint32_t Checksum(absl::string_view bytes) {
  uint32_t sum = 0;
  for (const char byte : bytes) {
    sum ^= uint32_t{static_cast<uint8_t>(byte)} << 24;
    for (int bit = 0; bit < 8; ++bit) sum = sum << 1 ^ (sum >> 31 != 0 ? 0x04c11db7 : 0);
  }
  return sum;
}

void SetChecksum(std::string& page) {
  page.replace(kChecksumAt, 4, 4, '\0');
  const uint32_t sum = Checksum(page);
  for (size_t i = 0; i < 4; ++i) page[kChecksumAt + i] = static_cast<char>(sum >> 8 * i);
}

struct Output {
  std::string bytes;
  sf_count_t position = 0;
};

sf_count_t Length(void* data) {
  return static_cast<sf_count_t>(static_cast<Output*>(data)->bytes.size());
}

sf_count_t Seek(sf_count_t offset, int whence, void* data) {
  Output& output = *static_cast<Output*>(data);
  if (whence == SEEK_CUR) offset += output.position;
  if (whence == SEEK_END) offset += Length(data);
  return output.position = std::clamp<sf_count_t>(offset, 0, Length(data));
}

sf_count_t Read(void* out, sf_count_t count, void* data) {
  Output& output = *static_cast<Output*>(data);
  count = std::min(count, Length(data) - output.position);
  std::memcpy(out, output.bytes.data() + output.position, static_cast<size_t>(count));
  output.position += count;
  return count;
}

sf_count_t Write(const void* bytes, sf_count_t count, void* data) {
  Output& output = *static_cast<Output*>(data);
  const auto at = static_cast<size_t>(output.position);
  const auto size = static_cast<size_t>(count);
  output.bytes.resize(std::max(output.bytes.size(), at + size));
  std::memcpy(output.bytes.data() + at, bytes, size);
  output.position += count;
  return count;
}

sf_count_t Tell(void* data) { return static_cast<Output*>(data)->position; }

int Format(AudioKind kind, int flac_bits) {
  switch (kind) {
    case AudioKind::kFlac:
      return SF_FORMAT_FLAC | (flac_bits == 8    ? SF_FORMAT_PCM_S8
                               : flac_bits == 16 ? SF_FORMAT_PCM_16
                                                 : SF_FORMAT_PCM_24);
    case AudioKind::kVorbis:
      return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
    case AudioKind::kOpus:
      return SF_FORMAT_OGG | SF_FORMAT_OPUS;
    default:
      return SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
  }
}

}  // namespace

std::string SoundFile(AudioKind kind, const std::vector<float>& samples,
                      const SoundOptions& options) {
  Output output;
  SF_VIRTUAL_IO io = {Length, Seek, Read, Write, Tell};
  SF_INFO info = {};
  info.samplerate = options.sample_rate;
  info.channels = options.channels;
  info.format = Format(kind, options.flac_bits);
  SNDFILE* sound = sf_open_virtual(&io, SFM_WRITE, &info, &output);
  if (sound == nullptr) return "";
  const auto count = static_cast<sf_count_t>(samples.size());
  if (kind == AudioKind::kFlac) {  // as integers: floats would be scaled to just below full scale
    std::vector<int> levels;
    levels.reserve(samples.size());
    for (const float sample : samples) {
      levels.push_back(static_cast<int>(std::min(sample * 2147483648.0, 2147483647.0)));
    }
    sf_write_int(sound, levels.data(), count);
  } else {
    // In pieces: the Vorbis encoder keeps what it gets at once on the stack.
    const sf_count_t piece = sf_count_t{4096} * info.channels;
    for (sf_count_t at = 0; at < count; at += piece) {
      sf_write_float(sound, samples.data() + at, std::min(piece, count - at));
    }
  }
  sf_close(sound);
  return output.bytes;
}

std::vector<float> Tone(int64_t frames, const SoundOptions& options) {
  std::vector<float> samples;
  for (int64_t i = 0; i < frames; ++i) {
    const double phase = 2 * std::numbers::pi * 440 * static_cast<double>(i) / options.sample_rate;
    for (int channel = 0; channel < options.channels; ++channel) {
      samples.push_back(static_cast<float>(0.5 * std::sin(phase) / (channel + 1)));
    }
  }
  return samples;
}

std::vector<std::string> OggPages(absl::string_view file) {
  std::vector<std::string> pages;
  for (size_t at = 0;;) {
    const std::optional<OggPage> page = ReadOggPage(file, at);
    if (!page) break;
    pages.emplace_back(file.substr(at, page->bytes));
    at += page->bytes;
  }
  return pages;
}

std::string JoinOggPages(const std::vector<std::string>& pages) {
  std::string file;
  for (std::string page : pages) {
    SetChecksum(page);
    file += page;
  }
  return file;
}

void SetOggPosition(int64_t position, std::string& page) {
  for (size_t i = 0; i < 8; ++i) page[kPositionAt + i] = static_cast<char>(position >> 8 * i);
}

int64_t OggPosition(absl::string_view page) { return ReadOggPage(page, 0)->position; }

}  // namespace cleave::media_test
