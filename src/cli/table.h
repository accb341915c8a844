#pragma once

#include <string>

#include "sql/sql.h"

namespace tidegate::cli {

/// Rows as aligned columns, numbers to the right, at most `width` characters a cell.
std::string render_table(const sql::Table& table);
/// One JSON object a line.
std::string render_json_rows(const sql::Table& table);
/// RFC 4180 with a header.
std::string render_csv(const sql::Table& table);

}  // namespace tidegate::cli
