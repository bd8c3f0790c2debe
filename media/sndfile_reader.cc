#include <sndfile.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "media/sound_reader.h"

namespace cleave {
namespace {

// A file in memory: a head of our own, then bytes of the file.
struct MemoryFile {
  std::string head;
  absl::string_view body;
  sf_count_t position = 0;
};

sf_count_t Length(void* file) {
  const MemoryFile& memory = *static_cast<MemoryFile*>(file);
  return static_cast<sf_count_t>(memory.head.size() + memory.body.size());
}

sf_count_t Seek(sf_count_t offset, int whence, void* user_data) {
  MemoryFile& file = *static_cast<MemoryFile*>(user_data);
  if (whence == SEEK_CUR) offset += file.position;
  if (whence == SEEK_END) offset += Length(&file);
  file.position = std::clamp<sf_count_t>(offset, 0, Length(&file));
  return file.position;
}

sf_count_t ReadBytes(void* out, sf_count_t count, void* user_data) {
  MemoryFile& file = *static_cast<MemoryFile*>(user_data);
  count = std::clamp<sf_count_t>(count, 0, Length(&file) - file.position);
  auto* to = static_cast<char*>(out);
  for (sf_count_t left = count; left > 0;) {
    const auto at = static_cast<size_t>(file.position);
    const absl::string_view part = at < file.head.size() ? absl::string_view(file.head).substr(at)
                                                         : file.body.substr(at - file.head.size());
    const size_t bytes = std::min(part.size(), static_cast<size_t>(left));
    std::memcpy(to, part.data(), bytes);
    to += bytes;
    left -= static_cast<sf_count_t>(bytes);
    file.position += static_cast<sf_count_t>(bytes);
  }
  return count;
}

sf_count_t Write(const void* /*bytes*/, sf_count_t /*count*/, void* /*file*/) { return 0; }

sf_count_t Tell(void* file) { return static_cast<MemoryFile*>(file)->position; }

int SndfileEncoding(SampleFormat format) {
  switch (format) {
    case SampleFormat::kPcm8:
      return SF_FORMAT_PCM_U8;
    case SampleFormat::kPcm16:
      return SF_FORMAT_PCM_16;
    case SampleFormat::kPcm24:
      return SF_FORMAT_PCM_24;
    case SampleFormat::kPcm32:
      return SF_FORMAT_PCM_32;
    case SampleFormat::kFloat32:
      return SF_FORMAT_FLOAT;
    case SampleFormat::kFloat64:
      return SF_FORMAT_DOUBLE;
  }
  return 0;
}

struct SndfileCloser {
  void operator()(SNDFILE* sound) const { sf_close(sound); }
};
using UniqueSndfile = std::unique_ptr<SNDFILE, SndfileCloser>;

// The file as libsndfile is to see it: as little as it needs, so that most of its header parsers
// see nothing that we have not made.
MemoryFile ViewOf(const AudioInfo& info, absl::string_view file) {
  const absl::string_view sound =
      file.substr(static_cast<size_t>(info.data_offset), static_cast<size_t>(info.data_bytes));
  if (info.kind == AudioKind::kFlac) {
    // The signature and STREAMINFO, marked as the last block of metadata.
    constexpr size_t kHeadBytes = 4 + 4 + 34;
    std::string head(file.substr(0, kHeadBytes));
    head[4] = '\x80';
    return {.head = std::move(head), .body = sound};
  }
  return {.head = "", .body = sound};
}

class SndfileReader final : public SoundReader {
 public:
  SndfileReader(const AudioInfo& info, absl::string_view file) : file_(ViewOf(info, file)) {
    SF_VIRTUAL_IO io = {Length, Seek, ReadBytes, Write, Tell};
    if (info.kind == AudioKind::kWav) {  // its samples alone: a file without a header
      description_.samplerate = info.sample_rate;
      description_.channels = info.channels;
      description_.format = SF_FORMAT_RAW | SF_ENDIAN_LITTLE | SndfileEncoding(info.format);
    }
    sound_.reset(sf_open_virtual(&io, SFM_READ, &description_, &file_));
  }
  SndfileReader(const SndfileReader&) = delete;
  SndfileReader& operator=(const SndfileReader&) = delete;

  bool Agrees(const AudioInfo& info) const {
    return sound_ != nullptr && description_.channels == info.channels &&
           description_.samplerate == info.sample_rate;
  }
  int64_t Read(int64_t frames, float* out) override {
    return sf_readf_float(sound_.get(), out, frames);
  }

 private:
  MemoryFile file_;
  SF_INFO description_ = {};
  UniqueSndfile sound_;
};

}  // namespace

std::unique_ptr<SoundReader> OpenSndfile(const AudioInfo& info, absl::string_view file) {
  auto reader = std::make_unique<SndfileReader>(info, file);
  if (!reader->Agrees(info)) return nullptr;
  return reader;
}

}  // namespace cleave
