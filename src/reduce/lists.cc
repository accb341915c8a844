#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/rows_of_groups.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::StringRef;

/// list: all values of a group, NULLs too.
class Lists final : public Accumulator {
 public:
  Lists(const Aggregate& aggregate, const std::vector<ColumnType>& input)
      : rows_(aggregate.arguments[0], aggregate.order, input),
        storage_(input[aggregate.arguments[0]].storage),
        distinct_(aggregate.distinct) {}
  void grow(uint32_t groups) override { rows_.grow(groups); }
  Status update(const GroupedRows& in) override {
    rows_.add(in, false);
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    rows_.arrange();
    uint64_t* validity = nullptr;
    auto* entries = static_cast<duckdb_list_entry*>(duckdb_vector_get_data(vector));
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const size_t size = rows_.size(begin + i);
      entries[i] = {at, size};
      at += size;
      if (size == 0) set_null(vector, validity, i);
    }
    if (duckdb_list_vector_reserve(vector, at) != DuckDBSuccess ||
        duckdb_list_vector_set_size(vector, at) != DuckDBSuccess)
      return fail(FailureClass::kMemory, "reduce.memory", "no memory for a kernel's lists");
    duckdb_vector values = duckdb_list_vector_get_child(vector);
    TG_TRY(rows_.values().emit(rows_.rows(begin), static_cast<uint32_t>(at), values));
    // Which of several equal values was picked must not show.
    if (distinct_) settle_reals(storage_, at, values);
    return {};
  }
  uint64_t bytes() const override { return rows_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    return rows_.bytes_after(rows, text_bytes);
  }
  void clear() override { rows_.clear(); }

 private:
  RowsOfGroups rows_;
  batch::Storage storage_;
  bool distinct_;
};

/// What is made of the sorted texts or values of a group that are not NULL: all of them with
/// separators between, or the one that is a quantile.
class Sorted final : public Accumulator {
 public:
  Sorted(const Aggregate& aggregate, std::vector<OrderColumn> order,
         const std::vector<ColumnType>& input)
      : rows_(aggregate.arguments[0], std::move(order), input),
        joins_(aggregate.kind == AggregateKind::kStringAgg),
        separator_(aggregate.separator),
        quantile_(aggregate.kind == AggregateKind::kMedian ? 0.5 : aggregate.quantile) {}
  void grow(uint32_t groups) override { rows_.grow(groups); }
  Status update(const GroupedRows& in) override {
    rows_.add(in, true);
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    rows_.arrange();
    uint64_t* validity = nullptr;
    if (!joins_) {
      ids_.assign(count, 0);
      for (uint32_t i = 0; i < count; ++i) {
        const size_t size = rows_.size(begin + i);
        if (size > 0) ids_[i] = rows_.rows(begin + i)[discrete_index(quantile_, size)];
      }
      if (!rows_.empty()) TG_TRY(rows_.values().emit(ids_.data(), count, vector));
    }
    std::string text;
    for (uint32_t i = 0; i < count; ++i) {
      const size_t size = rows_.size(begin + i);
      if (size == 0) {
        set_null(vector, validity, i);
        continue;
      }
      if (!joins_) continue;
      text.clear();
      for (size_t row = 0; row < size; ++row) {
        if (row > 0) text += separator_;
        text +=
            static_cast<const StringRef*>(rows_.values().value(rows_.rows(begin + i)[row]))->view();
      }
      duckdb_unsafe_vector_assign_string_element_len(vector, i, text.data(), text.size());
    }
    return {};
  }
  uint64_t bytes() const override { return rows_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    return rows_.bytes_after(rows, text_bytes);
  }
  void clear() override { rows_.clear(); }

 private:
  RowsOfGroups rows_;
  bool joins_;
  std::string separator_;
  double quantile_;
  std::vector<uint32_t> ids_;
};

}  // namespace

std::unique_ptr<Accumulator> make_list(const Aggregate& aggregate,
                                       const std::vector<ColumnType>& input) {
  if (aggregate.kind == AggregateKind::kList) return std::make_unique<Lists>(aggregate, input);
  std::vector<OrderColumn> order = aggregate.order;
  if (aggregate.kind != AggregateKind::kStringAgg) order = {{.column = aggregate.arguments[0]}};
  return std::make_unique<Sorted>(aggregate, std::move(order), input);
}

}  // namespace tidegate::reduce
