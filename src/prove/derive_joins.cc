#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"

namespace tidegate::prove {
namespace {

bool is_equality(const std::string& comparison) {
  return comparison == "COMPARE_EQUAL" || comparison == "COMPARE_NOT_DISTINCT_FROM";
}

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

bool subset(const ColumnSet& small, const ColumnSet& large) {
  return std::includes(large.begin(), large.end(), small.begin(), small.end());
}

}  // namespace

Checked Derivation::collect(const Json& op, Product& product, size_t depth) {
  if (depth > kPlanDepthMax) return std::unexpected(not_proven("a plan this deep"));
  const std::string type = op.value("type", "");
  uint32_t base =
      product.leaves.empty() ? 0 : product.leaves.back().first + product.leaves.back().count;
  auto shift = [](Side side, uint32_t by) {
    side.column += by;
    return side;
  };
  bool inner = type == "LOGICAL_COMPARISON_JOIN" && op.value("join_type", "") == "INNER";
  if (type == "LOGICAL_CROSS_PRODUCT" || inner) {
    if (!numbers(op, "left_projection_map").empty() || !numbers(op, "right_projection_map").empty())
      return std::unexpected(not_proven("this join"));
    const Json& children = op.at("children");
    TG_TRY(collect(children.at(0), product, depth + 1));
    uint32_t middle = product.leaves.back().first + product.leaves.back().count;
    TG_TRY(collect(children.at(1), product, depth + 1));
    if (!inner) return {};
    for (const Json& condition : op.at("conditions")) {
      product.pending.push_back({&condition.at("left"), base, false});
      product.pending.push_back({&condition.at("right"), middle, false});
      names_of(condition, product.names);
      if (!is_equality(condition.value("comparison", ""))) continue;
      Edge edge;
      auto side = [&](const Json& expression, uint32_t offset, Side& out) {
        if (as_side(expression, out)) {
          out = shift(std::move(out), offset);
          return;
        }
        // A USING column after a FULL join: a virtual column that stands for the expression.
        out = {kVirtualColumn + static_cast<uint32_t>(product.virtuals.size()),
               type_of(expression),
               {}};
        product.virtuals.push_back({&expression, offset});
      };
      side(condition.at("left"), base, edge.left);
      side(condition.at("right"), middle, edge.right);
      product.edges.push_back(std::move(edge));
    }
    return {};
  }
  if (type == "LOGICAL_FILTER" && numbers(op, "projection_map").empty()) {
    const Json& child = op.at("children").at(0);
    std::string below = child.value("type", "");
    if (below == "LOGICAL_CROSS_PRODUCT" || below == "LOGICAL_FILTER" ||
        (below == "LOGICAL_COMPARISON_JOIN" && child.value("join_type", "") == "INNER")) {
      TG_TRY(collect(child, product, depth + 1));
      for (const Json& expression : op.at("expressions")) {
        product.pending.push_back({&expression, base, true});
        each_conjunct(expression, [&](const Json& conjunct) {
          if (Edge edge; as_edge(conjunct, edge)) {
            product.edges.push_back({shift(edge.left, base), shift(edge.right, base)});
          }
        });
      }
      return {};
    }
  }
  product.leaves.push_back({&op, base, static_cast<uint32_t>(width_of(op)), {}});
  return {};
}

Derived Derivation::product(const Json& op, const Edges& edges) {
  Product product;
  TG_TRY(collect(op, product, 0));
  product.edges.insert(product.edges.end(), edges.begin(), edges.end());
  Relation out;
  for (Product::Leaf& leaf : product.leaves) {
    Edges passed;
    for (const Edge& edge : product.edges) {
      auto inside = [&](const Side& side) {
        return side.column >= leaf.first && side.column < leaf.first + leaf.count;
      };
      if (!inside(edge.left) || !inside(edge.right)) continue;
      passed.push_back(edge);
      passed.back().left.column -= leaf.first;
      passed.back().right.column -= leaf.first;
    }
    TG_ASSIGN(leaf.relation, derive(*leaf.op, passed));
    out.columns.insert(out.columns.end(), leaf.relation.columns.begin(),
                       leaf.relation.columns.end());
  }
  for (const Product::Pending& pending : product.pending) {
    TG_TRY(check_expression(*pending.expression, out.columns, pending.offset, pending.filter));
  }
  // Keys in the product's own column numbers, with the virtual columns that equal them.
  std::vector<Product::Leaf*> split;
  for (Product::Leaf& leaf : product.leaves) {
    if (leaf.relation.replicated) continue;
    std::vector<KeyClass> keys;
    for (size_t j = 0; j < leaf.relation.keys.size(); ++j) {
      KeyClass key{leaf.relation.keys[j].hash_type,
                   shifted(leaf.relation.keys[j].members, leaf.first)};
      for (size_t v = 0; v < product.virtuals.size(); ++v) {
        const Product::Virtual& expression = product.virtuals[v];
        ColumnSet refs;
        collect_refs(*expression.expression, refs);
        refs = shifted(refs, expression.offset);
        bool inside = !refs.empty() && *refs.begin() >= leaf.first &&
                      *refs.rbegin() < leaf.first + leaf.count && leaf.first >= expression.offset;
        if (inside && is_key_member(*expression.expression, leaf.relation, j,
                                    leaf.first - expression.offset)) {
          key.members.insert(kVirtualColumn + static_cast<uint32_t>(v));
        }
      }
      keys.push_back(std::move(key));
    }
    leaf.relation.keys = std::move(keys);
    split.push_back(&leaf);
  }
  // Rows of a leaf that others may repeat: a unique set of each leaf together.
  std::vector<ColumnSet> unique = {{}};
  for (const Product::Leaf& leaf : product.leaves) {
    if (leaf.relation.unique.empty() || unique.empty()) {
      unique.clear();
      break;
    }
    unique.front().merge(shifted(leaf.relation.unique.front(), leaf.first));
  }
  if (!product.leaves.empty()) out.unique = std::move(unique);
  if (split.empty()) return out;
  out.replicated = false;

  auto refuse = [&](const Product::Leaf& a, const Product::Leaf& b, size_t j) -> Derived {
    bool equated = std::any_of(product.edges.begin(), product.edges.end(), [&](const Edge& edge) {
      auto in = [](const Product::Leaf& leaf, uint32_t column) {
        return column >= leaf.first && column < leaf.first + leaf.count;
      };
      return (in(a, edge.left.column) && in(b, edge.right.column)) ||
             (in(b, edge.left.column) && in(a, edge.right.column));
    });
    bool local = a.relation.is_local() || b.relation.is_local();
    bool correlated = a.relation.domain >= 0 || b.relation.domain >= 0;
    Problem problem;
    if (correlated) {
      problem = {codes::kSubqueryMissesKey,
                 fmt::format("the subquery is not tied to its outer row by `{}`", key_name(j)),
                 "rows that it should see may be in another bucket"};
      problem.help = request_.map_stage
                         ? "mark the inner table `broadcast`, or give the stage a `partition_by`"
                         : fmt::format(
                               "add the equality of `{}` to its WHERE, or mark the inner "
                               "table `broadcast`",
                               key_name(j));
      problem.anchor = AnchorKind::kSubquery;
    } else if (local && request_.map_stage) {
      problem = {codes::kMapJoinsInputs, "a map stage joins two inputs that are both split",
                 "a partition of one meets only one partition of the other"};
      problem.help = "mark the smaller one `broadcast`, or add `partition_by` with the join's keys";
      problem.anchor = AnchorKind::kJoin;
    } else {
      problem = {equated ? codes::kJoinMissesKey : codes::kJoinWithoutEquality,
                 equated ? fmt::format("the join does not equate `{}`", key_name(j))
                         : "two split inputs are joined without an equality of their keys",
                 fmt::format("rows that belong together may be in different buckets of `{}`",
                             join(request_.key_names, ", "))};
      problem.help = fmt::format(
          "partition by the join's keys, add the equality of `{}`, or mark the smaller input "
          "`broadcast`",
          key_name(j));
      problem.anchor = AnchorKind::kJoin;
    }
    problem.names = product.names;
    for (const Product::Leaf* leaf : {&a, &b}) {
      if (leaf->op->value("type", "") == "LOGICAL_GET") {
        names_of(leaf->op->at("function_data"), problem.names);
        problem.names.insert(to_lower_ascii(leaf->op->at("function_data").value("table", "")));
      }
    }
    return std::unexpected(problem);
  };

  const Product::Leaf* keyed = nullptr;
  const Product::Leaf* domain = nullptr;
  for (const Product::Leaf* leaf : split) {
    if (split.size() > 1 && leaf->relation.is_local()) {
      return refuse(*leaf, leaf == split[0] ? *split[1] : *split[0], 0);
    }
    if (leaf->relation.has_keys() && !keyed) keyed = leaf;
    if (leaf->relation.domain < 0) continue;
    if (!domain) {
      domain = leaf;
      continue;
    }
    // Both are functions of an outer row: of the same one, or the pairing is not per row.
    if (domain->relation.domain != leaf->relation.domain) {
      return std::unexpected(not_proven("a join of two correlated subqueries"));
    }
    for (size_t d = 0; d < leaf->relation.domain_columns.size(); ++d) {
      bool tied = std::any_of(product.edges.begin(), product.edges.end(), [&](const Edge& edge) {
        if (!edge.left.casts.empty() || !edge.right.casts.empty()) return false;
        auto has = [&](const Product::Leaf& at, uint32_t column) {
          return column >= at.first && at.relation.domain_columns[d].contains(column - at.first);
        };
        return (has(*domain, edge.left.column) && has(*leaf, edge.right.column)) ||
               (has(*leaf, edge.left.column) && has(*domain, edge.right.column));
      });
      if (!tied) return std::unexpected(not_proven("a join inside this correlated subquery"));
    }
  }
  if (keyed) {
    out.keys = keyed->relation.keys;
    grow_keys(out.keys, product.edges);
  }
  for (const Product::Leaf* leaf : split) {
    if (leaf == keyed || split.size() == 1) continue;
    if (leaf->relation.domain >= 0) {
      // Tied to the first leaf of its domain above; that one, or a tied one, must meet the key.
      if (leaf != domain || !keyed || keyed->relation.domain == leaf->relation.domain) continue;
    }
    if (!keyed || leaf->relation.keys.size() != out.keys.size()) {
      return refuse(keyed ? *keyed : *split[0], *leaf, 0);
    }
    for (size_t j = 0; j < out.keys.size(); ++j) {
      const KeyClass& key = leaf->relation.keys[j];
      bool meets = key.hash_type == out.keys[j].hash_type &&
                   std::any_of(key.members.begin(), key.members.end(),
                               [&](uint32_t c) { return out.keys[j].members.contains(c); });
      if (!meets) return refuse(*keyed, *leaf, j);
    }
  }
  for (KeyClass& key : out.keys) {
    key.members.erase(key.members.lower_bound(kVirtualColumn), key.members.end());
  }
  bool complete = std::all_of(out.keys.begin(), out.keys.end(),
                              [](const KeyClass& key) { return !key.members.empty(); });
  if (keyed && keyed->first == 0) out.full = keyed->relation.full;
  if (!complete && !out.full) out.keys.clear();
  if (domain) {
    out.domain = domain->relation.domain;
    for (size_t d = 0; d < domain->relation.domain_columns.size(); ++d) {
      ColumnSet set;
      for (const Product::Leaf* leaf : split) {
        if (leaf->relation.domain < 0) continue;
        set.merge(shifted(leaf->relation.domain_columns[d], leaf->first));
      }
      out.domain_columns.push_back(std::move(set));
    }
  }
  return out;
}

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
    if (kind == "LEFT" || full || asof) {
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
