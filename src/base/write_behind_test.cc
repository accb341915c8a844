#include "base/write_behind.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/memory_file.h"

namespace tidegate {
namespace {

constexpr uint64_t kWindow = WriteBehind::kWindowBytes;

TEST(WriteBehind, StartsEachWindowOnceAndWaitsForTheOldest) {
  MemoryFile disk;
  WriteBehind behind(disk);
  ASSERT_TRUE(behind.written(7, kWindow - 1));
  EXPECT_TRUE(disk.written_back.empty());
  ASSERT_TRUE(behind.written(7, kWindow + 5));
  ASSERT_TRUE(behind.written(7, kWindow + 6));
  using Calls = std::vector<MemoryFile::WriteBack>;
  EXPECT_EQ(disk.written_back, (Calls{{0, kWindow, false}}));
  // Three at once: no more than kWindowsMax are on their way.
  ASSERT_TRUE(behind.written(7, 4 * kWindow));
  EXPECT_EQ(disk.written_back, (Calls{{0, kWindow, false},
                                      {kWindow, kWindow, false},
                                      {0, kWindow, true},
                                      {2 * kWindow, kWindow, false},
                                      {kWindow, kWindow, true},
                                      {3 * kWindow, kWindow, false}}));
}

TEST(WriteBehind, AFailedDiskIsAFailure) {
  MemoryFile disk;
  disk.write_back_fails = true;
  WriteBehind behind(disk);
  const Status status = behind.written(7, kWindow);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().cls, FailureClass::kDisk);
}

TEST(WriteBehind, WhatCannotBeWrittenBackIsLeft) {
  // A pipe: the call is refused there.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_TRUE(real_effects().write_back(ends[1], 0, kWindow, false));
  EXPECT_TRUE(real_effects().write_back(ends[1], 0, kWindow, true));
  real_effects().read_ahead(ends[0], 0, kWindow);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace tidegate
