#include "tokenizer/tokenizer_json.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/status.h"
#include "tokenizer/utf8.h"

namespace cleave {
namespace {

constexpr size_t kFileBytesMax = size_t{256} << 20;
// A rank is handed to SentencePiece as a float, which holds integers up to here exactly.
constexpr size_t kMergesMax = (size_t{1} << 24) - 1;
constexpr size_t kPiecesMax = size_t{1} << 24;
constexpr absl::string_view kSpaceMark = "\u2581";

using Node = rapidjson::Value;

// In place: the 800,000 strings of a real file are not copied. Iterative: nesting costs no stack.
// UTF-8 is validated before: RapidJSON's own check reads past the end of a text that ends inside a
// character.
constexpr unsigned kParseFlags = rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag;

absl::string_view Text(const Node& node) { return {node.GetString(), node.GetStringLength()}; }

// The member of that name; a null node for one that is absent or for a parent of another type.
const Node& Member(const Node& parent, const char* key) {
  static const Node kNull;
  if (!parent.IsObject()) return kNull;
  const auto found = parent.FindMember(key);
  return found == parent.MemberEnd() ? kNull : found->value;
}

bool IsText(const Node& node, absl::string_view expected) {
  return node.IsString() && Text(node) == expected;
}

bool IsAbsentOrFalse(const Node& node) { return node.IsNull() || node.IsFalse(); }
bool IsAbsentOrEmpty(const Node& node) { return node.IsNull() || IsText(node, ""); }

std::string Quoted(absl::string_view piece) {
  constexpr size_t kShownMax = 64;
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(piece.substr(0, kShownMax)),
                      piece.size() > kShownMax ? "...\"" : "\"");
}

bool IsOneCodePoint(absl::string_view piece) { return ReadUtf8(piece).length == piece.size(); }

// 65 for "<0x41>", the spelling of a byte piece.
std::optional<uint8_t> ByteOfSpelling(absl::string_view piece) {
  uint32_t value = 0;
  if (piece.size() != 6 || !absl::SimpleHexAtoi(piece.substr(3, 2), &value)) return std::nullopt;
  if (piece != absl::StrFormat("<0x%02X>", value)) return std::nullopt;
  return static_cast<uint8_t>(value);
}

// Fills a TokenizerJson from the parsed tree.
class Reader {
 public:
  Reader(const Node& root, absl::string_view name, TokenizerJson& out)
      : root_(root), model_(Member(root, "model")), name_(name), out_(out) {}

  absl::Status Read() {
    RETURN_IF_ERROR(CheckForm());
    RETURN_IF_ERROR(ReadVocab());
    RETURN_IF_ERROR(ReadAddedTokens());
    RETURN_IF_ERROR(PlacePieces());
    RETURN_IF_ERROR(ReadUnknown());
    return ReadMerges();
  }

 private:
  // A merge, as ids.
  struct Merge {
    TokenId left, right, product;
  };

  template <typename... Parts>
  absl::Status Invalid(const Parts&... parts) const {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": ", parts...));
  }

  absl::Status CheckForm() const;
  absl::Status ReadVocab();
  absl::Status ReadAddedTokens();
  absl::Status ReadAddedToken(const Node& token, absl::string_view where);
  absl::Status AddPiece(absl::string_view piece, const Node& id, absl::string_view where);
  absl::Status PlacePieces();
  absl::Status ReadUnknown();
  absl::Status ReadMerges();
  absl::StatusOr<Merge> ReadMerge(const Node& merge, size_t index, std::string& scratch) const;
  absl::StatusOr<TokenId> MergeablePiece(absl::string_view piece, size_t index) const;
  void RankPieces(const std::vector<Merge>& merges);

  const Node& root_;
  const Node& model_;
  const absl::string_view name_;
  TokenizerJson& out_;
  absl::flat_hash_map<absl::string_view, TokenId> id_of_;
  std::vector<absl::string_view> controls_;
};

// Anything else in the file would mean other ids than ours for the same text.
absl::Status Reader::CheckForm() const {
  if (!model_.IsObject()) return Invalid("model is not an object");
  if (!IsText(Member(model_, "type"), "BPE")) return Invalid("model.type is not \"BPE\"");
  if (!Member(model_, "byte_fallback").IsTrue()) return Invalid("model.byte_fallback is not true");
  if (!IsAbsentOrFalse(Member(model_, "ignore_merges"))) {
    return Invalid("model.ignore_merges is not supported");
  }
  if (!Member(model_, "dropout").IsNull()) return Invalid("model.dropout is not supported");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!IsAbsentOrEmpty(Member(model_, key))) return Invalid("model.", key, " is not supported");
  }
  const Node& normalizer = Member(root_, "normalizer");
  if (!IsText(Member(normalizer, "type"), "Replace") ||
      !IsText(Member(Member(normalizer, "pattern"), "String"), " ") ||
      !IsText(Member(normalizer, "content"), kSpaceMark)) {
    return Invalid("normalizer does not replace \" \" by \"", kSpaceMark, "\"");
  }
  // A split at spaces does nothing: the normaliser has left none.
  const Node& split = Member(root_, "pre_tokenizer");
  if (!split.IsNull() && (!IsText(Member(split, "type"), "Split") ||
                          !IsText(Member(Member(split, "pattern"), "String"), " "))) {
    return Invalid("pre_tokenizer does not split at \" \"");
  }
  return absl::OkStatus();
}

