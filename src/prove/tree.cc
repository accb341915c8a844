#include "prove/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/functions.h"
#include "prove/sql_error.h"

namespace tidegate::prove {
namespace {

using Json = nlohmann::json;
using Scope = std::set<std::string>;

constexpr size_t kSqlBytesMax = size_t{1} << 20;
constexpr size_t kTreeDepthMax = 2000;
constexpr uint64_t kNoLocation = UINT64_MAX;

std::string text_of(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

uint64_t location_of(const Json& json) {
  auto it = json.find("query_location");
  return it != json.end() && it->is_number_unsigned() ? it->get<uint64_t>() : kNoLocation;
}

/// Walks one tree. Members: constant inputs / what is found.
class Reader {
 public:
  Reader(const std::string& sql, const TreeRules& rules, std::vector<Problem>& problems)
      : rules_(rules), tokens_(tokenize(sql)), size_(sql.size()), problems_(problems) {}

  SyntaxTree read(const Json& statement) {
    const Json& node = statement.at("node");
    query(node, {}, 0);
    if (auto modifiers = node.find("modifiers"); modifiers != node.end()) {
      // With DISTINCT ON the order says which row stays; nobody expects the table to keep it.
      bool picks = std::any_of(modifiers->begin(), modifiers->end(), [](const Json& modifier) {
        return modifier.contains("distinct_on_targets");
      });
      for (const Json& modifier : *modifiers) {
        if (picks || text_of(modifier, "type") != "ORDER_MODIFIER") continue;
        tree_.ordered_at_top = true;
        tree_.top_order = clause("order", modifier);
      }
    }
    return std::move(tree_);
  }

 private:
  struct Extent {
    size_t first = SIZE_MAX;  // token indices, both inside
    size_t last = 0;
    bool empty() const { return first == SIZE_MAX; }
  };

  void refuse(const char* code, std::string message, std::string label, std::string help,
              Range range) {
    Problem problem{code, std::move(message), std::move(label)};
    problem.help = std::move(help);
    problem.range = range;
    problems_.push_back(std::move(problem));
  }

  Range whole() const { return {0, static_cast<uint32_t>(size_)}; }

  Range token_range(uint64_t location) const {
    if (location == kNoLocation) return whole();
    size_t i = token_at(tokens_, location);
    if (i == tokens_.size()) return whole();
    return {tokens_[i].begin, tokens_[i].end};
  }

  /// Dotted names and balanced parentheses that begin before or at `last`.
  size_t grow(size_t first, size_t last) const {
    uint32_t depth = tokens_[first].depth;
    while (last + 1 < tokens_.size()) {
      const Token& next = tokens_[last + 1];
      bool inside = tokens_[last].depth > depth || next.depth > depth;
      bool call = next.is_symbol("(") && next.begin == tokens_[last].end;
      bool dot = next.is_symbol(".") || tokens_[last].is_symbol(".");
      if (!inside && !dot && !call && !tokens_[last].is_symbol("(")) break;
      if (next.depth < depth) break;
      ++last;
    }
    return last;
  }

  void locations(const Json& json, Extent& extent) const {
    if (json.is_object()) {
      if (uint64_t at = location_of(json); at != kNoLocation) {
        if (size_t i = token_at(tokens_, at); i < tokens_.size()) {
          extent.first = std::min(extent.first, i);
          extent.last = std::max(extent.last, i);
        }
      }
    }
    if (json.is_structured()) {
      for (const Json& child : json) locations(child, extent);
    }
  }

  Extent extent_of(const Json& json) const {
    Extent extent;
    locations(json, extent);
    if (!extent.empty()) extent.last = grow(extent.first, extent.last);
    return extent;
  }

  Range range_of(const Extent& extent) const {
    if (extent.empty()) return whole();
    return {tokens_[extent.first].begin, tokens_[extent.last].end};
  }

  /// From the nearest `keyword` before the first location in `json` to the last one.
  Range clause(std::string_view keyword, const Json& json) const {
    Extent extent = extent_of(json);
    if (extent.empty()) return whole();
    for (size_t i = extent.first + 1; i-- > 0;) {
      if (tokens_[i].is(keyword) && tokens_[i].depth <= tokens_[extent.first].depth) {
        extent.first = i;
        extent.last = grow(i, extent.last);
        break;
      }
    }
    return range_of(extent);
  }

  void names_in(const Json& json, std::set<std::string>& names) const {
    if (json.is_object()) {
      if (auto it = json.find("column_names"); it != json.end() && !it->empty()) {
        names.insert(to_lower_ascii(it->back().get<std::string>()));
      }
      for (const char* key : {"function_name", "table_name", "alias"}) {
        if (std::string name = text_of(json, key); !name.empty()) {
          names.insert(to_lower_ascii(name));
        }
      }
      if (auto it = json.find("using_columns"); it != json.end()) {
        for (const Json& name : *it) {
          if (name.is_string()) names.insert(to_lower_ascii(name.get<std::string>()));
        }
      }
    }
    if (json.is_structured()) {
      for (const Json& child : json) names_in(child, names);
    }
  }

  void anchor(AnchorKind kind, Range range, const Json& about) {
    Anchor out{kind, range, {}};
    names_in(about, out.names);
    tree_.anchors.push_back(std::move(out));
  }

  void query(const Json& node, Scope scope, size_t depth) {
    if (!within(depth)) return;
    if (auto map = node.find("cte_map"); map != node.end() && map->contains("map")) {
      for (const Json& entry : map->at("map")) {
        std::string name = to_lower_ascii(text_of(entry, "key"));
        const Json& body = entry.at("value").at("query").at("node");
        Scope inner = scope;
        if (text_of(body, "type") == "RECURSIVE_CTE_NODE") inner.insert(name);
        query(body, inner, depth + 1);
        if (auto keys = entry["value"].find("key_targets"); keys != entry["value"].end()) {
          expressions(*keys, scope, depth + 1);
        }
        scope.insert(name);
      }
    }
    std::string type = text_of(node, "type");
    if (type == "SELECT_NODE") {
      select(node, scope, depth);
    } else if (type == "SET_OPERATION_NODE") {
      set_operation(node, scope, depth);
    } else if (type == "RECURSIVE_CTE_NODE") {
      Extent extent = extent_of(node);
      anchor(AnchorKind::kRecursive, range_of(extent), node);
      query(node.at("left"), scope, depth + 1);
      Scope inner = scope;
      inner.insert(to_lower_ascii(text_of(node, "cte_name")));
      query(node.at("right"), inner, depth + 1);
    } else {
      refuse(codes::kSqlConstructNotAllowed, fmt::format("`{}` is not allowed in a stage", type),
             "", "write it as a SELECT", range_of(extent_of(node)));
    }
    modifiers(node, scope, depth);
  }

  void set_operation(const Json& node, const Scope& scope, size_t depth) {
    std::vector<const Json*> parts;
    if (auto it = node.find("children"); it != node.end()) {
      for (const Json& child : *it) parts.push_back(&child);
    } else {
      for (const char* side : {"left", "right"}) parts.push_back(&node.at(side));
    }
    for (const Json* part : parts) query(*part, scope, depth + 1);
    for (size_t p = 1; p < parts.size(); ++p) {
      Extent right = extent_of(*parts[p]);
      if (right.empty()) continue;
      for (size_t i = right.first; i-- > 0;) {
        const Token& token = tokens_[i];
        if (!token.is("union") && !token.is("except") && !token.is("intersect")) continue;
        if (token.depth > tokens_[right.first].depth) continue;
        Extent words{i, i};
        if (tokens_[i + 1].is("all") || tokens_[i + 1].is("by")) words.last = i + 1;
        anchor(AnchorKind::kSetOperation, range_of(words), Json{{"alias", token.text}});
        break;
      }
    }
  }

  void modifiers(const Json& node, const Scope& scope, size_t depth) {
    auto it = node.find("modifiers");
    if (it == node.end()) return;
    for (const Json& modifier : *it) {
      std::string type = text_of(modifier, "type");
      if (type == "LIMIT_MODIFIER" || type == "LIMIT_PERCENT_MODIFIER") {
        bool limit = modifier.contains("limit") && !modifier["limit"].is_null();
        const Json& value = limit ? modifier["limit"] : modifier.value("offset", Json::object());
        anchor(AnchorKind::kLimit, clause(limit ? "limit" : "offset", value), modifier);
      } else if (type == "DISTINCT_MODIFIER") {
        distinct(node, modifier);
      } else if (type != "ORDER_MODIFIER") {
        refuse(codes::kSqlConstructNotAllowed, fmt::format("`{}` is not allowed", type), "", "",
               whole());
      }
      expressions(modifier, scope, depth + 1);
    }
  }

  void distinct(const Json& node, const Json& modifier) {
    auto list = node.find("select_list");
    Extent extent = list == node.end() ? Extent{} : extent_of(*list);
    Range range = range_of(extent);
    for (size_t i = extent.empty() ? 0 : extent.first; i-- > 0;) {
      if (!tokens_[i].is("distinct")) continue;
      Extent words{i, i};
      if (tokens_[i + 1].is("on")) {
        words.last = i + 2;
        while (words.last + 1 < tokens_.size() && tokens_[words.last + 1].depth > tokens_[i].depth)
          ++words.last;
        ++words.last;
      }
      range = range_of(words);
      break;
    }
    anchor(AnchorKind::kDistinct, range,
           modifier.contains("distinct_on_targets") ? modifier : *list);
  }

  void select(const Json& node, const Scope& scope, size_t depth) {
    if (auto groups = node.find("group_expressions"); groups != node.end() && !groups->empty()) {
      anchor(AnchorKind::kGroupBy, clause("group", *groups), *groups);
    } else if (text_of(node, "aggregate_handling") == "FORCE_AGGREGATES") {
      Extent extent = extent_of(node);
      for (size_t i = extent.empty() ? tokens_.size() : extent.first; i < tokens_.size(); ++i) {
        if (tokens_[i].is("group") && tokens_[i].depth <= tokens_[extent.first].depth) {
          anchor(AnchorKind::kGroupBy, range_of({i, std::min(i + 2, tokens_.size() - 1)}),
                 node.value("select_list", Json::array()));
          break;
        }
      }
    }
    if (node.contains("sample") && !node["sample"].is_null()) sampled();
    for (const auto& [key, value] : node.items()) {
      if (key == "from_table") {
        table(value, scope, depth + 1);
      } else if (key != "modifiers" && key != "cte_map" && key != "sample") {
        expressions(value, scope, depth + 1);
      }
    }
  }

  void sampled() {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (!tokens_[i].is("sample") && !tokens_[i].is("tablesample")) continue;
      Range range = range_of({i, i});
      bool known = std::any_of(problems_.begin(), problems_.end(),
                               [&](const Problem& p) { return p.range == range; });
      if (known) continue;
      refuse(codes::kSampleNotRepeatable, "SAMPLE picks other rows each time it runs",
             "a retried task would give other rows",
             "pick rows by a hash of their key: WHERE hash(key) % 100 < 10", range);
      return;
    }
  }

  void table(const Json& ref, const Scope& scope, size_t depth) {
    if (!within(depth)) return;
    std::string type = text_of(ref, "type");
    if (ref.contains("sample") && !ref["sample"].is_null()) sampled();
    if (type == "BASE_TABLE") {
      base_table(ref, scope);
    } else if (type == "JOIN") {
      join(ref, scope, depth);
    } else if (type == "SUBQUERY") {
      query(ref.at("subquery").at("node"), scope, depth + 1);
    } else if (type == "TABLE_FUNCTION") {
      table_function(ref, scope, depth);
    } else if (type == "EXPRESSION_LIST") {
      expressions(ref.value("values", Json::array()), scope, depth + 1);
    } else if (type == "PIVOT") {
      tree_.needs_all_columns = true;
      anchor(AnchorKind::kGroupBy, token_range(location_of(ref)), ref);
      table(ref.at("source"), scope, depth + 1);
      for (const auto& [key, value] : ref.items()) {
        if (key != "source") expressions(value, scope, depth + 1);
      }
    } else if (type != "EMPTY") {
      refuse(codes::kSqlConstructNotAllowed,
             fmt::format("a stage cannot read {}", type == "SHOW_REF" ? "SHOW or DESCRIBE" : type),
             "", "read from the pipeline's sources and stages", token_range(location_of(ref)));
    }
  }

  void base_table(const Json& ref, const Scope& scope) {
    Range range = token_range(location_of(ref));
    std::string name = text_of(ref, "table_name"), lower = to_lower_ascii(name);
    std::string schema = to_lower_ascii(text_of(ref, "schema_name"));
    std::string catalog = to_lower_ascii(text_of(ref, "catalog_name"));
    if (!schema.empty() || !catalog.empty()) {
      bool system = schema == "information_schema" || schema == "pg_catalog" ||
                    catalog == "system" || catalog == "temp";
      refuse(system ? codes::kSqlSystemTable : codes::kSqlQualifiedTable,
             system ? fmt::format("`{}.{}` is a system table", schema, name)
                    : fmt::format("`{}` is named with a schema", name),
             "a stage reads its sources and stages only",
             system ? "" : fmt::format("write `{}`", name), range);
      return;
    }
    if (ref.contains("at_clause") && !ref["at_clause"].is_null()) {
      refuse(codes::kSqlConstructNotAllowed, "AT (time travel) is not allowed", "", "", range);
    }
    if (scope.contains(lower)) return;
    if (ref.contains("column_name_alias") && !ref["column_name_alias"].empty()) {
      tree_.needs_all_columns = true;
    }
    tree_.tables.push_back({lower, name, range});
    anchor(AnchorKind::kTable, range, ref);
  }

  void join(const Json& ref, const Scope& scope, size_t depth) {
    table(ref.at("left"), scope, depth + 1);
    table(ref.at("right"), scope, depth + 1);
    Extent extent;
    auto condition = ref.find("condition");
    if (condition != ref.end() && !condition->is_null()) {
      extent = extent_of(*condition);
      expressions(*condition, scope, depth + 1);
    }
    Json about = {{"right", ref.at("right")},
                  {"condition", condition == ref.end() ? Json() : *condition},
                  {"using_columns", ref.value("using_columns", Json::array())}};
    if (extent.empty()) extent = extent_of(ref.at("right"));
    anchor(AnchorKind::kJoin, range_of(extent), about);
  }

  void table_function(const Json& ref, const Scope& scope, size_t depth) {
    const Json& function = ref.at("function");
    std::string name = text_of(function, "function_name");
    if (!is_allowed_table_function(name)) {
      refuse(codes::kTableFunctionNotAllowed,
             fmt::format("table function `{}` is not allowed in a stage", name),
             "it reaches beyond the pipeline's inputs",
             "declare a source, and name it here; range(), generate_series() and unnest() may be "
             "called",
             token_range(location_of(function)));
    }
    for (const auto& [key, value] : function.items()) expressions(value, scope, depth + 1);
    if (ref.contains("subquery")) expressions(ref["subquery"], scope, depth + 1);
  }

  /// Everything below that is an expression, or holds some.
  void expressions(const Json& json, const Scope& scope, size_t depth) {
    if (!json.is_structured() || !within(depth)) return;
    if (json.is_array()) {
      for (const Json& child : json) expressions(child, scope, depth + 1);
      return;
    }
    if (json.contains("node") && json["node"].is_object()) {
      query(json["node"], scope, depth + 1);
      return;
    }
    if (std::string cls = text_of(json, "class"); !cls.empty() && !expression(json, cls)) return;
    for (const auto& [key, value] : json.items()) {
      if (key == "value") continue;  // a constant's inside
      expressions(value, scope, depth + 1);
    }
  }

  /// Checks one expression; false: do not look inside.
  bool expression(const Json& json, const std::string& cls) {
    static const std::set<std::string> kClasses = {
        "COLUMN_REF",  "CONSTANT", "FUNCTION", "WINDOW",  "SUBQUERY",
        "LAMBDA",      "STAR",     "CAST",     "CASE",    "COMPARISON",
        "CONJUNCTION", "OPERATOR", "BETWEEN",  "COLLATE", "POSITIONAL_REFERENCE",
        "LAMBDA_REF"};
    Range range = token_range(location_of(json));
    if (cls == "PARAMETER") {
      refuse(codes::kSqlParameter, "a stage's SQL has no parameters", "", "write the value", range);
      return false;
    }
    if (!kClasses.contains(cls)) {
      refuse(codes::kSqlConstructNotAllowed, fmt::format("`{}` is not allowed in a stage", cls), "",
             "", range);
      return false;
    }
    if (cls == "FUNCTION" || cls == "WINDOW") function(json, cls == "WINDOW", range);
    if (cls == "STAR") {
      for (const char* key :
           {"exclude_list", "replace_list", "qualified_exclude_list", "rename_list"}) {
        if (json.contains(key) && !json[key].empty()) tree_.needs_all_columns = true;
      }
    }
    if (cls == "SUBQUERY") anchor(AnchorKind::kSubquery, range, json);
    return true;
  }

  void function(const Json& json, bool window, Range range) {
    std::string name = to_lower_ascii(text_of(json, "function_name"));
    if (name == "run_time") tree_.uses_run_time = true;
    if (std::optional<Problem> problem =
            function_problem(name, json.value("children", Json::array()).size())) {
      if (!rules_.clock_and_chance || (problem->code != std::string(codes::kWallClock) &&
                                       problem->code != std::string(codes::kVolatileFunction))) {
        problem->range = range;
        problems_.push_back(std::move(*problem));
      }
      return;
    }
    if (window) {
      size_t i = token_at(tokens_, range.begin), over = i;
      while (over < tokens_.size() &&
             !(tokens_[over].is("over") && tokens_[over].depth <= tokens_[i].depth)) {
        ++over;
      }
      if (over + 1 < tokens_.size()) {
        size_t last = over + 1;
        if (tokens_[last].is_symbol("(")) {
          while (last + 1 < tokens_.size() && tokens_[last + 1].depth > tokens_[over].depth) ++last;
          ++last;
        }
        range = range_of({i, std::min(last, tokens_.size() - 1)});
      }
      anchor(AnchorKind::kWindow, range, json);
    } else if (is_aggregate(name)) {
      anchor(AnchorKind::kAggregate, range_of(extent_of(json)), json);
    }
  }

  bool within(size_t depth) {
    if (depth < kTreeDepthMax) return true;
    refuse(codes::kSqlTooLarge, "the SQL is nested too deep", "", "split the stage", whole());
    return false;
  }

  const TreeRules& rules_;
  std::vector<Token> tokens_;
  size_t size_;
  std::vector<Problem>& problems_;
  SyntaxTree tree_;
};

}  // namespace

SyntaxTree read_tree(sql::Connection& scratch, const std::string& sql, const TreeRules& rules,
                     std::vector<Problem>& problems) {
  Range whole{0, static_cast<uint32_t>(sql.size())};
  auto refuse = [&](const char* code, std::string message, std::string help, Range range) {
    Problem problem{code, std::move(message)};
    problem.help = std::move(help);
    problem.range = range;
    problems.push_back(std::move(problem));
    return SyntaxTree{};
  };
  if (sql.size() > kSqlBytesMax) {
    return refuse(codes::kSqlTooLarge, "the SQL is longer than 1 MiB", "split the stage", whole);
  }
  auto answer = scratch.query(
      fmt::format("SELECT json_serialize_sql({}, skip_default := true, skip_null := true, "
                  "skip_empty := true)",
                  quote_literal(sql)));
  if (!answer) return refuse(codes::kSqlSyntax, answer.error().message, "", whole);
  Json json = Json::parse(answer->scalar(), nullptr, false);
  if (!json.is_object()) return refuse(codes::kSqlSyntax, "the SQL cannot be read", "", whole);
  if (json.value("error", false)) {
    SqlError error{json.value("error_type", ""),
                   json.value("error_subtype", ""),
                   json.value("error_message", ""),
                   json.value("candidates", ""),
                   {}};
    if (std::string at = json.value("position", ""); !at.empty()) {
      error.position = std::strtoull(at.c_str(), nullptr, 10);
    }
    problems.push_back(problem_of(error, sql));
    return {};
  }
  const Json statements = json.value("statements", Json::array());
  if (statements.empty()) {
    return refuse(codes::kSqlEmpty, "the SQL is empty", "write one SELECT", whole);
  }
  if (statements.size() > 1) {
    std::vector<Token> tokens = tokenize(sql);
    Range second = whole;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
      if (tokens[i].is_symbol(";") && !tokens[i + 1].is_symbol(";")) {
        second = {tokens[i + 1].begin, tokens[i + 1].end};
        break;
      }
    }
    return refuse(codes::kSqlManyStatements, "a stage is one SELECT statement",
                  "make each statement a stage of its own, or use WITH", second);
  }
  return Reader(sql, rules, problems).read(statements.front());
}

Range locate(const SyntaxTree& tree, const std::string& sql, const Problem& problem) {
  if (problem.range) return *problem.range;
  const Anchor* best = nullptr;
  long best_score = 0;
  for (const Anchor& anchor : tree.anchors) {
    if (anchor.kind != problem.anchor) continue;
    long common = 0;
    for (const std::string& name : problem.names) common += anchor.names.contains(name) ? 1 : 0;
    long score = 4 * common - static_cast<long>(anchor.names.size());
    if (!best || score > best_score) {
      best = &anchor;
      best_score = score;
    }
  }
  if (best) return best->range;
  return {0, static_cast<uint32_t>(sql.size())};
}

}  // namespace tidegate::prove
