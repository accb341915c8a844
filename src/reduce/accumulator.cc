#include "reduce/accumulator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "duckdb.h"
#include "reduce/emit.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

class Count final : public Accumulator {
 public:
  /// `column` below zero: all rows.
  Count(int64_t column, StateRows& states) : column_(column), counts_(states) {}
  void grow(uint32_t) override {}
  Status update(const GroupedRows& in) override {
    const auto counts = counts_.view();
    if (column_ < 0) {
      each_row(in, [&](size_t, uint32_t group) { ++counts[group]; });
    } else {
      each_valid(
          in, in.rows.column(static_cast<size_t>(column_)),
          [&](size_t, uint32_t group) { ++counts[group]; }, [] {});
    }
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    const auto counts = counts_.view();
    auto* out = static_cast<int64_t*>(duckdb_vector_get_data(vector));
    for (uint32_t i = 0; i < count; ++i) out[i] = counts[begin + i];
    return {};
  }
  uint64_t bytes() const override { return 0; }
  uint64_t bytes_after(size_t, uint64_t) const override { return 0; }
  void clear() override {}

 private:
  int64_t column_;
  State<int64_t> counts_;
};

template <typename T>
bool is_less(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<bool>(static_cast<int>(a < b) |
                             (static_cast<int>(std::isnan(b)) & static_cast<int>(!std::isnan(a))));
  return a < b;
}

/// `b` where `take`, else `a`; never a jump, which values in no order would often mispredict.
template <typename T>
T choose(bool take, T a, T b) {
  using Bits = std::conditional_t<
      sizeof(T) == 1, uint8_t,
      std::conditional_t<
          sizeof(T) == 2, uint16_t,
          std::conditional_t<sizeof(T) == 4, uint32_t,
                             std::conditional_t<sizeof(T) == 8, uint64_t, batch::uint128>>>>;
  const auto mask = static_cast<Bits>(-static_cast<Bits>(take));
  const auto kept = static_cast<Bits>(std::bit_cast<Bits>(a) & static_cast<Bits>(~mask));
  return std::bit_cast<T>(static_cast<Bits>(kept | (std::bit_cast<Bits>(b) & mask)));
}

/// What stays the same width: min, max, and, or, xor.
template <typename T, typename Fold>
class Folding final : public Accumulator {
 public:
  Folding(uint32_t column, StateRows& states)
      : column_(column), values_(states, Fold::template first<T>()) {}
  void grow(uint32_t groups) override { seen_.grow(groups); }
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(column_);
    const T* from = static_cast<const T*>(column.data);
    const auto values = values_.view();
    if (!seen_.tracked() && skips_some(in, column)) seen_.track();
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) { values[group] = Fold::fold(values[group], from[row]); },
        [] {});
    if (seen_.tracked())
      each_valid(in, column, [&](size_t, uint32_t group) { seen_.mark(group); }, [] {});
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    const auto values = values_.view();
    auto* out = static_cast<T*>(duckdb_vector_get_data(vector));
    for (uint32_t i = 0; i < count; ++i) out[i] = values[begin + i];
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i)
      if (!seen_.has(begin + i)) set_null(vector, validity, i);
    return {};
  }
  uint64_t bytes() const override { return seen_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t) const override { return seen_.bytes_after(rows); }
  void clear() override { seen_.clear(); }

 private:
  uint32_t column_;
  State<T> values_;
  Seen seen_;
};

/// 128-bit numbers may be the lowest that there is; std::numeric_limits does not know them without
/// extensions.
template <typename T>
constexpr T lowest() {
  if constexpr (std::is_same_v<T, batch::int128>) {
    return static_cast<T>(static_cast<batch::uint128>(1) << 127);
  } else if constexpr (std::is_same_v<T, batch::uint128>) {
    return 0;
  } else if constexpr (std::is_floating_point_v<T>) {
    return -std::numeric_limits<T>::infinity();
  } else {
    return std::numeric_limits<T>::lowest();
  }
}
template <typename T>
constexpr T highest() {
  if constexpr (std::is_same_v<T, batch::int128>) {
    return static_cast<T>(~(static_cast<batch::uint128>(1) << 127));
  } else if constexpr (std::is_same_v<T, batch::uint128>) {
    return ~static_cast<T>(0);
  } else if constexpr (std::is_floating_point_v<T>) {
    return std::numeric_limits<T>::quiet_NaN();
  } else {
    return std::numeric_limits<T>::max();
  }
}

