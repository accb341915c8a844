#include "shuffle/block_decoder.h"

#include <bit>
#include <cstring>

#include "batch/value_codec.h"
#include "duckdb.h"
#include "shuffle/format.h"

namespace tidegate::shuffle {
namespace {

using batch::Storage;
using batch::StringRef;

std::unexpected<Failure> malformed(const char* what) {
  return fail(FailureClass::kLost, "shuffle.block", std::string("a block is malformed: ") + what);
}

/// Takes bytes from the front of a span; false if there are too few.
bool take(std::span<const std::byte>& from, size_t size, std::span<const std::byte>& out) {
  if (size > from.size()) return false;
  out = from.first(size);
  from = from.subspan(size);
  return true;
}

template <typename T>
bool take(std::span<const std::byte>& from, T& out) {
  std::span<const std::byte> bytes;
  if (!take(from, sizeof(T), bytes)) return false;
  std::memcpy(&out, bytes.data(), sizeof(T));
  return true;
}

template <typename Narrow>
Narrow load(const std::byte* at, size_t index) {
  Narrow value;
  std::memcpy(&value, at + index * sizeof(Narrow), sizeof(Narrow));
  return value;
}

uint64_t load_width(const std::byte* at, uint8_t width, size_t index) {
  switch (width) {
    case 1:
      return load<uint8_t>(at, index);
    case 2:
      return load<uint16_t>(at, index);
    case 4:
      return load<uint32_t>(at, index);
    case 8:
      return load<uint64_t>(at, index);
    default:
      return 0;
  }
}

template <typename Narrow, typename U>
void add_base(const std::byte* deltas, U base, uint32_t count, U* out) {
  for (uint32_t i = 0; i < count; ++i) {
    out[i] = static_cast<U>(base + static_cast<U>(load<Narrow>(deltas, i)));
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
    const uint64_t bits = shift + load<Narrow>(deltas, i);
    out[i] = (std::bit_cast<double>(bits) - kRoundingMagic) / power;
  }
}

bool is_width(uint8_t width, uint8_t most) {
  return width <= most && (width == 0 || std::has_single_bit(width));
}

}  // namespace

Result<std::vector<std::span<const std::byte>>> split_block(std::span<const std::byte> block,
                                                            size_t columns) {
  std::span<const std::byte> rest = block;
  std::span<const std::byte> sizes;
  if (!take(rest, columns * 4, sizes)) return malformed("too short");
  std::vector<std::span<const std::byte>> out(columns);
  for (size_t i = 0; i < columns; ++i) {
    if (!take(rest, load<uint32_t>(sizes.data(), i), out[i])) return malformed("a column's size");
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
  if (head.zero[0] != 0 || head.zero[1] != 0 || head.zero[2] != 0) return malformed("column head");
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
    if (!is_width(delta, most)) return false;
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
    case Encoding::kDictionary:
      if (type.storage != Storage::kBytes) return malformed("texts");
      if (head.encoding == Encoding::kTexts) {
        TG_TRY(cursor.open_texts(rest));
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
      uint64_t value = static_cast<uint64_t>(frame.base) + load_width(frame.deltas, frame.width, i);
      value &= type.width == 1 ? 0xff : type.width == 2 ? 0xffff : 0xffff'ffff;
      if (!cursor.is_null(i) && value >= type.enum_texts.size()) return malformed("enum index");
    }
  }
  return cursor;
}

Status ColumnCursor::open_texts(std::span<const std::byte> rest) {
  uint32_t base = 0;
  uint32_t total = 0;
  std::span<const std::byte> deltas;
  if (!is_width(head_.delta_width, 4) || !take(rest, base) || !take(rest, total) ||
      !take(rest, size_t{head_.delta_width} * rows_, deltas) || rest.size() != total) {
    return malformed("texts");
  }
  uint64_t sum = uint64_t{base} * rows_;
  for (uint32_t i = 0; i < rows_; ++i) sum += load_width(deltas.data(), head_.delta_width, i);
  // No length may wrap at 32 bits: each is then at most the sum.
  if (sum != total) return malformed("lengths of texts");
  frames_[0] = {deltas.data(), base, head_.delta_width};
  texts_ = reinterpret_cast<const char*>(rest.data());
  return {};
}

Status ColumnCursor::open_dictionary(std::span<const std::byte> rest) {
  uint32_t count = 0;
  uint32_t total = 0;
  std::span<const std::byte> sizes;
  std::span<const std::byte> texts;
  const size_t codes = size_t{head_.delta_width} * rows_;
  if (!is_width(head_.delta_width, 2) || !take(rest, count) || !take(rest, total) || count == 0 ||
      count > rows_ || !take(rest, size_t{count} * 4, sizes) || !take(rest, total, texts) ||
      rest.size() != codes) {
    return malformed("dictionary");
  }
  entries_.resize(count);
  uint64_t offset = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t size = load<uint32_t>(sizes.data(), i);
    if (size > total - offset) return malformed("lengths of a dictionary");
    Entry& entry = entries_[i];
    entry.data = reinterpret_cast<const char*>(texts.data()) + offset;
    entry.size = size;
    entry.ref.size = size;
    if (entry.ref.is_inline() && size > 0) std::memcpy(entry.ref.prefix, entry.data, size);
    offset += size;
  }
  if (offset != total) return malformed("lengths of a dictionary");
  for (uint32_t i = 0; i < rows_; ++i) {
    if (load_width(rest.data(), head_.delta_width, i) >= count) return malformed("code");
  }
  frames_[0] = {rest.data(), 0, head_.delta_width};
  return {};
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
        return static_cast<uint64_t>(from.base) + load_width(from.deltas, from.width, next_ + i);
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

Status ColumnCursor::put_text(_duckdb_vector* vector, size_t row, const char* data, uint32_t size) {
  if (type_->is_nested()) return batch::decode_value(*type_, {data, size}, vector, row);
  duckdb_unsafe_vector_assign_string_element_len(vector, row, data, size);
  return {};
}

Status ColumnCursor::read_texts(uint32_t count, _duckdb_vector* vector, size_t at) {
  const Frame& frame = frames_[0];
  const bool nested = type_->is_nested();
  StringRef* refs = nested ? nullptr : static_cast<StringRef*>(duckdb_vector_get_data(vector));
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t size = static_cast<uint32_t>(static_cast<uint64_t>(frame.base) +
                                                load_width(frame.deltas, frame.width, next_ + i));
    const char* data = texts_;
    texts_ += size;
    if (nested) {
      if (!is_null(next_ + i)) TG_TRY(put_text(vector, at + i, data, size));
    } else if (size <= StringRef::kInlineMax) {
      StringRef ref;
      ref.size = size;
      if (size > 0) std::memcpy(ref.prefix, data, size);
      refs[at + i] = ref;
    } else {
      TG_TRY(put_text(vector, at + i, data, size));
    }
  }
  return {};
}

