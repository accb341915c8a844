#include "sort/sort_key.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tidegate::sort {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Meaning;
using batch::Storage;
using batch::StringRef;

constexpr uint8_t kZeroEscape = 0xff;  ///< after a 0x00 that is part of a text
constexpr size_t kTextEnd = 2;         ///< bytes after a text
constexpr uint32_t kIntervalWidth = 24;
constexpr int64_t kMicrosPerDay = 86'400'000'000;
constexpr int64_t kDaysPerMonth = 30;
constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr uint64_t kOffsetMask = 0xff'ffff;  ///< of TIME WITH TIME ZONE: the offset's bits
constexpr int kOffsetBits = 24;

template <typename T>
T load(const void* data, size_t row) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + row * sizeof(T), sizeof(T));
  return value;
}

template <typename U>
U swap_bytes(U value) {
  if constexpr (sizeof(U) == 1) return value;
  if constexpr (sizeof(U) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(U) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(U) == 8) return __builtin_bswap64(value);
  if constexpr (sizeof(U) == 16)
    return static_cast<U>(__builtin_bswap64(static_cast<uint64_t>(value))) << 64 |
           __builtin_bswap64(static_cast<uint64_t>(value >> 64));
}

template <typename U>
void put(U value, U flip, uint8_t* out) {
  const U turned = swap_bytes(static_cast<U>(value ^ flip));
  std::memcpy(out, &turned, sizeof turned);
}

template <typename U>
constexpr U kTop = static_cast<U>(U{1} << (sizeof(U) * 8 - 1));

/// The bits of a floating-point number in the order of its values.
template <typename U, typename F>
U ordered_bits(F value) {
  if (std::isnan(value)) value = std::numeric_limits<F>::quiet_NaN();
  if (value == 0) value = 0;
  const U bits = std::bit_cast<U>(value);
  return bits & kTop<U> ? static_cast<U>(~bits) : static_cast<U>(bits | kTop<U>);
}

/// DuckDB's normal form of an interval: days below 30 and microseconds below a day, carried to the
/// left by division toward zero.
void put_interval(const void* data, size_t row, uint64_t flip, uint8_t* out) {
  const char* at = static_cast<const char*>(data) + row * 16;
  int64_t months = load<int32_t>(at, 0), days = load<int32_t>(at + 4, 0);
  int64_t micros = load<int64_t>(at + 8, 0);
  days += micros / kMicrosPerDay;
  micros %= kMicrosPerDay;
  months += days / kDaysPerMonth;
  days %= kDaysPerMonth;
  const uint64_t turn = kTop<uint64_t> ^ flip;
  put<uint64_t>(static_cast<uint64_t>(months), turn, out);
  put<uint64_t>(static_cast<uint64_t>(days), turn, out + 8);
  put<uint64_t>(static_cast<uint64_t>(micros), turn, out + 16);
}

uint32_t key_width(const ColumnType& type) {
  return type.storage == Storage::kInterval ? kIntervalWidth : type.width;
}

/// Writes a column's part of each key and moves the keys' cursors on.
class Putter {
 public:
  Putter(const SortColumn& order, const ColumnView& view, size_t begin, size_t end, uint8_t* keys,
         uint32_t* cursors)
      : view_(view),
        begin_(begin),
        end_(end),
        keys_(keys),
        cursors_(cursors),
        null_(order.nulls_first ? 0 : 1),
        flip_(order.descending ? 0xff : 0) {}

  /// `write(row, out)` for each value that is not NULL.
  template <uint32_t kWidth, typename Write>
  void fixed(Write write) const {
    const uint8_t valid = null_ ^ 1;
    for (size_t row = begin_; row < end_; ++row) {
      uint8_t* out = keys_ + cursors_[row - begin_];
      cursors_[row - begin_] += 1 + kWidth;
      if (view_.is_valid(row)) {
        *out = valid;
        write(row, out + 1);
      } else {
        *out = null_;
        std::memset(out + 1, 0, kWidth);
      }
    }
  }

  template <typename U>
  void integers(U turn) const {
    if (flip_ != 0) turn = static_cast<U>(~turn);
    fixed<sizeof(U)>(
        [&](size_t row, uint8_t* out) { put<U>(load<U>(view_.data, row), turn, out); });
  }

  template <typename F, typename U>
  void floats() const {
    const U turn = flip_ != 0 ? static_cast<U>(~U{0}) : U{0};
    fixed<sizeof(U)>([&](size_t row, uint8_t* out) {
      put<U>(ordered_bits<U>(load<F>(view_.data, row)), turn, out);
    });
  }

  void intervals() const {
    const uint64_t turn = flip_ != 0 ? ~uint64_t{0} : 0;
    fixed<kIntervalWidth>(
        [&](size_t row, uint8_t* out) { put_interval(view_.data, row, turn, out); });
  }

  /// By their moment in UTC.
  void times_with_zone() const {
    const uint64_t turn = flip_ != 0 ? ~uint64_t{0} : 0;
    fixed<8>([&](size_t row, uint8_t* out) {
      const uint64_t bits = load<uint64_t>(view_.data, row);
      const uint64_t shift = (bits & kOffsetMask) * kMicrosPerSecond << kOffsetBits;
      put<uint64_t>(bits + shift, turn, out);
    });
  }

  void texts() const {
    const uint8_t valid = null_ ^ 1;
    for (size_t row = begin_; row < end_; ++row) {
      uint8_t* out = keys_ + cursors_[row - begin_];
      if (!view_.is_valid(row)) {
        *out++ = null_;
      } else {
        *out++ = valid;
        out = text(static_cast<const StringRef*>(view_.data)[row], out);
      }
      cursors_[row - begin_] = static_cast<uint32_t>(out - keys_);
    }
  }

