#include "reduce/spilling.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "duckdb.h"
#include "reduce/emit.h"
#include "reduce/quantile.h"
#include "reduce/spilling_base.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

/// An aggregate whose states are small, of each value once.
class Distinct final : public Spilling {
 public:
  Distinct(const Aggregate& aggregate, GroupedValues::Rules rules, const sql::Schema& schema,
           const std::vector<ColumnType>& input, SpillSpace space)
      : Spilling(std::move(rules), schema, input, std::move(space)) {
    Aggregate inner = aggregate;
    inner.distinct = false;
    inner.filter.reset();
    // What is sorted has the group before the arguments.
    for (uint32_t i = 0; i < inner.arguments.size(); ++i) inner.arguments[i] = i + 1;
    inner_ = Accumulator::create(inner, values_.types(), states_);
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    if (!counted_) TG_TRY(count_all());
    return inner_->emit(begin, count, vector);
  }
  uint64_t bytes() const override { return Spilling::bytes() + states_.bytes() + inner_->bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t texts) const override {
    return Spilling::bytes_after(rows, texts) + states_.bytes_after(values_.groups() + rows) +
           inner_->bytes_after(values_.groups() + rows, 0);
  }
  void clear() override {
    Spilling::clear();
    states_.clear();
    inner_->clear();
    counted_ = false;
  }

 private:
  Status count_all() {
    counted_ = true;
    states_.grow(values_.groups());
    inner_->grow(values_.groups());
    while (true) {
      TG_ASSIGN(const uint32_t rows, values_.next_block(picked_));
      if (rows == 0) return {};
      if (picked_.empty()) continue;
      const std::vector<ColumnView>& views = values_.views();
      TG_TRY(inner_->update({.rows = {views.data(), rows},
                             .groups = static_cast<const uint32_t*>(views[0].data),
                             .picked = picked_.data(),
                             .picked_count = picked_.size()}));
    }
  }

  StateRows states_;
  std::unique_ptr<Accumulator> inner_;
  std::vector<uint32_t> picked_;
  bool counted_ = false;
};

/// median and quantiles of numbers.
template <typename T>
class SortedQuantile final : public Spilling {
 public:
  SortedQuantile(const Aggregate& aggregate, GroupedValues::Rules rules, const sql::Schema& schema,
                 const std::vector<ColumnType>& input, SpillSpace space)
      : Spilling(std::move(rules), schema, input, std::move(space)),
        rule_(aggregate, input[aggregate.arguments[0]]) {}
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t size = values_.size(begin + i);
      if (size == 0) {
        set_null(vector, validity, i);
        continue;
      }
      const uint64_t low = rule_.low(size), high = rule_.high(size);
      T low_value{}, high_value{};
      for (uint64_t at = 0; at < size; ++at) {
        TG_TRY(step());
        const char* value =
            static_cast<const char*>(values_.column(0).data) + values_.row() * sizeof(T);
        if (at == low) std::memcpy(&low_value, value, sizeof(T));
        if (at == high) std::memcpy(&high_value, value, sizeof(T));
      }
      TG_TRY(rule_.write(low_value, high_value, size, duckdb_vector_get_data(vector), i));
    }
    return {};
  }

 private:
  QuantileRule<T> rule_;
};

/// What gives one of a group's values, as it is.
class SortedPick : public Spilling {
 public:
  SortedPick(const Aggregate& aggregate, GroupedValues::Rules rules, const sql::Schema& schema,
             const std::vector<ColumnType>& input, SpillSpace space)
      : Spilling(std::move(rules), schema, input, std::move(space)),
        storage_(input[aggregate.arguments[0]].storage),
        mode_(aggregate.kind == AggregateKind::kMode),
        quantile_(aggregate.kind == AggregateKind::kMedian ? 0.5 : aggregate.quantile),
        chosen_(input[aggregate.arguments[0]]),
        first_(input[aggregate.arguments[0]]) {
    first_.grow(1);
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    chosen_.clear();
    chosen_.grow(count);
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t size = values_.size(begin + i);
      TG_TRY(mode_ ? take_mode(i, size) : take_quantile(i, size));
    }
    ids_.resize(count);
    for (uint32_t i = 0; i < count; ++i) ids_[i] = i;
    return chosen_.emit(ids_.data(), count, vector);
  }

 private:
  Status take_quantile(uint32_t i, uint64_t size) {
    const uint64_t index = size == 0 ? 0 : discrete_index(quantile_, size);
    for (uint64_t at = 0; at < size; ++at) {
      TG_TRY(step());
      if (at == index) chosen_.set(i, values_.column(0), values_.row());
    }
    return {};
  }
  /// Of the values that stand most often, the one that came first.
  Status take_mode(uint32_t i, uint64_t size) {
    uint64_t best = 0, best_arrival = 0, run = 0, arrival = 0;
    const auto end_run = [&] {
      if (run < best || (run == best && arrival >= best_arrival)) return;
      chosen_.set(i, {.data = first_.value(0)}, 0);
      best = run;
      best_arrival = arrival;
    };
    for (uint64_t at = 0; at < size; ++at) {
      TG_TRY(step());
      const ColumnView& value = values_.column(0);
      if (at == 0 || values_.is_new()) {
        end_run();
        run = 1;
        arrival = values_.arrival();
        first_.set(0, value, values_.row());
      } else if (!is_nan(value)) {  // to DuckDB each of them is a value of its own here
        ++run;
      }
    }
    if (size > 0) end_run();
    return {};
  }
  bool is_nan(const ColumnView& value) const {
    const uint32_t row = values_.row();
    if (storage_ == Storage::kF64) return std::isnan(static_cast<const double*>(value.data)[row]);
    return storage_ == Storage::kF32 && std::isnan(static_cast<const float*>(value.data)[row]);
  }

  Storage storage_;
  bool mode_;
  double quantile_;
  ValueStore chosen_;
  ValueStore first_;  ///< of the current run of equal values
  std::vector<uint32_t> ids_;
};