struct Least {
  template <typename T>
  static T first() {
    return highest<T>();
  }
  template <typename T>
  static T fold(T a, T b) {
    return choose(is_less(b, a), a, b);
  }
};
struct Greatest {
  template <typename T>
  static T first() {
    return lowest<T>();
  }
  template <typename T>
  static T fold(T a, T b) {
    return choose(is_less(a, b), a, b);
  }
};
struct And {
  template <typename T>
  static T first() {
    return static_cast<T>(~static_cast<T>(0));
  }
  template <typename T>
  static T fold(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <typename T>
  static T first() {
    return 0;
  }
  template <typename T>
  static T fold(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct Xor : Or {
  template <typename T>
  static T fold(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};

template <typename Fold>
std::unique_ptr<Accumulator> make_folding(uint32_t column, Storage storage, StateRows& states) {
  switch (storage) {
    case Storage::kI8:
      return std::make_unique<Folding<int8_t, Fold>>(column, states);
    case Storage::kI16:
      return std::make_unique<Folding<int16_t, Fold>>(column, states);
    case Storage::kI32:
      return std::make_unique<Folding<int32_t, Fold>>(column, states);
    case Storage::kI64:
      return std::make_unique<Folding<int64_t, Fold>>(column, states);
    case Storage::kI128:
      return std::make_unique<Folding<batch::int128, Fold>>(column, states);
    case Storage::kU8:
      return std::make_unique<Folding<uint8_t, Fold>>(column, states);
    case Storage::kU16:
      return std::make_unique<Folding<uint16_t, Fold>>(column, states);
    case Storage::kU32:
      return std::make_unique<Folding<uint32_t, Fold>>(column, states);
    case Storage::kU64:
      return std::make_unique<Folding<uint64_t, Fold>>(column, states);
    case Storage::kU128:
      return std::make_unique<Folding<batch::uint128, Fold>>(column, states);
    default:
      break;
  }
  if constexpr (std::is_same_v<Fold, Least> || std::is_same_v<Fold, Greatest>) {
    if (storage == Storage::kF32) return std::make_unique<Folding<float, Fold>>(column, states);
    if (storage == Storage::kF64) return std::make_unique<Folding<double, Fold>>(column, states);
  }
  TG_ASSERT(!"no such storage");
  return nullptr;
}

std::unique_ptr<Accumulator> make_plain(const Aggregate& aggregate,
                                        const std::vector<ColumnType>& input, StateRows& states) {
  const uint32_t column = aggregate.arguments.empty() ? 0 : aggregate.arguments[0];
  const Storage storage = input.empty() ? Storage::kNull : input[column].storage;
  switch (aggregate.kind) {
    case AggregateKind::kCountRows:
      return std::make_unique<Count>(-1, states);
    case AggregateKind::kCount:
      // Several arguments are a row, which is never NULL.
      return std::make_unique<Count>(aggregate.arguments.size() == 1 ? int64_t{column} : -1,
                                     states);
    case AggregateKind::kSum:
    case AggregateKind::kAvg:
    case AggregateKind::kExactState:
      return make_sum(aggregate, input[column], states);
    case AggregateKind::kVarSamp:
    case AggregateKind::kVarPop:
    case AggregateKind::kStddevSamp:
    case AggregateKind::kStddevPop:
    case AggregateKind::kCovarSamp:
    case AggregateKind::kCovarPop:
    case AggregateKind::kCorr:
    case AggregateKind::kMomentState:
      return make_moments(aggregate, input[column]);
    case AggregateKind::kApproxCountDistinct:
    case AggregateKind::kSketchState:
      return make_approx_count(aggregate, input[column], states);
    case AggregateKind::kSumCounts:
    case AggregateKind::kSumStates:
    case AggregateKind::kAvgSums:
    case AggregateKind::kAvgStates:
      return make_merge(aggregate, states);
    case AggregateKind::kMin:
    case AggregateKind::kMax:
      if (storage == Storage::kBytes || storage == Storage::kInterval)
        return make_choice(aggregate, input);
      if (aggregate.kind == AggregateKind::kMin)
        return make_folding<Least>(column, storage, states);
      return make_folding<Greatest>(column, storage, states);
    case AggregateKind::kBoolAnd:
    case AggregateKind::kBitAnd:
      // BOOLEAN is stored as 0 and 1: all bits set would be no boolean where nothing was seen, and
      // is NULL there.
      return make_folding<And>(column, storage, states);
    case AggregateKind::kBoolOr:
    case AggregateKind::kBitOr:
      return make_folding<Or>(column, storage, states);
    case AggregateKind::kBitXor:
      return make_folding<Xor>(column, storage, states);
    case AggregateKind::kMedian:
    case AggregateKind::kQuantileCont:
    case AggregateKind::kQuantileDisc:
      if (storage == Storage::kBytes) return make_list(aggregate, input);
      return make_collector(aggregate, input[column]);
    case AggregateKind::kList:
    case AggregateKind::kStringAgg:
      return make_list(aggregate, input);
    case AggregateKind::kMode:
      return make_mode(column, input[column]);
    default:
      return make_choice(aggregate, input);
  }
}

}  // namespace

std::unique_ptr<Accumulator> Accumulator::create(const Aggregate& aggregate,
                                                 const std::vector<ColumnType>& input,
                                                 StateRows& states) {
  // Each value once changes nothing where only the values' set counts.
  const bool distinct = aggregate.distinct && aggregate.kind != AggregateKind::kBoolAnd &&
                        aggregate.kind != AggregateKind::kBoolOr;
  std::unique_ptr<Accumulator> counted;
  if (distinct) counted = make_distinct_count(aggregate, input);
  const bool picks = distinct && !counted;
  std::unique_ptr<Accumulator> plain =
      counted ? std::move(counted) : make_plain(aggregate, input, states);
  if (!aggregate.filter && !picks) return plain;
  return make_picking(std::move(plain), aggregate.filter,
                      picks ? aggregate.arguments : std::vector<uint32_t>{},
                      aggregate.kind == AggregateKind::kList, input);
}

}  // namespace tidegate::reduce
