// make_media_corpus FOLDER: writes the first inputs of the media targets, FOLDER/KIND/NAME, with
// the encoders of the tests: small files that reach every branch of the format. How
// tests/fuzz/corpus was made.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/media/media_files.h"
#include "tests/media/picture_files.h"
#include "tests/media/sound_files.h"

namespace cleave {
namespace {

using namespace media_test;  // NOLINT: every function below is one of its makers

class Corpus {
 public:
  explicit Corpus(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void Add(const std::string& kind, const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(folder_ / kind);
    std::ofstream(folder_ / kind / name, std::ios::binary) << bytes;
  }

 private:
  const std::filesystem::path folder_;
};

void AddJpegs(Corpus& corpus) {
  const RgbImage picture = Gradient(19, 13);
  corpus.Add("jpeg", "baseline", JpegFile(picture, {.quality = 50}));
  corpus.Add("jpeg", "progressive", JpegFile(picture, {.quality = 50, .progressive = true}));
  corpus.Add("jpeg", "gray_turned",
             JpegFile(picture, {.quality = 50, .orientation = 6, .gray = true}));
  corpus.Add("jpeg", "cmyk", JpegFile(picture, {.quality = 50, .cmyk = true}));
}

void AddPngs(Corpus& corpus) {
  const RgbImage picture = Gradient(9, 7);
  corpus.Add("png", "rgb", PngFile(picture));
  corpus.Add("png", "interlaced_turned", PngFile(picture, {.interlaced = true, .orientation = 5}));
  const std::vector<uint8_t> bits(9 * 7, 1);
  corpus.Add("png", "gray_1", PngFile(9, 7, bits, {.color_type = 0, .bit_depth = 1}));
  corpus.Add("png", "gray_key", PngFile(9, 7, bits, {.color_type = 0, .transparent_gray = 1}));
  corpus.Add("png", "palette_alpha",
             PngFile(9, 7, bits,
                     {.color_type = 3,
                      .bit_depth = 2,
                      .palette = {9, 8, 7, 6, 5, 4},
                      .palette_alpha = {255, 7}}));
  const std::vector<uint8_t> wide(9 * 7 * 8, 77);
  corpus.Add("png", "rgba_16", PngFile(9, 7, wide, {.color_type = 6, .bit_depth = 16}));
}

void AddWebps(Corpus& corpus) {
  const RgbImage picture = Gradient(18, 14);
  std::vector<uint8_t> alpha(18 * 14 * 4);
  for (size_t i = 0; i < alpha.size(); ++i) alpha[i] = static_cast<uint8_t>(i * 7);
  const std::string lossy = WebpFile(picture, false), lossless = WebpFile(picture, true);
  corpus.Add("webp", "lossy", lossy);
  corpus.Add("webp", "lossless", lossless);
  corpus.Add("webp", "lossy_alpha", WebpFile(18, 14, alpha, false));
  corpus.Add("webp", "lossless_alpha", WebpFile(18, 14, alpha, true));
  corpus.Add("webp", "turned", ExtendedWebp(lossy, 18, 14, 8));
  corpus.Add("webp", "animated",
             AnimatedWebp(22, 16, {{lossless, 2, 2, 18, 14}, {lossy, 0, 0, 18, 14}}, true));
}

void AddGifs(Corpus& corpus) {
  std::vector<uint8_t> indices(size_t{11} * 9);
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<uint8_t>(i % 3);
  const std::vector<uint8_t> palette = {1, 2, 3, 40, 50, 60, 200, 210, 220, 0, 0, 0};
  corpus.Add("gif", "plain", GifFile(11, 9, indices, {.palette = palette}));
  corpus.Add(
      "gif", "interlaced",
      GifFile(11, 9, indices, {.local_palette = palette, .transparent = 1, .interlaced = true}));
  corpus.Add("gif", "inside",
             GifFile(11, 9, indices,
                     {.palette = palette,
                      .left = 3,
                      .top = 2,
                      .screen_width = 20,
                      .screen_height = 5,
                      .before_frame = std::string("!\xfe\2hi\0", 6)}));
}

void AddSounds(Corpus& corpus) {
  const std::string samples = Pcm16({0, 1000, -1000, 32767, -32768, 5, 6, 7});
  corpus.Add("wav", "pcm_16", WavFile(samples));
  corpus.Add("wav", "stereo_44100", WavFile(samples, {.channels = 2, .sample_rate = 44100}));
  corpus.Add("wav", "float",
             WavFile(std::string(32, '\0'), {.tag = 3, .bits = 32, .extensible = true}));
  const struct {
    const char* name;
    AudioKind kind;
  } kinds[] = {{"flac", AudioKind::kFlac},
               {"ogg", AudioKind::kVorbis},
               {"ogg", AudioKind::kOpus},
               {"mp3", AudioKind::kMp3}};
  for (const auto& [folder, kind] : kinds) {
    for (const int channels : {1, 2}) {
      const SoundOptions options{.channels = channels, .sample_rate = channels == 1 ? 8000 : 48000};
      std::string name(AudioKindName(kind));
      name = name.substr(name.find(' ') + 1) + (channels == 1 ? "_mono" : "_stereo");
      corpus.Add(folder, name, SoundFile(kind, Tone(700, options), options));
    }
  }
}

}  // namespace
}  // namespace cleave

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_media_corpus FOLDER\n");
    return 2;
  }
  cleave::Corpus corpus(argv[1]);
  cleave::AddJpegs(corpus);
  cleave::AddPngs(corpus);
  cleave::AddWebps(corpus);
  cleave::AddGifs(corpus);
  cleave::AddSounds(corpus);
  return 0;
}
