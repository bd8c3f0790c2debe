#include "gateway/request_parse.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/error.h"
#include "tokenizer/tokenizer.h"

namespace cleave {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;

// The error for the first string field of `bytes`, a message of `type`, that is not UTF-8; absent
// when there is none. The depth is bounded by the types, none of which contains itself.
std::optional<absl::Status> FindBadText(absl::string_view bytes, const Descriptor& type,
                                        const std::string& prefix) {
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  std::map<int, int> seen;  // elements of repeated fields, by field number
  while (const uint32_t tag = input.ReadTag()) {
    const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    const auto wire_type = WireFormatLite::GetTagWireType(tag);
    if (field == nullptr || wire_type != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&input, tag)) break;
      continue;
    }
    uint32_t length = 0;
    if (!input.ReadVarint32(&length)) break;
    const auto at = static_cast<size_t>(input.CurrentPosition());
    if (length > bytes.size() - at || !input.Skip(static_cast<int>(length))) break;
    const absl::string_view content = bytes.substr(at, length);
    std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field->name());
    if (field->is_repeated()) absl::StrAppend(&path, "[", seen[field->number()]++, "]");
    if (field->type() == FieldDescriptor::TYPE_STRING) {
      const absl::Status status = CheckUtf8(content, path);
      if (!status.ok()) return status;
    } else if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      auto inside = FindBadText(content, *field->message_type(), path);
      if (inside) return inside;
    }
  }
  return std::nullopt;
}

std::string Flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  if (!bytes.Dump(&slices).ok()) return flat;
  flat.reserve(bytes.Length());
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return flat;
}

}  // namespace

absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  const std::string flat = Flatten(bytes);
  if (message.ParseFromString(flat)) return absl::OkStatus();
  if (auto bad_text = FindBadText(flat, *message.GetDescriptor(), "")) return *bad_text;
  return InvalidField(Reason::kFieldInvalid, "",
                      absl::StrCat("a message ", message.GetDescriptor()->full_name()),
                      "bytes that are none");
}

grpc::ByteBuffer SerializeReply(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace cleave
