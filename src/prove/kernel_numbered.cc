#include <algorithm>

#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {
namespace {

bool names(const Json& json, const std::string& lower) {
  return is_class(json, "COLUMN_REF") && !json.at("column_names").empty() &&
         to_lower_ascii(json.at("column_names").back().get<std::string>()) == lower;
}

/// Names of columns below, lower case; nothing if `*` may stand for any.
std::optional<std::set<std::string>> names_below(const Json& json) {
  std::set<std::string> out;
  bool any = any_below(json, true, [&](const Json& one) {
    for (const char* key : {"column_names", "using_columns"}) {
      for (const Json& name : one.value(key, Json::array())) {
        if (name.is_string()) out.insert(to_lower_ascii(name.get<std::string>()));
      }
    }
    return is_class(one, "STAR") || text_in(one, "ref_type") == "NATURAL";
  });
  return any ? std::nullopt : std::optional(std::move(out));
}

/// The condition on a numbered subquery that `ref` is or joins, if WHERE has one.
std::optional<NumberedRows> numbered_in(const Json& outer, const Json& ref,
                                        const Json::json_pointer& path) {
  if (text_in(ref, "type") == "JOIN") {
    const std::string join = text_in(ref, "join_type");
    const bool inner = join == "INNER",
               left = inner || join == "LEFT" || join == "SEMI" || join == "ANTI";
    if (text_in(ref, "ref_type") == "POSITIONAL") return {};
    if (left) {
      if (auto found = numbered_in(outer, ref.at("left"), path / "left")) return found;
    }
    // What stands on the right may be a LATERAL, or choose among rows (ASOF).
    if (!inner || text_in(ref, "ref_type") != "REGULAR") return {};
    return numbered_in(outer, ref.at("right"), path / "right");
  }
  if (text_in(ref, "type") != "SUBQUERY" || !ref.at("column_name_alias").empty() ||
      !ref.at("sample").is_null()) {
    return {};
  }
  const Json& inner = ref.at("subquery").at("node");
  if (!is_select(inner) || is_group_shape(inner) || !inner.at("modifiers").empty() ||
      !inner.at("qualify").is_null()) {
    return {};
  }
  const Json& where = outer.at("where_clause");
  std::vector<Json> conditions;
  if (text_in(where, "type") == "CONJUNCTION_AND") {
    conditions.assign(where.at("children").begin(), where.at("children").end());
  } else {
    conditions.push_back(where);
  }
  const std::string table = to_lower_ascii(text_in(ref, "alias"));
  const Json& items = inner.at("select_list");
  for (size_t i = 0; i < items.size(); ++i) {
    if (!is_row_number(items[i]) || text_in(items[i], "alias").empty()) continue;
    const std::string name = to_lower_ascii(text_in(items[i], "alias"));
    auto counts = [&](const Json& json) {
      if (!names(json, name)) return false;
      const Json& all = json.at("column_names");
      return all.size() == 1 ||
             (all.size() == 2 && to_lower_ascii(all[0].get<std::string>()) == table);
    };
    for (size_t c = 0; c < conditions.size(); ++c) {
      std::optional<uint64_t> n = first_rows(conditions[c], counts);
      if (!n) continue;
      NumberedRows out{path / "subquery" / "node", i, *n, nullptr};
      conditions.erase(conditions.begin() + static_cast<long>(c));
      if (conditions.size() == 1) out.where = conditions.front();
      if (conditions.size() > 1) {
        out.where = where;
        out.where["children"] = conditions;
      }
      return out;
    }
  }
  return {};
}

}  // namespace

std::optional<NumberedRows> numbered_rows(const Json& outer) {
  if (!is_select(outer) || outer.at("where_clause").is_null()) return {};
  return numbered_in(outer, outer.at("from_table"), Json::json_pointer("/from_table"));
}

Drafted draft_numbered(const Part& part, const Json& outer, const NumberedRows& rows) {
  const Json number = part.node.at("select_list")[rows.item];
  const std::string name = to_lower_ascii(text_in(number, "alias"));
  if (std::count_if(part.names.begin(), part.names.end(),
                    [&](const std::string& one) { return to_lower_ascii(one) == name; }) != 1) {
    return std::unexpected("two columns of one name");
  }
  if (rows.limit > 1) {
    // Which of several rows it is is not kept.
    Json rest = outer;
    rest["where_clause"] = rows.where;
    rest[rows.inner] = nullptr;
    bool needed = any_below(rest, true, [&](const Json& json) {
      if (names(json, name)) return true;
      if (!is_class(json, "STAR")) return false;
      const Json left_out = json.value("exclude_list", Json::array());
      return json.value("columns", false) ||
             std::none_of(left_out.begin(), left_out.end(), [&](const Json& one) {
               return one.is_string() && to_lower_ascii(one.get<std::string>()) == name;
             });
    });
    if (needed) return std::unexpected("the number of a row is used");
  }
  auto items = items_of(part);
  if (!items) return std::unexpected(items.error());
  Json node = part.node;
  for (size_t i = 0; i < items->size(); ++i) {
    std::vector<Json> before(items->begin(), items->begin() + static_cast<long>(i));
    if (!expand_aliases((*items)[i], before, part.scope)) {
      return std::unexpected("a name of two meanings");
    }
    if (has_unnest((*items)[i])) return std::unexpected("unnest");
  }
  Json keys = number.at("partitions"), orders = number.at("orders");
  std::vector<Json> all = *items;
  for (Json* part_of : {&keys, &orders, &node.at("where_clause")}) {
    if (!expand_aliases(*part_of, all, part.scope))
      return std::unexpected("a name of two meanings");
  }
  Json rest = outer;
  rest["where_clause"] = rows.where;
  const std::string table =
      to_lower_ascii(text_in(outer.at(rows.inner.parent_pointer().parent_pointer()), "alias"));
  rest[rows.inner] = nullptr;
  auto read = names_below(rest);
  if (read && read->contains(table)) {
    // The table's name before a column, or the whole row by that name.
    bool row = any_below(rest, true, [&](const Json& json) {
      return is_class(json, "COLUMN_REF") && json.at("column_names").size() == 1 &&
             names(json, table);
    });
    if (row) read = std::nullopt;
  }
  std::vector<TopItem> out;
  const Json* replaced = nullptr;
  for (size_t i = 0; i < items->size(); ++i) {
    Json expression = named((*items)[i], "");
    if (to_lower_ascii(part.names[i]) == name) {
      if (!is_row_number(expression)) return std::unexpected("two columns of one name");
      expression = bigint_one();
      replaced = &(*items)[i];
    }
    if (read && !read->contains(to_lower_ascii(part.names[i]))) continue;
    out.push_back({std::move(expression), part.names[i]});
  }
  // A SELECT needs one column.
  if (out.empty()) out.push_back({bigint_one(), part.names[rows.item]});
  if (!replaced) return std::unexpected("two columns of one name");
  return draft_first_rows({node, part.names, part.kernel, part.scope}, keys, orders, rows.limit,
                          out);
}

}  // namespace tidegate::prove
