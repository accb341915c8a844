#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "batch/type.h"

namespace tidegate::reduce {

/// The size of a sum in 32-bit digits, lowest first; zero outside [begin, end).
template <size_t kDigits>
struct Magnitude {
  std::array<uint32_t, kDigits> digits;  ///< only [begin, end) is set
  size_t begin = 0, end = 0;
  bool negative = false;

  /// A number of up to four words, its lowest bit at `position`.
  void set(const uint64_t* words, size_t count, int position) {
    const int shift = position % 32;
    begin = end = static_cast<size_t>(position / 32);
    batch::uint128 over = 0;
    for (size_t i = 0; i < count; ++i) {
      over += static_cast<batch::uint128>(words[i]) << shift;
      digits[end++] = static_cast<uint32_t>(over);
      digits[end++] = static_cast<uint32_t>(over >> 32);
      over >>= 64;
    }
    digits[end++] = static_cast<uint32_t>(over);
  }
};

/// A sum of fixed-point numbers in 32-bit digits with room for carries. Bit 0 is worth what its
/// owner says; the highest digit is for the sign.
template <size_t kDigits>
class DigitSum {
 public:
  static constexpr size_t kStateBytes = (kDigits - 1) * 4 + 8;

  void put(uint64_t mantissa, int position, bool negative) {
    if (++adds_ == kAddsMax) carry();
    size_t digit = static_cast<size_t>(position / 32);
    batch::uint128 value = static_cast<batch::uint128>(mantissa) << (position % 32);
    for (; value != 0; value >>= 32, ++digit) {
      const int64_t part = static_cast<int64_t>(static_cast<uint64_t>(value) & 0xffff'ffff);
      digits_[digit] += negative ? -part : part;
    }
  }
  /// Brings every digit but the last into 0 .. 2^32 - 1.
  void carry() {
    int64_t over = 0;
    for (size_t i = 0; i + 1 < kDigits; ++i) {
      const int64_t digit = digits_[i] + over;
      over = digit >> 32;
      digits_[i] = digit & 0xffff'ffff;
    }
    digits_[kDigits - 1] += over;
    adds_ = 0;
  }
  void add(DigitSum other) {
    carry();
    other.carry();
    for (size_t i = 0; i < kDigits; ++i) digits_[i] += other.digits_[i];
    ++adds_;
  }
  /// All of it in kStateBytes bytes, and back.
  void write(char* out) {
    carry();
    for (size_t i = 0; i + 1 < kDigits; ++i) {
      const auto digit = static_cast<uint32_t>(digits_[i]);
      std::memcpy(out + i * 4, &digit, 4);
    }
    std::memcpy(out + (kDigits - 1) * 4, &digits_[kDigits - 1], 8);
  }
  void add_state(const char* state) {
    carry();
    for (size_t i = 0; i + 1 < kDigits; ++i) {
      uint32_t digit;
      std::memcpy(&digit, state + i * 4, 4);
      digits_[i] += digit;
    }
    int64_t last;
    std::memcpy(&last, state + (kDigits - 1) * 4, 8);
    digits_[kDigits - 1] += last;
    ++adds_;
  }
  /// Its size; the sum must stay below the last digit.
  template <size_t kSize>
  void magnitude(Magnitude<kSize>& out) const {
    DigitSum sum = *this;
    sum.carry();
    out.negative = sum.digits_[kDigits - 1] < 0;
    if (out.negative) {
      for (int64_t& digit : sum.digits_) digit = -digit;
      sum.carry();
    }
    out.begin = 0;
    out.end = kDigits;
    for (size_t i = 0; i < kDigits; ++i) out.digits[i] = static_cast<uint32_t>(sum.digits_[i]);
    while (out.end > 0 && out.digits[out.end - 1] == 0) --out.end;
    while (out.begin < out.end && out.digits[out.begin] == 0) ++out.begin;
  }

 private:
  static constexpr uint32_t kAddsMax = uint32_t{1} << 30;
  std::array<int64_t, kDigits> digits_{};
  uint32_t adds_ = 0;
};

/// fraction x 2^exponent.
struct Scaled {
  double fraction = 0;
  int exponent = 0;
};

/// Up to three highest digits and one bit for what lies below, rounded once; the exponent counts
/// from bit 0.
template <size_t kDigits>
Scaled rounded(const Magnitude<kDigits>& number) {
  size_t top = number.end;
  while (top > number.begin && number.digits[top - 1] == 0) --top;
  batch::uint128 value = 0;
  size_t at = top;
  for (size_t taken = 0; at > number.begin && taken < 3; --at, ++taken)
    value = (value << 32) | number.digits[at - 1];
  uint64_t below = 0;
  for (size_t i = number.begin; i < at; ++i) below |= number.digits[i];
  int exponent = static_cast<int>(at) * 32;
  // The three digits hold 65 bits and more; a double's 53 and what rounds them are among those.
  const auto high = static_cast<uint64_t>(value >> 64);
  auto word = static_cast<uint64_t>(value);
  if (high != 0) {
    const int shift = 64 - __builtin_clzll(high);
    below |= word & ((uint64_t{1} << shift) - 1);
    word = static_cast<uint64_t>(value >> shift);
    exponent += shift;
  }
  if (below != 0) word |= 1;
  const auto fraction = static_cast<double>(word);
  return {number.negative ? -fraction : fraction, exponent};
}

}  // namespace tidegate::reduce
