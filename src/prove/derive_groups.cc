#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"
#include "prove/functions.h"
#include "prove/types.h"

namespace tidegate::prove {
namespace {

/// The columns that stand as themselves in a list of expressions.
ColumnSet plain_columns(const Json& expressions) {
  ColumnSet out;
  for (const Json& expression : expressions) {
    if (is_ref(expression)) out.insert(ref_index(expression));
  }
  return out;
}

/// The columns of an ORDER BY ("orders" or {"orders": [...]}).
ColumnSet order_columns(const Json& holder) {
  ColumnSet out;
  const Json* orders = &holder;
  if (holder.is_object() && holder.contains("orders")) orders = &holder.at("orders");
  if (!orders->is_array()) return out;
  for (const Json& order : *orders) {
    if (order.contains("expression") && is_ref(order["expression"])) {
      out.insert(ref_index(order["expression"]));
    }
  }
  return out;
}

/// True if every column of the binding is among `columns`.
bool covers_domain(const Relation& relation, const ColumnSet& columns) {
  return std::all_of(
      relation.domain_columns.begin(), relation.domain_columns.end(), [&](const ColumnSet& set) {
        return std::any_of(set.begin(), set.end(), [&](uint32_t c) { return columns.contains(c); });
      });
}

/// The first key position without a member among the expressions, or nothing.
std::optional<size_t> missing_key(const Relation& relation, const Json& expressions,
                                  const std::vector<uint32_t>* chosen = nullptr) {
  if (!relation.has_keys()) return 0;
  for (size_t j = 0; j < relation.keys.size(); ++j) {
    bool found = false;
    for (size_t i = 0; i < expressions.size() && !found; ++i) {
      if (chosen && std::find(chosen->begin(), chosen->end(), i) == chosen->end()) continue;
      found = is_key_member(expressions[i], relation, j);
    }
    if (!found) return j;
  }
  return std::nullopt;
}

}  // namespace

std::string Derivation::key_name(size_t j) const {
  return j < request_.key_names.size() ? request_.key_names[j] : "the key";
}

Problem Derivation::misses_key(const char* code, const Relation& relation, const std::string& what,
                               size_t j, AnchorKind anchor, std::set<std::string> names) const {
  Problem problem;
  problem.anchor = anchor;
  problem.names = std::move(names);
  if (request_.map_stage && !relation.has_keys()) {
    problem.code = codes::kNeedsPartitionBy;
    problem.message = fmt::format("{} needs the rows of a group together", what);
    problem.label = "a map stage sees one partition at a time";
    problem.help = "add `partition_by` with its columns to the stage, or `partition_by: all`";
    return problem;
  }
  problem.code = code;
  std::string key = key_name(j);
  problem.message = fmt::format("{} misses the partition key `{}`", what, key);
  problem.label =
      fmt::format("its rows may be in different buckets of `{}`", join(request_.key_names, ", "));
  bool known = relation.has_keys() && j < relation.keys.size();
  if (!known) {
    problem.notes.push_back("below here the key is gone: a projection or an expression dropped it");
  }
  problem.help = fmt::format(
      "add `{}` to it, take `{}` out of partition_by, or write "
      "`partition_by: all`",
      key, key);
  return problem;
}

bool Derivation::is_total(const Relation& relation, const ColumnSet& covered) const {
  ColumnSet all;
  for (uint32_t i = 0; i < relation.columns.size(); ++i) all.insert(i);
  if (subset(all, covered)) return true;
  return std::any_of(relation.unique.begin(), relation.unique.end(),
                     [&](const ColumnSet& set) { return subset(set, covered); });
}

std::string Derivation::missing_columns(const Relation& relation, const ColumnSet& covered) const {
  constexpr size_t kNamesMax = 6;
  std::vector<std::string> names;
  for (uint32_t i = 0; i < relation.columns.size() && names.size() < kNamesMax; ++i) {
    const std::string& name = relation.columns[i].name;
    if (!covered.contains(i) && !name.empty()) names.push_back("`" + name + "`");
  }
  if (names.empty()) return "";
  return fmt::format("; order by {} too to settle ties", join(names, ", "));
}

Checked Derivation::order_matters(const Relation& relation, std::string reason, AnchorKind anchor,
                                  std::set<std::string> names) {
  if (!relation.replicated || request_.whole) {
    auto& reasons = result_.unordered_reasons;
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) {
      reasons.push_back(std::move(reason));
    }
    return {};
  }
  Problem problem{codes::kBroadcastOrder, std::move(reason),
                  "over a broadcast input every bucket must get the same rows"};
  problem.help = "give it a total order: all columns, or a key";
  problem.anchor = anchor;
  problem.names = std::move(names);
  return std::unexpected(problem);
}

