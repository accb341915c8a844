#pragma once

#include <optional>
#include <string>
#include <vector>

#include "prove/kernel.h"
#include "reduce/join.h"
#include "sql/sql.h"

namespace tidegate::prove {

/// An exchanged input of a stage, and what its rows are put into buckets by.
struct JoinCandidate {
  std::string name;
  sql::Schema schema;             ///< the columns that the stage uses
  std::vector<std::string> keys;  ///< of the partition, in the stage's order
};

struct JoinChoice {
  std::optional<reduce::JoinSpec> join;
  std::string sql;                     ///< the stage over the join's relations
  std::vector<KernelInput> relations;  ///< that `sql` reads in place of the two inputs
  /// The same where either side is held as a table, if the stage can be written so.
  std::vector<reduce::JoinLookup> lookups;
  std::string why;  ///< "an inner join by 1 key", or why there is none; "" without any join
};

/// Takes the innermost join of two exchanged inputs by equal columns out of a stage that was
/// proven. Its keys hold the partition's, so that bucket can be joined with bucket. What is not
/// certain is refused. `scratch` as for choose_kernel; the relations become tables of it.
JoinChoice choose_join(sql::Connection& scratch, const std::string& stage, const std::string& sql,
                       const std::vector<JoinCandidate>& inputs, const sql::Schema& schema);

}  // namespace tidegate::prove
