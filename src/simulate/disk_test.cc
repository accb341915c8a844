#include "simulate/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "simulate/process.h"

namespace tidegate {
namespace {

using Loss = SimulatedDisk::Loss;

class DiskTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(process_.mkdir("/d", 0755));
    machine_.disk.settle();
  }
  void put(const std::string& path, const std::string& text, bool sync) {
    Fd fd(process_, *process_.open(path, O_RDWR | O_CREAT, 0644));
    ASSERT_TRUE(process_.pwrite(fd.get(), std::as_bytes(std::span(text)), 0));
    if (sync) ASSERT_TRUE(process_.fsync(fd.get()));
  }
  /// The file's text after a crash, or "-" if there is none.
  std::string after(Loss loss, uint64_t seed, const std::string& path) {
    machine_.disk.crash(loss, seed);
    return text(path);
  }
  std::string text(const std::string& path) { return read_file(process_, path).value_or("-"); }

  SimulatedMachine machine_;
  SimulatedProcess process_{machine_, 1};
};

TEST_F(DiskTest, AFileLastsWithItsNameAndItsBytes) {
  put("/d/a", "both", true);
  ASSERT_TRUE(fsync_path(process_, "/d"));
  put("/d/b", "name", false);
  ASSERT_TRUE(fsync_path(process_, "/d"));
  put("/d/c", "bytes", true);
  machine_.disk.crash(Loss::kAllUnsynced, 1);
  EXPECT_EQ(text("/d/a"), "both");
  EXPECT_EQ(text("/d/b"), "");
  EXPECT_EQ(text("/d/c"), "-");
}

TEST_F(DiskTest, OverwrittenBytesComeBack) {
  put("/d/a", "0123456789", true);
  ASSERT_TRUE(fsync_path(process_, "/d"));
  put("/d/a", "abc", false);
  EXPECT_EQ(text("/d/a"), "abc3456789");
  {
    Fd fd(process_, *process_.open("/d/a", O_RDWR, 0));
    ASSERT_TRUE(process_.truncate(fd.get(), 2));
  }
  EXPECT_EQ(text("/d/a"), "ab");
  EXPECT_EQ(after(Loss::kAllUnsynced, 1, "/d/a"), "0123456789");
}

TEST_F(DiskTest, APowerCutTakesASuffixOfTheWritesAndMayTearOne) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    put("/d/a", "........", true);
    ASSERT_TRUE(fsync_path(process_, "/d"));
    put("/d/a", "1111", false);
    put("/d/a", "22", false);
    seen.insert(after(Loss::kSomeUnsynced, seed, "/d/a"));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"........", "1.......", "11......", "111.....", "1111....",
                                         "2111....", "2211...."}));
}

TEST_F(DiskTest, WhatAFailedSyncHasLostNoLaterOneWrites) {
  const auto written_and_lost = [&](const std::string& text) {
    put("/d/a", std::string(5000, '.'), true);
    machine_.disk.settle();
    put("/d/a", text, false);
    process_.fault = [](SimulatedProcess::Call call, std::string_view, bool) {
      return call == SimulatedProcess::Call::kSync ? EIO : 0;
    };
    EXPECT_EQ(fsync_path(process_, "/d/a").error().code, "disk.io");
    process_.fault = {};
    EXPECT_EQ(this->text("/d/a").substr(0, text.size()), text) << "read as written";
    ASSERT_TRUE(fsync_path(process_, "/d/a"));
  };
  for (const Loss loss : {Loss::kAllUnsynced, Loss::kSomeUnsynced}) {
    written_and_lost("lost");
    EXPECT_EQ(after(loss, 1, "/d/a"), std::string(5000, '.'));
    written_and_lost("lost");
    put("/d/a", "new!", true);
    EXPECT_EQ(after(loss, 1, "/d/a"), "new!" + std::string(4996, '.'));
    // The second page only.
    written_and_lost(std::string(4999, 'x'));
    put("/d/a", "new!", true);
    EXPECT_EQ(after(loss, 1, "/d/a"),
              "new!" + std::string(4092, 'x') + std::string(5000 - 4096, '.'));
  }
  written_and_lost("lost");
  put("/d/a", "new!", false);
  EXPECT_EQ(after(Loss::kAllUnsynced, 1, "/d/a"), std::string(5000, '.'));
}