Derived Derivation::aggregate(const Json& op) {
  ColumnSet sorted_lists = std::move(sorted_lists_);
  sorted_lists_.clear();
  const Json& below = op.at("children").at(0);
  const Json& groups = op.at("groups");
  const Json& expressions = op.at("expressions");
  bool only_counts =
      groups.empty() && std::all_of(expressions.begin(), expressions.end(), [](const Json& e) {
        return e.value("name", "") == "count_star" &&
               (!e.contains("filter") || e["filter"].is_null());
      });
  // EXISTS (SELECT ...) without correlation: count(*) over LIMIT 1, whichever row that is.
  bool exists = only_counts && below.value("type", "") == "LOGICAL_LIMIT" &&
                below.at("offset_val").value("type", "") == "UNSET";
  TG_ASSIGN(Relation child, derive(exists ? below.at("children").at(0) : below, {}));
  TG_TRY(check_expression(groups, child.columns));
  TG_TRY(check_expression(expressions, child.columns));

  std::vector<std::vector<uint32_t>> sets;
  for (const Json& set : op.value("grouping_sets", Json::array())) {
    sets.push_back(set.get<std::vector<uint32_t>>());
  }
  bool several = sets.size() > 1;
  if (sets.empty()) {
    sets.emplace_back();
    for (uint32_t i = 0; i < groups.size(); ++i) sets.back().push_back(i);
  }
  std::set<std::string> names;
  names_of(groups, names);
  if (names.empty() || groups.empty()) names_of(expressions, names);

  if (!child.replicated) {
    if (groups.empty()) {
      Problem problem{codes::kAggregateWithoutGroupBy, "an aggregate without GROUP BY",
                      "it would give one row per bucket"};
      problem.help = request_.map_stage
                         ? "aggregate in a stage with `partition_by: all`"
                         : "add GROUP BY with the partition keys, or write `partition_by: all`";
      problem.anchor = exists ? AnchorKind::kSubquery : AnchorKind::kAggregate;
      if (exists) {
        problem.code = codes::kSubqueryMissesKey;
        problem.message = "EXISTS looks into a split input without being tied to its outer row";
        problem.label = "every bucket would answer for itself";
        problem.help = "tie it to the outer row by the keys, or mark the inner table `broadcast`";
      }
      problem.names = names;
      return std::unexpected(problem);
    }
    for (const auto& set : sets) {
      if (child.domain >= 0) {
        ColumnSet chosen;
        for (uint32_t g : set) {
          if (is_ref(groups.at(g))) chosen.insert(ref_index(groups.at(g)));
        }
        if (!covers_domain(child, chosen)) {
          Problem problem = not_proven("this correlated subquery");
          problem.anchor = AnchorKind::kSubquery;
          return std::unexpected(problem);
        }
        continue;
      }
      if (auto j = missing_key(child, groups, &set)) {
        return std::unexpected(
            misses_key(several ? codes::kGroupingSetMissesKey : codes::kGroupByMissesKey, child,
                       several ? "a grouping set" : "GROUP BY", *j, AnchorKind::kGroupBy, names));
      }
    }
  }
  // A group column that a grouping set leaves out is NULL there: no key, and not unique.
  std::vector<uint32_t> in_all;
  for (uint32_t g = 0; g < groups.size(); ++g) {
    bool every = std::all_of(sets.begin(), sets.end(), [&](const auto& set) {
      return std::find(set.begin(), set.end(), g) != set.end();
    });
    if (every) in_all.push_back(g);
  }
  Relation out;
  out.replicated = child.replicated;
  out.domain = child.domain;
  for (const Json& group : groups) {
    std::string name = group.value("alias", "");
    if (name.empty() && is_ref(group)) name = child.columns[ref_index(group)].name;
    out.columns.push_back({name, type_of(group)});
    merge_forms(out.columns.back(), &group);
    out.columns.back().never_null = !several && is_never_null(group, child.columns);
  }
  for (size_t j = 0; j < child.keys.size(); ++j) {
    KeyClass key{child.keys[j].hash_type, {}};
    for (uint32_t g : in_all) {
      if (is_key_member(groups.at(g), child, j)) key.members.insert(g);
    }
    if (key.members.empty()) {
      out.keys.clear();
      break;
    }
    out.keys.push_back(std::move(key));
  }
  for (const ColumnSet& set : child.domain_columns) {
    ColumnSet places;
    for (uint32_t g : in_all) {
      if (is_ref(groups.at(g)) && set.contains(ref_index(groups.at(g)))) places.insert(g);
    }
    out.domain_columns.push_back(std::move(places));
  }
  if (!several) {
    ColumnSet all;
    for (uint32_t g = 0; g < groups.size(); ++g) all.insert(g);
    out.unique.push_back(std::move(all));
  }
  // The binder's guard of a scalar subquery: first() beside count(*), an error if there are two.
  bool guard = groups.empty() && expressions.size() == 2 &&
               expressions[0].value("name", "") == "first" &&
               expressions[1].value("name", "") == "count_star" &&
               op.value("groupings_index", uint64_t{0}) == UINT64_MAX;
  ColumnSet grouped = several ? ColumnSet{} : plain_columns(groups);
  for (const Json& expression : expressions) {
    std::string name = expression.value("name", "");
    out.columns.push_back({expression.value("alias", ""), type_of(expression)});
    if (out.columns.back().name.empty()) out.columns.back().name = name;
    const Json arguments = expression.value("children", Json::array());
    out.columns.back().any_form = keeps_forms(expression, child.columns);
    look_at_distinct(expression);
    bool filtered = expression.contains("filter") && !expression["filter"].is_null();
    out.columns.back().never_null =
        name == "count" || name == "count_star" ||
        ((name == "min" || name == "max") && !filtered && !several && !groups.empty() &&
         arguments.size() == 1 && is_never_null(arguments[0], child.columns));
    if (is_float_summing(name)) {
      for (const Json& argument : arguments) {
        result_.float_sums = result_.float_sums || is_floating(type_of(argument));
      }
    }
    if (guard || !is_order_dependent(name)) continue;
    if (sorted_lists.contains(static_cast<uint32_t>(out.columns.size() - 1))) continue;
    ColumnSet covered = grouped, needed;
    covered.merge(order_columns(expression.value("order_bys", Json())));
    if (name.starts_with("arg_") || name.starts_with("argm") || name.ends_with("_by")) {
      if (arguments.size() > 1 && is_ref(arguments[1])) covered.insert(ref_index(arguments[1]));
    }
    collect_refs(arguments, needed);
    if (subset(needed, covered) || is_total(child, covered)) continue;
    std::string missing;
    for (uint32_t c : needed) {
      if (!covered.contains(c) && c < child.columns.size()) {
        missing += (missing.empty() ? "`" : ", `") + child.columns[c].name + "`";
      }
    }
    TG_TRY(order_matters(child,
                         fmt::format("{}() depends on the order of its rows; ORDER BY {} inside it "
                                     "to settle that",
                                     name, missing),
                         AnchorKind::kAggregate, {to_lower_ascii(name)}));
  }
  for (size_t i = 0; i < op.value("grouping_functions", Json::array()).size(); ++i) {
    out.columns.push_back({"grouping", "BIGINT"});
  }
  return out;
}

