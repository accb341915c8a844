#include <numeric>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/interval.h"
#include "reduce/row_order.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;

/// Keeps one row's value for each group: first, last, any_value, arg_min, arg_max, and min and max
/// of text and of intervals.
class Choice final : public Accumulator {
 public:
  struct Rules {
    uint32_t value = 0;
    std::vector<OrderColumn> order = {};  ///< what makes a row better; empty: the first
    bool last_of_equals = false;  ///< of rows that compare equal the last one stays, else the first
    bool skip_null_value = false;
    bool skip_null_order = false;
    bool least_form = false;  ///< of intervals that compare equal the least as it stands stays
  };

  Choice(Rules rules, const std::vector<ColumnType>& input)
      : rules_(std::move(rules)), value_(input[rules_.value]), best_(rules_.order, input) {}

  void grow(uint32_t groups) override {
    value_.grow(groups);
    best_.grow(groups);
    seen_.grow(groups);
  }
  Status update(const GroupedRows& in) override {
    const ColumnView& value = in.rows.column(rules_.value);
    each_row(in, [&](size_t row, uint32_t group) {
      if (rules_.skip_null_value && !value.is_valid(row)) return;
      if (rules_.skip_null_order && !in.rows.column(rules_.order[0].column).is_valid(row)) return;
      if (seen_[group] != 0) {
        const int order = best_.compare(group, in.rows, row);
        if (order < 0 || (order == 0 && !is_better(group, value, row))) return;
      }
      seen_[group] = 1;
      value_.set(group, value, row);
      best_.set(group, in.rows, row);
    });
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    ids_.resize(count);
    std::iota(ids_.begin(), ids_.end(), begin);
    return value_.emit(ids_.data(), count, vector);
  }
  uint64_t bytes() const override { return value_.bytes() + best_.bytes() + seen_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    return value_.bytes_after(rows) + best_.bytes_after(rows) + seen_.bytes_after(rows) +
           2 * text_bytes;
  }
  void clear() override {
    value_.clear();
    best_.clear();
    seen_.clear();
  }

 private:
  /// Of two that compare equal.
  bool is_better(uint32_t group, const ColumnView& value, size_t row) const {
    if (!rules_.least_form) return rules_.last_of_equals;
    return static_cast<const Interval*>(value.data)[row] <
           *static_cast<const Interval*>(value_.value(group));
  }

  Rules rules_;
  ValueStore value_;
  RowOrder best_;
  PerGroup<uint8_t> seen_;
  std::vector<uint32_t> ids_;
};

}  // namespace

std::unique_ptr<Accumulator> make_choice(const Aggregate& aggregate,
                                         const std::vector<ColumnType>& input) {
  Choice::Rules rules;
  rules.value = aggregate.arguments[0];
  rules.order = aggregate.order;
  switch (aggregate.kind) {
    case AggregateKind::kFirst:
      break;
    case AggregateKind::kAnyValue:
      rules.skip_null_value = true;
      break;
    case AggregateKind::kLast:
      rules.last_of_equals = true;
      // The last row by an order is the first by its reverse, and of equals the last.
      for (OrderColumn& order : rules.order) {
        order.descending = !order.descending;
        order.nulls_first = !order.nulls_first;
      }
      break;
    case AggregateKind::kMin:
    case AggregateKind::kMax:
      rules.skip_null_value = true;
      rules.order = {{rules.value, aggregate.kind == AggregateKind::kMax, false}};
      rules.least_form = input[rules.value].storage == batch::Storage::kInterval;
      break;
    default: {
      const bool least =
          aggregate.kind == AggregateKind::kArgMin || aggregate.kind == AggregateKind::kArgMinNull;
      rules.skip_null_value =
          aggregate.kind == AggregateKind::kArgMin || aggregate.kind == AggregateKind::kArgMax;
      rules.skip_null_order = true;
      rules.order = {{aggregate.arguments[1], !least, false}};
    }
  }
  return std::make_unique<Choice>(std::move(rules), input);
}

}  // namespace tidegate::reduce
