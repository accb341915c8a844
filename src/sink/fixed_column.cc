// Columns of numbers and everything else of one size.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "sink/column_writer.h"
#include "sink/dictionary.h"

namespace tidegate::sink {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::int128;
using batch::Meaning;
using batch::Storage;
using batch::uint128;

constexpr size_t kSampleValues = 8192;

/// Parquet's INTERVAL.
struct Interval12 {
  uint32_t months;
  uint32_t days;
  uint32_t milliseconds;
};

/// DuckDB's.
struct Interval16 {
  int32_t months;
  int32_t days;
  int64_t microseconds;
};

constexpr int128 ten_to(int power) { return power == 0 ? 1 : 10 * ten_to(power - 1); }
constexpr int128 kDecimal38Max = ten_to(38) - 1;

// How a value in memory becomes the value that is staged: false if it cannot, and why.

template <typename From, typename To>
struct Widen {
  using Source = From;
  static bool convert(From value, To& out) {
    out = static_cast<To>(+value);  // an int8_t is a number: its sign goes along
    return true;
  }
  static const char* why(From) { return ""; }
};

template <typename From>
struct ToDecimal38 {
  using Source = From;
  static bool convert(From value, int128& out) {
    out = static_cast<int128>(value);
    if constexpr (std::is_same_v<From, int128>) {
      return value <= kDecimal38Max && value >= -kDecimal38Max;
    } else {
      return value <= static_cast<uint128>(kDecimal38Max);
    }
  }
  static const char* why(From) { return "it has more than 38 digits"; }
};

/// Seconds or milliseconds to microseconds; the infinities stay.
template <int64_t kFactor>
struct ToMicroseconds {
  using Source = int64_t;
  static bool convert(int64_t value, uint64_t& out) {
    constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
    int64_t scaled = 0;
    bool good = !__builtin_mul_overflow(value, kFactor, &scaled);
    if (value == kInfinity || value == -kInfinity) {
      scaled = value;
      good = true;
    }
    out = static_cast<uint64_t>(scaled);
    return good;
  }
  static const char* why(int64_t) { return "it is too far away for microseconds"; }
};

struct ToInterval {
  using Source = Interval16;
  static bool convert(Interval16 value, Interval12& out) {
    out = {static_cast<uint32_t>(value.months), static_cast<uint32_t>(value.days),
           static_cast<uint32_t>(value.microseconds / 1000)};
    return value.months >= 0 && value.days >= 0 && value.microseconds >= 0 &&
           value.microseconds % 1000 == 0 && value.microseconds / 1000 <= UINT32_MAX;
  }
  static const char* why(Interval16 value) {
    if (value.months < 0 || value.days < 0 || value.microseconds < 0) return "it is negative";
    if (value.microseconds % 1000 != 0) return "it is finer than milliseconds";
    return "its time is longer than 49 days";
  }
};

/// Converts the valid ones of `count` rows from `begin` on. Returns the values written; `bad` gets
/// the first value that cannot be converted, null if all can.
template <typename Staged>
using Stage = size_t (*)(const ColumnView&, size_t begin, size_t count, Staged* out,
                         const char** bad);

template <typename Convert, typename Staged>
size_t stage_values(const ColumnView& view, size_t begin, size_t count, Staged* out,
                    const char** bad) {
  const auto* const source = static_cast<const typename Convert::Source*>(view.data) + begin;
  bool good = true;
  if (view.validity == nullptr) {
    for (size_t i = 0; i < count; ++i) good &= Convert::convert(source[i], out[i]);
    if (good) return count;
  } else {
    size_t made = 0;
    for (size_t i = 0; i < count; ++i) {
      const bool valid = view.is_valid(begin + i);
      const bool converted = Convert::convert(source[i], out[made]);
      good &= converted | !valid;
      made += valid;
    }
    if (good) return made;
  }
  for (size_t i = 0; i < count; ++i) {
    Staged ignored;
    if (view.is_valid(begin + i) && !Convert::convert(source[i], ignored)) {
      *bad = Convert::why(source[i]);
      return 0;
    }
  }
  return 0;
}

// How a staged value stands in a file, and its order. Staged holds the bits, Ordered has the order.

template <typename Ordered>
struct Value;

template <typename T, typename Bits, bool kInteger>
struct Plain {
  using Staged = Bits;
  static constexpr size_t kBytes = sizeof(T);
  static constexpr bool kHasOrder = true;
  static T ordered(Bits bits) { return std::bit_cast<T>(bits); }
  static void put(const Bits* values, size_t count, Buffer& out) {
    out.append(values, count * sizeof(Bits));
  }
  static std::span<const Encoding> encodings() {
    static constexpr Encoding kEncodings[] = {Encoding::kPlain,
                                              kInteger ? Encoding::kDelta : Encoding::kSplit};
    return kEncodings;
  }
};

template <>
struct Value<int32_t> : Plain<int32_t, uint32_t, true> {};
template <>
struct Value<uint32_t> : Plain<uint32_t, uint32_t, true> {};
template <>
struct Value<int64_t> : Plain<int64_t, uint64_t, true> {};
template <>
struct Value<uint64_t> : Plain<uint64_t, uint64_t, true> {};
template <>
struct Value<float> : Plain<float, uint32_t, false> {};
template <>
struct Value<double> : Plain<double, uint64_t, false> {};

std::span<const Encoding> plain_only() {
  static constexpr Encoding kEncodings[] = {Encoding::kPlain};
  return kEncodings;
}

/// Sixteen bytes, the highest first.
template <>
struct Value<int128> {
  using Staged = int128;
  static constexpr size_t kBytes = 16;
  static constexpr bool kHasOrder = true;
  static int128 ordered(int128 value) { return value; }
  static void put_flipped(const int128* values, size_t count, uint64_t flip, Buffer& out) {
    uint8_t* const to = out.room(count * 16);
    for (size_t i = 0; i < count; ++i) {
      const auto bits = static_cast<uint128>(values[i]);
      const uint64_t words[2] = {__builtin_bswap64(static_cast<uint64_t>(bits >> 64) ^ flip),
                                 __builtin_bswap64(static_cast<uint64_t>(bits))};
      std::memcpy(to + i * 16, words, 16);
    }
    out.grow(count * 16);
  }
  static void put(const int128* values, size_t count, Buffer& out) {
    put_flipped(values, count, 0, out);
  }
  static std::span<const Encoding> encodings() { return plain_only(); }
};

/// DuckDB turns a UUID's highest bit, so that the order of numbers is that of the bytes.
struct Uuid {};
template <>
struct Value<Uuid> : Value<int128> {
  static void put(const int128* values, size_t count, Buffer& out) {
    put_flipped(values, count, uint64_t{1} << 63, out);
  }
};

template <>
struct Value<Interval12> {
  using Staged = Interval12;
  static constexpr size_t kBytes = 12;
  static constexpr bool kHasOrder = false;
  static void put(const Interval12* values, size_t count, Buffer& out) {
    out.append(values, count * 12);
  }
  static std::span<const Encoding> encodings() { return plain_only(); }
};

template <typename Kind>
class FixedColumn final : public ColumnWriter {
  using V = Value<Kind>;
  using Staged = typename V::Staged;

