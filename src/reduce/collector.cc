#include <algorithm>
#include <cmath>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
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
  explicit Quantiles(const Aggregate& aggregate)
      : column_(aggregate.arguments[0]),
        discrete_(aggregate.kind == AggregateKind::kQuantileDisc),
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
        static_cast<T*>(duckdb_vector_get_data(vector))[i] = at(from, size, discrete_index(size));
      } else {
        static_cast<double*>(duckdb_vector_get_data(vector))[i] = interpolated(from, size);
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
  /// As DuckDB has it: the smallest value that at least that share of the values does not exceed. A
  /// quantile of at most nine decimal digits is taken as the decimal that was written.
  size_t discrete_index(size_t size) const {
    constexpr double kScale = 1e9;
    const double scaled = quantile_ * kScale;
    size_t above = 0;
    if (std::abs(scaled - std::round(scaled)) < 1e-3) {
      const auto missing = static_cast<uint64_t>(kScale - std::round(scaled));
      above = static_cast<size_t>(static_cast<batch::uint128>(missing) * size /
                                  static_cast<uint64_t>(kScale));
    } else {
      const auto all = static_cast<double>(size);
      above = static_cast<size_t>(std::floor(all - quantile_ * all));
    }
    return std::max<size_t>(1, size - above) - 1;
  }
  double interpolated(size_t from, size_t size) {
    const double place = static_cast<double>(size - 1) * quantile_;
    const auto low = static_cast<size_t>(std::floor(place));
    const auto high = static_cast<size_t>(std::ceil(place));
    const auto below = static_cast<double>(at(from, size, low));
    if (low == high) return below;
    const auto first = sorted_.begin() + static_cast<ptrdiff_t>(from + low + 1);
    const auto last = sorted_.begin() + static_cast<ptrdiff_t>(from + size);
    const auto above = static_cast<double>(*std::min_element(first, last, Less<T>()));
    const double share = place - static_cast<double>(low);
    return below * (1.0 - share) + above * share;
  }

  uint32_t column_;
  bool discrete_;
  double quantile_;
  uint32_t count_ = 0;
  std::vector<uint32_t> groups_;
  std::vector<T> values_;
  std::vector<T> sorted_;
  std::vector<size_t> ends_;
};

}  // namespace

std::unique_ptr<Accumulator> make_collector(const Aggregate& aggregate, const ColumnType& type) {
  switch (type.storage) {
    case Storage::kI8:
      return std::make_unique<Quantiles<int8_t>>(aggregate);
    case Storage::kI16:
      return std::make_unique<Quantiles<int16_t>>(aggregate);
    case Storage::kI32:
      return std::make_unique<Quantiles<int32_t>>(aggregate);
    case Storage::kI64:
      return std::make_unique<Quantiles<int64_t>>(aggregate);
    case Storage::kU8:
      return std::make_unique<Quantiles<uint8_t>>(aggregate);
    case Storage::kU16:
      return std::make_unique<Quantiles<uint16_t>>(aggregate);
    case Storage::kU32:
      return std::make_unique<Quantiles<uint32_t>>(aggregate);
    case Storage::kU64:
      return std::make_unique<Quantiles<uint64_t>>(aggregate);
    case Storage::kF64:
      return std::make_unique<Quantiles<double>>(aggregate);
    default:
      TG_ASSERT(!"no such quantile");
      return nullptr;
  }
}

}  // namespace tidegate::reduce
