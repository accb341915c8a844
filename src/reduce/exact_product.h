#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reduce/exact_sum.h"

namespace tidegate::reduce {

/// Sums of products of two doubles, exact like ExactSums: a fixed-point number of 256 bits in units
/// of 2^-152 for each group, and a long accumulator over all products of doubles where that is too
/// small. Factors that are infinite or NaN are passed over: the sums of the factors tell of them.
class ExactProducts {
 public:
  void grow(uint32_t groups) { sums_.resize(groups); }
  void add(uint32_t group, double x, double y);
  /// A group's sum as bytes, and adds one of that form; false if the bytes are none.
  std::string state(uint32_t group) const;
  bool add_state(uint32_t group, std::string_view state);
  uint64_t bytes() const {
    return sums_.capacity() * sizeof(Fixed) + long_.size() * (sizeof(Long) + 64);
  }
  uint64_t bytes_after(size_t rows) const {
    const bool grows = sums_.size() + rows > sums_.capacity();
    return bytes() + (grows ? (2 * sums_.capacity() + rows) * sizeof(Fixed) : 0);
  }
  void clear() {
    sums_.clear();
    long_.clear();
  }

  /// count x (the sum of products) - (the sum of x) x (the sum of y), rounded once. Both sums are
  /// finite.
  Scaled spread(uint32_t group, uint64_t count, const ExactSums& x, const ExactSums& y) const;

 private:
  static constexpr int kFractionBits = 2 * kExactFractionBits;
  /// Twice that of a sum, so that products of sums have the same unit.
  static constexpr int kBias = 2 * LongSum::kBias;
  static constexpr size_t kDigits = 2 * LongSum::kDigits;
  /// A product has 106 bits; what is left takes 2^23 of the greatest.
  static constexpr int kShiftMax = 254 - 106 - 23;
  using Fixed = std::array<uint64_t, 4>;  ///< two's complement, lowest word first
  using Long = DigitSum<kDigits>;

  static Fixed size_of(const Fixed& sum, bool& negative);
  void add_fixed(uint32_t group, const Fixed& size, bool negative);
  Long& long_of(uint32_t group);
  void add_long(uint32_t group, double x, double y);
  void magnitude(uint32_t group, Magnitude<kDigits>& out) const;

  std::vector<Fixed> sums_;
  std::unordered_map<uint32_t, std::unique_ptr<Long>> long_;
};

}  // namespace tidegate::reduce
