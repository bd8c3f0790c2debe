#include <mpg123.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "media/sound_reader.h"

namespace cleave {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 14;  // handed to the library at a time

struct HandleDeleter {
  void operator()(mpg123_handle* handle) const { mpg123_delete(handle); }
};
using UniqueHandle = std::unique_ptr<mpg123_handle, HandleDeleter>;

// The decoder in plain C, since those for newer instruction sets round differently: a prompt that
// another worker computes again must come out the same. What surrounds the frames has been read by
// ProbeMp3, so the library sees frames alone and adds or drops nothing of its own.
UniqueHandle NewHandle() {
  UniqueHandle handle(mpg123_new("generic", nullptr));
  if (handle == nullptr) return nullptr;
  const long flags = MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_NO_RESYNC |
                     MPG123_IGNORE_INFOFRAME | MPG123_NO_READAHEAD | MPG123_NO_FRANKENSTEIN;
  if (mpg123_param(handle.get(), MPG123_FLAGS, flags, 0) != MPG123_OK) return nullptr;
  if (mpg123_open_feed(handle.get()) != MPG123_OK) return nullptr;
  return handle;
}

class Mp3Reader final : public SoundReader {
 public:
  Mp3Reader(UniqueHandle handle, const AudioInfo& info, absl::string_view file)
      : handle_(std::move(handle)),
        channels_(static_cast<size_t>(info.channels)),
        rest_(file.substr(static_cast<size_t>(info.data_offset),
                          static_cast<size_t>(info.data_bytes))) {}

  int64_t Read(int64_t frames, float* out) override {
    const size_t frame_bytes = channels_ * sizeof(float);
    auto* to = reinterpret_cast<unsigned char*>(out);
    size_t left = static_cast<size_t>(frames) * frame_bytes;
    while (left > 0) {
      size_t done = 0;
      const int result = mpg123_read(handle_.get(), to, left, &done);
      to += done;
      left -= done;
      if (result == MPG123_NEED_MORE && !rest_.empty()) {
        const absl::string_view piece = rest_.substr(0, kPieceBytes);
        const auto* bytes = reinterpret_cast<const unsigned char*>(piece.data());
        if (mpg123_feed(handle_.get(), bytes, piece.size()) != MPG123_OK) break;
        rest_.remove_prefix(piece.size());
      } else if (result == MPG123_NEW_FORMAT ? !HasRightFormat() : result != MPG123_OK) {
        break;
      }
    }
    return frames - static_cast<int64_t>(left / frame_bytes);
  }

  bool Skip(int64_t frames) {
    std::vector<float> dropped(static_cast<size_t>(frames) * channels_);
    return Read(frames, dropped.data()) == frames;
  }

 private:
  bool HasRightFormat() const {
    long rate = 0;
    int channels = 0, encoding = 0;
    return mpg123_getformat(handle_.get(), &rate, &channels, &encoding) == MPG123_OK &&
           static_cast<size_t>(channels) == channels_ && encoding == MPG123_ENC_FLOAT_32;
  }

  const UniqueHandle handle_;
  const size_t channels_;
  absl::string_view rest_;  // not handed over yet
};

}  // namespace

std::unique_ptr<SoundReader> OpenMp3(const AudioInfo& info, absl::string_view file) {
  UniqueHandle handle = NewHandle();
  if (handle == nullptr) return nullptr;
  auto reader = std::make_unique<Mp3Reader>(std::move(handle), info, file);
  if (!reader->Skip(info.skip_frames)) return nullptr;
  return reader;
}

}  // namespace cleave
