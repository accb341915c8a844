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
    digits_.put(mantissa, std::max(exponent, 1) - 1'075 + kBias, (bits >> 63) != 0);
  }
}

void LongSum::add_fixed(int128 value, int exponent) {
  const bool negative = value < 0;
  const uint128 magnitude = negative ? -static_cast<uint128>(value) : static_cast<uint128>(value);
  digits_.put(static_cast<uint64_t>(magnitude), exponent + kBias, negative);
  digits_.put(static_cast<uint64_t>(magnitude >> 64), exponent + 64 + kBias, negative);
}

void LongSum::write(char* out) {
  digits_.write(out);
  const uint32_t flags = (nan_ ? 1U : 0) | (plus_ ? 2U : 0) | (minus_ ? 4U : 0);
  std::memcpy(out + DigitSum<kDigits>::kStateBytes, &flags, 4);
}

void LongSum::add_state(const char* state) {
  digits_.add_state(state);
  uint32_t flags;
  std::memcpy(&flags, state + DigitSum<kDigits>::kStateBytes, 4);
  nan_ |= (flags & 1) != 0;
  plus_ |= (flags & 2) != 0;
  minus_ |= (flags & 4) != 0;
}

double LongSum::rounded() const {
  if (nan_ || (plus_ && minus_)) return std::numeric_limits<double>::quiet_NaN();
  if (plus_) return std::numeric_limits<double>::infinity();
  if (minus_) return -std::numeric_limits<double>::infinity();
  Magnitude<kDigits> magnitude;
  digits_.magnitude(magnitude);
  const Scaled scaled = reduce::rounded(magnitude);
  return std::ldexp(scaled.fraction, scaled.exponent - kBias);
}

double ExactSums::rounded(uint32_t group) const {
  const int128 sum = sums_[group];
  if (!long_.empty()) {
    if (const auto at = long_.find(group); at != long_.end()) {
      LongSum total = *at->second;
      total.add_fixed(sum, -kExactFractionBits);
      return total.rounded();
    }
  }
  const bool negative = sum < 0;
  const uint128 magnitude = negative ? -static_cast<uint128>(sum) : static_cast<uint128>(sum);
  return round_magnitude(magnitude, -kExactFractionBits, negative);
}

bool ExactSums::is_finite(uint32_t group) const {
  if (long_.empty()) return true;
  const auto at = long_.find(group);
  return at == long_.end() || at->second->is_finite();
}

void ExactSums::magnitude(uint32_t group, Magnitude<LongSum::kDigits>& out) const {
  const int128 sum = sums_[group];
  if (!long_.empty()) {
    if (const auto at = long_.find(group); at != long_.end()) {
      LongSum total = *at->second;
      total.add_fixed(sum, -kExactFractionBits);
      total.digits().magnitude(out);
      return;
    }
  }
  out.negative = sum < 0;
  const uint128 size = out.negative ? -static_cast<uint128>(sum) : static_cast<uint128>(sum);
  const uint64_t words[2] = {static_cast<uint64_t>(size), static_cast<uint64_t>(size >> 64)};
  out.set(words, 2, LongSum::kBias - kExactFractionBits);
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
    sum->add_fixed(fixed, -kExactFractionBits);
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
