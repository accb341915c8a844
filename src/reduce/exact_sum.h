#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "batch/type.h"
#include "reduce/digit_sum.h"

namespace tidegate::reduce {

// Sums of floating-point numbers that are exact and rounded once: the same whatever the order, the
// split into buckets or partial sums. A group's sum is a fixed-point number of 128 bits in units of
// 2^-76, which holds every double between 6e-8 and 2e15 to its last bit. What does not fit goes to
// a long accumulator over the whole range of doubles (Kulisch, "Computer Arithmetic and Validity",
// 2008), made only for groups that need one. Both are exact, so it cannot be seen which was used.

/// A sum over the whole range of doubles.
class LongSum {
 public:
  static constexpr int kBias = 1'088;  ///< bit 0 is worth 2^-1088
  static constexpr size_t kDigits = 70;

  void add(double value);
  void add_fixed(batch::int128 value, int exponent);
  double rounded() const;
  const DigitSum<kDigits>& digits() const { return digits_; }
  bool is_finite() const { return !nan_ && !plus_ && !minus_; }
  /// All of it in kStateBytes bytes, and back.
  void write(char* out);
  void add_state(const char* state);
  static constexpr size_t kStateBytes = DigitSum<kDigits>::kStateBytes + 4;

 private:
  DigitSum<kDigits> digits_;
  bool nan_ = false, plus_ = false, minus_ = false;
};

constexpr int kExactFractionBits = 76;  ///< of the fixed-point number

/// Adds to a fixed-point sum; false if the value, or the sum with it, does not fit: then nothing
/// was added.
inline bool add_fixed(batch::int128& sum, double value) {
  constexpr uint64_t kImplicit = uint64_t{1} << 52;
  constexpr int kShiftMax = 127 - 53;
  const uint64_t bits = __builtin_bit_cast(uint64_t, value);
  const int shift = static_cast<int>((bits >> 52) & 0x7ff) - (1'075 - kExactFractionBits);
  if (shift < 0 || shift > kShiftMax) [[unlikely]]
    return value == 0;
  const int64_t sign = static_cast<int64_t>(bits) >> 63;
  const int64_t digits =
      static_cast<int64_t>(((bits & (kImplicit - 1)) | kImplicit) ^ static_cast<uint64_t>(sign)) -
      sign;
  batch::int128 scaled;
  if (shift < 64) [[likely]] {
    // As two words: a shift of 128 bits takes longer.
    const auto high = static_cast<uint64_t>((digits >> 1) >> (63 - shift));
    scaled = static_cast<batch::int128>(static_cast<batch::uint128>(high) << 64 |
                                        static_cast<uint64_t>(digits) << shift);
  } else {
    scaled = static_cast<batch::int128>(digits) << shift;
  }
  const auto next = static_cast<batch::int128>(static_cast<batch::uint128>(sum) +
                                               static_cast<batch::uint128>(scaled));
  // Two of one sign have given the other.
  if (((sum ^ next) & (scaled ^ next)) < 0) [[unlikely]]
    return false;
  sum = next;
  return true;
}

class ExactSums {
 public:
  void grow(uint32_t groups) { sums_.resize(groups); }
  void add(uint32_t group, double value) {
    if (!add_fixed(sums_[group], value)) [[unlikely]]
      add_long(group, value);
  }
  double rounded(uint32_t group) const;
  /// Whether no infinity and no NaN is in it.
  bool is_finite(uint32_t group) const;
  /// Of a finite sum; bit 0 is worth 2^-LongSum::kBias.
  void magnitude(uint32_t group, Magnitude<LongSum::kDigits>& out) const;
  /// A group's sum as bytes: 16 of the fixed-point number, then those of the long sum if it has
  /// one.
  std::string state(uint32_t group) const;
  /// Adds a sum of that form; false if the bytes are none.
  bool add_state(uint32_t group, std::string_view state);
  uint64_t bytes() const { return sums_.capacity() * 16 + long_.size() * (sizeof(LongSum) + 64); }
  uint64_t bytes_after(size_t rows) const {
    const uint64_t more = sums_.size() + rows > sums_.capacity() ? 2 * sums_.capacity() * 16 : 0;
    return bytes() + more;
  }
  void clear() {
    sums_.clear();
    long_.clear();
  }

 private:
  void add_long(uint32_t group, double value);

  std::vector<batch::int128> sums_;
  std::unordered_map<uint32_t, std::unique_ptr<LongSum>> long_;
};

}  // namespace tidegate::reduce
