#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"

namespace tidegate::prove {
namespace {

/// One equality between an expression over the left side and one over the right side.
struct Equality {
  const Json* left;
  const Json* right;
  uint32_t right_offset;  ///< columns of `right` count from here
};

/// The equalities of a join's condition, whichever form it has.
std::vector<Equality> equalities_of(const Json& op, uint32_t left_width) {
  std::vector<Equality> out;
  if (op.contains("conditions")) {
    for (const Json& condition : op.at("conditions")) {
      if (is_equality(condition.value("comparison", ""))) {
        out.push_back({&condition.at("left"), &condition.at("right"), 0});
      }
    }
  }
  if (auto it = op.find("condition"); it != op.end() && it->is_object()) {
    each_conjunct(*it, [&](const Json& conjunct) {
      if (class_of(conjunct) != "BOUND_COMPARISON" || !is_equality(conjunct.value("type", ""))) {
        return;
      }
      const Json* sides[2] = {&conjunct.at("left"), &conjunct.at("right")};
      for (int swap = 0; swap < 2; ++swap) {
        ColumnSet left, right;
        collect_refs(*sides[swap], left);
        collect_refs(*sides[1 - swap], right);
        if (left.empty() || right.empty()) return;
        if (*left.rbegin() < left_width && *right.begin() >= left_width) {
          out.push_back({sides[swap], sides[1 - swap], left_width});
        }
      }
    });
  }
  return out;
}

/// The first key position that no equality states, or nothing if all are.
std::optional<size_t> unaligned(const Relation& left, const Relation& right,
                                const std::vector<Equality>& equalities) {
  if (!left.has_keys() || left.keys.size() != right.keys.size()) return 0;
  for (size_t j = 0; j < left.keys.size(); ++j) {
    bool found = left.keys[j].hash_type == right.keys[j].hash_type &&
                 std::any_of(equalities.begin(), equalities.end(), [&](const Equality& e) {
                   return is_key_member(*e.left, left, j) &&
                          is_key_member(*e.right, right, j, e.right_offset);
                 });
    if (!found) return j;
  }
  return std::nullopt;
}

/// True if the condition equates every column of the binding on both sides.
bool domains_equated(const Relation& left, const std::vector<ColumnSet>& left_columns,
                     const Relation& right, const std::vector<Equality>& equalities) {
  (void)left;
  if (left_columns.size() != right.domain_columns.size()) return false;
  for (size_t d = 0; d < left_columns.size(); ++d) {
    bool found = std::any_of(equalities.begin(), equalities.end(), [&](const Equality& e) {
      return is_ref(*e.left) && is_ref(*e.right) && ref_index(*e.right) >= e.right_offset &&
             left_columns[d].contains(ref_index(*e.left)) &&
             right.domain_columns[d].contains(ref_index(*e.right) - e.right_offset);
    });
    if (!found) return false;
  }
  return true;
}

std::vector<RelationColumn> both(const Relation& left, const Relation& right) {
  std::vector<RelationColumn> columns = left.columns;
  columns.insert(columns.end(), right.columns.begin(), right.columns.end());
  return columns;
}

}  // namespace

Derived Derivation::outer_join(const Json& op, const Edges& edges) {
  const std::string type = op.value("type", ""), kind = op.value("join_type", "");
  static const std::set<std::string> kKinds = {"INNER", "LEFT", "RIGHT", "OUTER", "FULL",
                                               "SEMI",  "ANTI", "MARK",  "SINGLE"};
  if (!kKinds.contains(kind) || op.value("delim_flipped", false) ||
      !numbers(op, "left_projection_map").empty() || !numbers(op, "right_projection_map").empty()) {
    return std::unexpected(not_proven(fmt::format("a {} join of this shape", kind)));
  }
  bool full = kind == "FULL" || kind == "OUTER", right_kept = full || kind == "RIGHT";
  bool asof = type == "LOGICAL_ASOF_JOIN", delim = type == "LOGICAL_DELIM_JOIN";
  const Json& children = op.at("children");
  auto left_width = static_cast<uint32_t>(width_of(children.at(0)));

  Edges passed;
  if (!right_kept) {
    for (const Edge& edge : edges) {
      if (edge.left.column < left_width && edge.right.column < left_width) passed.push_back(edge);
    }
  }
  TG_ASSIGN(Relation left, derive(children.at(0), passed));
  int id = -1;
  std::vector<ColumnSet> binding;  // columns of `left` that the dependent side reads
  if (delim) {
    Domain domain{id = domain_count_++, {}};
    domain.relation.replicated = left.replicated;
    for (const Json& column : op.at("duplicate_eliminated_columns")) {
      if (!is_ref(column) || ref_index(column) >= left.columns.size()) {
        return std::unexpected(not_proven("this correlated subquery"));
      }
      TG_TRY(check_expression(column, left.columns));
      domain.relation.columns.push_back(left.columns[ref_index(column)]);
      merge_forms(domain.relation.columns.back());
      binding.push_back({ref_index(column)});
    }
    if (!left.replicated) {
      domain.relation.domain = id;
      for (uint32_t d = 0; d < binding.size(); ++d) domain.relation.domain_columns.push_back({d});
      for (const KeyClass& key : left.keys) {
        KeyClass kept{key.hash_type, {}};
        for (uint32_t d = 0; d < binding.size(); ++d) {
          if (key.members.contains(*binding[d].begin())) kept.members.insert(d);
        }
        if (kept.members.empty()) {
          domain.relation.keys.clear();
          break;
        }
        domain.relation.keys.push_back(std::move(kept));
      }
    } else {
      ColumnSet all;
      for (uint32_t d = 0; d < binding.size(); ++d) all.insert(d);
      domain.relation.unique.push_back(std::move(all));
    }
    domains_.push_back(std::move(domain));
  }
  Derived derived_right = derive(children.at(1), {});
  if (delim) domains_.pop_back();
  if (!derived_right) return derived_right;
  Relation right = std::move(*derived_right);

  std::vector<RelationColumn> columns = both(left, right);
  if (op.contains("conditions")) {
    for (const Json& condition : op.at("conditions")) {
      TG_TRY(check_expression(condition.at("left"), left.columns));
      TG_TRY(check_expression(condition.at("right"), right.columns));
    }
  }
  for (const char* key : {"condition", "predicate"}) {
    if (op.contains(key)) TG_TRY(check_expression(op.at(key), columns));
  }
  std::vector<Equality> equalities = equalities_of(op, left_width);

  Problem refused;
  refused.anchor =
      delim || kind == "MARK" || kind == "SINGLE" ? AnchorKind::kSubquery : AnchorKind::kJoin;
  for (const char* key : {"condition", "conditions"}) {
    if (op.contains(key)) names_of(op.at(key), refused.names);
  }
  for (const Json& child : children) {
    if (child.value("type", "") != "LOGICAL_GET") continue;
    refused.names.insert(
        to_lower_ascii(child.value("function_data", Json::object()).value("table", "")));
  }
  auto refuse = [&](const char* code, std::string message, std::string label, std::string help) {
    refused.code = code;
    refused.message = std::move(message);
    refused.label = std::move(label);
    refused.help = std::move(help);
    return std::unexpected(refused);
  };

  if (asof) {
    if (kind != "INNER" && kind != "LEFT") {
      return refuse(codes::kAsofNotAllowed, fmt::format("ASOF {} JOIN is not allowed", kind),
                    "only ASOF INNER and ASOF LEFT are", "swap the sides and use ASOF LEFT JOIN");
    }
    // DuckDB 1.5.5 pairs a row whose time is NULL with some row of its key, or with none, as it
    // chooses its algorithm by the number of rows.
    for (const Json& condition : op.at("conditions")) {
      if (equalities.empty() || is_equality(condition.value("comparison", ""))) continue;
      if (is_never_null(condition.at("left"), left.columns)) continue;
      return refuse(codes::kAsofNotAllowed, "an ASOF join by keys and a time that may be NULL",
                    "this DuckDB gives a row without a time any row of its key",
                    "leave such rows out of the left side, FROM (SELECT * FROM x WHERE ts IS NOT "
                    "NULL) x, or compare coalesce(ts, '-infinity')");
    }
    ColumnSet covered;
    for (const Json& condition : op.at("conditions")) {
      if (is_ref(condition.at("right"))) covered.insert(ref_index(condition.at("right")));
    }
    if (!is_total(right, covered)) {
      TG_TRY(order_matters(right,
                           fmt::format("ASOF JOIN picks any of several rows of the same time{}",
                                       missing_columns(right, covered)),
                           AnchorKind::kJoin, refused.names));
    }
  }

  // Rows without a partner have NULLs.
  for (uint32_t i = 0; i < columns.size(); ++i) {
    bool of_left = i < left_width;
    bool padded = of_left ? right_kept : full || kind == "LEFT" || kind == "SINGLE";
    columns[i].never_null = columns[i].never_null && !padded;
  }

  // What the result's columns and keys are when the left side decides where a row lives.
  auto from_left = [&]() {
    Relation out = left;
    if (kind == "MARK") {
      out.columns.push_back({"", "BOOLEAN"});
    } else if (kind != "SEMI" && kind != "ANTI") {
      out.columns = columns;
      if (kind != "SINGLE" && !asof) out.unique.clear();
    }
    return out;
  };
  auto from_right = [&]() {
    Relation out;
    out.replicated = right.replicated;
    out.columns = columns;
    out.domain = right.domain;
    for (const KeyClass& key : right.keys) {
      out.keys.push_back({key.hash_type, shifted(key.members, left_width)});
    }
    for (const ColumnSet& set : right.domain_columns) {
      out.domain_columns.push_back(shifted(set, left_width));
    }
    bool complete = std::all_of(out.keys.begin(), out.keys.end(),
                                [](const KeyClass& key) { return !key.members.empty(); });
    if (!complete) out.keys.clear();
    return out;
  };

  if (right.replicated) {
    if (left.replicated) {
      Relation out = from_left();
      if (right_kept) out.unique.clear();
      return out;
    }
    if (!right_kept) return from_left();
    return refuse(codes::kJoinPreservesBroadcast,
                  fmt::format("a {} join keeps the unmatched rows of a broadcast input", kind),
                  "they would appear once per bucket",
                  "turn the join around so that the split side is kept, or drop `broadcast` and "
                  "partition both by the join's keys");
  }
  if (left.replicated) {
    if (kind == "INNER" && !delim && !asof) return from_right();
    if (kind == "RIGHT" && !delim && !asof) return from_right();
    if (asof) {
      return refuse(codes::kJoinPreservesBroadcast,
                    "an ASOF join looks for the nearest row of a broadcast row in a split input",
                    "every bucket has a nearest row of its own",
                    "turn the join around so that the split side comes first, or drop `broadcast` "
                    "and partition both by the join's keys");
    }
    if (kind == "LEFT" || full) {
      return refuse(codes::kJoinPreservesBroadcast,
                    fmt::format("a {} join keeps the unmatched rows of a broadcast input", kind),
                    "they would appear once per bucket",
                    "turn the join around so that the split side is kept, or drop `broadcast` and "
                    "partition both by the join's keys");
    }
    return refuse(codes::kSubqueryMissesKey,
                  "rows of a broadcast input are looked up in a split one",
                  "every bucket would answer for itself",
                  "join the other way round, or give the stage `partition_by: all`");
  }

  // Both sides are split.
  if (delim && right.domain == id) {
    if (right_kept || !domains_equated(left, binding, right, equalities)) {
      return std::unexpected(not_proven("this correlated subquery"));
    }
    Relation out = from_left();
    if (kind == "INNER" || kind == "LEFT") out.unique.clear();
    return out;
  }
  if (left.domain >= 0 && right.domain >= 0) {
    if (left.domain != right.domain || right_kept ||
        !domains_equated(left, left.domain_columns, right, equalities)) {
      return std::unexpected(not_proven("a join inside this correlated subquery"));
    }
    return from_left();
  }
  std::optional<size_t> missing = unaligned(left, right, equalities);
  if (right.domain >= 0) {
    if (kind == "INNER" && !missing) return from_right();
    return std::unexpected(not_proven("a join inside this correlated subquery"));
  }
  bool subquery = refused.anchor == AnchorKind::kSubquery || left.domain >= 0;
  if (missing) {
    if (left.is_local() || right.is_local()) {
      bool map = request_.map_stage;
      return refuse(
          subquery ? codes::kSubqueryMissesKey
                   : (map ? codes::kMapJoinsInputs : codes::kJoinMissesKey),
          subquery ? "a subquery looks into a split input"
          : map    ? "a map stage joins two inputs that are both split"
                   : "a side of the join has lost its key",
          "rows that belong together may be in another partition",
          map ? "mark the smaller one `broadcast`, or add `partition_by` with the join's keys"
              : fmt::format("keep `{}` in both sides, or mark the smaller one `broadcast`",
                            join(request_.key_names, ", ")));
    }
    std::string key = key_name(*missing);
    if (subquery) {
      return refuse(codes::kSubqueryMissesKey,
                    fmt::format("the subquery is not tied to its outer row by `{}`", key),
                    "rows that it should see may be in another bucket",
                    fmt::format("add the equality of `{}` to its WHERE, or mark the inner table "
                                "`broadcast`",
                                key));
    }
    bool any = !equalities.empty();
    return refuse(any ? codes::kJoinMissesKey : codes::kJoinWithoutEquality,
                  any ? fmt::format("the join does not equate `{}`", key)
                      : "two split inputs are joined without an equality of their keys",
                  fmt::format("rows that belong together may be in different buckets of `{}`",
                              join(request_.key_names, ", ")),
                  fmt::format("partition by the join's keys, add the equality of `{}`, or mark the "
                              "smaller input `broadcast`",
                              key));
  }
  if (left.domain >= 0 && right_kept) {
    return std::unexpected(not_proven("a join inside this correlated subquery"));
  }
  if (kind == "MARK") {
    Relation out = from_left();
    out.columns.back().tag = ColumnTag::kTrueOnly;
    return out;
  }
  if (kind == "RIGHT") return from_right();
  if (full) {
    Relation out;
    out.replicated = false;
    out.columns = columns;
    for (const KeyClass& key : left.keys) out.keys.push_back({key.hash_type, {}});
    out.full = std::make_shared<Relation::Full>();
    out.full->left = std::make_shared<Relation>(left);
    out.full->right = std::make_shared<Relation>(right);
    return out;
  }
  Relation out = from_left();
  if (kind == "INNER" && !asof) {
    for (size_t j = 0; j < out.keys.size(); ++j) {
      out.keys[j].members.merge(shifted(right.keys[j].members, left_width));
    }
  }
  if (kind == "SINGLE" || kind == "LEFT" || kind == "INNER") {
    // A unique right side over its equated columns cannot multiply the left side's rows.
    ColumnSet equated;
    for (const Equality& e : equalities) {
      if (is_ref(*e.right) && ref_index(*e.right) >= e.right_offset) {
        equated.insert(ref_index(*e.right) - e.right_offset);
      }
    }
    bool once = asof || kind == "SINGLE" ||
                std::any_of(right.unique.begin(), right.unique.end(),
                            [&](const ColumnSet& set) { return subset(set, equated); });
    if (once) out.unique = left.unique;
  }
  return out;
}

Derived Derivation::positional_join(const Json& op) {
  TG_ASSIGN(Relation left, derive(op.at("children").at(0), {}));
  TG_ASSIGN(Relation right, derive(op.at("children").at(1), {}));
  Relation out;
  out.columns = both(left, right);
  if (left.replicated && right.replicated) {
    TG_TRY(order_matters(out, "POSITIONAL JOIN pairs rows by their place", AnchorKind::kJoin, {}));
    return out;
  }
  Problem problem{codes::kPositionalJoin, "POSITIONAL JOIN over split inputs",
                  "a row's place in the whole is not its place in a bucket"};
  problem.help = "join by a key";
  problem.anchor = AnchorKind::kJoin;
  return std::unexpected(problem);
}

}  // namespace tidegate::prove
