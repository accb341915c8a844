#include "prove/derive.h"

#include <fmt/format.h>

#include <algorithm>

#include "contract/codes.h"
#include "prove/derivation.h"
#include "prove/sql_error.h"
#include "prove/tokens.h"

namespace tidegate::prove {

Problem not_proven(const std::string& what) {
  Problem problem{codes::kNotProven, fmt::format("{} is not proven safe to split", what),
                  "its result over one bucket may differ from its part of the whole"};
  problem.help = "give the stage `partition_by: all`: one task that sees everything";
  return problem;
}

std::vector<uint32_t> numbers(const Json& op, const char* key) {
  std::vector<uint32_t> out;
  auto it = op.find(key);
  if (it == op.end() || !it->is_array()) return out;
  for (const Json& number : *it) out.push_back(number.get<uint32_t>());
  return out;
}

size_t width_of(const Json& op) {
  const std::string type = op.value("type", "");
  const Json& children = op.at("children");
  auto list = [&](const char* key) { return op.contains(key) ? op.at(key).size() : size_t{0}; };
  if (type == "LOGICAL_GET") return list("column_indexes") + list("projected_input");
  if (type == "LOGICAL_PROJECTION") return list("expressions");
  if (type == "LOGICAL_FILTER") {
    return list("projection_map") ? list("projection_map") : width_of(children[0]);
  }
  if (type == "LOGICAL_CROSS_PRODUCT" || type == "LOGICAL_POSITIONAL_JOIN") {
    return width_of(children[0]) + width_of(children[1]);
  }
  if (type == "LOGICAL_COMPARISON_JOIN" || type == "LOGICAL_ANY_JOIN" ||
      type == "LOGICAL_DELIM_JOIN" || type == "LOGICAL_ASOF_JOIN") {
    std::string join = op.value("join_type", "");
    if (join == "SEMI" || join == "ANTI") return width_of(children[0]);
    if (join == "MARK") return width_of(children[0]) + 1;
    return width_of(children[0]) + width_of(children[1]);
  }
  if (type == "LOGICAL_AGGREGATE_AND_GROUP_BY") {
    return list("groups") + list("expressions") + list("grouping_functions");
  }
  if (type == "LOGICAL_WINDOW" || type == "LOGICAL_UNNEST") {
    return width_of(children[0]) + list("expressions");
  }
  if (type == "LOGICAL_DISTINCT" || type == "LOGICAL_LIMIT" || type == "LOGICAL_SAMPLE") {
    return width_of(children[0]);
  }
  if (type == "LOGICAL_ORDER_BY") {
    return list("projections") ? list("projections") : width_of(children[0]);
  }
  if (type == "LOGICAL_UNION" || type == "LOGICAL_EXCEPT" || type == "LOGICAL_INTERSECT" ||
      type == "LOGICAL_RECURSIVE_CTE") {
    return op.value("column_count", size_t{0});
  }
  if (type == "LOGICAL_MATERIALIZED_CTE") return width_of(children[1]);
  if (type == "LOGICAL_CTE_REF" || type == "LOGICAL_DELIM_GET") return list("chunk_types");
  if (type == "LOGICAL_DUMMY_SCAN") return 1;
  if (type == "LOGICAL_EXPRESSION_GET") return list("expr_types");
  return 0;
}

Derived Derivation::derive(const Json& op, const Edges& edges) {
  if (++depth_ > kPlanDepthMax) return std::unexpected(not_proven("a plan this deep"));
  struct Leave {
    size_t& depth;
    ~Leave() { --depth; }
  } leave{depth_};
  const std::string type = op.value("type", "");
  Derived out = [&]() -> Derived {
    if (type == "LOGICAL_GET") return get(op);
    if (type == "LOGICAL_PROJECTION") return projection(op, edges);
    if (type == "LOGICAL_FILTER") return filter(op, edges);
    if (type == "LOGICAL_CROSS_PRODUCT") return product(op, edges);
    if (type == "LOGICAL_COMPARISON_JOIN") {
      return op.value("join_type", "") == "INNER" ? product(op, edges) : outer_join(op, edges);
    }
    if (type == "LOGICAL_ANY_JOIN" || type == "LOGICAL_DELIM_JOIN" || type == "LOGICAL_ASOF_JOIN") {
      return outer_join(op, edges);
    }
    if (type == "LOGICAL_POSITIONAL_JOIN") return positional_join(op);
    if (type == "LOGICAL_AGGREGATE_AND_GROUP_BY") return aggregate(op);
    if (type == "LOGICAL_WINDOW") return window(op);
    if (type == "LOGICAL_DISTINCT") return distinct(op);
    if (type == "LOGICAL_LIMIT") return limit(op);
    if (type == "LOGICAL_ORDER_BY") return order_by(op);
    if (type == "LOGICAL_UNNEST") return unnest(op, edges);
    if (type == "LOGICAL_UNION" || type == "LOGICAL_EXCEPT" || type == "LOGICAL_INTERSECT") {
      return set_operation(op);
    }
    if (type == "LOGICAL_MATERIALIZED_CTE") return cte(op, edges);
    if (type == "LOGICAL_CTE_REF") return cte_ref(op);
    if (type == "LOGICAL_RECURSIVE_CTE") return recursive_cte(op);
    if (type == "LOGICAL_DELIM_GET") return domain_get(op);
    if (type == "LOGICAL_DUMMY_SCAN" || type == "LOGICAL_EXPRESSION_GET") return constant_rows(op);
    if (type == "LOGICAL_SAMPLE") {
      Problem problem{codes::kSampleNotRepeatable, "SAMPLE picks other rows each time it runs",
                      "a retried task would give other rows"};
      problem.help = "pick rows by a hash of their key: WHERE hash(key) % 100 < 10";
      problem.anchor = AnchorKind::kSample;
      return std::unexpected(problem);
    }
    return std::unexpected(not_proven(fmt::format("operator {}", type)));
  }();
  if (out && out->columns.size() != width_of(op)) {
    return std::unexpected(not_proven(fmt::format("operator {} of this shape", type)));
  }
  return out;
}

namespace {

/// Columns directly below list_sort() or list_reverse_sort(), and those that stand anywhere else.
void collect_sorted(const Json& expression, ColumnSet& sorted, ColumnSet& bare) {
  if (!expression.is_structured()) return;
  if (is_ref(expression)) {
    bare.insert(ref_index(expression));
    return;
  }
  std::string name = class_of(expression) == "BOUND_FUNCTION" ? expression.value("name", "") : "";
  const Json* skip = nullptr;
  if (name == "list_sort" || name == "list_reverse_sort") {
    const Json& children = expression.at("children");
    if (!children.empty() && is_ref(children[0])) {
      sorted.insert(ref_index(children[0]));
      skip = &children[0];
    }
  }
  for (const auto& [key, child] : expression.items()) {
    if (key == kLambdaBody) continue;
    if (!skip) {
      collect_sorted(child, sorted, bare);
      continue;
    }
    if (!child.is_array()) continue;
    for (const Json& part : child) {
      if (&part != skip) collect_sorted(part, sorted, bare);
    }
  }
}

}  // namespace

Derived Derivation::projection(const Json& op, const Edges& edges) {
  const Json& expressions = op.at("expressions");
  std::vector<Side> sides(expressions.size());
  std::vector<bool> plain(expressions.size());
  for (size_t i = 0; i < expressions.size(); ++i) plain[i] = as_side(expressions[i], sides[i]);
  auto below = [&](const Side& side, Side& out) {
    if (side.column >= plain.size() || !plain[side.column]) return false;
    out = sides[side.column];
    out.casts.insert(out.casts.end(), side.casts.begin(), side.casts.end());
    return true;
  };
  Edges passed;
  for (const Edge& edge : edges) {
    Edge inner;
    if (below(edge.left, inner.left) && below(edge.right, inner.right)) passed.push_back(inner);
  }
  // list(x ORDER BY x) comes as list_sort(list(x)): the aggregate's own order does not show.
  if (op.at("children").at(0).value("type", "") == "LOGICAL_AGGREGATE_AND_GROUP_BY") {
    ColumnSet bare;
    sorted_lists_.clear();
    for (const Json& expression : expressions) collect_sorted(expression, sorted_lists_, bare);
    for (uint32_t column : bare) sorted_lists_.erase(column);
  }
  TG_ASSIGN(Relation child, derive(op.at("children").at(0), passed));
  Relation out;
  out.replicated = child.replicated;
  out.domain = child.domain;
  for (size_t i = 0; i < expressions.size(); ++i) {
    TG_TRY(check_expression(expressions[i], child.columns));
    std::string name = expressions[i].value("alias", "");
    if (name.empty() && plain[i]) name = child.columns[sides[i].column].name;
    out.columns.push_back({name, type_of(expressions[i])});
    out.columns.back().any_form = keeps_forms(expressions[i], child.columns);
    out.columns.back().never_null = is_never_null(expressions[i], child.columns);
  }
  for (size_t j = 0; j < child.keys.size(); ++j) {
    KeyClass key{child.keys[j].hash_type, {}};
    for (size_t i = 0; i < expressions.size(); ++i) {
      if (is_key_member(expressions[i], child, j)) key.members.insert(static_cast<uint32_t>(i));
    }
    if (key.members.empty()) {
      out.keys.clear();
      break;
    }
    out.keys.push_back(std::move(key));
  }
  auto kept = [&](uint32_t column) {
    ColumnSet set;
    for (size_t i = 0; i < sides.size(); ++i) {
      if (plain[i] && sides[i].casts.empty() && sides[i].column == column) {
        set.insert(static_cast<uint32_t>(i));
      }
    }
    return set;
  };
  for (const ColumnSet& set : child.domain_columns) {
    ColumnSet mapped;
    for (uint32_t column : set) mapped.merge(kept(column));
    if (mapped.empty()) {
      Problem problem = not_proven("this correlated subquery");
      problem.anchor = AnchorKind::kSubquery;
      return std::unexpected(problem);
    }
    out.domain_columns.push_back(std::move(mapped));
  }
  for (const ColumnSet& set : child.unique) {
    ColumnSet mapped;
    bool all = true;
    for (uint32_t column : set) {
      ColumnSet places = kept(column);
      all = all && !places.empty();
      if (!places.empty()) mapped.insert(*places.begin());
    }
    if (all) out.unique.push_back(std::move(mapped));
  }
  return out;
}

Derived Derivation::filter(const Json& op, const Edges& edges) {
  std::vector<uint32_t> map = numbers(op, "projection_map");
  auto below = [&](Side side, Side& out) {
    if (!map.empty()) {
      if (side.column >= map.size()) return false;
      side.column = map[side.column];
    }
    out = std::move(side);
    return true;
  };
  Edges passed, own;
  for (const Edge& edge : edges) {
    Edge inner;
    if (below(edge.left, inner.left) && below(edge.right, inner.right)) passed.push_back(inner);
  }
  for (const Json& expression : op.at("expressions")) {
    each_conjunct(expression, [&](const Json& conjunct) {
      if (Edge edge; as_edge(conjunct, edge)) own.push_back(std::move(edge));
    });
  }
  passed.insert(passed.end(), own.begin(), own.end());
  TG_ASSIGN(Relation out, derive(op.at("children").at(0), passed));
  for (const Json& expression : op.at("expressions")) {
    TG_TRY(check_expression(expression, out.columns, 0, true));
    mark_never_null(expression, out.columns);
  }
  grow_keys(out.keys, own);
  if (map.empty()) return out;
  // Drop and reorder columns as the map says.
  Relation mapped;
  mapped.replicated = out.replicated;
  mapped.domain = out.domain;
  auto places = [&](const ColumnSet& set) {
    ColumnSet to;
    for (size_t i = 0; i < map.size(); ++i) {
      if (set.contains(map[i])) to.insert(static_cast<uint32_t>(i));
    }
    return to;
  };
  for (uint32_t column : map) {
    if (column >= out.columns.size()) return std::unexpected(not_proven("this filter"));
    mapped.columns.push_back(out.columns[column]);
  }
  for (const KeyClass& key : out.keys) {
    mapped.keys.push_back({key.hash_type, places(key.members)});
    if (mapped.keys.back().members.empty()) {
      mapped.keys.clear();
      break;
    }
  }
  for (const ColumnSet& set : out.domain_columns) {
    mapped.domain_columns.push_back(places(set));
    if (mapped.domain_columns.back().empty()) {
      return std::unexpected(not_proven("this correlated subquery"));
    }
  }
  return mapped;
}

Derived Derivation::unnest(const Json& op, const Edges& edges) {
  size_t width = width_of(op.at("children").at(0));
  Edges passed;
  for (const Edge& edge : edges) {
    if (edge.left.column < width && edge.right.column < width) passed.push_back(edge);
  }
  TG_ASSIGN(Relation out, derive(op.at("children").at(0), passed));
  std::vector<RelationColumn> columns = out.columns;
  for (const Json& expression : op.at("expressions")) {
    TG_TRY(check_expression(expression, columns));
    out.columns.push_back({expression.value("alias", ""), type_of(expression)});
  }
  out.unique.clear();
  return out;
}

Derived Derivation::order_by(const Json& op) {
  TG_ASSIGN(Relation out, derive(op.at("children").at(0), {}));
  TG_TRY(check_expression(op.at("orders"), out.columns));
  if (!numbers(op, "projections").empty()) return std::unexpected(not_proven("this ORDER BY"));
  return out;
}

std::expected<DeriveResult, std::vector<Problem>> derive(const std::string& serialized_plan,
                                                         const std::string& sql,
                                                         const DeriveRequest& request) {
  std::vector<Problem> problems;
  auto refuse = [&](Problem problem) {
    problems.push_back(std::move(problem));
    return std::unexpected(std::move(problems));
  };
  Json json = Json::parse(serialized_plan, nullptr, false);
  if (!json.is_object()) return refuse(not_proven("a plan that cannot be written down"));
  if (json.value("error", false)) {
    SqlError error{json.value("error_type", ""),
                   json.value("error_subtype", ""),
                   json.value("error_message", ""),
                   json.value("candidates", ""),
                   {}};
    if (std::string at = json.value("position", ""); !at.empty()) {
      error.position = std::strtoull(at.c_str(), nullptr, 10);
    }
    return refuse(problem_of(error, sql));
  }
  try {
    const Json& plans = json.at("plans");
    if (plans.size() != 1) return refuse(not_proven("a statement of several plans"));
    Derivation derivation(request, problems);
    Derived top = derivation.derive(plans[0], {});
    for (Problem& problem : problems) {
      // Function problems carry the place of the name only.
      if (!problem.range || problem.range->end != 0) continue;
      std::vector<Token> tokens = tokenize(sql);
      size_t i = token_at(tokens, problem.range->begin);
      if (i < tokens.size()) problem.range = Range{tokens[i].begin, tokens[i].end};
    }
    if (!top) return refuse(top.error());
    if (!problems.empty()) return std::unexpected(std::move(problems));
    for (const RelationColumn& column : top->columns) {
      if (column.tag != ColumnTag::kPlain) return refuse(not_proven("a column of the result"));
    }
    return derivation.take_result(std::move(*top));
  } catch (const Json::exception& error) {
    // A plan of another shape than 1.5.5 writes.
    Problem problem = not_proven("this plan");
    problem.notes.push_back(error.what());
    return refuse(std::move(problem));
  }
}

}  // namespace tidegate::prove
