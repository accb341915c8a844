#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/exact_sum.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::int128;
using batch::StringRef;

/// Counts of parts to the count of the whole.
class SumCounts final : public Accumulator {
 public:
  SumCounts(uint32_t column, StateRows& states) : column_(column), counts_(states) {}
  void grow(uint32_t) override {}
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(column_);
    const int64_t* from = static_cast<const int64_t*>(column.data);
    const auto counts = counts_.view();
    each_valid(in, column, [&](size_t row, uint32_t group) { counts[group] += from[row]; }, [] {});
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
  uint32_t column_;
  State<int64_t> counts_;
};

/// Exact sums of parts, and counts for an average.
class MergeReal final : public Accumulator {
 public:
  MergeReal(uint32_t sum, std::optional<uint32_t> count) : sum_(sum), count_(count) {}
  void grow(uint32_t groups) override {
    sums_.grow(groups);
    counts_.grow(groups);
  }
  Status update(const GroupedRows& in) override {
    const ColumnView& column = in.rows.column(sum_);
    const StringRef* from = static_cast<const StringRef*>(column.data);
    bool good = true;
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          good &= sums_.add_state(group, from[row].view());
          if (!count_) counts_[group] = 1;
        },
        [] {});
    if (!good) return fail(FailureClass::kLost, "reduce.state", "a partial sum is malformed");
    if (count_) {
      const ColumnView& counts = in.rows.column(*count_);
      const int64_t* numbers = static_cast<const int64_t*>(counts.data);
      each_valid(
          in, counts, [&](size_t row, uint32_t group) { counts_[group] += numbers[row]; }, [] {});
    }
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    double* out = static_cast<double*>(duckdb_vector_get_data(vector));
    for (uint32_t i = 0; i < count; ++i) {
      if (counts_[begin + i] == 0) {
        set_null(vector, validity, i);
        continue;
      }
      out[i] = sums_.rounded(begin + i);
      if (count_) out[i] /= static_cast<double>(counts_[begin + i]);
    }
    return {};
  }
  uint64_t bytes() const override { return sums_.bytes() + counts_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    return sums_.bytes_after(rows) + counts_.bytes_after(rows);
  }
  void clear() override {
    sums_.clear();
    counts_.clear();
  }

 private:
  uint32_t sum_;
  std::optional<uint32_t> count_;
  ExactSums sums_;
  PerGroup<int64_t> counts_;  ///< without a count: 1 where there is a sum
};

/// avg of integers and decimals from sums and counts of parts.
class AvgSums final : public Accumulator {
 public:
  AvgSums(const Aggregate& aggregate, StateRows& states)
      : sum_(aggregate.arguments[0]),
        count_(aggregate.arguments[1]),
        sums_(states),
        counts_(states) {
    for (uint32_t i = 0; i < aggregate.scale; ++i) divisor_ *= 10;
  }
  void grow(uint32_t) override {}
  Status update(const GroupedRows& in) override {
    const ColumnView& parts = in.rows.column(sum_);
    const ColumnView& rows = in.rows.column(count_);
    const int128* values = static_cast<const int128*>(parts.data);
    const int64_t* numbers = static_cast<const int64_t*>(rows.data);
    bool over = false;
    const auto sums = sums_.view();
    const auto counts = counts_.view();
    each_valid(
        in, parts,
        [&](size_t row, uint32_t group) {
          over |= __builtin_add_overflow(sums[group], values[row], &sums[group]);
        },
        [] {});
    each_valid(in, rows, [&](size_t row, uint32_t group) { counts[group] += numbers[row]; }, [] {});
    if (over)
      return fail(FailureClass::kData, "reduce.overflow",
                  "a sum does not fit in 128 bits: cast its argument to DOUBLE");
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    double* out = static_cast<double*>(duckdb_vector_get_data(vector));
    const auto sums = sums_.view();
    const auto counts = counts_.view();
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t group = begin + i;
      if (counts[group] == 0) {
        set_null(vector, validity, i);
        continue;
      }
      out[i] = static_cast<double>(static_cast<long double>(sums[group]) /
                                   (static_cast<long double>(counts[group]) * divisor_));
    }
    return {};
  }
  uint64_t bytes() const override { return 0; }
  uint64_t bytes_after(size_t, uint64_t) const override { return 0; }
  void clear() override {}

 private:
  uint32_t sum_;
  uint32_t count_;
  long double divisor_ = 1;
  State<int128> sums_;
  State<int64_t> counts_;
};

}  // namespace

std::unique_ptr<Accumulator> make_merge(const Aggregate& aggregate, StateRows& states) {
  switch (aggregate.kind) {
    case AggregateKind::kSumCounts:
      return std::make_unique<SumCounts>(aggregate.arguments[0], states);
    case AggregateKind::kAvgSums:
      return std::make_unique<AvgSums>(aggregate, states);
    case AggregateKind::kSumStates:
      return std::make_unique<MergeReal>(aggregate.arguments[0], std::nullopt);
    default:
      return std::make_unique<MergeReal>(aggregate.arguments[0], aggregate.arguments[1]);
  }
}

}  // namespace tidegate::reduce
