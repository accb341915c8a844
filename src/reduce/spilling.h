#pragma once

#include <memory>
#include <vector>

#include "reduce/accumulator.h"
#include "reduce/grouped_values.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Whether the aggregate holds more of a group the more rows it has, and has a form that sorts them
/// on disk instead: DISTINCT ones, medians and quantiles, mode, string_agg, list.
bool can_spill(const Aggregate& aggregate, const sql::Schema& input);

/// That form: the same results in bounded memory, whatever the groups. `emit` is called for groups
/// in ascending order, each once. A text or a list that is itself too large for the memory is a
/// failure of class memory ("reduce.memory") that says how much the stage must be given.
std::unique_ptr<Accumulator> make_spilling(const Aggregate& aggregate, const sql::Schema& schema,
                                           const std::vector<batch::ColumnType>& input,
                                           SpillSpace space);

/// The forms of string_agg and list, over values in their order. `distinct`: each value once.
std::unique_ptr<Accumulator> make_spilling_text(const Aggregate& aggregate,
                                                GroupedValues::Rules rules,
                                                const sql::Schema& schema,
                                                const std::vector<batch::ColumnType>& input,
                                                SpillSpace space);
std::unique_ptr<Accumulator> make_spilling_list(const Aggregate& aggregate,
                                                GroupedValues::Rules rules,
                                                const sql::Schema& schema,
                                                const std::vector<batch::ColumnType>& input,
                                                SpillSpace space);

}  // namespace tidegate::reduce
