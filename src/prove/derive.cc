#include "prove/derive.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"
#include "prove/functions.h"
#include "prove/sql_error.h"
#include "prove/tree.h"

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

Checked Derivation::check_expression(const Json& expression,
                                     const std::vector<RelationColumn>& columns, uint32_t offset,
                                     bool conjunct) {
  static const std::set<std::string> kClasses = {
      "BOUND_REF",         "BOUND_CAST",     "BOUND_CONSTANT",  "BOUND_COMPARISON",
      "BOUND_CONJUNCTION", "BOUND_FUNCTION", "BOUND_AGGREGATE", "BOUND_OPERATOR",
      "BOUND_CASE",        "BOUND_BETWEEN",  "BOUND_WINDOW",    "BOUND_UNNEST"};
  if (expression.is_array()) {
    for (const Json& child : expression) TG_TRY(check_expression(child, columns, offset));
    return {};
  }
  if (!expression.is_object()) return {};
  const std::string& cls = class_of(expression);
  if (!cls.empty() && !kClasses.contains(cls)) return std::unexpected(not_proven("`" + cls + "`"));
  if (cls == "BOUND_REF") {
    size_t index = size_t{ref_index(expression)} + offset;
    if (index >= columns.size()) return std::unexpected(not_proven("a column of this plan"));
    if (columns[index].tag == ColumnTag::kRowId) {
      Problem problem{codes::kSqlConstructNotAllowed,
                      "`rowid` is a row's place in one task's input",
                      "it means another row in every bucket"};
      problem.help = "use a key of the data";
      problem.anchor = AnchorKind::kTable;
      return std::unexpected(problem);
    }
    if (columns[index].tag == ColumnTag::kTrueOnly && !conjunct) {
      Problem problem{codes::kInAsValue, "IN over a partitioned table is used as a value",
                      "a NULL in another bucket turns FALSE into NULL"};
      problem.help =
          "use it as a condition of WHERE by itself, or write EXISTS (for NOT IN: NOT EXISTS)";
      problem.anchor = AnchorKind::kSubquery;
      return std::unexpected(problem);
    }
    return {};
  }
  if (cls == "BOUND_OPERATOR" && expression.value("type", "") == "OPERATOR_NOT") {
    const Json& child = expression.at("children").at(0);
    if (is_ref(child) && size_t{ref_index(child)} + offset < columns.size() &&
        columns[ref_index(child) + offset].tag == ColumnTag::kTrueOnly) {
      Problem problem{codes::kNotInOverPartitions, "NOT IN over a partitioned table",
                      "one NULL in any bucket would change every bucket"};
      problem.help = "write NOT EXISTS (SELECT ... WHERE the keys are equal)";
      problem.anchor = AnchorKind::kSubquery;
      return std::unexpected(problem);
    }
  }
  if (cls == "BOUND_FUNCTION" || cls == "BOUND_AGGREGATE" || cls == "BOUND_WINDOW") {
    std::string name = expression.value("name", "");
    size_t arguments = expression.value("children", Json::array()).size();
    if (!name.empty()) {
      auto problem = function_problem(name, arguments);
      bool forgiven = problem && request_.clock_and_chance &&
                      problem->code != std::string(codes::kFunctionNotAllowed) &&
                      problem->code != std::string(codes::kSessionFunction);
      if (problem && !forgiven) {
        uint64_t at = expression.value("query_location", UINT64_MAX);
        if (at != UINT64_MAX) problem->range = Range{static_cast<uint32_t>(at), 0};
        problems_.push_back(std::move(*problem));
      }
    }
  }
  // AND and OR are TRUE for the right rows if their parts are.
  bool keeps = conjunct && cls == "BOUND_CONJUNCTION";
  for (const auto& [key, value] : expression.items()) {
    if (!value.is_structured() || key == "return_type" || key == "value") continue;
    if (value.is_array()) {
      for (const Json& child : value) {
        TG_TRY(check_expression(child, columns, offset, keeps && key == "children"));
      }
    } else {
      TG_TRY(check_expression(value, columns, offset));
    }
  }
  return {};
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

Derived Derivation::get(const Json& op) {
  const Json data = op.value("function_data", Json());
  if (!data.is_object() || !data.contains("table")) return table_function(op);
  std::string name = to_lower_ascii(data.value("table", ""));
  auto found = request_.inputs.find(name);
  if (found == request_.inputs.end() || data.value("schema", "") != "main") {
    Problem problem{codes::kSqlSystemTable,
                    fmt::format("`{}` is not an input of this pipeline", name)};
    problem.anchor = AnchorKind::kTable;
    problem.names = {name};
    return std::unexpected(problem);
  }
  const InputProperty& input = found->second;
  ++result_.scans;
  if (!numbers(op, "projection_ids").empty()) return std::unexpected(not_proven("this scan"));
  Relation out;
  out.replicated = input.replicated || request_.whole;
  const Json& names = op.at("names");
  const Json& types = op.at("returned_types");
  std::map<std::string, uint32_t> at;
  std::set<std::string>& used = result_.columns_used[name];
  for (const Json& column : op.at("column_indexes")) {
    if (!column.value("child_indexes", Json::array()).empty() &&
        column.value("index_type", "FULL_READ") != "FULL_READ") {
      return std::unexpected(not_proven("a scan of a part of a column"));
    }
    auto index = column.at("index").get<uint64_t>();
    if (index >= names.size()) {
      out.columns.push_back({"rowid", "BIGINT", ColumnTag::kRowId});
      continue;
    }
    std::string written = names[index].get<std::string>();
    at[to_lower_ascii(written)] = static_cast<uint32_t>(out.columns.size());
    used.insert(written);
    out.columns.push_back({written, type_text(types[index])});
  }
  if (!out.replicated && !input.keys.empty()) {
    // A key column that the query does not read keeps its rows apart all the same, but nothing
    // above can name it: the relation is Local then.
    bool all = true;
    for (size_t j = 0; j < input.keys.size(); ++j) {
      auto it = at.find(to_lower_ascii(input.keys[j]));
      all = all && it != at.end();
      if (all) out.keys.push_back({input.hash_types[j], {it->second}});
    }
    if (!all) out.keys.clear();
  }
  for (const auto& set : input.unique) {
    ColumnSet columns;
    for (const std::string& column : set) {
      auto it = at.find(to_lower_ascii(column));
      if (it != at.end()) columns.insert(it->second);
    }
    if (columns.size() == set.size() && !set.empty()) out.unique.push_back(columns);
  }
  return out;
}

Derived Derivation::table_function(const Json& op) {
  std::string name = op.value("name", "");
  if (!is_allowed_table_function(name)) {
    Problem problem{codes::kTableFunctionNotAllowed,
                    fmt::format("table function `{}` is not allowed in a stage", name),
                    "it reaches beyond the pipeline's inputs"};
    return std::unexpected(problem);
  }
  Relation out;
  const Json& types = op.at("returned_types");
  for (const Json& column : op.at("column_indexes")) {
    auto index = column.at("index").get<uint64_t>();
    if (index >= types.size()) {
      out.columns.push_back({"rowid", "BIGINT", ColumnTag::kRowId});
    } else {
      out.columns.push_back({op.at("names")[index].get<std::string>(), type_text(types[index])});
    }
  }
  std::vector<uint32_t> carried = numbers(op, "projected_input");
  const Json& children = op.at("children");
  if (children.empty()) {
    if (!carried.empty()) return std::unexpected(not_proven("this call of " + name));
    return out;
  }
  // The child hands over the arguments, then what is carried along: columns of the outer row. The
  // references in it are not positions yet, so only the plain shape is read.
  const Json& child = children[0];
  if (child.value("type", "") != "LOGICAL_PROJECTION") {
    return std::unexpected(not_proven("a table function over this input"));
  }
  const Json& source = child.at("children").at(0);
  std::string source_type = source.value("type", "");
  if (source_type != "LOGICAL_DELIM_GET" && source_type != "LOGICAL_DUMMY_SCAN") {
    return std::unexpected(not_proven("a table function over this input"));
  }
  TG_ASSIGN(Relation below, derive(source, {}));
  if (source_type == "LOGICAL_DUMMY_SCAN") {
    if (!carried.empty()) return std::unexpected(not_proven("this call of " + name));
    return out;
  }
  const Json& expressions = child.at("expressions");
  std::vector<int64_t> comes_from;
  for (uint32_t index : carried) {
    if (index >= expressions.size()) return std::unexpected(not_proven("this call of " + name));
    const Json& expression = expressions[index];
    if (class_of(expression) != "BOUND_COLUMN_REF" ||
        expression.at("binding").value("table_index", uint64_t{0}) !=
            source.value("table_index", uint64_t{1})) {
      return std::unexpected(not_proven("this call of " + name));
    }
    uint64_t column = expression["binding"].value("column_index", uint64_t{0});
    if (column >= below.columns.size()) return std::unexpected(not_proven("this call of " + name));
    comes_from.push_back(static_cast<int64_t>(column));
  }
  auto base = static_cast<uint32_t>(out.columns.size());
  for (int64_t column : comes_from)
    out.columns.push_back(below.columns[static_cast<size_t>(column)]);
  auto map = [&](const ColumnSet& set) {
    ColumnSet mapped;
    for (size_t i = 0; i < comes_from.size(); ++i) {
      if (set.contains(static_cast<uint32_t>(comes_from[i]))) {
        mapped.insert(base + static_cast<uint32_t>(i));
      }
    }
    return mapped;
  };
  out.replicated = below.replicated;
  out.domain = below.domain;
  for (const ColumnSet& set : below.domain_columns) {
    out.domain_columns.push_back(map(set));
    if (out.domain_columns.back().empty()) {
      return std::unexpected(not_proven("this call of " + name));
    }
  }
  for (const KeyClass& key : below.keys) {
    out.keys.push_back({key.hash_type, map(key.members)});
    if (out.keys.back().members.empty()) {
      out.keys.clear();
      break;
    }
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
  for (const Json& child : expression) {
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

Derived Derivation::cte(const Json& op, const Edges& edges) {
  const Json& children = op.at("children");
  TG_ASSIGN(Relation body, derive(children.at(0), {}));
  ctes_[op.at("table_index").get<uint64_t>()] = std::move(body);
  return derive(children.at(1), edges);
}

Derived Derivation::cte_ref(const Json& op) {
  auto it = ctes_.find(op.at("cte_index").get<uint64_t>());
  if (it == ctes_.end()) return std::unexpected(not_proven("this WITH"));
  return it->second;
}

Derived Derivation::recursive_cte(const Json& op) {
  Problem refused{codes::kRecursiveCte, "WITH RECURSIVE over partitioned rows",
                  "each round of a bucket sees that bucket alone"};
  refused.help = "mark its inputs `broadcast`, or give the stage `partition_by: all`";
  refused.anchor = AnchorKind::kRecursive;
  if (!op.value("key_targets", Json::array()).empty() || op.value("ref_recurring", false)) {
    return std::unexpected(not_proven("WITH RECURSIVE ... USING KEY"));
  }
  const Json& children = op.at("children");
  TG_ASSIGN(Relation start, derive(children.at(0), {}));
  if (!start.replicated || start.domain >= 0) return std::unexpected(refused);
  start.unique.clear();
  ctes_[op.at("table_index").get<uint64_t>()] = start;
  TG_ASSIGN(Relation step, derive(children.at(1), {}));
  if (!step.replicated || step.domain >= 0) return std::unexpected(refused);
  return start;
}

Derived Derivation::constant_rows(const Json& op) {
  Relation out;
  if (op.value("type", "") == "LOGICAL_DUMMY_SCAN") {
    out.columns.push_back({"", "INTEGER"});
    return out;
  }
  const Json& children = op.at("children");
  if (children.size() != 1 || children[0].value("type", "") != "LOGICAL_DUMMY_SCAN") {
    return std::unexpected(not_proven("VALUES over an outer row"));
  }
  TG_TRY(check_expression(op.at("expressions"), out.columns));
  for (const Json& type : op.at("expr_types")) out.columns.push_back({"", type_text(type)});
  return out;
}

Derived Derivation::domain_get(const Json& op) {
  if (domains_.empty() || domains_.back().id < 0) {
    return std::unexpected(not_proven("this correlated subquery"));
  }
  if (domains_.back().relation.columns.size() != op.at("chunk_types").size()) {
    return std::unexpected(not_proven("this correlated subquery"));
  }
  return domains_.back().relation;
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
