#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "prove/problem.h"
#include "prove/tokens.h"
#include "sql/sql.h"

namespace tidegate::prove {

/// A table that the SQL names (no CTE in scope), lower case, and where.
struct TableUse {
  std::string name;  ///< lower case
  std::string written;
  Range range;
};

/// A place in the SQL that a refusal of the bound plan can point at.
struct Anchor {
  AnchorKind kind;
  Range range;
  std::set<std::string> names;  ///< columns, functions and tables in it, lower case
};

/// The unbound syntax tree of one SELECT, boiled down to what check needs.
struct SyntaxTree {
  std::vector<TableUse> tables;  ///< in order of appearance, repeated uses too
  std::vector<Anchor> anchors;
  bool ordered_at_top = false;
  Range top_order;
  bool uses_run_time = false;
  /// Columns are also named by place or by what is left out (EXCLUDE, t(x, y), PIVOT): dropping
  /// unread columns from an input would change the meaning.
  bool needs_all_columns = false;
};

/// What a statement may contain. Ad-hoc queries may look at the clock and throw dice.
struct TreeRules {
  bool clock_and_chance = false;
};

/// Parses and walks one statement. Everything that is not one SELECT, or calls what is not allowed,
/// is a problem (all of them at once); then `problems` is not empty.
SyntaxTree read_tree(sql::Connection& scratch, const std::string& sql, const TreeRules& rules,
                     std::vector<Problem>& problems);

/// Why a function of that name and number of arguments may not be called; nothing if it may.
std::optional<Problem> function_problem(const std::string& name, size_t arguments);

/// Where in the SQL a problem of the bound plan lies: its own byte range, else the best anchor of
/// its kind, else the whole statement.
Range locate(const SyntaxTree& tree, const std::string& sql, const Problem& problem);

}  // namespace tidegate::prove
