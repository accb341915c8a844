#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "reduce/lookup_table.h"
#include "task/spec.h"

namespace tidegate {

/// The side of a join that the tasks of a worker hold one after the other: it is read once. There
/// is one at most, and none after a task that does not use it; one thread uses it, a worker's.
struct HeldTable {
  std::string name;  ///< what was read of which results
  /// Null: it does not fit or two rows share a key, which a next task need not find out again.
  std::shared_ptr<const reduce::LookupTable> table;
  uint64_t memory_bytes = 0;  ///< what it had to fit into
};

/// The name of what a step with a lookup holds.
std::string held_table_name(const TaskSpec& spec, const TaskStep& step);
/// The table of that name and bound, if it is the one that is held.
const HeldTable* held_table(const std::string& name, uint64_t memory_bytes);
void hold_table(HeldTable table);
/// Frees it, unless a step of `spec` uses it.
void drop_other_tables(const TaskSpec& spec);
uint64_t held_table_bytes();

}  // namespace tidegate