absl::Status Reader::AddPiece(absl::string_view piece, const Node& id, absl::string_view where) {
  if (piece.empty()) return Invalid(where, " holds an empty piece");
  if (FindInvalidUtf8(piece)) {  // an escaped half of a surrogate pair
    return Invalid(where, ": ", Quoted(piece), " is not UTF-8");
  }
  if (!id.IsInt() || id.GetInt() < 0) {
    return Invalid(where, ": the id of ", Quoted(piece), " is not a 31-bit number");
  }
  const auto [entry, is_new] = id_of_.try_emplace(piece, id.GetInt());
  if (!is_new && entry->second != id.GetInt()) {
    return Invalid(where, ": ", Quoted(piece), " has the ids ", entry->second, " and ",
                   id.GetInt());
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadVocab() {
  const Node& vocab = Member(model_, "vocab");
  if (!vocab.IsObject()) return Invalid("model.vocab is not an object");
  if (vocab.MemberCount() > kPiecesMax) {
    return Invalid("model.vocab holds more than ", kPiecesMax, " pieces");
  }
  id_of_.reserve(vocab.MemberCount());
  for (const auto& member : vocab.GetObject()) {
    RETURN_IF_ERROR(AddPiece(Text(member.name), member.value, "model.vocab"));
  }
  if (id_of_.size() != vocab.MemberCount()) return Invalid("model.vocab holds a piece twice");
  return absl::OkStatus();
}

absl::Status Reader::ReadAddedToken(const Node& token, absl::string_view where) {
  const Node& content = Member(token, "content");
  if (!content.IsString()) return Invalid(where, ".content is not a string");
  const absl::string_view spelling = Text(content);
  RETURN_IF_ERROR(AddPiece(spelling, Member(token, "id"), where));
  if (!Member(token, "special").IsTrue()) {
    return Invalid(where, ": ", Quoted(spelling), " is not special, which is not supported");
  }
  for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) {
    if (!IsAbsentOrFalse(Member(token, key))) {
      return Invalid(where, ".", key, ": is not false, which is not supported");
    }
  }
  // SentencePiece looks single characters up among all pieces, so a user could type this one.
  if (IsOneCodePoint(spelling)) {
    return Invalid(where, ": ", Quoted(spelling), " is a single character");
  }
  controls_.push_back(spelling);
  return absl::OkStatus();
}

absl::Status Reader::ReadAddedTokens() {
  const Node& tokens = Member(root_, "added_tokens");
  if (!tokens.IsArray()) return Invalid("added_tokens is not a list");
  for (rapidjson::SizeType i = 0; i < tokens.Size(); ++i) {
    RETURN_IF_ERROR(ReadAddedToken(tokens[i], absl::StrCat("added_tokens[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status Reader::PlacePieces() {
  std::vector<TokenizerJson::Piece>& pieces = out_.pieces;
  pieces.resize(id_of_.size());
  for (const auto& [piece, id] : id_of_) {
    if (static_cast<size_t>(id) >= pieces.size()) {
      return Invalid(Quoted(piece), " has the id ", id, ", but there are ", pieces.size(),
                     " pieces and ids have no gaps");
    }
    TokenizerJson::Piece& place = pieces[static_cast<size_t>(id)];
    if (!place.spelling.empty()) {
      return Invalid("the id ", id, " is given to ", Quoted(place.spelling), " and ",
                     Quoted(piece));
    }
    place.spelling = piece;
  }
  for (const absl::string_view control : controls_) {
    TokenizerJson::Piece& piece = pieces[static_cast<size_t>(id_of_.at(control))];
    if (piece.kind == PieceKind::kControl) {
      return Invalid("added_tokens holds ", Quoted(control), " twice");
    }
    piece.kind = PieceKind::kControl;
  }
  int byte_pieces = 0;
  for (TokenizerJson::Piece& piece : pieces) {
    if (piece.kind == PieceKind::kControl) continue;
    if (const std::optional<uint8_t> byte = ByteOfSpelling(piece.spelling)) {
      piece.kind = PieceKind::kByte;
      piece.byte = *byte;
      ++byte_pieces;
    } else if (IsOneCodePoint(piece.spelling)) {
      piece.kind = PieceKind::kText;
    }
  }
  if (byte_pieces != 256) {
    return Invalid("the pieces <0x00> to <0xFF> are not complete: ", byte_pieces, " of 256");
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadUnknown() {
  const Node& unknown = Member(model_, "unk_token");
  if (!unknown.IsString()) return Invalid("model.unk_token is not a string");
  const auto found = id_of_.find(Text(unknown));
  if (found == id_of_.end() ||
      out_.pieces[static_cast<size_t>(found->second)].kind != PieceKind::kControl) {
    return Invalid("model.unk_token ", Quoted(Text(unknown)), " is not among the added tokens");
  }
  out_.unknown = found->second;
  return absl::OkStatus();
}

// A merge that could make a control token would let a user type one; one of bytes would need bytes
// to take part in merging, which SentencePiece does not do.
absl::StatusOr<TokenId> Reader::MergeablePiece(absl::string_view piece, size_t index) const {
  const auto found = id_of_.find(piece);
  if (found == id_of_.end()) {
    return Invalid("model.merges[", index, "]: ", Quoted(piece), " is not in the vocabulary");
  }
  const PieceKind kind = out_.pieces[static_cast<size_t>(found->second)].kind;
  if (kind == PieceKind::kControl || kind == PieceKind::kByte) {
    return Invalid("model.merges[", index, "]: ", Quoted(piece), " is ",
                   kind == PieceKind::kByte ? "a byte piece" : "an added token");
  }
  return found->second;
}

absl::StatusOr<Reader::Merge> Reader::ReadMerge(const Node& merge, size_t index,
                                                std::string& scratch) const {
  if (!merge.IsArray() || merge.Size() != 2 || !merge[0].IsString() || !merge[1].IsString()) {
    return Invalid("model.merges[", index, "] is not a list of two strings");
  }
  scratch.assign(merge[0].GetString(), merge[0].GetStringLength());
  scratch.append(merge[1].GetString(), merge[1].GetStringLength());
  Merge ids{};
  ASSIGN_OR_RETURN(ids.left, MergeablePiece(Text(merge[0]), index));
  ASSIGN_OR_RETURN(ids.right, MergeablePiece(Text(merge[1]), index));
  ASSIGN_OR_RETURN(ids.product, MergeablePiece(scratch, index));
  return ids;
}

absl::Status Reader::ReadMerges() {
  const Node& list = Member(model_, "merges");
  if (!list.IsArray()) return Invalid("model.merges is not a list");
  if (list.Size() > kMergesMax) return Invalid("model.merges holds more than ", kMergesMax);
  std::vector<Merge> merges;
  merges.reserve(list.Size());
  std::string scratch;
  for (rapidjson::SizeType i = 0; i < list.Size(); ++i) {
    ASSIGN_OR_RETURN(const Merge merge, ReadMerge(list[i], i, scratch));
    merges.push_back(merge);
  }
  out_.merges = static_cast<int32_t>(merges.size());
  RankPieces(merges);
  return absl::OkStatus();
}

// A piece is text when a merge of two pieces that are text makes it. Shorter products first, so
// that a merge is looked at when its parts are decided; merges of one product stay in file order.
void Reader::RankPieces(const std::vector<Merge>& merges) {
  std::vector<TokenizerJson::Piece>& pieces = out_.pieces;
  const auto piece = [&](TokenId id) -> TokenizerJson::Piece& {
    return pieces[static_cast<size_t>(id)];
  };
  std::vector<int32_t> order(merges.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return piece(merges[static_cast<size_t>(a)].product).spelling.size() <
           piece(merges[static_cast<size_t>(b)].product).spelling.size();
  });
  for (const int32_t rank : order) {
    const Merge& merge = merges[static_cast<size_t>(rank)];
    if (piece(merge.left).kind != PieceKind::kText) continue;
    if (piece(merge.right).kind != PieceKind::kText) continue;
    TokenizerJson::Piece& product = piece(merge.product);
    product.kind = PieceKind::kText;
    if (product.merge_rank < 0) product.merge_rank = rank;
  }
}

}  // namespace

absl::StatusOr<TokenizerJson> TokenizerJson::Parse(std::string text, absl::string_view name) {
  if (text.size() > kFileBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", text.size(), " bytes, at most ", kFileBytesMax, " are allowed"));
  }
  if (text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": holds a zero byte"));
  }
  if (const std::optional<size_t> offset = FindInvalidUtf8(text)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not UTF-8 at byte ", *offset));
  }
  RETURN_IF_ERROR(CheckJsonDepth(text, name));
  TokenizerJson json;
  json.bytes = std::make_unique<std::string>(std::move(text));
  rapidjson::Document tree;
  tree.ParseInsitu<kParseFlags>(json.bytes->data());
  if (tree.HasParseError()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not JSON at byte ",
                                                   tree.GetErrorOffset(), ": ",
                                                   GetParseError_En(tree.GetParseError())));
  }
  RETURN_IF_ERROR(Reader(tree, name, json).Read());
  return json;
}

absl::StatusOr<TokenizerJson> TokenizerJson::Load(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/tokenizer.json");
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kFileBytesMax));
  return Parse(std::move(text), path);
}

}  // namespace cleave
