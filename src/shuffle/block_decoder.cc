#include "shuffle/block_decoder.h"

#include <bit>
#include <cstring>

#include "batch/value_codec.h"
#include "duckdb.h"
#include "shuffle/block_bytes.h"
#include "shuffle/deltas.h"
#include "shuffle/format.h"

namespace tidegate::shuffle {
namespace {

using batch::Storage;
using batch::StringRef;

template <typename Narrow, typename U>
void add_base(const std::byte* deltas, U base, uint32_t count, U* out) {
  for (uint32_t i = 0; i < count; ++i) {
    out[i] = static_cast<U>(base + static_cast<U>(load_delta<Narrow>(deltas, i)));
  }
}

/// out[i] = base + delta[i], for deltas from row `first` on.
template <typename U>
void read_frame(const std::byte* deltas, uint8_t width, U base, uint32_t first, uint32_t count,
                U* out) {
  const std::byte* from = deltas + size_t{first} * width;
  switch (width) {
    case 0:
      std::fill(out, out + count, base);
      return;
    case 1:
      return add_base<uint8_t>(from, base, count, out);
    case 2:
      return add_base<uint16_t>(from, base, count, out);
    case 4:
      return add_base<uint32_t>(from, base, count, out);
    case 8:
      return add_base<uint64_t>(from, base, count, out);
    default:
      return add_base<batch::uint128>(from, base, count, out);
  }
}

template <typename Narrow>
void read_decimals(const std::byte* deltas, int64_t base, double power, uint32_t count,
                   double* out) {
  // Unsigned: a base that no encoder wrote must wrap.
  const uint64_t shift = static_cast<uint64_t>(base) + std::bit_cast<uint64_t>(kRoundingMagic);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t bits = shift + load_delta<Narrow>(deltas, i);
    out[i] = (std::bit_cast<double>(bits) - kRoundingMagic) / power;
  }
}

}  // namespace

Result<std::vector<std::span<const std::byte>>> split_block(std::span<const std::byte> block,
                                                            size_t columns) {
  std::span<const std::byte> rest = block;
  std::span<const std::byte> sizes;
  if (!take(rest, columns * 4, sizes)) return malformed("too short");
  std::vector<std::span<const std::byte>> out(columns);
  for (size_t i = 0; i < columns; ++i) {
    if (!take(rest, load_delta<uint32_t>(sizes.data(), i), out[i]))
      return malformed("a column's size");
  }
  if (!rest.empty()) return malformed("too long");
  return out;
}

bool ColumnCursor::is_null(uint32_t row) const {
  return nulls_ != nullptr && ((static_cast<uint8_t>(nulls_[row / 8]) >> (row % 8)) & 1) != 0;
}

