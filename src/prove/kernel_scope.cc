#include <algorithm>

#include "base/text.h"
#include "prove/kernel_tree.h"

namespace tidegate::prove {

Scope::Scope(sql::Connection& scratch, const std::vector<KernelInput>& inputs, const Json& ctes,
             const Json& from)
    : scratch_(scratch), inputs_(inputs), ctes_(ctes) {
  add(from);
}

void Scope::add(const Json& ref) {
  const std::string type = text_in(ref, "type");
  if (type == "EMPTY") return;
  if (type == "JOIN") {
    add(ref.at("left"));
    const std::string join = text_in(ref, "join_type");
    if (text_in(ref, "ref_type") == "NATURAL") natural_ = true;
    for (const Json& column : ref.value("using_columns", Json::array())) {
      merged_.insert(to_lower_ascii(column.get<std::string>()));
    }
    if (join != "SEMI" && join != "ANTI") add(ref.at("right"));
    return;
  }
  Relation relation;
  relation.ref = &ref;
  relation.alias = text_in(ref, "alias");
  if (relation.alias.empty()) relation.alias = text_in(ref, "table_name");
  relation.lower = to_lower_ascii(relation.alias);
  if (type == "BASE_TABLE") {
    const std::string name = to_lower_ascii(text_in(ref, "table_name"));
    bool cte = std::any_of(ctes_.begin(), ctes_.end(), [&](const Json& entry) {
      return to_lower_ascii(text_in(entry, "key")) == name;
    });
    for (const KernelInput& input : inputs_) {
      if (cte || to_lower_ascii(input.name) != name) continue;
      for (const sql::Column& column : input.schema) relation.columns.push_back(column.name);
      const Json aliases = ref.value("column_name_alias", Json::array());
      for (size_t i = 0; i < aliases.size() && i < relation.columns.size(); ++i) {
        relation.columns[i] = aliases[i].get<std::string>();
      }
      relation.known = true;
    }
  }
  relations_.push_back(std::move(relation));
}

void Scope::settle(Relation& relation) {
  if (relation.known || relation.tried) return;
  relation.tried = true;
  Json star = {{"class", "STAR"},
               {"type", "STAR"},
               {"alias", ""},
               {"relation_name", ""},
               {"exclude_list", Json::array()},
               {"replace_list", Json::array()},
               {"columns", false},
               {"expr", nullptr},
               {"qualified_exclude_list", Json::array()},
               {"rename_list", Json::array()}};
  Json node = select_of(Json::array({star}), *relation.ref);
  node["cte_map"]["map"] = ctes_;
  auto text = print_selects(scratch_, {node});
  if (!text) return;
  auto schema = scratch_.describe(text->front());
  if (!schema) return;  // a LATERAL
  for (const sql::Column& column : *schema) relation.columns.push_back(column.name);
  relation.known = true;
}

std::optional<bool> Scope::has(const std::string& lower) {
  bool unknown = false;
  for (Relation& relation : relations_) {
    settle(relation);
    unknown = unknown || !relation.known;
    for (const std::string& column : relation.columns) {
      if (to_lower_ascii(column) == lower) return true;
    }
  }
  return unknown ? std::nullopt : std::optional(false);
}

std::optional<Json> Scope::star(const std::string& name) {
  const std::string lower = to_lower_ascii(name);
  if (natural_ || !merged_.empty()) return {};
  Json out = Json::array();
  size_t found = 0;
  for (Relation& relation : relations_) {
    if (!lower.empty() && relation.lower != lower) continue;
    settle(relation);
    if (!relation.known) return {};
    ++found;
    for (const std::string& column : relation.columns) {
      Json ref = column_ref(column);
      if (relations_.size() > 1) ref["column_names"] = Json::array({relation.alias, column});
      out.push_back(std::move(ref));
    }
  }
  return found == 0 || (!lower.empty() && found != 1) ? std::nullopt
                                                      : std::optional(std::move(out));
}

std::string Scope::owner(const std::string& lower) {
  if (natural_ || merged_.contains(lower)) return "";
  std::string out;
  for (Relation& relation : relations_) {
    settle(relation);
    if (!relation.known) return "";
    for (const std::string& column : relation.columns) {
      if (to_lower_ascii(column) != lower) continue;
      if (!out.empty()) return "";
      out = relation.lower;
    }
  }
  return out;
}

void Scope::canon_below(Json& json) {
  if (json.is_array()) {
    for (Json& child : json) canon_below(child);
    return;
  }
  // Names in a subquery and in a lambda have a scope of their own: there they stay as written.
  if (!json.is_object() || is_class(json, "SUBQUERY") || is_class(json, "LAMBDA")) return;
  if (!is_class(json, "COLUMN_REF")) {
    for (auto& [key, value] : json.items()) {
      if (key != "value" && key != "cast_type") canon_below(value);
    }
    return;
  }
  Json& names = json["column_names"];
  for (Json& name : names) name = to_lower_ascii(name.get<std::string>());
  if (names.size() == 2 && relations_.size() == 1 && names[0] == relations_[0].lower) {
    names.erase(0);
  } else if (names.size() == 1 && relations_.size() > 1) {
    if (std::string table = owner(names[0].get<std::string>()); !table.empty()) {
      names.insert(names.begin(), table);
    }
  }
}

std::string Scope::canon(const Json& expression) {
  Json copy = expression;
  copy["alias"] = "";
  canon_below(copy);
  return copy.dump();
}

}  // namespace tidegate::prove