 public:
  FixedColumn(const ColumnForm& form, Workshop& workshop, Stage<Staged> stage_with)
      : ColumnWriter(form, workshop),
        stage_(stage_with),
        values_(std::make_unique_for_overwrite<Staged[]>(workshop.page_rows + 1)) {}

  size_t used_bytes() const override { return own_bytes(); }

 protected:
  Result<size_t> stage(const ColumnView& view, size_t begin, size_t count) override {
    const char* bad = nullptr;
    count_ += stage_(view, begin, count, values_.get() + count_, &bad);
    if (bad == nullptr) return count;
    return fail(FailureClass::kData, "parquet.value",
                fmt::format("a value of column {} cannot be published as {}: {}", form_.name,
                            form_.published.text, bad));
  }
  size_t staged() const override { return count_; }
  void clear_stage() override { count_ = 0; }
  size_t sample() const override { return std::min(count_, kSampleValues); }
  std::span<const Encoding> encodings() const override { return V::encodings(); }
  void encode(Encoding encoding, size_t count, Buffer& out) const override {
    if constexpr (sizeof(Staged) <= 8) {
      if (encoding == Encoding::kDelta) return put_delta(values_.get(), count, out);
      if (encoding == Encoding::kSplit)
        return put_split(reinterpret_cast<const uint8_t*>(values_.get()), count, sizeof(Staged),
                         out);
    }
    V::put(values_.get(), count, out);
  }
  bool map(uint32_t* out) override {
    return dictionary_.map([this](size_t i) -> const Staged& { return values_[i]; }, count_,
                           workshop_.dictionary_bytes_max, out);
  }
  size_t dictionary_size() const override { return dictionary_.entries.size(); }
  size_t dictionary_half() const override { return dictionary_.half(); }
  size_t dictionary_bytes() const override { return dictionary_.entries.bytes(); }
  void put_dictionary(Buffer& out) const override {
    V::put(dictionary_.entries.data(), dictionary_.entries.size(), out);
  }
  void clear_dictionary(bool keep) override { dictionary_.clear(keep); }
  void note_stage() override { note(values_.get(), count_); }
  void note_dictionary() override { note(dictionary_.entries.data(), dictionary_.entries.size()); }

