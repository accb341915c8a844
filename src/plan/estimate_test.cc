#include "plan/estimate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tidegate {
namespace {

TEST(KeySample, EvenKeysArePredictedByTheirNumber) {
  // 60,000 rows of 200 keys, and of so many that nearly each row has its own.
  const KeySample few = key_sample(60'000, 200, 20'000, 200, 2);
  EXPECT_TRUE(few.is_even());
  EXPECT_NEAR(few.distinct, 200, 1);
  EXPECT_NEAR(few.among(1e6), 200, 1);
  EXPECT_TRUE(std::isinf(few.rows_with(300)));
  const double keys = 1e6;
  const auto seen = [&](double rows) { return keys * -std::expm1(-rows / keys); };
  const KeySample many = key_sample(60'000, seen(60'000), 20'000, seen(20'000), 0);
  EXPECT_TRUE(many.is_even());
  EXPECT_NEAR(many.distinct, keys, keys / 100);
  EXPECT_NEAR(many.among(many.rows_with(5e5)), 5e5, 1);
}

TEST(KeySample, UnevenKeysArePredictedByTheirGrowth) {
  // Heaps' law with 0.8, as Zipf's has it.
  const auto seen = [](double rows) { return 3 * std::pow(rows, 0.8); };
  const KeySample zipf = key_sample(60'000, seen(60'000), 20'000, seen(20'000), 0);
  EXPECT_FALSE(zipf.is_even());
  EXPECT_NEAR(zipf.growth, 0.8, 1e-6);
  EXPECT_NEAR(zipf.among(1e7), seen(1e7), 1);
  EXPECT_NEAR(zipf.rows_with(seen(1e7)), 1e7, 1);
}

TEST(KeySample, KeysThatLieTogetherGrowWithTheRows) {
  // Each key ten times in a row: a third of the rows has a third of the keys.
  const KeySample sorted = key_sample(60'000, 6'000, 20'000, 2'000, 0);
  EXPECT_FALSE(sorted.is_even());
  EXPECT_NEAR(sorted.growth, 1, 1e-9);
  EXPECT_NEAR(sorted.among(1e8), 1e7, 1);
  EXPECT_LE(sorted.among(5), 5);
}

TEST(KeySample, AFactGivesTheSameSampleEachTime) {
  const KeySample sample{.distinct = 12'345, .bytes = 40, .growth = 0.81237, .scale = 3.14159};
  const auto once = key_sample_from(to_text(sample));
  ASSERT_TRUE(once);
  EXPECT_NEAR(once->growth, sample.growth, 1e-4);
  EXPECT_EQ(once->distinct, sample.distinct);
  EXPECT_EQ(once->bytes, sample.bytes);
  EXPECT_EQ(to_text(*key_sample_from(to_text(*once))), to_text(sample));
  // As facts of earlier versions were.
  EXPECT_FALSE(key_sample_from("12345 40"));
  EXPECT_FALSE(key_sample_from(""));
}

TEST(KeySample, ASampleOfOnePlaceIsTakenForEven) {
  EXPECT_TRUE(key_sample(1'000, 10, 1'000, 10, 0).is_even());
  EXPECT_TRUE(key_sample(1'000, 1, 400, 1, 0).is_even());
}

}  // namespace
}  // namespace tidegate
