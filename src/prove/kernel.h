#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reduce/spec.h"
#include "sql/sql.h"

namespace tidegate::prove {

/// A table that a stage's SQL reads.
struct KernelInput {
  std::string name;
  sql::Schema schema;
  bool broadcast = false;  ///< every task has all of it, so output_sql may read it too
};

struct KernelChoice {
  std::optional<reduce::StageKernel> kernel;
  /// What was recognised ("GROUP BY 2 keys: count, sum"), or the reason why nothing was, in a few
  /// words ("sum of INTERVAL").
  std::string why;
};

/// Looks for the core of a stage that a kernel can run: a GROUP BY, a DISTINCT, or the first rows
/// of each key by row_number() or DISTINCT ON; the innermost that reads all of the exchanged
/// inputs. `sql` is a stage that was proven, `stage` its name and `schema` its columns. `scratch`
/// is unlocked, holds a table of each input and the macro run_time(). What comes out gives the same
/// rows as `sql`, whether over everything or over a bucket; what is not certain is refused.
KernelChoice choose_kernel(sql::Connection& scratch, const std::string& stage,
                           const std::string& sql, const std::vector<KernelInput>& inputs,
                           const sql::Schema& schema);

/// What the kernel computes as a SELECT over the stage's inputs: for binding and for tests. An
/// approx_count_distinct in it is over hashes, so that it has the type but not the number.
std::string kernel_as_sql(const reduce::KernelSpec& spec);

/// The whole stage again, kernel_as_sql in the kernel's place.
std::string stage_as_sql(const reduce::StageKernel& stage);

}  // namespace tidegate::prove
