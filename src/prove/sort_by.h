#pragma once

#include <expected>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "prove/problem.h"
#include "prove/tree.h"
#include "sort/sort_key.h"
#include "sql/sql.h"

namespace tidegate::prove {

/// A SELECT and the ORDER BY that stood at its end.
struct TakenOrder {
  struct Term {
    std::string column;     ///< a name as written, "" for an expression
    uint64_t position = 0;  ///< or a place in the result, from 1
    bool descending = false;
    bool nulls_first = false;
  };
  std::string sql;
  std::vector<Term> terms;
};

/// Takes the ORDER BY at the top away; the rest keeps its places. Refused where more follows it
/// (LIMIT), and where what is left does not read as the same SELECT.
std::expected<TakenOrder, Problem> take_order(sql::Connection& scratch, const std::string& sql,
                                              const SyntaxTree& tree);

/// Finds the columns of `sort_by` in the stage's result and holds an ORDER BY against them. False
/// if there are mistakes; they are in `diagnostics`.
bool check_sort_by(const Stage& stage, const SyntaxTree& tree, const TakenOrder& taken,
                   const sql::Schema& schema, Diagnostics& diagnostics, sort::SortOrder& order);

}  // namespace tidegate::prove