Derived Derivation::window(const Json& op) {
  TG_ASSIGN(Relation out, derive(op.at("children").at(0), {}));
  Relation child = out;
  for (const Json& expression : op.at("expressions")) {
    TG_TRY(check_expression(expression, child.columns));
    const Json& partitions = expression.at("partitions");
    std::string type = expression.value("type", ""), name = expression.value("name", "");
    if (name.empty() && type.starts_with("WINDOW_")) name = to_lower_ascii(type.substr(7));
    std::set<std::string> names;
    names_of(expression, names);
    names.insert(name);
    if (child.domain >= 0) {
      if (!covers_domain(child, plain_columns(partitions))) {
        Problem problem{codes::kSubqueryMissesKey, "a window inside a correlated subquery",
                        "not proven to see the rows of one outer row"};
        problem.help = "mark the inner table `broadcast`, or give the stage `partition_by: all`";
        problem.anchor = AnchorKind::kWindow;
        problem.names = names;
        return std::unexpected(problem);
      }
    } else if (!child.replicated) {
      if (auto j = missing_key(child, partitions)) {
        return std::unexpected(misses_key(codes::kWindowMissesKey, child, "PARTITION BY", *j,
                                          AnchorKind::kWindow, names));
      }
    }
    out.columns.push_back({expression.value("alias", ""), type_of(expression)});
    out.columns.back().any_form = keeps_forms(expression, child.columns);
    if (is_float_summing(name)) {
      for (const Json& argument : expression.at("children")) {
        result_.float_sums = result_.float_sums || is_floating(type_of(argument));
      }
    }
    // Ranks, and aggregates over whole peer groups, are the same whatever the order of ties.
    static const std::set<std::string> kSettled = {"WINDOW_RANK", "WINDOW_RANK_DENSE",
                                                   "WINDOW_PERCENT_RANK", "WINDOW_CUME_DIST"};
    std::string start = expression.value("start", ""), end = expression.value("end", "");
    bool rows = start.ends_with("_ROWS") || end.ends_with("_ROWS");
    bool settled = kSettled.contains(type) ||
                   (type == "WINDOW_AGGREGATE" && !rows && !is_order_dependent(name));
    if (settled) continue;
    ColumnSet covered = plain_columns(partitions);
    covered.merge(order_columns(expression.at("orders")));
    if (is_total(child, covered)) continue;
    bool limit = expression.value("alias", "").empty() && names.contains("limit_rownum");
    TG_TRY(
        order_matters(child,
                      fmt::format("{} depends on the order of tied rows{}",
                                  limit ? "LIMIT" : name + "()", missing_columns(child, covered)),
                      AnchorKind::kWindow, names));
  }
  return out;
}

