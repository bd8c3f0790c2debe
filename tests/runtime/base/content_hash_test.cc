#include "runtime/base/content_hash.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace cleave {
namespace {

TEST(ContentHashTest, IsCanonicalXxh3) {
  const ContentHash hash = HashContent("");
  EXPECT_EQ(absl::BytesToHexString(std::string(hash.begin(), hash.end())),
            "99aa06d3014798d86001c324468d497f");
}

}  // namespace
}  // namespace cleave
