#include "prove/kernel_join.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/kernel_lookup.h"
#include "prove/kernel_tree.h"

namespace tidegate::prove {
namespace {

using reduce::JoinSpec;
using Path = Json::json_pointer;

constexpr size_t kSqlBytesMax = size_t{64} << 10;

/// A join in the tree, and whether its rows reach the node's WHERE as they are.
struct Site {
  Path node;          ///< the SELECT
  Path join;          ///< or the only table of FROM, whose WHERE may say which rows have others
  bool plain = true;  ///< nothing but inner joins around it
  bool alone = true;  ///< no other relation stands beside it, nor beside a SELECT around it
};

void sites_below(const Json& node, const Path& path, bool alone, std::vector<Site>& out);

void sites_in_from(const Json& ref, const Path& node, const Path& path, bool plain, bool alone,
                   std::vector<Site>& out) {
  const std::string type = text_in(ref, "type");
  if (type == "SUBQUERY") {
    sites_below(ref.at("subquery").at("node"), path / "subquery" / "node", alone, out);
    return;
  }
  if (type == "BASE_TABLE" && path == node / "from_table")
    out.push_back({node, path, plain, alone});
  if (type != "JOIN") return;
  const std::string kind = text_in(ref, "join_type");
  const bool both_tables = text_in(ref.at("left"), "type") == "BASE_TABLE" &&
                           text_in(ref.at("right"), "type") == "BASE_TABLE";
  if (both_tables) {
    out.push_back({node, path, plain, alone});
    return;
  }
  const bool inner = plain && kind == "INNER";
  sites_in_from(ref.at("left"), node, path / "left", inner, false, out);
  sites_in_from(ref.at("right"), node, path / "right", inner, false, out);
}

void sites_below(const Json& node, const Path& path, bool alone, std::vector<Site>& out) {
  if (is_select(node))
    sites_in_from(node.at("from_table"), path, path / "from_table", true, alone, out);
}

std::optional<JoinSpec::Kind> kind_of(const std::string& type) {
  using Kind = JoinSpec::Kind;
  if (type == "INNER") return Kind::kInner;
  if (type == "LEFT") return Kind::kLeft;
  if (type == "RIGHT") return Kind::kRight;
  if (type == "OUTER" || type == "FULL") return Kind::kFull;
  if (type == "SEMI") return Kind::kSemi;
  if (type == "ANTI") return Kind::kAnti;
  return {};
}

const sql::Column* find_column(const sql::Schema& schema, const std::string& name) {
  const std::string lower = to_lower_ascii(name);
  for (const sql::Column& column : schema)
    if (to_lower_ascii(column.name) == lower) return &column;
  return nullptr;
}

/// The conjuncts of a condition.
void conjuncts(const Json& condition, std::vector<Json>& out) {
  if (condition.is_null()) return;
  if (text_in(condition, "type") == "CONJUNCTION_AND") {
    for (const Json& child : condition.at("children")) conjuncts(child, out);
  } else {
    out.push_back(condition);
  }
}

Json all_of(std::vector<Json> parts) {
  if (parts.empty()) return nullptr;
  if (parts.size() == 1) return std::move(parts.front());
  return {{"class", "CONJUNCTION"},
          {"type", "CONJUNCTION_AND"},
          {"alias", ""},
          {"children", std::move(parts)}};
}

struct Sides {
  const JoinCandidate* input[2];
  std::string alias[2];  ///< lower case
};

class Chooser {
 public:
  Chooser(sql::Connection& scratch, const std::string& stage,
          const std::vector<JoinCandidate>& inputs, const sql::Schema& schema)
      : scratch_(scratch), stage_(stage), inputs_(inputs), schema_(schema) {}

  JoinChoice run(const std::string& sql) {
    if (sql.size() > kSqlBytesMax) return {};
    tree_ = parse_select(scratch_, sql);
    if (tree_.is_null()) return {};
    inline_ctes(tree_);
    std::vector<Site> sites;
    sites_below(tree_, Path(), true, sites);
    JoinChoice out;
    for (const Site& site : sites) {
      JoinChoice choice = attempt(site);
      if (choice.join) return choice;
      if (!choice.why.empty()) out.why = choice.why;
    }
    return out;
  }

