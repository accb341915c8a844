#include "reduce/growing.h"

#include <gtest/gtest.h>

#include <random>

namespace tidegate::reduce {
namespace {

TEST(GrowingTest, KeepsWhatItHasWhileItGrowsAndMoves) {
  // In turns, so that neither can grow where it lies.
  Growing<uint64_t> first, second;
  const size_t values = 3 * GrowingBytes::kMapBytes / sizeof(uint64_t);
  for (size_t i = 0; i < values; ++i) {
    first.push_back(i);
    if (i % 1000 == 0) second.resize(i + 1, 7);
  }
  ASSERT_EQ(first.size(), values);
  size_t wrong = 0;
  for (size_t i = 0; i < values; ++i) wrong += first[i] != i;
  for (size_t i = 0; i < second.size(); ++i) wrong += second[i] != 7;
  EXPECT_EQ(wrong, 0U);
  EXPECT_LE(first.bytes(), values * sizeof(uint64_t) / 8 * 9 + (uint64_t{2} << 20));
}

TEST(GrowingTest, SaysWhatItIsAboutToHold) {
  Growing<uint32_t> values;
  std::mt19937_64 random(1);
  for (int step = 0; step < 200; ++step) {
    const size_t more = random() % 300'000;
    const uint64_t after = values.bytes_after(more);
    values.resize(values.size() + more, 3);
    ASSERT_LE(values.bytes(), after);
    ASSERT_GE(values.bytes(), values.size() * sizeof(uint32_t));
  }
  values.clear();
  values.resize(10, 5);
  EXPECT_EQ(values[9], 5U);
}

TEST(GrowingTest, MovesToAnother) {
  Growing<int> values;
  values.resize(100, 4);
  Growing<int> other(std::move(values));
  EXPECT_EQ(other.size(), 100U);
  EXPECT_EQ(other[99], 4);
}

}  // namespace
}  // namespace tidegate::reduce
