#pragma once

#include <string>
#include <vector>

#include "contract/contract.h"
#include "sql/sql.h"

namespace tidegate {

/// Rows of the Parquet parts (of the schema, and none, where there are no parts), as a table
/// expression.
std::string rows_of(const std::vector<std::string>& files, const sql::Schema& schema);

/// The condition under which a row breaks a row-wise check (not_null, accepted, range, regex,
/// expect); never NULL. "" for the other kinds.
std::string broken_row(const Check& check, const sql::Schema& schema);

/// An expression on a line of its own, so that a comment at its end does not swallow what follows.
std::string parenthesised(const std::string& expression);

/// `"a", "b"`, each with an optional prefix (`t.`).
std::string column_list(const std::vector<Spanned<std::string>>& columns,
                        const std::string& prefix = "");

/// The column of that name, ASCII case ignored as SQL does; null if there is none.
const sql::Column* column_named(const sql::Schema& schema, const std::string& name);

/// Differences between a promised and an actual schema, in words; none if it holds.
std::vector<std::string> schema_differences(const sql::Schema& promised, const sql::Schema& actual,
                                            bool may_add);

/// Types as DuckDB writes them; a failure names the type it does not know.
Result<sql::Schema> promised_schema(sql::Connection& connection, const Check& check);

}  // namespace tidegate
