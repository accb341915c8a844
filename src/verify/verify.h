#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "journal/records.h"
#include "sql/sql.h"

namespace tidegate {

inline constexpr size_t kSamplesMax = 10;

/// What the checks of an output are run on.
struct VerifyInput {
  std::vector<std::string> files;  ///< staged Parquet parts, absolute; none means no rows
  sql::Schema schema;              ///< of the stage; the files' own is read where there are files
  std::map<std::string, std::string> relations;  ///< references_to -> SELECT that gives its rows
  std::optional<uint64_t> rows_before;           ///< of the standing generation, if there is one
};

/// Runs an output's checks on exactly these files. One outcome a check, in their order. Fails only
/// where nothing can be said (memory, disk, an interrupt, a file that is gone); a check that cannot
/// be evaluated has the status "error".
///
/// What breaks a check:
/// - not_null: a row with NULL in any of the columns.
/// - accepted, range, regex, expect: a row for which the condition is FALSE. NULL passes, as in
/// SQL's
///   CHECK constraints; `not_null` is for that. A range is inclusive; NaN is in no range. A regex
///   has to match the whole value (RE2).
/// - unique: each row beyond the first of its key. Rows with a NULL in the key are not compared
///   (SQL's UNIQUE); NaN equals NaN and -0.0 equals 0.0.
/// - references: a row without a partner; rows with a NULL in the columns pass (SQL's MATCH
/// SIMPLE).
/// - rows: the output as a whole. `change` is |rows - before| / before; with no earlier generation,
///   or an empty one, the status is "baseline".
/// - schema: the output as a whole: names, types and order; with `evolution: add` further columns
///   may follow.
/// `tolerance` is the share of all rows that may break it: failing <= tolerance * rows passes.
///
/// All row-wise checks and the row count are one scan that reads only the columns they need.
/// `unique` groups by a hash of the key first, in as many passes as keep a pass below 2 million
/// keys, and looks at the keys themselves only where hashes meet. Samples are read for failing
/// checks only.
Result<std::vector<CheckOutcome>> run_checks(sql::Connection& connection,
                                             const std::vector<Check>& checks,
                                             const VerifyInput& input);

/// The statements that run_checks begins with, for people to read: the one scan, then one a
/// `unique` and `references`.
std::vector<std::string> checks_sql(const std::vector<Check>& checks, const VerifyInput& input);

/// Binds every check of an output against its stage's schema, without data: unknown columns, types
/// that do not go together, values and patterns that do not parse, `expect` that is not one boolean
/// expression over the output's row, a `schema` that is not the stage's. Findings go to
/// `diagnostics`. `is_safe` is asked whether SELECT ... FROM t uses allowed functions and tables
/// only (it fails with what is wrong); the temporary table t exists in `connection` meanwhile.
/// `relations` gives the schemas of what `references` may name; those it lacks are not looked at.
void check_contract(const Output& output, const sql::Schema& schema, sql::Connection& connection,
                    Diagnostics& diagnostics,
                    const std::function<Status(const std::string& select_sql)>& is_safe,
                    const std::map<std::string, sql::Schema>& relations = {});

}  // namespace tidegate
