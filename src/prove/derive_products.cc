#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/derivation.h"

namespace tidegate::prove {

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
    if (pending.filter) mark_never_null(*pending.expression, out.columns, pending.offset);
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

}  // namespace tidegate::prove