Result<ColumnCursor> ColumnCursor::open(const batch::ColumnType& type,
                                        std::span<const std::byte> bytes, uint32_t rows) {
  ColumnCursor cursor;
  cursor.type_ = &type;
  cursor.rows_ = rows;
  if (rows == 0 || rows > kBlockRowsMax) return malformed("row count");
  ColumnHead& head = cursor.head_;
  std::span<const std::byte> rest = bytes;
  if (!take(rest, head)) return malformed("column head");
  if (head.storage != type.storage) return malformed("another type");
  const uint8_t bare_most = head.encoding == Encoding::kPrefixed ? 1 : 0;
  if (head.bare > bare_most || head.zero[0] != 0 || head.zero[1] != 0) {
    return malformed("column head");
  }
  std::span<const std::byte> part;
  if (head.validity == Validity::kNone) {
    if (head.encoding != Encoding::kNothing || !rest.empty()) return malformed("no values");
    return cursor;
  }
  if (head.validity == Validity::kBitmap) {
    if (!take(rest, (size_t{rows} + 7) / 8, part)) return malformed("validity");
    cursor.nulls_ = part.data();
  } else if (head.validity != Validity::kAll) {
    return malformed("validity");
  }
  const uint8_t width = type.width;
  const bool integer = type.storage <= Storage::kU128;
  const bool real = type.storage == Storage::kF32 || type.storage == Storage::kF64;
  auto take_frame = [&](Frame& frame, uint8_t delta, uint8_t most, size_t base_bytes) {
    if (!is_delta_width(delta, most)) return false;
    frame.width = delta;
    if (base_bytes == 16) {
      if (!take(rest, frame.base)) return false;
    } else {
      int64_t base = 0;
      if (!take(rest, base)) return false;
      frame.base = static_cast<batch::uint128>(base);
    }
    if (!take(rest, size_t{delta} * rows, part)) return false;
    frame.deltas = part.data();
    return true;
  };
  switch (head.encoding) {
    case Encoding::kFrame:
      if (!integer ||
          !take_frame(cursor.frames_[0], head.delta_width, width, width == 16 ? 16 : 8)) {
        return malformed("frame");
      }
      break;
    case Encoding::kPlain:
    case Encoding::kSame:
      if (!real ||
          !take(rest, head.encoding == Encoding::kSame ? width : size_t{width} * rows, part)) {
        return malformed("plain values");
      }
      cursor.values_ = part.data();
      break;
    case Encoding::kDecimals:
      if (type.storage != Storage::kF64 || head.exponent > kDecimalExponentMax ||
          !take_frame(cursor.frames_[0], head.delta_width, 4, 8)) {
        return malformed("decimals");
      }
      break;
    case Encoding::kIntervals:
      if (type.storage != Storage::kInterval) return malformed("intervals");
      for (Frame& frame : cursor.frames_) {
        uint8_t delta = 0;
        if (!take(rest, delta) || !take_frame(frame, delta, 8, 8)) return malformed("intervals");
      }
      break;
    case Encoding::kTexts:
    case Encoding::kPrefixed:
    case Encoding::kDictionary:
      if (type.storage != Storage::kBytes) return malformed("texts");
      if (head.encoding == Encoding::kTexts) {
        TG_TRY(cursor.open_texts(rest));
      } else if (head.encoding == Encoding::kPrefixed) {
        TG_TRY(cursor.open_prefixed(rest));
      } else {
        TG_TRY(cursor.open_dictionary(rest));
      }
      return cursor;
    default:
      return malformed("encoding");
  }
  if (!rest.empty()) return malformed("too long");
  if (type.meaning == batch::Meaning::kEnum) {
    // An index beyond the dictionary would crash DuckDB.
    for (uint32_t i = 0; i < rows; ++i) {
      const Frame& frame = cursor.frames_[0];
      uint64_t value = static_cast<uint64_t>(frame.base) + load_delta(frame.deltas, frame.width, i);
      value &= type.width == 1 ? 0xff : type.width == 2 ? 0xffff : 0xffff'ffff;
      if (!cursor.is_null(i) && value >= type.enum_texts.size()) return malformed("enum index");
    }
  }
  return cursor;
}

