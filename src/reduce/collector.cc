#include <algorithm>
#include <cmath>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/quantile.h"
#include "reduce/rows_of_groups.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

/// median and quantiles: keeps every value with its group, sorts them by group at the end.
template <typename T>
class Quantiles final : public Accumulator {
 public:
  Quantiles(const Aggregate& aggregate, const ColumnType& type)
      : column_(aggregate.arguments[0]), rule_(aggregate, type) {}

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
        continue;
      }
      const size_t index = rule_.low(size);
      const T low = at(from, size, index);
      TG_TRY(rule_.write(low, rule_.high(size) == index ? low : next_after(from, size, index), size,
                         duckdb_vector_get_data(vector), i));
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
  /// Of what `at` has parted: the least value behind it.
  T next_after(size_t from, size_t size, size_t index) const {
    const auto first = sorted_.begin() + static_cast<ptrdiff_t>(from + index + 1);
    const auto last = sorted_.begin() + static_cast<ptrdiff_t>(from + size);
    return *std::min_element(first, last, Less<T>());
  }

  uint32_t column_;
  QuantileRule<T> rule_;
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
