// Messages of the KV link as bytes: what can be parsed is converted, and what could be converted
// stays the same on its way to the wire and back.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>

#include "runtime/base/check.h"
#include "runtime/link/link_proto.h"

namespace cleave {
namespace {

template <typename Proto>
void RoundTrip(const uint8_t* data, size_t size) {
  Proto proto;
  if (!proto.ParseFromArray(data, static_cast<int>(size))) return;
  const auto message = FromProto(proto);
  if (!message.ok()) return;
  const Proto again = ToProto(*message);
  const auto second = FromProto(again);
  CHECK(second.ok());
  CHECK(ToProto(*second).SerializeAsString() == again.SerializeAsString());
}

}  // namespace
}  // namespace cleave

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  google::protobuf::SetLogHandler(nullptr);  // it complains of every string that is not UTF-8
  cleave::RoundTrip<cleave::kvlink::v1::PrefillToDecode>(data, size);
  cleave::RoundTrip<cleave::kvlink::v1::DecodeToPrefill>(data, size);
  cleave::kvlink::v1::FrameHeader header;
  if (header.ParseFromArray(data, static_cast<int>(size))) {
    cleave::FromProto(header).status().IgnoreError();
  }
  return 0;
}
