#include "reduce/hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

namespace tidegate::reduce {
namespace {

/// The slots that keys take one after the other in a table that is half full: how many of them were
/// looked at for a key, on average.
double looks(uint64_t (*key)(uint64_t)) {
  constexpr uint64_t kKeys = uint64_t{1} << 17, kSlots = 2 * kKeys;
  std::vector<bool> taken(kSlots);
  uint64_t looked = 0;
  for (uint64_t i = 0; i < kKeys; ++i) {
    uint64_t at = hash_word(key(i)) >> (64 - std::countr_zero(kSlots));
    while (taken[at]) {
      at = (at + 1) % kSlots;
      ++looked;
    }
    taken[at] = true;
    ++looked;
  }
  return static_cast<double>(looked) / kKeys;
}

TEST(HashTest, KeysInAnyPatternSpreadAsIfByChance) {
  // By chance it is 1.5 (Knuth, 6.4: linear probing at a load of a half).
  EXPECT_LT(looks([](uint64_t i) { return i; }), 1.6);
  EXPECT_LT(looks([](uint64_t i) { return -i; }), 1.6);
  EXPECT_LT(looks([](uint64_t i) { return i * 1000; }), 1.6);
  EXPECT_LT(looks([](uint64_t i) { return i << 12; }), 1.6);
  EXPECT_LT(looks([](uint64_t i) { return i << 32; }), 1.6);
  EXPECT_LT(looks([](uint64_t i) { return (i % 25) | (i / 25 << 5); }), 1.6);
  EXPECT_LT(looks([](uint64_t i) { return std::bit_cast<uint64_t>(static_cast<double>(i)); }), 1.6);
}

}  // namespace
}  // namespace tidegate::reduce
