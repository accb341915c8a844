#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/failure.h"
#include "batch/type.h"

namespace tidegate::shuffle {

// Integers as a base and deltas of 0, 1, 2, 4, 8 or 16 bytes.

inline bool is_delta_width(uint8_t width, uint8_t most) {
  return width <= most && (width == 0 || std::has_single_bit(width));
}

/// The bytes of a delta where the largest is `range`.
template <typename U>
uint8_t delta_width(U range) {
  if (range == 0) return 0;
  if (range <= U{0xff}) return 1;
  if constexpr (sizeof(U) >= 2) {
    if (range <= U{0xffff}) return 2;
  }
  if constexpr (sizeof(U) >= 4) {
    if (range <= U{0xffff'ffff}) return 4;
  }
  if constexpr (sizeof(U) >= 8) {
    if (range <= U{std::numeric_limits<uint64_t>::max()}) return 8;
  }
  return sizeof(U) == 16 ? 16 : sizeof(U);
}

template <typename Narrow, typename T, typename U>
void put_narrow_deltas(const T* values, U base, uint32_t rows, std::byte* out) {
  for (uint32_t i = 0; i < rows; ++i) {
    const Narrow delta = static_cast<Narrow>(static_cast<U>(values[i]) - base);
    std::memcpy(out + size_t{i} * sizeof(Narrow), &delta, sizeof(Narrow));
  }
}

template <typename T, typename U>
void put_deltas(uint8_t width, const T* values, U base, uint32_t rows, std::byte* out) {
  switch (width) {
    case 0:
      return;
    case 1:
      return put_narrow_deltas<uint8_t>(values, base, rows, out);
    case 2:
      return put_narrow_deltas<uint16_t>(values, base, rows, out);
    case 4:
      return put_narrow_deltas<uint32_t>(values, base, rows, out);
    case 8:
      return put_narrow_deltas<uint64_t>(values, base, rows, out);
    case 16:
      return put_narrow_deltas<batch::uint128>(values, base, rows, out);
    default:
      TG_ASSERT(false);
  }
}

template <typename Narrow>
Narrow load_delta(const std::byte* at, size_t index) {
  Narrow value;
  std::memcpy(&value, at + index * sizeof(Narrow), sizeof(Narrow));
  return value;
}

/// The delta at `index`, of up to 8 bytes.
inline uint64_t load_delta(const std::byte* at, uint8_t width, size_t index) {
  switch (width) {
    case 1:
      return load_delta<uint8_t>(at, index);
    case 2:
      return load_delta<uint16_t>(at, index);
    case 4:
      return load_delta<uint32_t>(at, index);
    case 8:
      return load_delta<uint64_t>(at, index);
    default:
      return 0;
  }
}

}  // namespace tidegate::shuffle