enum class Form : uint8_t { kNone, kDistinct, kQuantile, kPick, kText, kList };

Form form_of(const Aggregate& aggregate, const sql::Schema& input) {
  // What is not sorted by its values may be of any type.
  const bool by_value = aggregate.kind != AggregateKind::kList || aggregate.distinct;
  for (const uint32_t column : aggregate.arguments)
    if (by_value && sort::unsortable(input[column].type)) return Form::kNone;
  for (const OrderColumn& order : aggregate.order)
    if (sort::unsortable(input[order.column].type)) return Form::kNone;
  switch (aggregate.kind) {
    case AggregateKind::kMedian:
    case AggregateKind::kQuantileCont:
    case AggregateKind::kQuantileDisc: {
      const auto type = batch::parse_scalar_type(input[aggregate.arguments[0]].type);
      return type && type->storage == Storage::kBytes ? Form::kPick : Form::kQuantile;
    }
    case AggregateKind::kMode:
      return Form::kPick;
    case AggregateKind::kStringAgg:
      return Form::kText;
    case AggregateKind::kList:
      return Form::kList;
    case AggregateKind::kBoolAnd:
    case AggregateKind::kBoolOr:
      return Form::kNone;
    default:
      return aggregate.distinct && aggregate.order.empty() ? Form::kDistinct : Form::kNone;
  }
}

GroupedValues::Rules rules_of(const Aggregate& aggregate, Form form) {
  GroupedValues::Rules rules{.columns = aggregate.arguments, .filter = aggregate.filter};
  // A NULL is no value, but may be a part of one, or of a list.
  rules.skip_null = aggregate.arguments.size() == 1 && form != Form::kList;
  rules.arrivals = aggregate.kind == AggregateKind::kMode;
  if (form != Form::kText && form != Form::kList) {
    for (uint32_t i = 0; i < rules.columns.size(); ++i) rules.order.push_back({.column = i});
    return rules;
  }
  for (const OrderColumn& order : aggregate.order) {
    const auto at = std::find(rules.columns.begin(), rules.columns.end(), order.column);
    rules.order.push_back(
        {static_cast<uint32_t>(at - rules.columns.begin()), order.descending, order.nulls_first});
    if (at == rules.columns.end()) rules.columns.push_back(order.column);
  }
  return rules;
}

template <typename T>
std::unique_ptr<Accumulator> quantile(const Aggregate& aggregate, GroupedValues::Rules rules,
                                      const sql::Schema& schema,
                                      const std::vector<ColumnType>& input, SpillSpace space) {
  return std::make_unique<SortedQuantile<T>>(aggregate, std::move(rules), schema, input,
                                             std::move(space));
}

}  // namespace

bool can_spill(const Aggregate& aggregate, const sql::Schema& input) {
  return form_of(aggregate, input) != Form::kNone;
}

std::unique_ptr<Accumulator> make_spilling(const Aggregate& aggregate, const sql::Schema& schema,
                                           const std::vector<ColumnType>& input, SpillSpace space) {
  const Form form = form_of(aggregate, schema);
  GroupedValues::Rules rules = rules_of(aggregate, form);
  switch (form) {
    case Form::kDistinct:
      return std::make_unique<Distinct>(aggregate, std::move(rules), schema, input,
                                        std::move(space));
    case Form::kPick:
      return std::make_unique<SortedPick>(aggregate, std::move(rules), schema, input,
                                          std::move(space));
    case Form::kText:
      return make_spilling_text(aggregate, std::move(rules), schema, input, std::move(space));
    case Form::kList:
      return make_spilling_list(aggregate, std::move(rules), schema, input, std::move(space));
    default:
      break;
  }
  const auto make = [&]<typename T>(T) {
    return quantile<T>(aggregate, std::move(rules), schema, input, std::move(space));
  };
  switch (input[aggregate.arguments[0]].storage) {
    case Storage::kI8:
      return make(int8_t{});
    case Storage::kI16:
      return make(int16_t{});
    case Storage::kI32:
      return make(int32_t{});
    case Storage::kI64:
      return make(int64_t{});
    case Storage::kU8:
      return make(uint8_t{});
    case Storage::kU16:
      return make(uint16_t{});
    case Storage::kU32:
      return make(uint32_t{});
    case Storage::kU64:
      return make(uint64_t{});
    case Storage::kI128:
      return make(batch::int128{});
    case Storage::kU128:
      return make(batch::uint128{});
    case Storage::kF32:
      return make(float{});
    case Storage::kF64:
      return make(double{});
    default:
      TG_ASSERT(!"no such quantile");
      return nullptr;
  }
}

}  // namespace tidegate::reduce
