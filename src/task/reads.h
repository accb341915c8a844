#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sql/sql.h"

namespace tidegate {

/// How DuckDB's plan of a SELECT scans relations whose rows are there once.
class Scans {
 public:
  static Result<Scans> of(sql::Connection& connection, const std::string& select);
  /// How often the table function is scanned. A relation that stands once in the text may be
  /// scanned more often: DuckDB writes a WITH out where it is used, for one.
  uint32_t count(const std::string& function) const;
  /// Whether somewhere one half of rows that lie side by side is read before the other.
  bool reads_halves_apart() const;

 private:
  std::string plan_;
};

/// Makes the view `name` over `function`, whose rows are there once, a temporary table of them.
Status keep_rows(sql::Connection& connection, const std::string& name, const std::string& function);

/// One half of a join's rows: a view and the table function behind it.
struct JoinHalf {
  std::string relation;  ///< "": there is none
  std::string function;
  std::vector<std::string> columns;
};

/// Keeps the rows of a join in a temporary table, and makes the halves views of that.
Status keep_join(sql::Connection& connection, const JoinHalf& left, const JoinHalf& right);

}  // namespace tidegate