 private:
  static JoinChoice refused(std::string why) { return {.why = std::move(why)}; }

  /// The candidate that a table of FROM is, if it is one and read plainly.
  const JoinCandidate* candidate(const Json& table) const {
    const std::string name = to_lower_ascii(text_in(table, "table_name"));
    if (!table.value("sample", Json()).is_null() || !table.value("at_clause", Json()).is_null() ||
        !table.value("column_name_alias", Json::array()).empty() ||
        !text_in(table, "schema_name").empty() || ctes_named(name))
      return nullptr;
    for (const JoinCandidate& input : inputs_)
      if (to_lower_ascii(input.name) == name) return &input;
    return nullptr;
  }

  bool ctes_named(const std::string& name) const {
    return any_below(tree_, true, [&](const Json& json) {
      if (!json.is_object() || !json.contains("map") || !json.at("map").is_array()) return false;
      return std::any_of(json.at("map").begin(), json.at("map").end(), [&](const Json& entry) {
        return to_lower_ascii(text_in(entry, "key")) == name;
      });
    });
  }

  JoinChoice attempt(const Site& site) {
    const Json& join = tree_.at(site.join);
    if (text_in(join, "type") == "BASE_TABLE") return attempt_subquery(site);
    const Json &left = join.at("left"), &right = join.at("right");
    const Sides sides{{candidate(left), candidate(right)},
                      {to_lower_ascii(name_in_from(left)), to_lower_ascii(name_in_from(right))}};
    if (sides.input[0] == nullptr || sides.input[1] == nullptr) return {};
    const std::string form = text_in(join, "ref_type");
    const auto kind = kind_of(text_in(join, "join_type"));
    if ((form != "REGULAR" && form != "CROSS") || !kind ||
        !join.value("sample", Json()).is_null() || !text_in(join, "alias").empty())
      return refused("a join of another kind");
    if (sides.alias[0] == sides.alias[1]) return refused("a join of tables of one name");

    JoinSpec spec;
    spec.kind = *kind;
    for (const Json& column : join.value("using_columns", Json::array())) {
      spec.merged = true;
      spec.left.keys.push_back(column.get<std::string>());
      spec.right.keys.push_back(column.get<std::string>());
    }
    // FROM a, b: the conditions stand in WHERE.
    if (form == "CROSS" && !site.plain) return refused("a product below an outer join");
    const Json& condition =
        form == "CROSS" ? tree_.at(site.node / "where_clause") : join.at("condition");
    std::vector<Json> conditions, residual;
    conjuncts(condition, conditions);
    for (Json& part : conditions) {
      if (!add_key(part, sides, spec)) residual.push_back(std::move(part));
    }
    if (auto why = check_keys(sides, spec)) return refused(*why);
    const bool outer = *kind == JoinSpec::Kind::kRight || *kind == JoinSpec::Kind::kFull;
    if (spec.merged && outer && names_qualified(site, sides, spec))
      return refused("a key of USING by the name of one side");
    Json where = tree_.at(site.node / "where_clause");
    if (form == "CROSS") {
      where = all_of(std::move(residual));
    } else if (!residual.empty()) {
      if (*kind != JoinSpec::Kind::kInner || !site.plain)
        return refused("an outer join by more than equal columns");
      for (const Json& part : residual)
        if (has_class(part, "SUBQUERY")) return refused("a join by a subquery");
      if (!where.is_null()) residual.push_back(std::move(where));
      where = all_of(std::move(residual));
    }
    return finish(site, std::move(spec), sides, join, where);
  }

