#include "prefill/media_store.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cleave {
namespace {

TEST(MediaStoreTest, GivesBackWhatWasPut) {
  MediaStore store(100);
  const ContentHash hash = HashContent("picture");
  EXPECT_EQ(store.Get(hash), nullptr);
  ASSERT_OK(store.Put(hash, "picture"));
  EXPECT_EQ(*store.Get(hash), "picture");
}

TEST(MediaStoreTest, RefusesBytesWithAnotherHash) {
  MediaStore store(100);
  EXPECT_EQ(GetReason(store.Put(HashContent("a"), "b")), Reason::kMediaUndecodable);
  EXPECT_EQ(store.Get(HashContent("a")), nullptr);
}

TEST(MediaStoreTest, DropsTheLeastRecentlyUsed) {
  MediaStore store(10);
  for (const char* file : {"aaaa", "bbbb"}) ASSERT_OK(store.Put(HashContent(file), file));
  EXPECT_NE(store.Get(HashContent("aaaa")), nullptr);
  ASSERT_OK(store.Put(HashContent("cccc"), "cccc"));
  EXPECT_NE(store.Get(HashContent("aaaa")), nullptr);
  EXPECT_EQ(store.Get(HashContent("bbbb")), nullptr);
}

TEST(MediaStoreTest, AFileInUseOutlivesTheStoresMemoryOfIt) {
  MediaStore store(4);
  ASSERT_OK(store.Put(HashContent("aaaa"), "aaaa"));
  const std::shared_ptr<const std::string> file = store.Get(HashContent("aaaa"));
  ASSERT_OK(store.Put(HashContent("bbbb"), "bbbb"));
  EXPECT_EQ(*file, "aaaa");
}

TEST(MediaStoreTest, RefusesAFileLargerThanItself) {
  MediaStore store(3);
  EXPECT_EQ(GetReason(store.Put(HashContent("aaaa"), "aaaa")), Reason::kMediaLimit);
}

}  // namespace
}  // namespace cleave
