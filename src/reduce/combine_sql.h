#pragma once

#include <optional>
#include <string>

#include "base/failure.h"
#include "reduce/spec.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Sums DOUBLEs exactly: gives what AggregateKind::kExactState does.
inline constexpr const char* kExactSumFunction = "tidegate_exact_sum";

/// The SELECT over `relation` (quoted) that gives what the kernel `partial` (combine.h) would, in
/// some order: where groups are few, DuckDB aggregates while it scans faster than rows can leave
/// it. Nothing if some state is not one that DuckDB makes to the last bit.
std::optional<std::string> combine_select(const KernelSpec& partial, const std::string& relation);

/// Registers the aggregate that such a SELECT sums FLOAT and DOUBLE by; once a database. Sums that
/// leave the range of the fixed-point number (exact_sum.h) are held outside DuckDB's memory, 600
/// bytes each.
Status register_exact_sum(sql::Connection& connection);

}  // namespace tidegate::reduce