  /// FROM a WHERE a.k IN (SELECT k FROM b), WHERE [NOT] EXISTS (SELECT .. FROM b WHERE b.k = a.k):
  /// a semi or an anti join.
  JoinChoice attempt_subquery(const Site& site) {
    const Json& table = tree_.at(site.join);
    const JoinCandidate* left = candidate(table);
    const Json where = tree_.at(site.node / "where_clause");
    if (left == nullptr || where.is_null()) return {};
    std::vector<Json> conditions;
    conjuncts(where, conditions);
    JoinChoice out;
    for (size_t i = 0; i < conditions.size(); ++i) {
      JoinSpec spec;
      spec.kind = JoinSpec::Kind::kSemi;
      const Json* subquery = &conditions[i];
      if (text_in(*subquery, "type") == "OPERATOR_NOT") {
        subquery = &subquery->at("children").at(0);
        spec.kind = JoinSpec::Kind::kAnti;
      }
      if (!is_class(*subquery, "SUBQUERY")) continue;
      const std::string type = text_in(*subquery, "subquery_type");
      const bool in = type == "ANY" && spec.kind == JoinSpec::Kind::kSemi &&
                      text_in(*subquery, "comparison_type") == "COMPARE_EQUAL";
      const Json& node = subquery->at("subquery").at("node");
      if ((!in && type != "EXISTS") || !is_rows_of_a_table(node)) continue;
      const Json& other = node.at("from_table");
      const Sides sides{{left, candidate(other)},
                        {to_lower_ascii(name_in_from(table)), to_lower_ascii(name_in_from(other))}};
      if (sides.input[1] == nullptr) continue;
      std::vector<Json> parts;
      conjuncts(node.at("where_clause"), parts);
      bool all = true;
      for (const Json& part : parts) all &= add_key(part, sides, spec, true);
      if (in) {
        // Names of IN's left side mean what is outside, those of the select list what is inside.
        std::string columns[2];
        const Json& item = node.at("select_list");
        const auto outside = side_of(subquery->at("child"), sides, columns[0]);
        all &= item.size() == 1 && is_class(subquery->at("child"), "COLUMN_REF") &&
               (outside == 0 || (subquery->at("child").at("column_names").size() == 1 &&
                                 find_column(left->schema, columns[0]) != nullptr)) &&
               side_of(item.at(0), sides, columns[1], true) == 1 &&
               add_pair(columns[0], columns[1], sides, spec);
      }
      if (!all) continue;
      if (auto why = check_keys(sides, spec)) {
        out.why = *why;
        continue;
      }
      std::vector<Json> rest = conditions;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(i));
      JoinChoice choice =
          finish(site, std::move(spec), sides,
                 {{"left", table}, {"right", other}, {"type", "JOIN"}}, all_of(std::move(rest)));
      if (choice.join) return choice;
      out.why = choice.why;
    }
    return out;
  }

  /// Whether a subquery gives nothing but rows of one table: no groups, no LIMIT.
  static bool is_rows_of_a_table(const Json& node) {
    return is_select(node) && text_in(node.at("from_table"), "type") == "BASE_TABLE" &&
           node.at("group_expressions").empty() && node.at("group_sets").empty() &&
           node.at("having").is_null() && node.at("qualify").is_null() &&
           node.at("sample").is_null() && node.at("modifiers").empty() &&
           node.at("cte_map").at("map").empty() && !has_aggregate(node.at("select_list")) &&
           !has_window(node) && text_in(node, "aggregate_handling") == "STANDARD_HANDLING";
  }

  /// Which side a column is of; nothing if that is not certain. `inside`: the right side is a
  /// subquery's, whose columns go before those around it.
  static std::optional<int> side_of(const Json& ref, const Sides& sides, std::string& column,
                                    bool inside = false) {
    if (!is_class(ref, "COLUMN_REF")) return {};
    const Json& names = ref.at("column_names");
    if (names.size() == 2) {
      const std::string table = to_lower_ascii(names[0].get<std::string>());
      column = names[1].get<std::string>();
      for (const int side : {1, 0})
        if (sides.alias[side] == table && find_column(sides.input[side]->schema, column))
          return side;
      return {};
    }
    if (names.size() != 1) return {};
    column = names[0].get<std::string>();
    const bool in_left = find_column(sides.input[0]->schema, column) != nullptr;
    const bool in_right = find_column(sides.input[1]->schema, column) != nullptr;
    if (inside && in_right) return 1;
    if (in_left == in_right) return {};
    return in_left ? 0 : 1;
  }

  static bool add_key(const Json& condition, const Sides& sides, JoinSpec& spec,
                      bool inside = false) {
    if (text_in(condition, "type") != "COMPARE_EQUAL") return false;
    std::string columns[2];
    const auto first = side_of(condition.at("left"), sides, columns[0], inside);
    const auto second = side_of(condition.at("right"), sides, columns[1], inside);
    if (!first || !second || *first == *second) return false;
    if (*first == 1) std::swap(columns[0], columns[1]);
    return add_pair(columns[0], columns[1], sides, spec);
  }