  void take_statistics(Chunk& chunk) override {
    if (any_ && !nan_) {
      chunk.least = text(least_, true);
      chunk.greatest = text(greatest_, false);
    }
    any_ = nan_ = false;
  }
  size_t own_bytes() const override {
    return (workshop_.page_rows + 1) * sizeof(Staged) + dictionary_.slot_bytes() +
           dictionary_.entries.held_bytes();
  }

 private:
  void note(const Staged* values, size_t count) {
    if constexpr (V::kHasOrder) {
      if (count == 0) return;
      using Ordered = decltype(V::ordered(Staged{}));
      Ordered least = V::ordered(any_ ? least_ : values[0]);
      Ordered greatest = V::ordered(any_ ? greatest_ : values[0]);
      bool nan = false;
      for (size_t i = 0; i < count; ++i) {
        const Ordered value = V::ordered(values[i]);
        if constexpr (std::is_floating_point_v<Ordered>) nan |= std::isnan(value);
        least = value < least ? value : least;
        greatest = greatest < value ? value : greatest;
      }
      least_ = std::bit_cast<Staged>(least);
      greatest_ = std::bit_cast<Staged>(greatest);
      nan_ |= nan;
      any_ = true;
    }
  }
  /// A zero stands for both zeros: the least is -0.0, the greatest 0.0.
  std::string text(Staged value, bool is_least) const {
    if constexpr (V::kHasOrder) {
      using Ordered = decltype(V::ordered(value));
      if constexpr (std::is_floating_point_v<Ordered>) {
        if (V::ordered(value) == 0)
          value = std::bit_cast<Staged>(is_least ? -Ordered{0} : Ordered{0});
      }
    }
    Buffer out;
    V::put(&value, 1, out);
    return {reinterpret_cast<const char*>(out.data()), out.size()};
  }

  Stage<Staged> stage_;
  std::unique_ptr<Staged[]> values_;
  size_t count_ = 0;
  Dictionary<FixedEntries<Staged, V::kBytes>> dictionary_;
  bool any_ = false;
  bool nan_ = false;
  Staged least_{};
  Staged greatest_{};
};

/// BOOLEAN: bits, and no dictionary.
class BooleanColumn final : public ColumnWriter {
 public:
  BooleanColumn(const ColumnForm& form, Workshop& workshop)
      : ColumnWriter(form, workshop),
        values_(std::make_unique_for_overwrite<uint8_t[]>(workshop.page_rows + 1)) {}

  size_t used_bytes() const override { return own_bytes(); }

 protected:
  Result<size_t> stage(const ColumnView& view, size_t begin, size_t count) override {
    const auto* const source = static_cast<const uint8_t*>(view.data) + begin;
    for (size_t i = 0; i < count; ++i) {
      values_[count_] = source[i] != 0;
      count_ += view.is_valid(begin + i);
    }
    return count;
  }
  size_t staged() const override { return count_; }
  void clear_stage() override { count_ = 0; }
  size_t sample() const override { return count_; }
  std::span<const Encoding> encodings() const override { return plain_only(); }
  void encode(Encoding, size_t count, Buffer& out) const override {
    put_bits(values_.get(), count, out);
  }
  bool map(uint32_t*) override { return false; }
  size_t dictionary_size() const override { return 0; }
  size_t dictionary_half() const override { return 0; }
  size_t dictionary_bytes() const override { return 0; }
  void put_dictionary(Buffer&) const override {}
  void clear_dictionary(bool) override {}
  void note_stage() override {
    size_t set = 0;
    for (size_t i = 0; i < count_; ++i) set += values_[i];
    any_[1] |= set > 0;
    any_[0] |= set < count_;
  }
  void note_dictionary() override {}
  void take_statistics(Chunk& chunk) override {
    if (any_[0] || any_[1]) {
      chunk.least = std::string(1, any_[0] ? '\0' : '\1');
      chunk.greatest = std::string(1, any_[1] ? '\1' : '\0');
    }
    any_[0] = any_[1] = false;
  }
  size_t own_bytes() const override { return workshop_.page_rows + 1; }

