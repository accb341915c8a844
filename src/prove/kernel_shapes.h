#pragma once

#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "prove/kernel_tree.h"

// Internal to kernel*.cc: how one SELECT becomes kernel.input_sql, the kernel and output_sql.
namespace tidegate::prove {

/// A SELECT taken apart. Types are not known yet.
struct Draft {
  reduce::KernelSpec spec;  ///< kind, keys, aggregates, order, limit; names of input and output
  Json input;               ///< the node of input_sql
  Json output;              ///< the node of output_sql; null: the kernel's output as it is
  std::vector<Json> apart;  ///< nodes in `output` that must bind by themselves
  std::string what;         ///< "GROUP BY 2 keys: count, sum"
};

using Drafted = std::expected<Draft, std::string>;

/// What a shape is recognised in.
struct Part {
  const Json& node;                       ///< a SELECT_NODE, every WITH in force in its cte_map
  const std::vector<std::string>& names;  ///< of its columns
  const std::string& kernel;              ///< what its result shall be called
  Scope& scope;                           ///< of its FROM
};

/// Whether the node is of that shape at all.
bool is_group_shape(const Json& node);
bool is_distinct_shape(const Json& node);
bool is_top_shape(const Json& node);
bool is_window_shape(const Json& node);

Drafted draft_group(const Part& part);
Drafted draft_distinct(const Part& part);
/// QUALIFY row_number() OVER (...) <= n, and DISTINCT ON.
Drafted draft_top(const Part& part);
/// Window functions over at most four partitions and orders, where those of which each
/// begins the longest are one.
Drafted draft_window(const Part& part);

struct TopItem {
  Json expression;
  std::string name;
};

/// The first `limit` rows of each key. `orders`: entries of a tree's ORDER BY; `items`: what comes
/// out.
Drafted draft_first_rows(const Part& part, const Json& keys, const Json& orders, uint64_t limit,
                         const std::vector<TopItem>& items);

/// SELECT .. FROM (SELECT .., row_number() OVER (..) AS n FROM ..) WHERE n <= 3: what the WHERE of
/// the outer node says of the inner one's column. The inner one may be joined, where the join keeps
/// all columns of its rows as they are.
struct NumberedRows {
  Json::json_pointer inner;  ///< from the outer node
  size_t item = 0;           ///< of the inner select list
  uint64_t limit = 1;        ///< rows of each key
  Json where;                ///< what is left of the outer WHERE; null: nothing
};
std::optional<NumberedRows> numbered_rows(const Json& outer);
/// The inner node as a kernel. `output` then stands in the inner node's place.
Drafted draft_numbered(const Part& part, const Json& outer, const NumberedRows& rows);

/// A call of an aggregate. `column` gives an expression a place in the kernel's input.
std::expected<reduce::Aggregate, std::string> read_aggregate(
    const Json& call, const std::function<uint32_t(const Json&)>& column);

/// The whole number, 0 or more, that a constant is.
std::optional<uint64_t> whole_number(const Json& json);
/// row_number() OVER (...) of all rows.
bool is_row_number(const Json& json);
/// `x = 1`, `x <= n`, `x < n + 1` and the same turned round: how many of x = 1, 2, ... pass.
std::optional<uint64_t> first_rows(const Json& condition,
                                   const std::function<bool(const Json&)>& is_x);
bool has_unnest(const Json& json);

/// The items with `*` written out, as many as there are names.
std::expected<std::vector<Json>, std::string> items_of(const Part& part);
/// Puts in the place of each name of a select item, where FROM has no such column, the item's
/// expression. False: it cannot be known what a name means.
bool expand_aliases(Json& expression, const std::vector<Json>& items, Scope& scope);
/// Adds an order of rows; false: of another kind than ascending or descending.
bool read_order(const Json& order, reduce::OrderColumn& out);

}  // namespace tidegate::prove
