#pragma once

#include <utility>
#include <vector>

#include "reduce/accumulator.h"
#include "reduce/grouped_values.h"

// Internal to spilling*.cc.
namespace tidegate::reduce {

/// What aggregates have in common that read their groups' values one after the other.
class Spilling : public Accumulator {
 public:
  Spilling(GroupedValues::Rules rules, const sql::Schema& schema,
           const std::vector<batch::ColumnType>& input, SpillSpace space)
      : values_(std::move(rules), schema, input, std::move(space)) {}
  void grow(uint32_t groups) override { values_.grow(groups); }
  Status update(const GroupedRows& in) override { return values_.add(in); }
  uint64_t bytes() const override { return values_.bytes(); }
  uint64_t bytes_after(size_t rows, uint64_t) const override { return values_.bytes_after(rows); }
  void clear() override { values_.clear(); }

 protected:
  /// The next row, which must be there: the sizes of groups say so.
  Status step() {
    TG_ASSIGN(const bool more, values_.step());
    if (more) return {};
    return fail(FailureClass::kDefect, "reduce.scanned_twice",
                "a kernel's result is there once, and was read twice");
  }

  GroupedValues values_;
};

}  // namespace tidegate::reduce
