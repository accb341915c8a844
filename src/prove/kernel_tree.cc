#include "prove/kernel_tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/functions.h"

namespace tidegate::prove {
namespace {

/// Macros of DuckDB that are aggregates.
const std::set<std::string_view> kAggregateMacros = {
    "geomean",           "geometric_mean",       "wavg", "weighted_avg", "json_group_array",
    "json_group_object", "json_group_structure",
};

Json constant(const char* type, Json value) {
  return {
      {"class", "CONSTANT"},
      {"type", "VALUE_CONSTANT"},
      {"alias", ""},
      {"value",
       {{"type", {{"id", type}, {"type_info", nullptr}}}, {"is_null", false}, {"value", value}}}};
}

void normalise(Json& json) {
  if (json.is_array()) {
    for (Json& child : json) normalise(child);
    return;
  }
  if (!json.is_object()) return;
  json.erase("query_location");
  if (is_class(json, "CONSTANT")) {
    const Json& value = json.at("value");
    if (value.value("is_null", true)) return;
    const std::string id = value.at("type").value("id", ""), alias = text_in(json, "alias");
    if (id == "BOOLEAN") {
      json =
          named(cast_to(constant("VARCHAR", value.at("value").get<bool>() ? "t" : "f"), "BOOLEAN"),
                alias);
    } else if (id == "DOUBLE" && value.at("value").is_number()) {
      std::string text = fmt::format("{}", value.at("value").get<double>());
      json = named(cast_to(constant("VARCHAR", text), "DOUBLE"), alias);
    }
    return;
  }
  for (auto& [key, value] : json.items()) normalise(value);
}

Json statement_of(const Json& node) {
  return {{"error", false},
          {"statements", Json::array({{{"node", node}, {"named_param_map", Json::array()}}})}};
}

Json node_of(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("error", true)) return nullptr;
  auto statements = json.find("statements");
  if (statements == json.end() || statements->size() != 1) return nullptr;
  Json node = statements->front().value("node", Json());
  normalise(node);
  return node;
}

void count_tables(const Json& json, std::map<std::string, int>& out) {
  if (json.is_object() && text_in(json, "type") == "BASE_TABLE") {
    ++out[to_lower_ascii(text_in(json, "table_name"))];
  }
  if (!json.is_structured()) return;
  for (const Json& child : json) count_tables(child, out);
}

Json* entries_of(Json& node) {
  auto map = node.find("cte_map");
  return map == node.end() || !map->contains("map") ? nullptr : &(*map)["map"];
}

/// Puts `body` where table `name` is read. False: not found.
bool put_in_place(Json& json, const std::string& name, const Json& body, const Json& aliases) {
  if (json.is_object() && text_in(json, "type") == "BASE_TABLE" &&
      to_lower_ascii(text_in(json, "table_name")) == name) {
    std::string alias = text_in(json, "alias");
    Json columns = json.at("column_name_alias");
    for (size_t i = columns.size(); i < aliases.size(); ++i) columns.push_back(aliases[i]);
    json = {{"type", "SUBQUERY"},
            {"alias", alias.empty() ? text_in(json, "table_name") : alias},
            {"sample", json.at("sample")},
            {"subquery", {{"node", body}, {"named_param_map", Json::array()}}},
            {"column_name_alias", columns}};
    return true;
  }
  if (!json.is_structured()) return false;
  for (Json& child : json) {
    if (put_in_place(child, name, body, aliases)) return true;
  }
  return false;
}

}  // namespace

std::string text_in(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool is_class(const Json& expression, const char* name) {
  if (!expression.is_object()) return false;
  auto it = expression.find("class");
  return it != expression.end() && it->is_string() && it->get_ref<const std::string&>() == name;
}

bool is_select(const Json& node) {
  return node.is_object() && text_in(node, "type") == "SELECT_NODE";
}

bool is_aggregate_call(const Json& expression) {
  if (!is_class(expression, "FUNCTION")) return false;
  const std::string name = to_lower_ascii(text_in(expression, "function_name"));
  return is_aggregate(name) || kAggregateMacros.contains(name);
}

Json parse_select(sql::Connection& scratch, const std::string& sql) {
  auto answer = scratch.query(fmt::format("SELECT json_serialize_sql({})", quote_literal(sql)));
  return answer ? node_of(answer->scalar()) : Json();
}

std::optional<std::vector<std::string>> print_selects(sql::Connection& scratch,
                                                      const std::vector<Json>& nodes) {
  std::string values;
  for (const Json& node : nodes) {
    values += fmt::format("{}({}::JSON)", values.empty() ? "" : ", ",
                          quote_literal(statement_of(node).dump()));
  }
  auto answer = scratch.query(fmt::format(
      "SELECT s, json_serialize_sql(s) FROM (SELECT json_deserialize_sql(j) AS s FROM (VALUES {}) "
      "v(j)) q",
      values));
  if (!answer || answer->rows.size() != nodes.size()) return {};
  std::vector<std::string> out;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (node_of(answer->rows[i][1].text) != nodes[i]) return {};
    out.push_back(answer->rows[i][0].text);
  }
  return out;
}

Json column_ref(const std::string& name) {
  return {{"class", "COLUMN_REF"},
          {"type", "COLUMN_REF"},
          {"alias", ""},
          {"column_names", Json::array({name})}};
}

