#include "reduce/exact_sum.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tidegate::reduce {
namespace {

using batch::int128;
using batch::uint128;

/// magnitude x 2^exponent, rounded to the nearest double once.
double round_magnitude(uint128 magnitude, int exponent, bool negative) {
  if (magnitude == 0) return 0;
  const uint64_t high = static_cast<uint64_t>(magnitude >> 64);
  uint64_t top = static_cast<uint64_t>(magnitude);
  if (high != 0) {
    const int shift = 64 - std::countl_zero(high);
    top = static_cast<uint64_t>(magnitude >> shift);
    // What is cut off lies below the rounding bit: one bit stands for it.
    if ((magnitude & ((static_cast<uint128>(1) << shift) - 1)) != 0) top |= 1;
    exponent += shift;
  }
  const double value = std::ldexp(static_cast<double>(top), exponent);
  return negative ? -value : value;
}

}  // namespace

void LongSum::put(uint64_t mantissa, int position, bool negative) {
  if (++adds_ == kAddsMax) carry();
  size_t digit = static_cast<size_t>(position / 32);
  uint128 value = static_cast<uint128>(mantissa) << (position % 32);
  for (; value != 0; value >>= 32, ++digit) {
    const int64_t part = static_cast<int64_t>(static_cast<uint64_t>(value) & 0xffff'ffff);
    digits_[digit] += negative ? -part : part;
  }
}

void LongSum::add(double value) {
  if (std::isnan(value)) {
    nan_ = true;
  } else if (std::isinf(value)) {
    (value > 0 ? plus_ : minus_) = true;
  } else {
    const uint64_t bits = std::bit_cast<uint64_t>(value);
    const int exponent = static_cast<int>((bits >> 52) & 0x7ff);
    const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
    const uint64_t mantissa = exponent == 0 ? fraction : fraction | (uint64_t{1} << 52);
    put(mantissa, std::max(exponent, 1) - 1'075 + kBias, (bits >> 63) != 0);
  }
}

void LongSum::add_fixed(int128 value, int exponent) {
  const bool negative = value < 0;
  const uint128 magnitude = negative ? -static_cast<uint128>(value) : static_cast<uint128>(value);
  put(static_cast<uint64_t>(magnitude), exponent + kBias, negative);
  put(static_cast<uint64_t>(magnitude >> 64), exponent + 64 + kBias, negative);
}

void LongSum::add(const LongSum& other) {
  carry();
  LongSum copy = other;
  copy.carry();
  for (size_t i = 0; i < kDigits; ++i) digits_[i] += copy.digits_[i];
  ++adds_;
  nan_ |= other.nan_;
  plus_ |= other.plus_;
  minus_ |= other.minus_;
}

/// Brings every digit but the last into 0 .. 2^32 - 1.
void LongSum::carry() {
  int64_t over = 0;
  for (size_t i = 0; i + 1 < kDigits; ++i) {
    const int64_t digit = digits_[i] + over;
    over = digit >> 32;
    digits_[i] = digit & 0xffff'ffff;
  }
  digits_[kDigits - 1] += over;
  adds_ = 0;
}

/// After a carry every digit but the last is 32 bits, and the last is small.
void LongSum::write(char* out) {
  carry();
  for (size_t i = 0; i + 1 < kDigits; ++i) {
    const auto digit = static_cast<uint32_t>(digits_[i]);
    std::memcpy(out + i * 4, &digit, 4);
  }
  std::memcpy(out + (kDigits - 1) * 4, &digits_[kDigits - 1], 8);
  const uint32_t flags = (nan_ ? 1U : 0) | (plus_ ? 2U : 0) | (minus_ ? 4U : 0);
  std::memcpy(out + (kDigits - 1) * 4 + 8, &flags, 4);
}

void LongSum::add_state(const char* state) {
  carry();
  for (size_t i = 0; i + 1 < kDigits; ++i) {
    uint32_t digit;
    std::memcpy(&digit, state + i * 4, 4);
    digits_[i] += digit;
  }
  int64_t last;
  std::memcpy(&last, state + (kDigits - 1) * 4, 8);
  digits_[kDigits - 1] += last;
  uint32_t flags;
  std::memcpy(&flags, state + (kDigits - 1) * 4 + 8, 4);
  nan_ |= (flags & 1) != 0;
  plus_ |= (flags & 2) != 0;
  minus_ |= (flags & 4) != 0;
  ++adds_;
}

double LongSum::rounded() {
  if (nan_ || (plus_ && minus_)) return std::numeric_limits<double>::quiet_NaN();
  if (plus_) return std::numeric_limits<double>::infinity();
  if (minus_) return -std::numeric_limits<double>::infinity();
  carry();
  LongSum magnitude = *this;
  const bool negative = magnitude.digits_[kDigits - 1] < 0;
  if (negative) {
    for (int64_t& digit : magnitude.digits_) digit = -digit;
    magnitude.carry();
  }
  size_t top = kDigits;
  while (top > 0 && magnitude.digits_[top - 1] == 0) --top;
  if (top == 0) return 0;
  // Up to three digits hold the 65 bits that decide; what is below stands in the lowest bit.
  uint128 value = 0;
  size_t taken = 0;
  size_t at = top;
  for (; at > 0 && taken < 3; --at, ++taken)
    value = (value << 32) | static_cast<uint64_t>(magnitude.digits_[at - 1]);
  bool rest = false;
  for (size_t i = 0; i < at; ++i) rest |= magnitude.digits_[i] != 0;
  const int exponent = static_cast<int>(at) * 32 - kBias;
  if (rest) {
    // There are three digits, so that the bit is below every bit that rounding looks at.
    value = (value << 1) | 1;
    return round_magnitude(value, exponent - 1, negative);
  }
  return round_magnitude(value, exponent, negative);
}

double ExactSums::rounded(uint32_t group) const {
  const int128 sum = sums_[group];
  if (!long_.empty()) {
    if (const auto at = long_.find(group); at != long_.end()) {
      LongSum total = *at->second;
      total.add_fixed(sum, -kFractionBits);
      return total.rounded();
    }
  }
  const bool negative = sum < 0;
  const uint128 magnitude = negative ? -static_cast<uint128>(sum) : static_cast<uint128>(sum);
  return round_magnitude(magnitude, -kFractionBits, negative);
}

std::string ExactSums::state(uint32_t group) const {
  std::string out(reinterpret_cast<const char*>(&sums_[group]), 16);
  if (const auto at = long_.find(group); at != long_.end()) {
    out.resize(16 + LongSum::kStateBytes);
    at->second->write(out.data() + 16);
  }
  return out;
}

bool ExactSums::add_state(uint32_t group, std::string_view state) {
  if (state.size() != 16 && state.size() != 16 + LongSum::kStateBytes) return false;
  int128 fixed;
  std::memcpy(&fixed, state.data(), 16);
  const bool over = __builtin_add_overflow(sums_[group], fixed, &fixed);
  if (!over) sums_[group] = fixed;
  if (!over && state.size() == 16) return true;
  std::unique_ptr<LongSum>& sum = long_[group];
  if (!sum) sum = std::make_unique<LongSum>();
  if (over) {
    std::memcpy(&fixed, state.data(), 16);
    sum->add_fixed(fixed, -kFractionBits);
  }
  if (state.size() > 16) sum->add_state(state.data() + 16);
  return true;
}

void ExactSums::add_long(uint32_t group, double value) {
  std::unique_ptr<LongSum>& sum = long_[group];
  if (!sum) sum = std::make_unique<LongSum>();
  sum->add(value);
}

}  // namespace tidegate::reduce