void ColumnCursor::read_fixed(uint32_t count, void* out, size_t at) const {
  const Frame& frame = frames_[0];
  if (head_.encoding == Encoding::kPlain) {
    std::memcpy(static_cast<std::byte*>(out) + at * type_->width,
                values_ + size_t{next_} * type_->width, size_t{count} * type_->width);
    return;
  }
  if (head_.encoding == Encoding::kSame) {
    for (uint32_t i = 0; i < count; ++i) {
      std::memcpy(static_cast<std::byte*>(out) + (at + i) * type_->width, values_, type_->width);
    }
    return;
  }
  if (head_.encoding == Encoding::kDecimals) {
    double* to = static_cast<double*>(out) + at;
    const int64_t base = static_cast<int64_t>(frame.base);
    const double power = kPowersOfTen[head_.exponent];
    const std::byte* from = frame.deltas + size_t{next_} * frame.width;
    switch (frame.width) {
      case 0:
        std::fill(to, to + count, static_cast<double>(base) / power);
        return;
      case 1:
        return read_decimals<uint8_t>(from, base, power, count, to);
      case 2:
        return read_decimals<uint16_t>(from, base, power, count, to);
      default:
        return read_decimals<uint32_t>(from, base, power, count, to);
    }
  }
  if (head_.encoding == Encoding::kIntervals) {
    duckdb_interval* to = static_cast<duckdb_interval*>(out) + at;
    for (uint32_t i = 0; i < count; ++i) {
      auto part = [&](int index) {
        const Frame& from = frames_[index];
        return static_cast<uint64_t>(from.base) + load_delta(from.deltas, from.width, next_ + i);
      };
      to[i].months = static_cast<int32_t>(part(0));
      to[i].days = static_cast<int32_t>(part(1));
      to[i].micros = static_cast<int64_t>(part(2));
    }
    return;
  }
  switch (type_->width) {
    case 1:
      return read_frame(frame.deltas, frame.width, static_cast<uint8_t>(frame.base), next_, count,
                        static_cast<uint8_t*>(out) + at);
    case 2:
      return read_frame(frame.deltas, frame.width, static_cast<uint16_t>(frame.base), next_, count,
                        static_cast<uint16_t*>(out) + at);
    case 4:
      return read_frame(frame.deltas, frame.width, static_cast<uint32_t>(frame.base), next_, count,
                        static_cast<uint32_t*>(out) + at);
    case 8:
      return read_frame(frame.deltas, frame.width, static_cast<uint64_t>(frame.base), next_, count,
                        static_cast<uint64_t*>(out) + at);
    default:
      return read_frame(frame.deltas, frame.width, frame.base, next_, count,
                        static_cast<batch::uint128*>(out) + at);
  }
}

Status ColumnCursor::read(uint32_t count, _duckdb_vector* vector, size_t at) {
  TG_ASSERT(count <= rows_ - next_);
  if (head_.encoding == Encoding::kTexts || head_.encoding == Encoding::kPrefixed) {
    TG_TRY(read_texts(count, vector, at));
  } else if (head_.encoding == Encoding::kDictionary) {
    TG_TRY(read_dictionary(count, vector, at));
  } else if (head_.encoding != Encoding::kNothing) {
    read_fixed(count, duckdb_vector_get_data(vector), at);
  }
  if (head_.validity == Validity::kNone || nulls_ != nullptr) {
    for (uint32_t i = 0; i < count; ++i) {
      if (head_.validity != Validity::kNone && !is_null(next_ + i)) continue;
      batch::set_value_null(*type_, vector, at + i);
    }
  }
  next_ += count;
  return {};
}

batch::ColumnView ColumnCursor::view(ColumnBuffer& buffer) const {
  TG_ASSERT(next_ == 0);
  const size_t width = batch::slot_bytes(*type_);
  if (buffer.values.size() < kBlockRowsMax * width) buffer.values.resize(kBlockRowsMax * width);
  batch::ColumnView view{.data = buffer.values.data()};
  if (head_.encoding == Encoding::kNothing) {
    std::memset(buffer.values.data(), 0, rows_ * width);
  } else if (type_->storage == Storage::kBytes) {
    view_texts(view, buffer);
  } else {
    read_fixed(rows_, buffer.values.data(), 0);
  }
  if (head_.validity == Validity::kAll) return view;
  const size_t words = (rows_ + 63) / 64;
  buffer.validity.assign(words, 0);
  if (nulls_ != nullptr) {
    std::memcpy(buffer.validity.data(), nulls_, (size_t{rows_} + 7) / 8);
    for (uint64_t& word : buffer.validity) word = ~word;
  }
  view.validity = buffer.validity.data();
  return view;
}

}  // namespace tidegate::shuffle