  static bool add_pair(const std::string& left_name, const std::string& right_name,
                       const Sides& sides, JoinSpec& spec) {
    const sql::Column* left = find_column(sides.input[0]->schema, left_name);
    const sql::Column* right = find_column(sides.input[1]->schema, right_name);
    if (left == nullptr || right == nullptr || !reduce::can_join_by(left->type, right->type))
      return false;
    spec.left.keys.push_back(left->name);
    spec.right.keys.push_back(right->name);
    return true;
  }

  static std::optional<std::string> check_keys(const Sides& sides, const JoinSpec& spec) {
    if (spec.left.keys.empty()) return "a join without equal columns of like types";
    for (size_t i = 0; i < spec.left.keys.size(); ++i) {
      const sql::Column* left = find_column(sides.input[0]->schema, spec.left.keys[i]);
      const sql::Column* right = find_column(sides.input[1]->schema, spec.right.keys[i]);
      if (left == nullptr || right == nullptr) return "a join by columns that are not there";
      // The merged column has the type of both.
      if (!reduce::can_join_by(left->type, right->type) ||
          (spec.merged && left->type != right->type))
        return fmt::format("a join of {} with {}", left->type, right->type);
      if (spec.merged && (left->type == "DOUBLE" || left->type == "FLOAT"))
        return "USING of " + left->type;
    }
    // Equal rows must lie in one bucket.
    const auto &left_keys = sides.input[0]->keys, &right_keys = sides.input[1]->keys;
    if (left_keys.size() != right_keys.size()) return "inputs in buckets by other keys";
    for (size_t k = 0; k < left_keys.size(); ++k) {
      bool found = false;
      for (size_t i = 0; i < spec.left.keys.size(); ++i)
        found |= to_lower_ascii(spec.left.keys[i]) == to_lower_ascii(left_keys[k]) &&
                 to_lower_ascii(spec.right.keys[i]) == to_lower_ascii(right_keys[k]);
      if (!found) return "a join by other columns than the partition's";
    }
    return {};
  }

  /// Whether a key of USING is named as one side's own, which may be NULL where the merged one is
  /// not.
  bool names_qualified(const Site& site, const Sides& sides, const JoinSpec& spec) const {
    return any_below(tree_.at(site.node), true, [&](const Json& json) {
      if (!is_class(json, "COLUMN_REF") || json.at("column_names").size() < 2) return false;
      const Json& names = json.at("column_names");
      const std::string table = to_lower_ascii(names[names.size() - 2].get<std::string>());
      const std::string column = to_lower_ascii(names.back().get<std::string>());
      return (table == sides.alias[0] || table == sides.alias[1]) &&
             std::any_of(spec.left.keys.begin(), spec.left.keys.end(),
                         [&](const auto& key) { return to_lower_ascii(key) == column; });
    });
  }

  /// Whether anything may mean a column of that side; its twin is called `twin`. A name that has
  /// lost its column could find another meaning, as an alias of the select list.
  static bool names_column_of(const Json& tree, const JoinSpec::Side& side,
                              const std::string& twin) {
    return any_below(tree, true, [&](const Json& json) {
      if (is_class(json, "STAR")) return true;
      if (!is_class(json, "COLUMN_REF")) return false;
      const Json& names = json.at("column_names");
      if (names.size() == 2 && to_lower_ascii(names[0].get<std::string>()) == twin) return false;
      const std::string name = to_lower_ascii(json.at("column_names").back().get<std::string>());
      const auto has = [&](const std::vector<std::string>& columns) {
        return std::any_of(columns.begin(), columns.end(),
                           [&](const auto& column) { return to_lower_ascii(column) == name; });
      };
      return has(side.columns) || has(side.keys);
    });
  }