Derived Derivation::distinct(const Json& op) {
  const Json& below = op.at("children").at(0);
  TG_ASSIGN(Relation out, derive(below, {}));
  const Json& targets = op.at("distinct_targets");
  TG_TRY(check_expression(targets, out.columns));
  bool on = op.value("distinct_type", "") == "DISTINCT_ON";
  bool set = below.value("type", "") == "LOGICAL_UNION" ||
             below.value("type", "") == "LOGICAL_EXCEPT" ||
             below.value("type", "") == "LOGICAL_INTERSECT";
  std::set<std::string> names;
  names_of(targets, names);
  if (out.domain >= 0) {
    if (!covers_domain(out, plain_columns(targets))) {
      return std::unexpected(not_proven("this correlated subquery"));
    }
  } else if (!out.replicated) {
    if (auto j = missing_key(out, targets)) {
      return std::unexpected(misses_key(set  ? codes::kSetOperationMissesKey
                                        : on ? codes::kDistinctOnMissesKey
                                             : codes::kDistinctMissesKey,
                                        out,
                                        set  ? "the set operation"
                                        : on ? "DISTINCT ON"
                                             : "DISTINCT",
                                        *j, set ? AnchorKind::kSetOperation : AnchorKind::kDistinct,
                                        set ? std::set<std::string>{"union"} : names));
    }
  }
  ColumnSet columns = plain_columns(targets);
  if (on) {
    ColumnSet covered = columns;
    covered.merge(order_columns(op.value("order_by", Json())));
    if (op.contains("order_by") && op["order_by"].is_object()) {
      TG_TRY(check_expression(op["order_by"], out.columns));
    }
    if (!is_total(out, covered)) {
      TG_TRY(order_matters(
          out,
          fmt::format("DISTINCT ON picks any of several rows{}", missing_columns(out, covered)),
          AnchorKind::kDistinct, names));
    }
  }
  for (uint32_t column : columns) {
    if (column < out.columns.size()) merge_forms(out.columns[column]);
  }
  if (columns.size() == targets.size()) out.unique.push_back(columns);
  return out;
}

Derived Derivation::limit(const Json& op) {
  const Json& below = op.at("children").at(0);
  TG_ASSIGN(Relation out, derive(below, {}));
  for (const char* key : {"limit_val", "offset_val"}) {
    const Json& value = op.at(key);
    if (value.contains("expression")) TG_TRY(check_expression(value["expression"], out.columns));
  }
  if (!out.replicated) {
    Problem problem{codes::kLimitOverPartitions, "LIMIT over split rows",
                    "every bucket would give that many rows"};
    problem.help =
        "limit in a later stage with `partition_by: all`, or rank the rows of each key: "
        "QUALIFY row_number() OVER (PARTITION BY the keys ORDER BY ...) <= n";
    problem.anchor = AnchorKind::kLimit;
    return std::unexpected(problem);
  }
  ColumnSet covered;
  if (below.value("type", "") == "LOGICAL_ORDER_BY") covered = order_columns(below.at("orders"));
  if (!is_total(out, covered)) {
    TG_TRY(order_matters(
        out, fmt::format("LIMIT picks any of several rows{}", missing_columns(out, covered)),
        AnchorKind::kLimit, {}));
  }
  return out;
}

}  // namespace tidegate::prove
