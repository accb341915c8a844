#include "batch/row_hash.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "base/hash.h"
#include "batch/value_codec.h"

namespace tidegate::batch {
namespace {

/// Rows that are hashed at a time: their values' hashes stay in the first-level cache.
constexpr size_t kHashRows = 512;

/// Bits that a type of integers needs, its sign apart.
int magnitude_bits(const ColumnType& type) {
  if (type.meaning == Meaning::kBoolean) return 1;
  return type.width * 8 - (type.is_signed_integer() ? 1 : 0);
}

/// Decimal digits before the point that any value of an integer type can have.
int integer_digits(const ColumnType& type) {
  constexpr std::array kDigits = {0, 3, 5, 0, 10, 0, 0, 0, 20};
  return type.width <= 8 ? kDigits[type.width] : 39;
}

uint128 power_of_ten(int exponent) {
  uint128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

/// Units of a point in time in a second, or 0.
uint64_t ticks(Meaning meaning) {
  switch (meaning) {
    case Meaning::kTimestampS:
      return 1;
    case Meaning::kTimestampMs:
      return 1'000;
    case Meaning::kTimestampUs:
    case Meaning::kTimestampTz:
      return 1'000'000;
    case Meaning::kTimestampNs:
      return 1'000'000'000;
    default:
      return 0;
  }
}

bool is_whole(const ColumnType& type) {
  return type.meaning == Meaning::kInteger || type.meaning == Meaning::kBoolean;
}

uint64_t hash_double(double value) {
  if (value == 0) value = 0;
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  return mix64(std::bit_cast<uint64_t>(value) ^ 0xd1b5'4a32'd192'ed03ULL);
}

template <typename T>
uint64_t hash_whole(T value) {
  if constexpr (sizeof(T) == 16) {
    return hash_integer(static_cast<uint64_t>(value),
                        static_cast<uint64_t>(static_cast<uint128>(value) >> 64));
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    return hash_integer(value, 0);
  } else {
    return mix64(static_cast<uint64_t>(static_cast<int64_t>(value)) ^ 0x9e37'79b9'7f4a'7c15ULL);
  }
}

template <typename T>
[[gnu::always_inline]] inline void hash_each(const T* __restrict values, size_t rows,
                                             uint64_t* __restrict out) {
  for (size_t i = 0; i < rows; ++i) out[i] = hash_whole(values[i]);
}

#if defined(__x86_64__)
// Four at a time where the processor can: keys are hashed once as they are written, once as they
// are read.
__attribute__((target("avx2"))) void hash_wide(const int64_t* values, size_t rows, uint64_t* out) {
  hash_each(values, rows, out);
}
__attribute__((target("avx2"))) void hash_wide(const int32_t* values, size_t rows, uint64_t* out) {
  hash_each(values, rows, out);
}
#endif

template <typename T>
void hash_all(const T* values, size_t rows, uint64_t* out) {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, int32_t>) {
    static const bool wide = __builtin_cpu_supports("avx2") != 0;
    if (wide) return hash_wide(values, rows, out);
  }
#endif
  hash_each(values, rows, out);
}

/// Calls `use` with a pointer of the storage's C++ type.
template <typename Use>
void with_integers(Storage storage, const void* data, Use use) {
  switch (storage) {
    case Storage::kI8:
      return use(static_cast<const int8_t*>(data));
    case Storage::kI16:
      return use(static_cast<const int16_t*>(data));
    case Storage::kI32:
      return use(static_cast<const int32_t*>(data));
    case Storage::kI64:
      return use(static_cast<const int64_t*>(data));
    case Storage::kI128:
      return use(static_cast<const int128*>(data));
    case Storage::kU8:
      return use(static_cast<const uint8_t*>(data));
    case Storage::kU16:
      return use(static_cast<const uint16_t*>(data));
    case Storage::kU32:
      return use(static_cast<const uint32_t*>(data));
    case Storage::kU64:
      return use(static_cast<const uint64_t*>(data));
    case Storage::kU128:
      return use(static_cast<const uint128*>(data));
    default:
      TG_ASSERT(false);
  }
}

}  // namespace

Result<KeyHasher> KeyHasher::create(const ColumnType& source, std::string_view target_text) {
  KeyHasher hasher;
  hasher.source_ = source;
  auto refuse = [&](const char* why) {
    return fail(FailureClass::kDefect, "batch.hash_type",
                std::string("a key cannot be hashed as another type (") + why +
                    "): " + source.text + " as " + std::string(target_text));
  };
  if (source.is_nested()) {
    if (plain_type_text(target_text) != plain_type_text(source.text))
      return refuse("nested types only as themselves");
    hasher.method_ = Method::kNested;
    return hasher;
  }
  TG_ASSIGN(const ColumnType target, parse_scalar_type(target_text));
  if (source.meaning == Meaning::kNull) {
    hasher.method_ = Method::kNull;
    return hasher;
  }
  switch (target.meaning) {
    case Meaning::kBoolean:
    case Meaning::kInteger: {
      if (!is_whole(source) ||
          (target.meaning == Meaning::kBoolean && source.meaning != Meaning::kBoolean)) {
        return refuse("not exact");
      }
      const bool fits = source.is_signed_integer() && !target.is_signed_integer()
                            ? false
                            : magnitude_bits(source) <= magnitude_bits(target);
      if (!fits) return refuse("does not fit");
      hasher.method_ = Method::kInteger;
      return hasher;
    }
    case Meaning::kDecimal: {
      const bool decimal = source.meaning == Meaning::kDecimal;
      if (!decimal && !is_whole(source)) return refuse("not exact");
      const int shift = target.decimal_scale - (decimal ? source.decimal_scale : 0);
      if (shift < 0) return refuse("loses digits");
      const int digits =
          decimal ? source.decimal_width - source.decimal_scale : integer_digits(source);
      // DuckDB caps a common decimal at 38 digits; what does not fit then fails in its cast.
      if (digits > target.decimal_width - target.decimal_scale && target.decimal_width != 38) {
        return refuse("does not fit");
      }
      hasher.factor_ = power_of_ten(shift);
      hasher.method_ = shift == 0 ? Method::kInteger : Method::kScaled;
      return hasher;
    }
    case Meaning::kFloat:
    case Meaning::kDouble: {
      const bool to_double = target.meaning == Meaning::kDouble;
      const bool floating =
          source.meaning == Meaning::kFloat || (source.meaning == Meaning::kDouble && to_double);
      const bool small = is_whole(source) && source.width <= (to_double ? 4 : 2);
      if (!floating && !small) return refuse("not exact");
      hasher.method_ = Method::kDouble;
      return hasher;
    }
    case Meaning::kDate:
    case Meaning::kTime:
    case Meaning::kTimeTz:
    case Meaning::kUuid:
      if (source.meaning != target.meaning) return refuse("not exact");
      hasher.method_ = Method::kInteger;
      return hasher;
    case Meaning::kTimeNs:
      if (source.meaning != Meaning::kTime && source.meaning != Meaning::kTimeNs) {
        return refuse("not exact");
      }
      hasher.factor_ = source.meaning == Meaning::kTime ? 1000 : 1;
      hasher.method_ = Method::kScaled;
      return hasher;
    case Meaning::kTimestampS:
    case Meaning::kTimestampMs:
    case Meaning::kTimestampUs:
    case Meaning::kTimestampNs:
    case Meaning::kTimestampTz: {
      const uint64_t to = ticks(target.meaning);
      const uint64_t from = ticks(source.meaning);
      if (source.meaning == Meaning::kDate) {
        hasher.factor_ = static_cast<uint128>(to) * 86'400;
      } else if (from == 0 || from > to) {
        return refuse("not exact");
      } else {
        hasher.factor_ = to / from;
      }
      hasher.method_ = Method::kTimestamp;
      return hasher;
    }
    case Meaning::kInterval:
      if (source.meaning != Meaning::kInterval) return refuse("not exact");
      hasher.method_ = Method::kInterval;
      return hasher;
    case Meaning::kVarchar:
    case Meaning::kEnum:
      if (source.meaning == Meaning::kEnum) {
        for (const std::string& text : source.enum_texts) {
          hasher.enum_hashes_.push_back(hash_text(StringRef::of(text)));
        }
        hasher.method_ = Method::kEnum;
        return hasher;
      }
      if (source.meaning != Meaning::kVarchar || target.meaning != Meaning::kVarchar) {
        return refuse("not exact");
      }
      hasher.method_ = Method::kBytes;
      return hasher;
    case Meaning::kBlob:
    case Meaning::kBit:
    case Meaning::kBignum:
      if (source.meaning != target.meaning) return refuse("not exact");
      hasher.method_ = Method::kBytes;
      return hasher;
    default:
      return refuse("unknown");
  }
}

void KeyHasher::values(const ColumnView& column, size_t rows, uint64_t* out) const {
  switch (method_) {
    case Method::kInteger:
      return with_integers(source_.storage, column.data,
                           [&](const auto* values) { hash_all(values, rows, out); });
    case Method::kScaled:
      return with_integers(source_.storage, column.data, [&](const auto* values) {
        for (size_t i = 0; i < rows; ++i) {
          out[i] = hash_whole(static_cast<uint128>(values[i]) * factor_);
        }
      });
    case Method::kTimestamp:
      return with_integers(source_.storage, column.data, [&](const auto* values) {
        using T = std::remove_cvref_t<decltype(*values)>;
        if constexpr (sizeof(T) <= 8) {
          constexpr T kInfinity = std::numeric_limits<T>::max();
          for (size_t i = 0; i < rows; ++i) {
            const T value = values[i];
            if (value == kInfinity) {
              out[i] = hash_whole(std::numeric_limits<int64_t>::max());
            } else if (value == static_cast<T>(-kInfinity)) {
              out[i] = hash_whole(-std::numeric_limits<int64_t>::max());
            } else {
              out[i] = hash_whole(static_cast<uint128>(value) * factor_);
            }
          }
        }
      });
    case Method::kDouble:
      if (source_.storage == Storage::kF64) {
        const double* values = static_cast<const double*>(column.data);
        for (size_t i = 0; i < rows; ++i) out[i] = hash_double(values[i]);
      } else if (source_.storage == Storage::kF32) {
        const float* values = static_cast<const float*>(column.data);
        for (size_t i = 0; i < rows; ++i) out[i] = hash_double(values[i]);
      } else {
        with_integers(source_.storage, column.data, [&](const auto* values) {
          for (size_t i = 0; i < rows; ++i) out[i] = hash_double(static_cast<double>(values[i]));
        });
      }
      return;
    case Method::kInterval: {
      const char* values = static_cast<const char*>(column.data);
      for (size_t i = 0; i < rows; ++i) {
        int32_t months = 0;
        int32_t days = 0;
        int64_t micros = 0;
        std::memcpy(&months, values + i * 16, 4);
        std::memcpy(&days, values + i * 16 + 4, 4);
        std::memcpy(&micros, values + i * 16 + 8, 8);
        const int128 length = (int128{months} * 30 + days) * 86'400'000'000 + micros;
        out[i] = hash_whole(length);
      }
      return;
    }
    case Method::kBytes: {
      const StringRef* values = static_cast<const StringRef*>(column.data);
      for (size_t i = 0; i < rows; ++i) out[i] = hash_text(values[i]);
      return;
    }
    case Method::kEnum:
      return with_integers(source_.storage, column.data, [&](const auto* values) {
        // Codes have an unsigned storage.
        if constexpr (std::is_unsigned_v<std::remove_cvref_t<decltype(*values)>>) {
          for (size_t i = 0; i < rows; ++i) {
            const auto index = static_cast<uint64_t>(values[i]);
            out[i] = index < enum_hashes_.size() ? enum_hashes_[index] : kNullHash;
          }
        } else {
          TG_ASSERT(false);
        }
      });
    case Method::kNested:
    case Method::kNull:
      std::fill(out, out + rows, kNullHash);
      return;
  }
}

Status KeyHasher::nested(const ColumnView& column, size_t rows, uint64_t* out) const {
  const StringRef* values = static_cast<const StringRef*>(column.data);
  for (size_t i = 0; i < rows; ++i) {
    if (!column.is_valid(i)) continue;
    TG_ASSIGN(const std::string bytes, canonical_value(source_, values[i].view()));
    out[i] = xxh3_64(bytes);
  }
  return {};
}

/// Of rows [begin, begin + count), at most kHashRows, `begin` a multiple of that.
Status KeyHasher::hash(const ColumnView& column, size_t begin, size_t count, uint64_t* out) const {
  ColumnView part = column.from(begin, slot_bytes(source_));
  std::array<uint128, kHashRows> aligned;
  if (source_.width == 16) {
    // DuckDB's own 128-bit values need no more than 8 bytes of alignment.
    std::memcpy(aligned.data(), part.data, count * 16);
    part.data = aligned.data();
  }
  if (method_ == Method::kNested) {
    TG_TRY(nested(part, count, out));
  } else {
    values(part, count, out);
  }
  if (part.validity != nullptr) {
    for (size_t i = 0; i < count; ++i) {
      if (!part.is_valid(i)) out[i] = kNullHash;
    }
  }
  return {};
}

bool KeyHasher::hash_texts(const ColumnView& column, size_t rows, TextHashes& out) const {
  if (method_ != Method::kBytes || !column.shares_texts(rows) || column.text_count > out.size())
    return false;
  for (uint32_t i = 0; i < column.text_count; ++i) out[i] = hash_text(column.texts[i]);
  return true;
}

Status KeyHasher::fold(const ColumnView& column, size_t rows, bool first, uint64_t* hashes) const {
  TextHashes of_texts;
  if (hash_texts(column, rows, of_texts)) {
    for (size_t i = 0; i < rows; ++i) {
      const uint64_t value = column.is_valid(i) ? of_texts[column.codes[i]] : kNullHash;
      hashes[i] = first ? value : combine_hashes(hashes[i], value);
    }
    return {};
  }
  std::array<uint64_t, kHashRows> buffer;
  for (size_t begin = 0; begin < rows; begin += kHashRows) {
    const size_t count = std::min(kHashRows, rows - begin);
    uint64_t* out = hashes + begin;
    if (first) {
      TG_TRY(hash(column, begin, count, out));
      continue;
    }
    TG_TRY(hash(column, begin, count, buffer.data()));
    for (size_t i = 0; i < count; ++i) out[i] = combine_hashes(out[i], buffer[i]);
  }
  return {};
}

Status KeyHasher::sum(const ColumnView& column, size_t rows, uint64_t& sum) const {
  TextHashes of_texts;
  if (hash_texts(column, rows, of_texts)) {
    for (size_t i = 0; i < rows; ++i)
      sum += column.is_valid(i) ? of_texts[column.codes[i]] : kNullHash;
    return {};
  }
  std::array<uint64_t, kHashRows> buffer;
  for (size_t begin = 0; begin < rows; begin += kHashRows) {
    const size_t count = std::min(kHashRows, rows - begin);
    TG_TRY(hash(column, begin, count, buffer.data()));
    for (size_t i = 0; i < count; ++i) sum += buffer[i];
  }
  return {};
}

}  // namespace tidegate::batch