  /// The stage over the relations of `spec`: `join` with its tables `left` and `right` makes way
  /// for them, and `where` is what is left of the node's WHERE.
  JoinChoice finish(const Site& site, JoinSpec spec, const Sides& sides, const Json& join,
                    const Json& where) {
    const bool left_only = spec.kind == JoinSpec::Kind::kSemi || spec.kind == JoinSpec::Kind::kAnti;
    const std::string names[2] = {stage_ + ":left", stage_ + ":right"};
    JoinChoice out;
    Json tables[2] = {join.at("left"), join.at("right")};
    for (const int side : {0, 1}) {
      JoinSpec::Side& half = side == 0 ? spec.left : spec.right;
      half.input = sides.input[side]->name;
      sql::Schema schema;
      std::vector<std::string> items;
      for (const sql::Column& column : sides.input[side]->schema) {
        if (side == 1 && left_only) break;
        const bool hidden = side == 1 && spec.merged &&
                            std::any_of(half.keys.begin(), half.keys.end(), [&](const auto& key) {
                              return to_lower_ascii(key) == to_lower_ascii(column.name);
                            });
        if (hidden) continue;
        if (!reduce::can_carry(column.type)) return refused("a join of rows with " + column.type);
        half.columns.push_back(column.name);
        items.push_back(quote_identifier(column.name) + " " + column.type);
        schema.push_back(column);
      }
      tables[side]["alias"] = name_in_from(tables[side]);
      tables[side]["table_name"] = names[side];
      if (schema.empty()) continue;
      if (!scratch_.execute(fmt::format("CREATE OR REPLACE TEMP TABLE {} ({})",
                                        quote_identifier(names[side]),
                                        tidegate::join(items, ", "))))
        return refused("rows that cannot be held");
      out.relations.push_back({names[side], std::move(schema), false});
    }
    Json both = join;
    both["left"] = tables[0];
    both["right"] = tables[1];
    both["condition"] = nullptr;
    both["using_columns"] = Json::array();
    both["join_type"] = "INNER";
    both["ref_type"] = "POSITIONAL";
    struct Try {
      const Json* from;
      bool left, right;
    };
    // First without the half that nothing may be read of.
    std::vector<Try> tries;
    if (left_only || site.alone) tries.push_back({&tables[0], true, false});
    if (!left_only && site.alone) tries.push_back({&tables[1], false, true});
    if (!left_only) tries.push_back({&both, true, true});
    for (const Try& attempt : tries) {
      Json tree = tree_;
      tree[site.join] = *attempt.from;
      tree[site.node / "where_clause"] = where;
      if (!left_only && attempt.left != attempt.right &&
          names_column_of(tree, attempt.left ? spec.right : spec.left,
                          to_lower_ascii(name_in_from(*attempt.from))))
        continue;
      auto texts = print_selects(scratch_, {tree});
      if (!texts) continue;
      auto bound = scratch_.describe(texts->front());
      if (!bound || *bound != schema_) continue;
      spec.left.relation = attempt.left ? names[0] : "";
      spec.right.relation = attempt.right ? names[1] : "";
      std::erase_if(out.relations, [&](const KernelInput& relation) {
        return relation.name != spec.left.relation && relation.name != spec.right.relation;
      });
      out.sql = texts->front();
      out.why = fmt::format("{} join by {} key{}", reduce::to_string(spec.kind),
                            spec.left.keys.size(), spec.left.keys.size() == 1 ? "" : "s");
      out.lookups = choose_lookups(scratch_, stage_,
                                   {.tree = tree_,
                                    .node = site.node,
                                    .join = site.join,
                                    .where = where,
                                    .spec = spec,
                                    .tables = {join.at("left"), join.at("right")},
                                    .schemas = {&sides.input[0]->schema, &sides.input[1]->schema}},
                                   schema_);
      out.join = std::move(spec);
      return out;
    }
    return refused("SQL around a join that does not read back as written");
  }

  sql::Connection& scratch_;
  const std::string& stage_;
  const std::vector<JoinCandidate>& inputs_;
  const sql::Schema& schema_;
  Json tree_;
};

}  // namespace

JoinChoice choose_join(sql::Connection& scratch, const std::string& stage, const std::string& sql,
                       const std::vector<JoinCandidate>& inputs, const sql::Schema& schema) {
  try {
    return Chooser(scratch, stage, inputs, schema).run(sql);
  } catch (const Json::exception&) {
    return {};
  }
}

}  // namespace tidegate::prove
