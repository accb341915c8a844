#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"
#include "prove/functions.h"

// Where rows come from: tables, table functions, VALUES, the outer row of a subquery, WITH.

namespace tidegate::prove {

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
  for (RelationColumn& column : start.columns) column.never_null = false;
  if (!op.value("union_all", false)) {
    for (RelationColumn& column : start.columns) merge_forms(column);
  }
  // A round's columns are the next round's: until no column has several forms that had one.
  for (bool grown = true; grown;) {
    ctes_[op.at("table_index").get<uint64_t>()] = start;
    TG_ASSIGN(Relation step, derive(children.at(1), {}));
    if (!step.replicated || step.domain >= 0) return std::unexpected(refused);
    grown = false;
    for (size_t i = 0; i < std::min(step.columns.size(), start.columns.size()); ++i) {
      if (!step.columns[i].any_form || start.columns[i].any_form) continue;
      start.columns[i].any_form = grown = true;
    }
  }
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

}  // namespace tidegate::prove
