#include "prove/sort_by.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/graph.h"
#include "prove/kernel_tree.h"
#include "prove/tokens.h"

namespace tidegate::prove {
namespace {

Problem differs(std::string message, const SyntaxTree& tree) {
  Problem problem{codes::kSortDiffers, std::move(message)};
  problem.range = tree.top_order;
  return problem;
}

TakenOrder::Term term_of(const Json& order) {
  TakenOrder::Term term;
  term.descending = text_in(order, "type") == "DESCENDING";
  term.nulls_first = text_in(order, "null_order") == "NULLS FIRST";
  const Json& expression = order.at("expression");
  if (is_class(expression, "COLUMN_REF") && expression.at("column_names").size() == 1)
    term.column = expression.at("column_names")[0].get<std::string>();
  if (is_class(expression, "CONSTANT")) {
    const Json& value = expression.at("value").at("value");
    if (value.is_number_unsigned()) term.position = value.get<uint64_t>();
  }
  return term;
}

/// The tree without its ORDER BY; its terms go to `terms`. False if it is not of that shape.
bool drop_order(Json& node, std::vector<TakenOrder::Term>& terms) {
  const auto modifiers = node.find("modifiers");
  if (modifiers == node.end()) return false;
  Json kept = Json::array();
  for (const Json& modifier : *modifiers) {
    if (text_in(modifier, "type") != "ORDER_MODIFIER") {
      kept.push_back(modifier);
      continue;
    }
    for (const Json& order : modifier.at("orders")) terms.push_back(term_of(order));
  }
  *modifiers = std::move(kept);
  return !terms.empty();
}

std::string written(const SortKey& key) {
  if (!key.descending && !key.nulls_first) return key.column.value;
  return fmt::format("{{{}: {}{}}}", key.column.value, key.descending ? "desc" : "asc",
                     key.nulls_first ? " nulls first" : "");
}

std::string in_sql(const SortKey& key) {
  const std::string name =
      is_valid_name(key.column.value) ? key.column.value : quote_identifier(key.column.value);
  return fmt::format("{}{}{}", name, key.descending ? " DESC" : "",
                     key.nulls_first ? " NULLS FIRST" : "");
}

}  // namespace

std::expected<TakenOrder, Problem> take_order(sql::Connection& scratch, const std::string& sql,
                                              const SyntaxTree& tree) {
  TakenOrder taken;
  taken.sql = sql;
  if (!tree.ordered_at_top) return taken;
  const auto refuse = [&](std::string message) {
    Problem problem = differs(std::move(message), tree);
    problem.help = "leave the ORDER BY out: `sort_by` gives the order";
    return std::unexpected(std::move(problem));
  };
  const std::vector<Token> tokens = tokenize(sql);
  const size_t order = token_at(tokens, tree.top_order.begin);
  if (order >= tokens.size() || !tokens[order].is("order"))
    return refuse("this ORDER BY is not understood");
  size_t end = sql.size();
  for (size_t i = order; i < tokens.size(); ++i) {
    if (tokens[i].depth != tokens[order].depth) continue;
    if (tokens[i].is("limit") || tokens[i].is("offset") || tokens[i].is("fetch"))
      return refuse("ORDER BY with LIMIT in a stage with `sort_by`");
    if (tokens[i].is_symbol(";")) end = tokens[i].begin;
  }
  taken.sql.erase(tokens[order].begin, end - tokens[order].begin);
  Json whole = parse_select(scratch, sql);
  const Json rest = parse_select(scratch, taken.sql);
  if (!whole.is_object() || !rest.is_object() || !drop_order(whole, taken.terms) || whole != rest)
    return refuse("this ORDER BY is not understood");
  return taken;
}

bool check_sort_by(const Stage& stage, const SyntaxTree& tree, const TakenOrder& taken,
                   const sql::Schema& schema, Diagnostics& diagnostics, sort::SortOrder& order) {
  std::vector<std::string> names;
  for (const sql::Column& column : schema) names.push_back(column.name);
  const auto place_of = [&](std::string_view name) {
    const auto same = [&](const std::string& other) {
      return to_lower_ascii(other) == to_lower_ascii(name);
    };
    return static_cast<size_t>(std::find_if(names.begin(), names.end(), same) - names.begin());
  };
  bool fine = !stage.sort_by->keys.empty();
  for (const SortKey& key : stage.sort_by->keys) {
    const size_t place = place_of(key.column.value);
    if (place == names.size()) {
      const std::string near = did_you_mean(key.column.value, names);
      diagnostics.add(
          {codes::kSortColumn,
           Severity::kError,
           key.column.span,
           fmt::format("the result of `{}` has no column `{}`", stage.name.value, key.column.value),
           "not among its columns",
           {fmt::format("its columns: {}", join(names, ", "))},
           near.empty() ? "name columns as the SELECT gives them out"
                        : fmt::format("did you mean `{}`?", near)});
      fine = false;
      continue;
    }
    if (const auto why = sort::unsortable(schema[place].type)) {
      diagnostics.add({codes::kSortType,
                       Severity::kError,
                       key.column.span,
                       fmt::format("rows cannot be sorted by `{}`, which is {}", key.column.value,
                                   schema[place].type),
                       *why,
                       {},
                       "sort by a plain value of it, or cast it"});
      fine = false;
      continue;
    }
    order.push_back({static_cast<uint32_t>(place), key.descending, key.nulls_first});
  }
  if (!fine || !tree.ordered_at_top) return fine;
  bool same = taken.terms.size() == order.size();
  for (size_t i = 0; same && i < order.size(); ++i) {
    const TakenOrder::Term& term = taken.terms[i];
    const size_t place = term.position > 0 ? term.position - 1 : place_of(term.column);
    same = place == order[i].column && term.descending == order[i].descending &&
           term.nulls_first == order[i].nulls_first;
  }
  if (same) return true;
  std::vector<std::string> keys, terms;
  for (const SortKey& key : stage.sort_by->keys) {
    keys.push_back(written(key));
    terms.push_back(in_sql(key));
  }
  Problem problem = differs("the ORDER BY is not what `sort_by` says", tree);
  problem.label = fmt::format("sort_by: [{}]", join(keys, ", "));
  problem.help = fmt::format("leave it out, or write ORDER BY {}", join(terms, ", "));
  diagnostics.add(to_diagnostic(problem, stage.sql, tree));
  return false;
}

}  // namespace tidegate::prove
