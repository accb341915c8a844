#pragma once

#include <memory>
#include <string>

#include "reduce/join.h"
#include "reduce/lookup_table.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Makes `lookup.relation` a view of the rows of `lookup.input`, each with its partner of `table`:
/// as `lookup.kind` has it. `input` is the schema of lookup.input, which `connection` can read, and
/// `held` that of lookup.held. DuckDB calls it from one thread.
Status register_lookup(sql::Connection& connection, const JoinLookup& lookup,
                       const sql::Schema& input, const sql::Schema& held,
                       std::shared_ptr<const LookupTable> table);

/// The STRUCT of the columns that `lookup` reads of the held side.
std::string partner_type(const JoinLookup& lookup, const sql::Schema& held);

}  // namespace tidegate::reduce