 private:
  uint8_t* text(const StringRef& value, uint8_t* out) const {
    uint8_t* const first = out;
    const char* at = value.data();
    size_t left = value.size;
    while (true) {
      const auto* zero = left == 0 ? nullptr : static_cast<const char*>(std::memchr(at, 0, left));
      const size_t run = zero == nullptr ? left : static_cast<size_t>(zero - at);
      if (run > 0) std::memcpy(out, at, run);
      out += run;
      if (zero == nullptr) break;
      *out++ = 0;
      *out++ = kZeroEscape;
      at += run + 1;
      left -= run + 1;
    }
    *out++ = 0;
    *out++ = 0;
    if (flip_ != 0)
      for (uint8_t* byte = first; byte != out; ++byte) *byte ^= flip_;
    return out;
  }

  const ColumnView& view_;
  size_t begin_, end_;
  uint8_t* keys_;
  uint32_t* cursors_;
  uint8_t null_;
  uint8_t flip_;
};

void put_column(const ColumnType& type, const Putter& to) {
  if (type.meaning == Meaning::kTimeTz) return to.times_with_zone();
  switch (type.storage) {
    case Storage::kI8:
      return to.integers<uint8_t>(kTop<uint8_t>);
    case Storage::kI16:
      return to.integers<uint16_t>(kTop<uint16_t>);
    case Storage::kI32:
      return to.integers<uint32_t>(kTop<uint32_t>);
    case Storage::kI64:
      return to.integers<uint64_t>(kTop<uint64_t>);
    case Storage::kI128:
      return to.integers<batch::uint128>(kTop<batch::uint128>);
    case Storage::kU8:
      return to.integers<uint8_t>(0);
    case Storage::kU16:
      return to.integers<uint16_t>(0);
    case Storage::kU32:
      return to.integers<uint32_t>(0);
    case Storage::kU64:
      return to.integers<uint64_t>(0);
    case Storage::kU128:
      return to.integers<batch::uint128>(0);
    case Storage::kF32:
      return to.floats<float, uint32_t>();
    case Storage::kF64:
      return to.floats<double, uint64_t>();
    case Storage::kInterval:
      return to.intervals();
    case Storage::kBytes:
      return to.texts();
    case Storage::kNull:
      return;
  }
}

std::optional<std::string> unsortable(const ColumnType& type) {
  if (type.is_nested()) return "it is nested";
  if (type.meaning == Meaning::kBit || type.meaning == Meaning::kBignum ||
      type.meaning == Meaning::kNull)
    return "its order is not known here";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> unsortable(std::string_view type) {
  const auto parsed = batch::parse_scalar_type(type);
  if (!parsed) return "it is nested or not known here";
  return unsortable(*parsed);
}

Result<KeyMaker> KeyMaker::create(const std::vector<ColumnType>& types, const SortOrder& order) {
  KeyMaker maker;
  bool texts = false;
  for (const SortColumn& column : order) {
    TG_ASSERT(column.column < types.size());
    const ColumnType& type = types[column.column];
    if (const auto why = unsortable(type))
      return fail(FailureClass::kDefect, "sort.type",
                  "rows cannot be sorted by " + type.text + ": " + *why);
    maker.parts_.push_back({column, type});
    maker.fixed_bytes_ += 1 + key_width(type);
    texts |= type.storage == Storage::kBytes;
  }
  maker.fixed_width_ = texts ? 0 : maker.fixed_bytes_;
  return maker;
}

uint64_t KeyMaker::bytes_of(const batch::RowsView& rows, size_t row) const {
  uint64_t bytes = fixed_bytes_;
  if (fixed_width_ != 0) return bytes;
  for (const Part& part : parts_) {
    const ColumnView& view = rows.column(part.column.column);
    if (part.type.storage != Storage::kBytes || !view.is_valid(row)) continue;
    // Every byte may be a zero, which takes two.
    bytes += 2 * uint64_t{static_cast<const StringRef*>(view.data)[row].size} + kTextEnd;
  }
  return bytes;
}

void KeyMaker::make(const batch::RowsView& rows, size_t begin, size_t end, KeyBatch& out) {
  const size_t count = end - begin;
  cursors_.resize(count);
  out.begins.resize(count + 1);
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    cursors_[i] = static_cast<uint32_t>(bytes);
    bytes += bytes_of(rows, begin + i);
  }
  TG_ASSERT(bytes <= std::numeric_limits<uint32_t>::max());
  if (out.bytes.size() < bytes) out.bytes.resize(bytes);
  if (fixed_width_ != 0)
    for (size_t i = 0; i <= count; ++i) out.begins[i] = static_cast<uint32_t>(i * fixed_width_);
  else
    std::copy(cursors_.begin(), cursors_.end(), out.begins.begin());
  for (const Part& part : parts_)
    put_column(part.type, Putter(part.column, rows.column(part.column.column), begin, end,
                                 out.bytes.data(), cursors_.data()));
  if (fixed_width_ != 0) return;
  // Texts had room for the worst case: close up.
  uint32_t to = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t from = out.begins[i], size = cursors_[i] - from;
    std::memmove(out.bytes.data() + to, out.bytes.data() + from, size);
    out.begins[i] = to;
    to += size;
  }
  out.begins[count] = to;
}

}  // namespace tidegate::sort
