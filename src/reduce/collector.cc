#include <algorithm>
#include <cmath>
#include <limits>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/rows_of_groups.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Meaning;
using batch::Storage;

template <typename T>
struct Less {
  bool operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(b)) return !std::isnan(a);
    }
    return a < b;
  }
};

/// median and quantiles: keeps every value with its group, sorts them by group at the end.
template <typename T>
class Quantiles final : public Accumulator {
 public:
  Quantiles(const Aggregate& aggregate, const ColumnType& type)
      : column_(aggregate.arguments[0]),
        meaning_(type.meaning),
        discrete_(aggregate.kind == AggregateKind::kQuantileDisc ||
                  type.meaning == Meaning::kBoolean),
        quantile_(aggregate.kind == AggregateKind::kMedian ? 0.5 : aggregate.quantile) {}

  void grow(uint32_t groups) override { count_ = groups; }
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(column_);
    const T* from = static_cast<const T*>(column.data);
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          groups_.push_back(group);
          values_.push_back(from[row]);
        },
        [] {});
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    if (ends_.empty()) arrange();
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i) {
      const size_t from = begin + i == 0 ? 0 : ends_[begin + i - 1];
      const size_t size = ends_[begin + i] - from;
      if (size == 0) {
        set_null(vector, validity, i);
      } else if (discrete_) {
        static_cast<T*>(duckdb_vector_get_data(vector))[i] =
            at(from, size, discrete_index(quantile_, size));
      } else {
        TG_TRY(interpolate(from, size, duckdb_vector_get_data(vector), i));
      }
    }
    return {};
  }
  /// The sorted copy at the end is counted from the beginning.
  uint64_t bytes() const override {
    return values_.capacity() * sizeof(T) * 2 + groups_.capacity() * 4 + uint64_t{count_} * 8;
  }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    const bool grows = values_.size() + rows > values_.capacity();
    return bytes() + (grows ? (values_.capacity() * 2 + rows) * (2 * sizeof(T) + 4) : 0) + rows * 8;
  }
  void clear() override {
    groups_.clear();
    values_.clear();
    sorted_.clear();
    ends_.clear();
    count_ = 0;
  }

 private:
  /// Values by group, in the order in which they came.
  void arrange() {
    ends_.assign(size_t{count_} + 1, 0);
    for (const uint32_t group : groups_) ++ends_[group + 1];
    for (size_t g = 1; g < ends_.size(); ++g) ends_[g] += ends_[g - 1];
    sorted_.resize(values_.size());
    for (size_t i = 0; i < values_.size(); ++i) sorted_[ends_[groups_[i]]++] = values_[i];
    // ends_[g] was where group g begins and has moved to where it ends.
  }
  T at(size_t from, size_t size, size_t index) {
    const auto first = sorted_.begin() + static_cast<ptrdiff_t>(from);
    const auto nth = first + static_cast<ptrdiff_t>(index);
    std::nth_element(first, nth, first + static_cast<ptrdiff_t>(size), Less<T>());
    return *nth;
  }
  /// Numbers to DOUBLE; decimals, FLOATs and times to their own type, dates to moments.
  Status interpolate(size_t from, size_t size, void* out, uint32_t i) {
    const double place = static_cast<double>(size - 1) * quantile_;
    const auto index = static_cast<size_t>(std::floor(place));
    const bool between = index != static_cast<size_t>(std::ceil(place));
    const double share = place - static_cast<double>(index);
    const T low = at(from, size, index);
    T high = low;
    if (between) {
      const auto first = sorted_.begin() + static_cast<ptrdiff_t>(from + index + 1);
      const auto last = sorted_.begin() + static_cast<ptrdiff_t>(from + size);
      high = *std::min_element(first, last, Less<T>());
    }
    switch (meaning_) {
      case Meaning::kDecimal:
      case Meaning::kFloat: {
        const auto apart = static_cast<T>(high - low);
        const double step = static_cast<double>(apart) * share;
        static_cast<T*>(out)[i] = !between ? low
                                  : meaning_ == Meaning::kFloat
                                      ? static_cast<T>(static_cast<double>(low) + step)
                                      : static_cast<T>(low + static_cast<T>(step));
        return {};
      }
      case Meaning::kDate:
      case Meaning::kTime:
      case Meaning::kTimestampUs:
      case Meaning::kTimestampTz: {
        int64_t below = 0, above = 0;
        if (!microseconds(low, below) || !microseconds(high, above))
          return fail(FailureClass::kData, "reduce.out_of_range",
                      "a date of a median or quantile is out of the range of TIMESTAMP");
        static_cast<int64_t*>(out)[i] =
            between ? std::llround(static_cast<double>(below) * (1.0 - share) +
                                   static_cast<double>(above) * share)
                    : below;
        return {};
      }
      default:
        static_cast<double*>(out)[i] =
            between ? static_cast<double>(low) * (1.0 - share) + static_cast<double>(high) * share
                    : static_cast<double>(low);
        return {};
    }
  }
  bool microseconds(T value, int64_t& out) const {
    out = static_cast<int64_t>(value);  // NOLINT(bugprone-signed-char-misuse): no text
    if (meaning_ != Meaning::kDate) return true;
    constexpr int64_t kInfinity = std::numeric_limits<int64_t>::max();
    constexpr int64_t kDayMicros = 86'400'000'000;
    if (out == std::numeric_limits<int32_t>::max() || out == -std::numeric_limits<int32_t>::max()) {
      out = out > 0 ? kInfinity : -kInfinity;
      return true;
    }
    return !__builtin_mul_overflow(out, kDayMicros, &out);
  }

  uint32_t column_;
  Meaning meaning_;
  bool discrete_;
  double quantile_;
  uint32_t count_ = 0;
  std::vector<uint32_t> groups_;
  std::vector<T> values_;
  std::vector<T> sorted_;
  std::vector<size_t> ends_;
};

}  // namespace

