#include "reduce/exact_product.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace tidegate::reduce {
namespace {

using batch::int128;
using batch::uint128;

constexpr uint64_t kImplicit = uint64_t{1} << 52;
constexpr uint64_t kFraction = kImplicit - 1;

int exponent_of(uint64_t bits) { return static_cast<int>((bits >> 52) & 0x7ff); }

}  // namespace

void ExactProducts::add(uint32_t group, double x, double y) {
  const auto a = std::bit_cast<uint64_t>(x), b = std::bit_cast<uint64_t>(y);
  constexpr int kLowest = 1'075 - kExactFractionBits;
  const int left = exponent_of(a) - kLowest, right = exponent_of(b) - kLowest;
  if (left < 0 || right < 0 || left + right > kShiftMax) [[unlikely]] {
    if (x != 0 && y != 0 && std::isfinite(x) && std::isfinite(y)) add_long(group, x, y);
    return;
  }
  const uint128 product =
      static_cast<uint128>((a & kFraction) | kImplicit) * ((b & kFraction) | kImplicit);
  const int shift = left + right;
  const int bit = shift % 64;
  const auto word = static_cast<size_t>(shift / 64);
  Fixed size{};
  const uint128 low = product << bit;
  size[word] = static_cast<uint64_t>(low);
  size[word + 1] = static_cast<uint64_t>(low >> 64);
  size[word + 2] = bit == 0 ? 0 : static_cast<uint64_t>(product >> (128 - bit));
  add_fixed(group, size, ((a ^ b) >> 63) != 0);
}

void ExactProducts::add_fixed(uint32_t group, const Fixed& size, bool negative) {
  Fixed& sum = sums_[group];
  const uint64_t flip = negative ? ~uint64_t{0} : 0;
  uint128 over = negative ? 1 : 0;
  for (size_t i = 0; i < 4; ++i) {
    over += static_cast<uint128>(sum[i]) + (size[i] ^ flip);
    sum[i] = static_cast<uint64_t>(over);
    over >>= 64;
  }
  // Before the highest bits are needed the sum moves on.
  const auto top = static_cast<int64_t>(sum[3]);
  if (top < (int64_t{1} << 61) && top >= -(int64_t{1} << 61)) [[likely]]
    return;
  bool below_zero = false;
  const Fixed all = size_of(sum, below_zero);
  Long& rest = long_of(group);
  for (size_t i = 0; i < 4; ++i)
    rest.put(all[i], kBias - kFractionBits + static_cast<int>(i) * 64, below_zero);
  sum = {};
}

ExactProducts::Fixed ExactProducts::size_of(const Fixed& sum, bool& negative) {
  negative = (sum[3] >> 63) != 0;
  if (!negative) return sum;
  Fixed out{};
  uint128 over = 1;
  for (size_t i = 0; i < 4; ++i) {
    over += ~sum[i];
    out[i] = static_cast<uint64_t>(over);
    over >>= 64;
  }
  return out;
}

ExactProducts::Long& ExactProducts::long_of(uint32_t group) {
  std::unique_ptr<Long>& sum = long_[group];
  if (!sum) sum = std::make_unique<Long>();
  return *sum;
}

void ExactProducts::add_long(uint32_t group, double x, double y) {
  const auto a = std::bit_cast<uint64_t>(x), b = std::bit_cast<uint64_t>(y);
  const auto mantissa = [](uint64_t bits) {
    return (bits & kFraction) | (exponent_of(bits) == 0 ? 0 : kImplicit);
  };
  const uint128 product = static_cast<uint128>(mantissa(a)) * mantissa(b);
  const int position =
      std::max(exponent_of(a), 1) + std::max(exponent_of(b), 1) - 2 * 1'075 + kBias;
  const bool negative = ((a ^ b) >> 63) != 0;
  Long& sum = long_of(group);
  sum.put(static_cast<uint64_t>(product), position, negative);
  sum.put(static_cast<uint64_t>(product >> 64), position + 64, negative);
}

void ExactProducts::magnitude(uint32_t group, Magnitude<kDigits>& out) const {
  bool negative = false;
  const Fixed size = size_of(sums_[group], negative);
  constexpr int kPosition = kBias - kFractionBits;
  if (!long_.empty()) {
    if (const auto at = long_.find(group); at != long_.end()) {
      Long total = *at->second;
      for (size_t i = 0; i < 4; ++i)
        total.put(size[i], kPosition + static_cast<int>(i) * 64, negative);
      total.magnitude(out);
      return;
    }
  }
  out.negative = negative;
  out.set(size.data(), 4, kPosition);
}

Scaled ExactProducts::spread(uint32_t group, uint64_t count, const ExactSums& x,
                             const ExactSums& y) const {
  // Terms of a digit: at most 70 products of digits and two of the count's, all below 2^64.
  constexpr size_t kSize = kDigits + 4;
  Magnitude<kDigits> products;
  Magnitude<LongSum::kDigits> left, right;
  magnitude(group, products);
  x.magnitude(group, left);
  y.magnitude(group, right);
  std::array<int128, kSize> digits{};
  const auto low = static_cast<int64_t>(count & 0xffff'ffff),
             high = static_cast<int64_t>(count >> 32);
  for (size_t i = products.begin; i < products.end; ++i) {
    const int64_t digit = products.negative ? -int64_t{products.digits[i]} : products.digits[i];
    digits[i] += static_cast<int128>(digit) * low;
    digits[i + 1] += static_cast<int128>(digit) * high;
  }
  const bool same = left.negative == right.negative;
  for (size_t i = left.begin; i < left.end; ++i) {
    const int128 digit = same ? -static_cast<int128>(left.digits[i]) : left.digits[i];
    for (size_t k = right.begin; k < right.end; ++k) digits[i + k] += digit * right.digits[k];
  }
  Magnitude<kSize> out;
  out.begin = std::min(products.begin, left.begin + right.begin);
  out.end = kSize;
  const auto carry = [&] {
    int128 over = 0;
    for (size_t i = out.begin; i < kSize; ++i) {
      over += digits[i];
      digits[i] = over & 0xffff'ffff;
      over >>= 32;
    }
    return over < 0;
  };
  out.negative = carry();
  if (out.negative) {
    for (size_t i = out.begin; i < kSize; ++i) digits[i] = -digits[i];
    (void)carry();
  }
  for (size_t i = out.begin; i < kSize; ++i) out.digits[i] = static_cast<uint32_t>(digits[i]);
  Scaled result = rounded(out);
  result.exponent -= kBias;
  return result;
}

std::string ExactProducts::state(uint32_t group) const {
  std::string out(reinterpret_cast<const char*>(&sums_[group]), sizeof(Fixed));
  if (const auto at = long_.find(group); at != long_.end()) {
    out.resize(sizeof(Fixed) + Long::kStateBytes);
    at->second->write(out.data() + sizeof(Fixed));
  }
  return out;
}

bool ExactProducts::add_state(uint32_t group, std::string_view state) {
  if (state.size() != sizeof(Fixed) && state.size() != sizeof(Fixed) + Long::kStateBytes)
    return false;
  Fixed sum;
  std::memcpy(&sum, state.data(), sizeof sum);
  bool negative = false;
  const Fixed size = size_of(sum, negative);
  add_fixed(group, size, negative);
  if (state.size() > sizeof(Fixed)) long_of(group).add_state(state.data() + sizeof(Fixed));
  return true;
}

}  // namespace tidegate::reduce