TEST_F(DiskTest, ARenameIsUndoneInBothPlacesOrInNone) {
  ASSERT_TRUE(process_.mkdir("/e", 0755));
  machine_.disk.settle();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    put("/d/a", "new", true);
    put("/e/b", "old", true);
    machine_.disk.settle();
    ASSERT_TRUE(process_.rename("/d/a", "/e/b"));
    machine_.disk.crash(Loss::kSomeUnsynced, seed);
    const std::pair now(text("/d/a"), text("/e/b"));
    EXPECT_TRUE(now == std::pair(std::string("new"), std::string("old")) ||
                now == std::pair(std::string("-"), std::string("new")))
        << now.first << ", " << now.second;
    (void)process_.unlink("/d/a");
  }
  put("/d/a", "new", true);
  machine_.disk.settle();
  ASSERT_TRUE(process_.rename("/d/a", "/e/b"));
  ASSERT_TRUE(fsync_path(process_, "/e"));
  EXPECT_EQ(after(Loss::kAllUnsynced, 1, "/e/b"), "new");
  EXPECT_EQ(text("/d/a"), "-");
}

TEST_F(DiskTest, LinksAreFollowedAsTheSystemFollowsThem) {
  ASSERT_TRUE(make_directories(process_, "/d/gen/1"));
  put("/d/gen/1/file", "x", true);
  ASSERT_TRUE(process_.symlink("gen/1", "/d/current"));
  EXPECT_EQ(text("/d/current/file"), "x");
  EXPECT_EQ(text("/d/current/../1/file"), "x");
  EXPECT_TRUE(process_.lstat("/d/current")->is_symlink);
  EXPECT_TRUE(process_.stat("/d/current")->is_dir);
  EXPECT_EQ(*process_.readlink("/d/current"), "gen/1");
  ASSERT_TRUE(process_.symlink("loop", "/d/loop"));
  EXPECT_FALSE(process_.stat("/d/loop").has_value());
  ASSERT_TRUE(process_.link("/d/gen/1/file", "/d/second"));
  EXPECT_EQ(process_.stat("/d/second")->links, 2u);
  EXPECT_TRUE(is_exists(process_.link("/d/gen/1/file", "/d/second").error()));
  EXPECT_TRUE(is_not_found(process_.unlink("/d/none").error()));
  EXPECT_FALSE(process_.rmdir("/d/gen").has_value());
}

TEST_F(DiskTest, AFullDiskSaysSo) {
  machine_.disk.bytes_max = machine_.disk.bytes() + 4;
  put("/d/a", "1234", false);
  Fd fd(process_, *process_.open("/d/a", O_RDWR, 0));
  const std::string more = "5";
  const Status full = process_.pwrite(fd.get(), std::as_bytes(std::span(more)), 4);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, "disk.no_space");
  fd.reset();
  ASSERT_TRUE(process_.unlink("/d/a"));
  put("/d/b", "5678", false);
  EXPECT_EQ(text("/d/b"), "5678");
}

TEST_F(DiskTest, LocksGoWithTheirProcess) {
  put("/d/lock", "", true);
  auto other = std::make_unique<SimulatedProcess>(machine_, 2);
  const int theirs = *other->open("/d/lock", O_RDWR, 0),
            ours = *process_.open("/d/lock", O_RDWR, 0);
  EXPECT_TRUE(*other->try_lock(theirs));
  EXPECT_FALSE(*process_.try_lock(ours));
  EXPECT_TRUE(*other->lock_bytes(theirs, ByteLock::kShared, 10, 5));
  EXPECT_TRUE(*process_.lock_bytes(ours, ByteLock::kShared, 12, 5));
  EXPECT_FALSE(*process_.lock_bytes(ours, ByteLock::kExclusive, 12, 5));
  EXPECT_TRUE(*process_.is_locked(ours, 10, 1));
  other->die();
  EXPECT_TRUE(*process_.try_lock(ours));
  EXPECT_TRUE(*process_.lock_bytes(ours, ByteLock::kExclusive, 12, 5));
  EXPECT_FALSE(other->stat("/d").has_value());
}

}  // namespace
}  // namespace tidegate
