#include <cstring>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/exact_sum.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::int128;
using batch::Meaning;
using batch::Storage;

int128 power_of_ten(int exponent) {
  int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

/// sum and avg of integers and decimals. Sums of up to 32 bits a value are 64 bits wide.
template <typename T>
class IntegerSum final : public Accumulator {
 public:
  using Sum = std::conditional_t<(sizeof(T) <= 4), int64_t, int128>;
  IntegerSum(const Aggregate& aggregate, const ColumnType& type, StateRows& states)
      : column_(aggregate.arguments[0]),
        average_(aggregate.kind == AggregateKind::kAvg),
        divisor_(type.meaning == Meaning::kDecimal ? power_of_ten(type.decimal_scale) : 1),
        sums_(states) {
    if (average_) counts_.emplace(states);
  }

  void grow(uint32_t groups) override {
    if (!average_) seen_.grow(groups);
  }
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(column_);
    const T* from = static_cast<const T*>(column.data);
    if (!average_ && !seen_.tracked() && skips_some(in, column)) seen_.track();
    bool over = false;
    const auto sums = sums_.view();
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          if constexpr (sizeof(T) <= 4) {
            sums[group] += static_cast<int64_t>(from[row]);
          } else {
            over |=
                __builtin_add_overflow(sums[group], static_cast<int128>(from[row]), &sums[group]);
          }
        },
        [] {});
    if (average_) {
      const auto counts = counts_->view();
      each_valid(in, column, [&](size_t, uint32_t group) { ++counts[group]; }, [] {});
    } else if (seen_.tracked()) {
      each_valid(in, column, [&](size_t, uint32_t group) { seen_.mark(group); }, [] {});
    }
    if (over)
      return fail(FailureClass::kData, "reduce.overflow",
                  "a sum does not fit in 128 bits: cast its argument to DOUBLE");
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    void* out = duckdb_vector_get_data(vector);
    const auto sums = sums_.view();
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t group = begin + i;
      if (average_) {
        const int64_t rows = counts_->view()[group];
        if (rows == 0) {
          set_null(vector, validity, i);
          continue;
        }
        const long double divisor =
            static_cast<long double>(rows) * static_cast<long double>(divisor_);
        static_cast<double*>(out)[i] =
            static_cast<double>(static_cast<long double>(sums[group]) / divisor);
      } else if (seen_.has(group)) {
        static_cast<int128*>(out)[i] = sums[group];
      } else {
        set_null(vector, validity, i);
      }
    }
    return {};
  }
  uint64_t bytes() const override { return seen_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t) const override { return seen_.bytes_after(rows); }
  void clear() override { seen_.clear(); }

 private:
  uint32_t column_;
  bool average_;
  int128 divisor_;
  State<Sum> sums_;
  std::optional<State<int64_t>> counts_;  ///< of an average
  Seen seen_;
};

/// sum and avg of FLOAT and DOUBLE.
template <typename T>
class RealSum final : public Accumulator {
 public:
  explicit RealSum(const Aggregate& aggregate)
      : column_(aggregate.arguments[0]),
        average_(aggregate.kind == AggregateKind::kAvg),
        state_(aggregate.kind == AggregateKind::kExactState) {}

  void grow(uint32_t groups) override {
    sums_.grow(groups);
    if (average_) {
      counts_.grow(groups);
    } else {
      seen_.grow(groups);
    }
  }
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(column_);
    const T* from = static_cast<const T*>(column.data);
    if (!average_ && !seen_.tracked() && skips_some(in, column)) seen_.track();
    const bool tracked = !average_ && seen_.tracked();
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          sums_.add(group, static_cast<double>(from[row]));
          if (tracked) seen_.mark(group);
        },
        [] {});
    if (average_) each_valid(in, column, [&](size_t, uint32_t group) { ++counts_[group]; }, [] {});
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    double* out = static_cast<double*>(duckdb_vector_get_data(vector));
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t group = begin + i;
      if (average_ ? counts_[group] == 0 : !seen_.has(group)) {
        set_null(vector, validity, i);
        continue;
      }
      if (state_) {
        const std::string state = sums_.state(group);
        duckdb_unsafe_vector_assign_string_element_len(vector, i, state.data(), state.size());
        continue;
      }
      out[i] = sums_.rounded(group);
      if (average_) out[i] /= static_cast<double>(counts_[group]);
    }
    return {};
  }
  uint64_t bytes() const override { return sums_.bytes() + counts_.bytes() + seen_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    return sums_.bytes_after(rows) + counts_.bytes_after(average_ ? rows : 0) + seen_.bytes() +
           seen_.bytes() + rows;
  }
  void clear() override {
    sums_.clear();
    counts_.clear();
    seen_.clear();
  }

 private:
  uint32_t column_;
  bool average_;
  bool state_;
  ExactSums sums_;
  PerGroup<int64_t> counts_;
  Seen seen_;
};

}  // namespace

std::unique_ptr<Accumulator> make_sum(const Aggregate& aggregate, const ColumnType& type,
                                      StateRows& states) {
  switch (type.storage) {
    case Storage::kI8:
      return std::make_unique<IntegerSum<int8_t>>(aggregate, type, states);
    case Storage::kI16:
      return std::make_unique<IntegerSum<int16_t>>(aggregate, type, states);
    case Storage::kI32:
      return std::make_unique<IntegerSum<int32_t>>(aggregate, type, states);
    case Storage::kI64:
      return std::make_unique<IntegerSum<int64_t>>(aggregate, type, states);
    case Storage::kI128:
      return std::make_unique<IntegerSum<int128>>(aggregate, type, states);
    case Storage::kU8:
      return std::make_unique<IntegerSum<uint8_t>>(aggregate, type, states);
    case Storage::kU16:
      return std::make_unique<IntegerSum<uint16_t>>(aggregate, type, states);
    case Storage::kU32:
      return std::make_unique<IntegerSum<uint32_t>>(aggregate, type, states);
    case Storage::kU64:
      return std::make_unique<IntegerSum<uint64_t>>(aggregate, type, states);
    case Storage::kF32:
      return std::make_unique<RealSum<float>>(aggregate);
    case Storage::kF64:
      return std::make_unique<RealSum<double>>(aggregate);
    default:
      TG_ASSERT(!"no such sum");
      return nullptr;
  }
}

}  // namespace tidegate::reduce
