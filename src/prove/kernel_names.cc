#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {

bool expand_aliases(Json& json, const std::vector<Json>& items, Scope& scope) {
  if (!json.is_structured() || is_aggregate_call(json) || is_class(json, "SUBQUERY")) return true;
  if (is_class(json, "COLUMN_REF")) {
    if (json.at("column_names").size() != 1) return true;
    const std::string name = to_lower_ascii(json.at("column_names")[0].get<std::string>());
    const Json* found = nullptr;
    for (const Json& item : items) {
      if (to_lower_ascii(text_in(item, "alias")) != name) continue;
      if (found && scope.canon(item) != scope.canon(*found)) return false;
      found = &item;
    }
    if (!found || scope.canon(*found) == scope.canon(column_ref(name))) return true;
    std::optional<bool> column = scope.has(name);
    if (!column) return false;
    if (!*column) json = named(Json(*found), text_in(json, "alias"));
    return true;
  }
  for (Json& child : json) {
    if (!expand_aliases(child, items, scope)) return false;
  }
  return true;
}

std::expected<std::vector<Json>, std::string> items_of(const Part& part) {
  std::vector<Json> out;
  for (const Json& item : part.node.at("select_list")) {
    if (!is_class(item, "STAR")) {
      if (has_class(item, "STAR")) return std::unexpected("COLUMNS(...)");
      out.push_back(item);
      continue;
    }
    if (item.value("columns", false) || !item.value("rename_list", Json::array()).empty() ||
        !item.value("qualified_exclude_list", Json::array()).empty()) {
      return std::unexpected("COLUMNS(...)");
    }
    std::optional<Json> columns = part.scope.star(text_in(item, "relation_name"));
    if (!columns) return std::unexpected("a * of a join");
    std::set<std::string> left_out;
    for (const Json& name : item.value("exclude_list", Json::array())) {
      if (!name.is_string()) return std::unexpected("EXCLUDE of a qualified name");
      left_out.insert(to_lower_ascii(name.get<std::string>()));
    }
    for (Json& column : *columns) {
      const std::string name = to_lower_ascii(column.at("column_names").back().get<std::string>());
      if (left_out.contains(name)) continue;
      for (const Json& replaced : item.value("replace_list", Json::array())) {
        if (to_lower_ascii(text_in(replaced, "key")) == name) column = replaced.at("value");
      }
      out.push_back(std::move(column));
    }
  }
  if (out.size() != part.names.size()) return std::unexpected("a * that cannot be written out");
  return out;
}

bool has_unnest(const Json& json) {
  return any_below(json, false, [](const Json& one) {
    return is_class(one, "FUNCTION") && text_in(one, "function_name") == "unnest";
  });
}

}  // namespace tidegate::prove