 private:
  std::unique_ptr<uint8_t[]> values_;
  size_t count_ = 0;
  bool any_[2] = {};
};

template <typename Kind, typename Convert>
std::unique_ptr<ColumnWriter> make(const ColumnForm& form, Workshop& workshop) {
  using Staged = typename Value<Kind>::Staged;
  return std::make_unique<FixedColumn<Kind>>(form, workshop, &stage_values<Convert, Staged>);
}

template <typename Kind, typename Source>
std::unique_ptr<ColumnWriter> make_widened(const ColumnForm& form, Workshop& workshop) {
  return make<Kind, Widen<Source, typename Value<Kind>::Staged>>(form, workshop);
}

std::unique_ptr<ColumnWriter> make_integer(const ColumnForm& form, Storage storage,
                                           Workshop& workshop) {
  switch (storage) {
    case Storage::kI8:
      return make_widened<int32_t, int8_t>(form, workshop);
    case Storage::kI16:
      return make_widened<int32_t, int16_t>(form, workshop);
    case Storage::kI32:
      return make_widened<int32_t, int32_t>(form, workshop);
    case Storage::kI64:
      return make_widened<int64_t, int64_t>(form, workshop);
    case Storage::kI128:
      return make_widened<int128, int128>(form, workshop);
    case Storage::kU8:
      return make_widened<uint32_t, uint8_t>(form, workshop);
    case Storage::kU16:
      return make_widened<uint32_t, uint16_t>(form, workshop);
    case Storage::kU32:
      return make_widened<uint32_t, uint32_t>(form, workshop);
    case Storage::kU64:
      return make_widened<uint64_t, uint64_t>(form, workshop);
    default:
      return nullptr;
  }
}

}  // namespace

std::unique_ptr<ColumnWriter> make_fixed_column(const ColumnForm& form, const ColumnType& type,
                                                Workshop& workshop) {
  const ColumnType& published = form.published;
  const bool same = published.meaning == type.meaning && published.storage == type.storage &&
                    published.decimal_width == type.decimal_width &&
                    published.decimal_scale == type.decimal_scale;
  switch (published.meaning) {
    case Meaning::kDecimal:
      if (published.decimal_width == 38 && published.decimal_scale == 0 &&
          type.meaning == Meaning::kInteger) {
        if (type.storage == Storage::kI128)
          return make<int128, ToDecimal38<int128>>(form, workshop);
        if (type.storage == Storage::kU128)
          return make<int128, ToDecimal38<uint128>>(form, workshop);
      }
      break;
    case Meaning::kTimestampUs:
      if (type.meaning == Meaning::kTimestampS)
        return make<int64_t, ToMicroseconds<1'000'000>>(form, workshop);
      if (type.meaning == Meaning::kTimestampMs)
        return make<int64_t, ToMicroseconds<1'000>>(form, workshop);
      break;
    default:
      break;
  }
  if (!same) return nullptr;
  switch (published.meaning) {
    case Meaning::kDecimal:
    case Meaning::kTimestampUs:
    case Meaning::kInteger:
    case Meaning::kDate:
    case Meaning::kTime:
    case Meaning::kTimestampNs:
    case Meaning::kTimestampTz:
      return make_integer(form, type.storage, workshop);
    case Meaning::kFloat:
      return make_widened<float, uint32_t>(form, workshop);
    case Meaning::kDouble:
      return make_widened<double, uint64_t>(form, workshop);
    case Meaning::kUuid:
      return make_widened<Uuid, int128>(form, workshop);
    case Meaning::kInterval:
      return make<Interval12, ToInterval>(form, workshop);
    default:
      return nullptr;
  }
}

std::unique_ptr<ColumnWriter> make_boolean_column(const ColumnForm& form, const ColumnType& type,
                                                  Workshop& workshop) {
  if (form.published.meaning != Meaning::kBoolean || type.meaning != Meaning::kBoolean)
    return nullptr;
  return std::make_unique<BooleanColumn>(form, workshop);
}

}  // namespace tidegate::sink