Status ColumnCursor::read_dictionary(uint32_t count, _duckdb_vector* vector, size_t at) {
  const Frame& frame = frames_[0];
  const bool nested = type_->is_nested();
  StringRef* refs = nested ? nullptr : static_cast<StringRef*>(duckdb_vector_get_data(vector));
  for (uint32_t i = 0; i < count; ++i) {
    Entry& entry = entries_[load_width(frame.deltas, frame.width, next_ + i)];
    if (nested) {
      if (!is_null(next_ + i)) TG_TRY(put_text(vector, at + i, entry.data, entry.size));
    } else if (entry.size <= StringRef::kInlineMax || entry.epoch == epoch_) {
      refs[at + i] = entry.ref;
    } else {
      TG_TRY(put_text(vector, at + i, entry.data, entry.size));
      entry.ref = refs[at + i];
      entry.epoch = epoch_;
    }
  }
  return {};
}

Status ColumnCursor::read(uint32_t count, _duckdb_vector* vector, size_t at) {
  TG_ASSERT(count <= rows_ - next_);
  if (head_.encoding == Encoding::kTexts) {
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

void ColumnCursor::view_texts(StringRef* out) const {
  const Frame& frame = frames_[0];
  if (head_.encoding == Encoding::kDictionary) {
    for (uint32_t i = 0; i < rows_; ++i) {
      const Entry& entry = entries_[load_width(frame.deltas, frame.width, i)];
      out[i] = entry.ref;
      if (!entry.ref.is_inline()) {
        std::memcpy(out[i].prefix, entry.data, sizeof out[i].prefix);
        out[i].pointer = entry.data;
      }
    }
    return;
  }
  const char* at = texts_;
  for (uint32_t i = 0; i < rows_; ++i) {
    StringRef ref;
    ref.size = static_cast<uint32_t>(static_cast<uint64_t>(frame.base) +
                                     load_width(frame.deltas, frame.width, i));
    if (ref.is_inline()) {
      if (ref.size > 0) std::memcpy(ref.prefix, at, ref.size);
    } else {
      std::memcpy(ref.prefix, at, sizeof ref.prefix);
      ref.pointer = at;
    }
    out[i] = ref;
    at += ref.size;
  }
}

batch::ColumnView ColumnCursor::view(ColumnBuffer& buffer) const {
  TG_ASSERT(next_ == 0);
  const size_t width = batch::slot_bytes(*type_);
  if (buffer.values.size() < kBlockRowsMax * width) buffer.values.resize(kBlockRowsMax * width);
  batch::ColumnView view{.data = buffer.values.data()};
  if (head_.encoding == Encoding::kNothing) {
    std::memset(buffer.values.data(), 0, rows_ * width);
  } else if (type_->storage == Storage::kBytes) {
    view_texts(reinterpret_cast<StringRef*>(buffer.values.data()));
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
