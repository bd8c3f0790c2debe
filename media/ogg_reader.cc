#include <opusfile.h>
#include <vorbis/vorbisfile.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "media/sound_reader.h"

namespace cleave {
namespace {

// ---- Vorbis ----

struct MemoryFile {
  absl::string_view bytes;
  size_t position = 0;
};

size_t ReadBytes(void* out, size_t size, size_t count, void* source) {
  MemoryFile& file = *static_cast<MemoryFile*>(source);
  if (size == 0) return 0;
  const size_t items = std::min(count, (file.bytes.size() - file.position) / size);
  std::memcpy(out, file.bytes.data() + file.position, items * size);
  file.position += items * size;
  return items;
}

int Seek(void* source, ogg_int64_t offset, int whence) {
  MemoryFile& file = *static_cast<MemoryFile*>(source);
  const auto size = static_cast<int64_t>(file.bytes.size());
  if (whence == SEEK_CUR) offset += static_cast<int64_t>(file.position);
  if (whence == SEEK_END) offset += size;
  if (offset < 0 || offset > size) return -1;
  file.position = static_cast<size_t>(offset);
  return 0;
}

long Tell(void* source) { return static_cast<long>(static_cast<MemoryFile*>(source)->position); }

class VorbisReader final : public SoundReader {
 public:
  explicit VorbisReader(absl::string_view file) : file_{file} {
    const ov_callbacks callbacks = {ReadBytes, Seek, nullptr, Tell};
    is_open_ = ov_open_callbacks(&file_, &vorbis_, nullptr, 0, callbacks) == 0;
  }
  ~VorbisReader() override {
    if (is_open_) ov_clear(&vorbis_);
  }
  VorbisReader(const VorbisReader&) = delete;
  VorbisReader& operator=(const VorbisReader&) = delete;

  bool Agrees(const AudioInfo& info) {
    if (!is_open_ || ov_streams(&vorbis_) != 1) return false;
    const vorbis_info* stated = ov_info(&vorbis_, -1);
    return stated->channels == info.channels && stated->rate == info.sample_rate &&
           ov_pcm_total(&vorbis_, -1) == info.frames;
  }

  int64_t Read(int64_t frames, float* out) override {
    const int channels = ov_info(&vorbis_, -1)->channels;
    int64_t done = 0;
    while (done < frames) {
      float** planes = nullptr;
      int stream = 0;
      const int wanted = static_cast<int>(std::min<int64_t>(frames - done, 4096));
      const long count = ov_read_float(&vorbis_, &planes, wanted, &stream);
      if (count <= 0) break;  // the end, or a hole in the data
      for (long i = 0; i < count; ++i) {
        for (int channel = 0; channel < channels; ++channel) *out++ = planes[channel][i];
      }
      done += count;
    }
    return done;
  }

 private:
  MemoryFile file_;
  OggVorbis_File vorbis_ = {};
  bool is_open_ = false;
};

// ---- Opus ----

struct OpusDeleter {
  void operator()(OggOpusFile* opus) const { op_free(opus); }
};

// Decodes at 48 kHz, the header's gain applied, as RFC 7845 demands.
class OpusReader final : public SoundReader {
 public:
  explicit OpusReader(absl::string_view file)
      : opus_(op_open_memory(reinterpret_cast<const unsigned char*>(file.data()), file.size(),
                             nullptr)) {}

  bool Agrees(const AudioInfo& info) const {
    return opus_ != nullptr && op_link_count(opus_.get()) == 1 &&
           op_channel_count(opus_.get(), -1) == info.channels &&
           op_pcm_total(opus_.get(), -1) == info.frames;
  }

  int64_t Read(int64_t frames, float* out) override {
    const int channels = op_channel_count(opus_.get(), -1);
    int64_t done = 0;
    while (done < frames) {
      const int room = static_cast<int>((frames - done) * channels);
      const int count = op_read_float(opus_.get(), out + done * channels, room, nullptr);
      if (count <= 0) break;  // the end, or a hole in the data
      done += count;
    }
    return done;
  }

 private:
  const std::unique_ptr<OggOpusFile, OpusDeleter> opus_;
};

}  // namespace

std::unique_ptr<SoundReader> OpenVorbis(const AudioInfo& info, absl::string_view file) {
  auto reader = std::make_unique<VorbisReader>(file);
  if (!reader->Agrees(info)) return nullptr;
  return reader;
}

std::unique_ptr<SoundReader> OpenOpus(const AudioInfo& info, absl::string_view file) {
  auto reader = std::make_unique<OpusReader>(file);
  if (!reader->Agrees(info)) return nullptr;
  return reader;
}

}  // namespace cleave