Json cast_to(Json expression, const char* type) {
  return {{"class", "CAST"},
          {"type", "OPERATOR_CAST"},
          {"alias", ""},
          {"child", std::move(expression)},
          {"cast_type", {{"id", type}, {"type_info", nullptr}}},
          {"try_cast", false}};
}

Json bigint_one() { return cast_to(constant("INTEGER", 1), "BIGINT"); }

Json hash_of(const Json& expression) {
  const Json null = {
      {"class", "CONSTANT"},
      {"type", "VALUE_CONSTANT"},
      {"alias", ""},
      {"value", {{"type", {{"id", "NULL"}, {"type_info", nullptr}}}, {"is_null", true}}}};
  const Json is_null = {{"class", "OPERATOR"},
                        {"type", "OPERATOR_IS_NULL"},
                        {"alias", ""},
                        {"children", Json::array({expression})}};
  const Json hash = {{"class", "FUNCTION"},
                     {"type", "FUNCTION"},
                     {"alias", ""},
                     {"function_name", "hash"},
                     {"schema", ""},
                     {"children", Json::array({expression})},
                     {"filter", nullptr},
                     {"order_bys", {{"type", "ORDER_MODIFIER"}, {"orders", Json::array()}}},
                     {"distinct", false},
                     {"is_operator", false},
                     {"export_state", false},
                     {"catalog", ""}};
  return {{"class", "CASE"},
          {"type", "CASE_EXPR"},
          {"alias", ""},
          {"case_checks", Json::array({{{"when_expr", is_null}, {"then_expr", null}}})},
          {"else_expr", hash}};
}

Json base_table(const std::string& name) {
  return {{"type", "BASE_TABLE"}, {"alias", ""},         {"sample", nullptr},
          {"schema_name", ""},    {"table_name", name},  {"column_name_alias", Json::array()},
          {"catalog_name", ""},   {"at_clause", nullptr}};
}

Json select_of(Json items, Json from) {
  return {{"type", "SELECT_NODE"},
          {"modifiers", Json::array()},
          {"cte_map", {{"map", Json::array()}}},
          {"select_list", std::move(items)},
          {"from_table", std::move(from)},
          {"where_clause", nullptr},
          {"group_expressions", Json::array()},
          {"group_sets", Json::array()},
          {"aggregate_handling", "STANDARD_HANDLING"},
          {"having", nullptr},
          {"sample", nullptr},
          {"qualify", nullptr}};
}

Json named(Json expression, const std::string& name) {
  expression["alias"] = name;
  return expression;
}

bool any_below(const Json& json, bool deep, const std::function<bool(const Json&)>& fits) {
  if (!json.is_structured()) return false;
  if (json.is_object()) {
    if (fits(json)) return true;
    if (!deep && is_class(json, "SUBQUERY")) {
      auto child = json.find("child");
      return child != json.end() && any_below(*child, deep, fits);
    }
  }
  return std::any_of(json.begin(), json.end(),
                     [&](const Json& child) { return any_below(child, deep, fits); });
}

bool has_aggregate(const Json& json) { return any_below(json, false, is_aggregate_call); }

bool has_window(const Json& json) { return has_class(json, "WINDOW"); }

bool has_class(const Json& json, const char* name) {
  return any_below(json, false, [&](const Json& node) { return is_class(node, name); });
}

std::map<std::string, int> tables_below(const Json& json) {
  std::map<std::string, int> out;
  count_tables(json, out);
  return out;
}

void prune_ctes(Json& node) {
  Json* entries = entries_of(node);
  if (!entries || entries->empty()) return;
  Json rest = node;
  rest["cte_map"]["map"] = Json::array();
  std::set<std::string> wanted;
  for (const auto& [name, uses] : tables_below(rest)) wanted.insert(name);
  Json kept = Json::array();
  for (size_t i = entries->size(); i-- > 0;) {
    const Json& entry = (*entries)[i];
    if (!wanted.contains(to_lower_ascii(text_in(entry, "key")))) continue;
    for (const auto& [name, uses] : tables_below(entry)) wanted.insert(name);
    kept.insert(kept.begin(), entry);
  }
  *entries = std::move(kept);
}

void inline_ctes(Json& node) {
  Json* entries = entries_of(node);
  if (!entries) return;
  // A second WITH further down could give the same name another meaning.
  Json rest = node;
  rest["cte_map"]["map"] = Json::array();
  auto nested = [](const Json& json) {
    return json.contains("cte_map") && !json["cte_map"].value("map", Json::array()).empty();
  };
  if (any_below(rest, true, nested) || any_below(*entries, true, nested)) return;
  for (size_t i = 0; i < entries->size();) {
    const Json entry = (*entries)[i];
    const std::string name = to_lower_ascii(text_in(entry, "key"));
    const Json& value = entry.at("value");
    const Json body = value.at("query").at("node");
    const auto reads = tables_below(body);
    std::map<std::string, int> uses;
    Json others = node;
    others["cte_map"]["map"].erase(i);
    count_tables(others, uses);
    // What the body reads must mean the same where it goes: no later entry may take the name.
    bool same = value.value("key_targets", Json::array()).empty() && is_select(body);
    for (size_t j = i + 1; j < entries->size(); ++j) {
      same = same && !reads.contains(to_lower_ascii(text_in((*entries)[j], "key")));
    }
    if (!same || uses[name] != 1) {
      ++i;
      continue;
    }
    entries->erase(i);
    put_in_place(node, name, body, value.value("aliases", Json::array()));
    entries = entries_of(node);
  }
}

}  // namespace tidegate::prove
