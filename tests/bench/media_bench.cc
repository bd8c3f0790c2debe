// What media costs a prefill worker: decoding and scaling a megapixel, and a minute of sound.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "media/audio_decode.h"
#include "media/image_decode.h"
#include "media/image_resize.h"
#include "media/image_size.h"
#include "media/image_tiles.h"
#include "tests/media/media_files.h"
#include "tests/media/picture_files.h"
#include "tests/media/sound_files.h"

namespace cleave {
namespace {

constexpr double kPixelsPerMegapixel = 1e6;

// A picture with detail at every scale, so that the files are not unusually small.
RgbImage Texture(int width, int height) {
  RgbImage image = media_test::Gradient(width, height);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    const double wave = 40 * std::sin(0.13 * static_cast<double>(i % 3001)) +
                        static_cast<double>(i * 2654435761u >> 20 & 15);
    image.pixels[i] = static_cast<uint8_t>(128 + wave);
  }
  return image;
}

// Seconds for each megapixel, beside the time of the whole picture.
void CountMegapixels(benchmark::State& state, const RgbImage& image) {
  const double megapixels = static_cast<double>(image.pixels.size()) / 3 / kPixelsPerMegapixel;
  state.counters["s_per_megapixel"] =
      benchmark::Counter(megapixels * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void Decode(benchmark::State& state, const std::string& file) {
  RgbImage image;
  for (auto _ : state) {
    image = *DecodeImage(file, MediaLimits());
    benchmark::DoNotOptimize(image.pixels.data());
  }
  CountMegapixels(state, image);
}

void DecodeJpegBaseline(benchmark::State& state) {
  Decode(state, media_test::JpegFile(Texture(2000, 1500), {.quality = 85}));
}
void DecodeJpegTurned(benchmark::State& state) {
  Decode(state, media_test::JpegFile(Texture(2000, 1500), {.quality = 85, .orientation = 6}));
}
void DecodeJpegProgressive(benchmark::State& state) {
  Decode(state, media_test::JpegFile(Texture(2000, 1500), {.quality = 85, .progressive = true}));
}
void DecodeJpegCmyk(benchmark::State& state) {
  Decode(state, media_test::JpegFile(Texture(2000, 1500), {.quality = 85, .cmyk = true}));
}
void DecodePng(benchmark::State& state) { Decode(state, media_test::PngFile(Texture(2000, 1500))); }
void DecodePngInterlaced(benchmark::State& state) {
  Decode(state, media_test::PngFile(Texture(2000, 1500), {.interlaced = true}));
}
void DecodeWebpLossy(benchmark::State& state) {
  Decode(state, media_test::WebpFile(Texture(2000, 1500), false));
}
void DecodeWebpLossless(benchmark::State& state) {
  Decode(state, media_test::WebpFile(Texture(2000, 1500), true));
}
void DecodeGif(benchmark::State& state) {
  std::vector<uint8_t> indices(size_t{2000} * 1500);
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<uint8_t>(i / 7 % 128);
  Decode(state, media_test::GifFile(2000, 1500, indices, {}));
}
BENCHMARK(DecodeJpegBaseline)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodeJpegTurned)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodeJpegProgressive)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodeJpegCmyk)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodePng)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodePngInterlaced)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodeWebpLossy)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodeWebpLossless)->Unit(benchmark::kMillisecond);
BENCHMARK(DecodeGif)->Unit(benchmark::kMillisecond);

// Arguments: width and height of the picture, budget in tokens. Counted by the larger picture.
void Resize(benchmark::State& state) {
  const RgbImage image =
      Texture(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  const TargetImageSize size =
      *ComputeTargetImageSize(image.height, image.width, static_cast<int>(state.range(2)));
  RgbImage resized;
  for (auto _ : state) {
    resized = ResizeBicubic(image, size.height, size.width);
    benchmark::DoNotOptimize(resized.pixels.data());
  }
  CountMegapixels(state, image.pixels.size() > resized.pixels.size() ? image : resized);
}
BENCHMARK(Resize)
    ->Args({4000, 3000, 280})
    ->Args({4000, 3000, 1120})
    ->Args({1920, 1080, 280})
    ->Args({640, 480, 1120})
    ->Unit(benchmark::kMillisecond);

void Prepare12Megapixels(benchmark::State& state) {
  const std::string file = media_test::JpegFile(Texture(4000, 3000), {.quality = 85});
  for (auto _ : state) {
    benchmark::DoNotOptimize(PrepareImage(file, kImageBudgetDefault, MediaLimits())->tiles.data());
  }
}
BENCHMARK(Prepare12Megapixels)->Unit(benchmark::kMillisecond);

constexpr int64_t kSeconds = 60;

void Prepare(benchmark::State& state, const std::string& file) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(PrepareAudio(file, {.audio_seconds_max = kSeconds})->frames.data());
  }
}

// A minute of sound. Arguments: sample rate in Hz, channels.
void PrepareMinuteOfWav(benchmark::State& state) {
  const int64_t rate = state.range(0);
  const auto channels = static_cast<int>(state.range(1));
  std::vector<int> samples;
  for (int64_t i = 0; i < kSeconds * rate * channels; ++i) {
    samples.push_back(static_cast<int>(10000 * std::sin(0.05 * static_cast<double>(i))));
  }
  const std::string file =
      media_test::WavFile(media_test::Pcm16(samples), {.channels = channels, .sample_rate = rate});
  Prepare(state, file);
}
BENCHMARK(PrepareMinuteOfWav)
    ->Args({16000, 1})
    ->Args({44100, 2})
    ->Args({48000, 2})
    ->Unit(benchmark::kMillisecond);

// The same in stereo at 48 kHz, by the kind of file.
void PrepareMinute(benchmark::State& state, AudioKind kind) {
  const media_test::SoundOptions options{.channels = 2, .sample_rate = 48000};
  Prepare(state, media_test::SoundFile(
                     kind, media_test::Tone(kSeconds * options.sample_rate, options), options));
}
BENCHMARK_CAPTURE(PrepareMinute, flac, AudioKind::kFlac)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PrepareMinute, vorbis, AudioKind::kVorbis)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PrepareMinute, opus, AudioKind::kOpus)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(PrepareMinute, mp3, AudioKind::kMp3)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cleave

BENCHMARK_MAIN();