size_t discrete_index(double quantile, size_t size) {
  constexpr double kScale = 1e9;
  const double scaled = quantile * kScale;
  size_t above = 0;
  if (std::abs(scaled - std::round(scaled)) < 1e-3) {
    const auto missing = static_cast<uint64_t>(kScale - std::round(scaled));
    above = static_cast<size_t>(static_cast<batch::uint128>(missing) * size /
                                static_cast<uint64_t>(kScale));
  } else {
    const auto all = static_cast<double>(size);
    above = static_cast<size_t>(std::floor(all - quantile * all));
  }
  return std::max<size_t>(1, size - above) - 1;
}

std::unique_ptr<Accumulator> make_collector(const Aggregate& aggregate, const ColumnType& type) {
  switch (type.storage) {
    case Storage::kI8:
      return std::make_unique<Quantiles<int8_t>>(aggregate, type);
    case Storage::kI16:
      return std::make_unique<Quantiles<int16_t>>(aggregate, type);
    case Storage::kI32:
      return std::make_unique<Quantiles<int32_t>>(aggregate, type);
    case Storage::kI64:
      return std::make_unique<Quantiles<int64_t>>(aggregate, type);
    case Storage::kU8:
      return std::make_unique<Quantiles<uint8_t>>(aggregate, type);
    case Storage::kU16:
      return std::make_unique<Quantiles<uint16_t>>(aggregate, type);
    case Storage::kU32:
      return std::make_unique<Quantiles<uint32_t>>(aggregate, type);
    case Storage::kU64:
      return std::make_unique<Quantiles<uint64_t>>(aggregate, type);
    case Storage::kI128:
      return std::make_unique<Quantiles<batch::int128>>(aggregate, type);
    case Storage::kU128:
      return std::make_unique<Quantiles<batch::uint128>>(aggregate, type);
    case Storage::kF32:
      return std::make_unique<Quantiles<float>>(aggregate, type);
    case Storage::kF64:
      return std::make_unique<Quantiles<double>>(aggregate, type);
    default:
      TG_ASSERT(!"no such quantile");
      return nullptr;
  }
}

}  // namespace tidegate::reduce
