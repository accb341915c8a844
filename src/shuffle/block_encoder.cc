#include "shuffle/block_encoder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/failure.h"
#include "shuffle/deltas.h"
#include "shuffle/format.h"
#include "shuffle/pooled_text.h"

namespace tidegate::shuffle {

const double kPowersOfTen[kDecimalExponentMax + 1] = {1e0, 1e1, 1e2, 1e3, 1e4,
                                                      1e5, 1e6, 1e7, 1e8, 1e9};

namespace {

using batch::Storage;

constexpr uint32_t kDecimalSample = 16;

template <typename T>
struct UnsignedOf {
  using type = std::make_unsigned_t<T>;
};
template <>
struct UnsignedOf<batch::int128> {
  using type = batch::uint128;
};
template <>
struct UnsignedOf<batch::uint128> {
  using type = batch::uint128;
};

bool is_null(const uint64_t* nulls, uint32_t row) {
  return ((nulls[row / 64] >> (row % 64)) & 1) != 0;
}

uint32_t count_nulls(const uint64_t* nulls, uint32_t rows) {
  uint32_t count = 0;
  for (uint32_t word = 0; word < (rows + 63) / 64; ++word) {
    count += static_cast<uint32_t>(std::popcount(nulls[word]));
  }
  return count;
}

/// Puts the first valid value under every NULL. At least one value is valid.
template <typename T>
void fill_nulls(T* values, const uint64_t* nulls, uint32_t rows) {
  uint32_t first = 0;
  while (is_null(nulls, first)) ++first;
  const T value = values[first];
  for (uint32_t i = 0; i < rows; ++i) {
    if (is_null(nulls, i)) values[i] = value;
  }
}

struct Interval {
  int32_t months;
  int32_t days;
  int64_t micros;
};
static_assert(sizeof(Interval) == 16);

}  // namespace

std::byte* BlockEncoder::grow(size_t size) {
  const size_t before = bytes_.size();
  if (bytes_.capacity() < before + size) {
    bytes_.reserve(std::max(before + size, bytes_.capacity() * 2));
  }
  bytes_.resize(before + size);
  return bytes_.data() + before;
}

size_t BlockEncoder::held_bytes() const {
  return bytes_.capacity() + slots_.capacity() * sizeof(Slot) + entry_sizes_.capacity() * 4 +
         entry_texts_.capacity() * 8 + codes_.capacity() * 2 + integers_.capacity() * 8 +
         bare_.capacity() * 8 + rest_sizes_.capacity() * 4 + whole_sizes_.capacity() * 4 +
         whole_texts_.capacity();
}

void BlockEncoder::trim(size_t keep_bytes) {
  if (bytes_.capacity() > keep_bytes) std::vector<std::byte>().swap(bytes_);
}

void BlockEncoder::put_validity(const uint64_t* nulls, uint32_t rows) {
  if (nulls == nullptr) return;
  const size_t size = (size_t{rows} + 7) / 8;
  std::memcpy(grow(size), nulls, size);
}

void BlockEncoder::encode(const RawColumn& column, uint32_t rows) {
  TG_ASSERT(rows > 0 && rows <= kBlockRowsMax);
  ColumnHead head{};
  head.storage = column.storage;
  const uint64_t* nulls = column.nulls;
  const uint32_t null_count = column.storage == Storage::kNull ? rows
                              : nulls == nullptr               ? 0
                                                               : count_nulls(nulls, rows);
  if (null_count == rows) {
    head.encoding = Encoding::kNothing;
    head.validity = Validity::kNone;
    std::memcpy(grow(sizeof head), &head, sizeof head);
    return;
  }
  if (null_count == 0) nulls = nullptr;
  head.validity = nulls == nullptr ? Validity::kAll : Validity::kBitmap;
  switch (column.storage) {
    case Storage::kI8:
      return frame(static_cast<int8_t*>(column.values), nulls, rows, head);
    case Storage::kI16:
      return frame(static_cast<int16_t*>(column.values), nulls, rows, head);
    case Storage::kI32:
      return frame(static_cast<int32_t*>(column.values), nulls, rows, head);
    case Storage::kI64:
      return frame(static_cast<int64_t*>(column.values), nulls, rows, head);
    case Storage::kI128:
      return frame(static_cast<batch::int128*>(column.values), nulls, rows, head);
    case Storage::kU8:
      return frame(static_cast<uint8_t*>(column.values), nulls, rows, head);
    case Storage::kU16:
      return frame(static_cast<uint16_t*>(column.values), nulls, rows, head);
    case Storage::kU32:
      return frame(static_cast<uint32_t*>(column.values), nulls, rows, head);
    case Storage::kU64:
      return frame(static_cast<uint64_t*>(column.values), nulls, rows, head);
    case Storage::kU128:
      return frame(static_cast<batch::uint128*>(column.values), nulls, rows, head);
    case Storage::kF32:
      return floats<float, uint32_t>(static_cast<float*>(column.values), nulls, rows, head);
    case Storage::kF64:
      return floats<double, uint64_t>(static_cast<double*>(column.values), nulls, rows, head);
    case Storage::kInterval:
      return intervals(column.values, nulls, rows, head);
    case Storage::kBytes: {
      RawColumn clean = column;
      clean.nulls = const_cast<uint64_t*>(nulls);
      const uint32_t* values = static_cast<const uint32_t*>(column.values);
      const auto numbered = std::count_if(values, values + rows, is_pooled);
      if (numbered == rows && pooled(clean, rows, head)) return;
      return texts(numbered > 0 ? with_bytes(clean, rows) : clean, rows, head);
    }
    case Storage::kNull:
      break;
  }
  TG_ASSERT(false);
}

template <typename T>
void BlockEncoder::frame(T* values, const uint64_t* nulls, uint32_t rows, ColumnHead head) {
  using U = typename UnsignedOf<T>::type;
  if (nulls != nullptr) fill_nulls(values, nulls, rows);
  T low = values[0];
  T high = values[0];
  for (uint32_t i = 1; i < rows; ++i) {
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
  }
  const U base = static_cast<U>(low);
  head.encoding = Encoding::kFrame;
  head.delta_width = delta_width(static_cast<U>(static_cast<U>(high) - base));
  std::memcpy(grow(sizeof head), &head, sizeof head);
  put_validity(nulls, rows);
  if constexpr (sizeof(T) == 16) {
    std::memcpy(grow(16), &base, 16);
  } else {
    const int64_t wide = static_cast<int64_t>(+low);  // an int8_t is a number: its sign goes along
    std::memcpy(grow(8), &wide, 8);
  }
  put_deltas(head.delta_width, values, base, rows, grow(size_t{head.delta_width} * rows));
}

template <typename T, typename Bits>
void BlockEncoder::floats(T* values, const uint64_t* nulls, uint32_t rows, ColumnHead head) {
  // Bits, not numbers: NaN payloads and -0.0 must come back as they were.
  Bits* bits = reinterpret_cast<Bits*>(values);
  if (nulls != nullptr) {
    uint32_t first = 0;
    while (is_null(nulls, first)) ++first;
    Bits fill;
    std::memcpy(&fill, bits + first, sizeof fill);
    for (uint32_t i = 0; i < rows; ++i) {
      if (is_null(nulls, i)) std::memcpy(bits + i, &fill, sizeof fill);
    }
  }
  const char* raw = reinterpret_cast<const char*>(values);
  const bool same = std::memcmp(raw, raw + sizeof(T), size_t{rows - 1} * sizeof(T)) == 0;
  const size_t start = bytes_.size();
  if constexpr (sizeof(T) == 8) {
    if (!same) {
      grow(sizeof head);
      put_validity(nulls, rows);
      if (decimals(values, rows, head)) {
        std::memcpy(bytes_.data() + start, &head, sizeof head);
        return;
      }
      bytes_.resize(start);
    }
  }
  head.encoding = same ? Encoding::kSame : Encoding::kPlain;
  std::memcpy(grow(sizeof head), &head, sizeof head);
  put_validity(nulls, rows);
  const size_t size = same ? sizeof(T) : sizeof(T) * rows;
  std::memcpy(grow(size), raw, size);
}

bool BlockEncoder::decimals(const double* values, uint32_t rows, ColumnHead& head) {
  const uint32_t step = std::max<uint32_t>(1, rows / kDecimalSample);
  auto exact = [](double value, double power) {
    const double scaled = value * power;
    if (!(std::fabs(scaled) < static_cast<double>(kDecimalMagnitudeMax))) return false;
    const double whole = (scaled + kRoundingMagic) - kRoundingMagic;
    return std::bit_cast<uint64_t>(whole / power) == std::bit_cast<uint64_t>(value);
  };
  int exponent = 0;
  for (uint32_t i = 0; i < rows && exponent <= kDecimalExponentMax; i += step) {
    while (exponent <= kDecimalExponentMax && !exact(values[i], kPowersOfTen[exponent])) ++exponent;
  }
  while (exponent <= kDecimalExponentMax) {
    const double power = kPowersOfTen[exponent];
    integers_.resize(rows);
    int64_t low = std::numeric_limits<int64_t>::max();
    int64_t high = std::numeric_limits<int64_t>::min();
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < rows; ++i) {
      const double scaled = values[i] * power;
      const double shifted = scaled + kRoundingMagic;
      const double whole = shifted - kRoundingMagic;
      const int64_t integer =
          std::bit_cast<int64_t>(shifted) - std::bit_cast<int64_t>(kRoundingMagic);
      const bool small = std::fabs(scaled) < static_cast<double>(kDecimalMagnitudeMax);
      wrong |= std::bit_cast<uint64_t>(whole / power) ^ std::bit_cast<uint64_t>(values[i]);
      wrong |= small ? 0 : 1;
      integers_[i] = integer;
      low = std::min(low, integer);
      high = std::max(high, integer);
    }
    if (wrong != 0) {
      // The sample missed a longer decimal: one more exponent may do, a second try is the last.
      uint32_t bad = 0;
      while (bad < rows && exact(values[bad], power)) ++bad;
      int next = exponent + 1;
      while (next <= kDecimalExponentMax && bad < rows && !exact(values[bad], kPowersOfTen[next])) {
        ++next;
      }
      exponent = next;
      continue;
    }
    const uint8_t width = delta_width(static_cast<uint64_t>(high) - static_cast<uint64_t>(low));
    if (width == 8) return false;
    std::memcpy(grow(8), &low, 8);
    put_deltas(width, integers_.data(), static_cast<uint64_t>(low), rows,
               grow(size_t{width} * rows));
    head.encoding = Encoding::kDecimals;
    head.delta_width = width;
    head.exponent = static_cast<uint8_t>(exponent);
    return true;
  }
  return false;
}

void BlockEncoder::intervals(void* raw, const uint64_t* nulls, uint32_t rows, ColumnHead head) {
  Interval* values = static_cast<Interval*>(raw);
  if (nulls != nullptr) fill_nulls(values, nulls, rows);
  head.encoding = Encoding::kIntervals;
  std::memcpy(grow(sizeof head), &head, sizeof head);
  put_validity(nulls, rows);
  integers_.resize(rows);
  for (int part = 0; part < 3; ++part) {
    for (uint32_t i = 0; i < rows; ++i) {
      integers_[i] = part == 0 ? values[i].months : part == 1 ? values[i].days : values[i].micros;
    }
    const auto [low, high] = std::minmax_element(integers_.begin(), integers_.begin() + rows);
    const int64_t base = *low;
    const uint8_t width = delta_width(static_cast<uint64_t>(*high) - static_cast<uint64_t>(base));
    std::memcpy(grow(1), &width, 1);
    std::memcpy(grow(8), &base, 8);
    put_deltas(width, integers_.data(), static_cast<uint64_t>(base), rows,
               grow(size_t{width} * rows));
  }
}

}  // namespace tidegate::shuffle
