#include "tokenizer/sentencepiece_door.h"

#include <sentencepiece_processor.h>

#include <bit>
#include <cstdint>
#include <cstring>

namespace cleave {
namespace {

// Field numbers and enum values of sentencepiece_model.proto.
constexpr uint32_t kModelPieces = 1;
constexpr uint32_t kModelTrainerSpec = 2;
constexpr uint32_t kModelNormalizerSpec = 3;
constexpr uint32_t kPieceText = 1;
constexpr uint32_t kPieceScore = 2;
constexpr uint32_t kPieceType = 3;
constexpr uint32_t kTrainerModelType = 3;
constexpr uint32_t kTrainerVocabSize = 4;
constexpr uint32_t kTrainerByteFallback = 35;
constexpr uint32_t kNormalizerName = 1;
constexpr uint32_t kNormalizerAddDummyPrefix = 3;
constexpr uint32_t kNormalizerRemoveExtraWhitespaces = 4;
constexpr uint32_t kNormalizerEscapeWhitespaces = 5;
constexpr uint64_t kModelTypeBpe = 2;

uint64_t PieceType(SentencePieceEntry::Kind kind) {
  switch (kind) {
    case SentencePieceEntry::Kind::kNormal:
      return 1;
    case SentencePieceEntry::Kind::kUnknown:
      return 2;
    case SentencePieceEntry::Kind::kControl:
      return 3;
    case SentencePieceEntry::Kind::kByte:
      return 6;
  }
  return 1;
}

// Writes protobuf's wire format into a string: the few forms that a model file needs, so that this
// library needs no protobuf of its own beside the one inside SentencePiece.
class WireWriter {
 public:
  void Varint(uint32_t field, uint64_t value) {
    Raw(uint64_t{field} << 3);
    Raw(value);
  }
  void Float(uint32_t field, float value) {
    Raw(uint64_t{field} << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) out_.push_back(static_cast<char>(bits >> shift));
  }
  void Bytes(uint32_t field, std::string_view value) {
    Raw(uint64_t{field} << 3 | 2);
    Raw(value.size());
    out_.append(value);
  }
  void Reserve(size_t size) { out_.reserve(size); }
  void Clear() { out_.clear(); }
  const std::string& out() const { return out_; }

 private:
  void Raw(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

std::string SerializeModel(const std::vector<SentencePieceEntry>& entries) {
  WireWriter model, part;
  size_t piece_bytes = 0;
  for (const SentencePieceEntry& entry : entries) piece_bytes += entry.piece.size();
  model.Reserve(piece_bytes + entries.size() * 16);
  for (const SentencePieceEntry& entry : entries) {
    part.Clear();
    part.Bytes(kPieceText, entry.piece);
    part.Float(kPieceScore, entry.score);
    part.Varint(kPieceType, PieceType(entry.kind));
    model.Bytes(kModelPieces, part.out());
  }
  part.Clear();
  part.Varint(kTrainerModelType, kModelTypeBpe);
  part.Varint(kTrainerVocabSize, entries.size());
  part.Varint(kTrainerByteFallback, 1);
  model.Bytes(kModelTrainerSpec, part.out());
  part.Clear();
  part.Bytes(kNormalizerName, "identity");
  part.Varint(kNormalizerAddDummyPrefix, 0);
  part.Varint(kNormalizerRemoveExtraWhitespaces, 0);
  part.Varint(kNormalizerEscapeWhitespaces, 1);
  model.Bytes(kModelNormalizerSpec, part.out());
  return model.out();
}

}  // namespace

SentencePieceDoor::SentencePieceDoor()
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
SentencePieceDoor::~SentencePieceDoor() = default;

std::unique_ptr<SentencePieceDoor> SentencePieceDoor::Open(
    const std::vector<SentencePieceEntry>& entries, std::string& error) {
  std::unique_ptr<SentencePieceDoor> door(new SentencePieceDoor());
  const sentencepiece::util::Status status =
      door->processor_->LoadFromSerializedProto(SerializeModel(entries));
  if (status.ok()) return door;
  error = status.ToString();
  return nullptr;
}

bool SentencePieceDoor::Encode(std::string_view text, std::vector<int>& ids) const {
  return processor_->Encode(text, &ids).ok();
}

}  // namespace cleave
