#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "reduce/join.h"
#include "reduce/spec.h"
#include "sort/sort_key.h"
#include "sql/sql.h"

namespace tidegate {

/// How an input reaches the tasks of a stage.
enum class InputMode : uint8_t {
  kPartition,  ///< map: row-wise partitions
  kShuffle,    ///< hashed into buckets by key_columns, each cast to its hash type
  kAligned,    ///< already Part on the same keys and types: no shuffle needed
  kBroadcast,  ///< every task reads all of it
  kAll,        ///< one task sees everything
};
std::string_view to_string(InputMode mode);

/// One table that a stage's SQL reads.
struct StageInput {
  std::string name;  ///< as declared in the pipeline file
  bool is_source = false;
  InputMode mode = InputMode::kAll;
  std::vector<std::string> key_columns;  ///< kShuffle, kAligned: in key order, as in the schema
  std::vector<std::string> hash_types;   ///< one for each key column
  Span first_use;
  std::vector<std::string> columns_used;  ///< for projection, keys included; never empty
};

/// A stage whose SQL binds and may be run as declared.
struct CheckedStage {
  std::string name;
  std::vector<StageInput> inputs;  ///< in order of first use
  sql::Schema schema;
  /// The user's text without comments and needless space, run_time() still in it; around it, where
  /// there are one_form columns, a SELECT that settles them.
  std::string sql;
  /// FLOAT and DOUBLE columns by which rows were made one: shown as 0.0 and NaN, never -0.0 or
  /// -NaN, for which of them stood for the group depends on how the stage is split.
  std::vector<std::string> one_form;
  bool one_task = false;
  bool part_known = false;  ///< the result is Part(part_columns)
  std::vector<std::string> part_columns;
  std::vector<std::string> part_types;  ///< the types that it was hashed as
  bool unordered = false;               ///< rows depend on the order of ties: identity by content
  std::vector<std::string> unordered_reasons;
  bool uses_run_time = false;
  bool float_sums = false;  ///< adds FLOAT or DOUBLE up: repeatable for the same plan only
  std::vector<std::vector<std::string>> unique;  ///< column sets proven or declared unique
  /// A join that a kernel may run, and the stage over its relations: what `kernel` is a part of
  /// then. Only looked for with `with_kernels`.
  std::optional<reduce::JoinSpec> join;
  std::string join_sql;
  std::vector<reduce::JoinLookup> lookups;  ///< other ways to run it, if it has no kernel
  /// Columns of the result that its rows are sorted by, over all its tasks; `sql` gives them
  /// unsorted.
  sort::SortOrder sort_by;
  /// The part that a kernel may run; only looked for with `with_kernels`.
  std::optional<reduce::StageKernel> kernel;
  std::string kernel_why;  ///< what was recognised, or why nothing was; "" if not looked for
};

struct CheckedPipeline {
  std::vector<CheckedStage> stages;  ///< in topological order; those with errors are missing
  const CheckedStage* stage(std::string_view name) const;
};

/// Binds every stage's SQL against its inputs' schemas and proves, by the rules of SPLIT.md, that
/// it may be split as declared and gives the same rows again. `source_schemas`: by source name; a
/// source without one is taken as broken elsewhere, and what reads it is skipped. `scratch` is an
/// empty, unlocked in-memory database: tables of the inputs and the macro run_time() are created in
/// it. All mistakes go to `diagnostics`. With `with_kernels`, looks for each stage's kernel too,
/// unless its rows come one by one: some milliseconds a stage, which only what runs the stages
/// needs.
CheckedPipeline prove_pipeline(const Pipeline& pipeline,
                               const std::map<std::string, sql::Schema>& source_schemas,
                               sql::Connection& scratch, Diagnostics& diagnostics,
                               bool with_kernels = false);

/// Where and why check_select refused.
struct SelectProblem {
  std::string code;
  std::string message;
  std::string label;
  std::string help;
  uint32_t begin = 0;  ///< bytes of the SQL
  uint32_t end = 0;
};

/// Sandbox check of ad-hoc SQL: one SELECT, allow-listed functions, only the tables named (which
/// must exist in `scratch`). The clock and random() are allowed here. Fails with code "sql.refused"
/// and class defect; the first problem in the order of the text goes to `problem`.
Status check_select(sql::Connection& scratch, const std::string& sql,
                    const std::vector<std::string>& tables, SelectProblem* problem = nullptr);

}  // namespace tidegate
