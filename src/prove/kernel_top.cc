#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {
namespace {

using reduce::OrderColumn;

bool is_row_number(const Json& json) {
  return is_class(json, "WINDOW") && text_in(json, "type") == "WINDOW_ROW_NUMBER" &&
         json.value("filter_expr", Json()).is_null() && !json.value("distinct", false) &&
         json.value("arg_orders", Json::array()).empty();
}

std::optional<uint64_t> whole_number(const Json& json) {
  if (!is_class(json, "CONSTANT")) return {};
  const Json& value = json.at("value");
  if (value.value("is_null", true) || !value.at("value").is_number_unsigned()) return {};
  const std::string id = value.at("type").value("id", "");
  if (id != "INTEGER" && id != "BIGINT") return {};
  return value.at("value").get<uint64_t>();
}

/// `x = 1`, `x <= n`, `x < n + 1` and the same turned round: how many of x = 1, 2, ... pass.
std::optional<uint64_t> first_rows(const Json& condition,
                                   const std::function<bool(const Json&)>& counts) {
  if (!is_class(condition, "COMPARISON")) return {};
  const bool turned = counts(condition.at("right"));
  const Json& number = condition.at(turned ? "left" : "right");
  if (!turned && !counts(condition.at("left"))) return {};
  std::optional<uint64_t> n = whole_number(number);
  const std::string type = text_in(condition, "type");
  if (!n || *n == 0) return {};
  if (type == "COMPARE_EQUAL") return *n == 1 ? n : std::nullopt;
  if (type == (turned ? "COMPARE_GREATERTHANOREQUALTO" : "COMPARE_LESSTHANOREQUALTO")) return n;
  if (type == (turned ? "COMPARE_GREATERTHAN" : "COMPARE_LESSTHAN")) {
    return *n > 1 ? std::optional(*n - 1) : std::nullopt;
  }
  return {};
}

bool names(const Json& json, const std::string& lower) {
  return is_class(json, "COLUMN_REF") && !json.at("column_names").empty() &&
         to_lower_ascii(json.at("column_names").back().get<std::string>()) == lower;
}

bool is_distinct_on(const Json& modifier) {
  return text_in(modifier, "type") == "DISTINCT_MODIFIER" &&
         !modifier.value("distinct_on_targets", Json::array()).empty();
}

/// Takes "the first rows of each key" apart.
class Top {
 public:
  explicit Top(const Part& part) : part_(part), scope_(part.scope) {
    draft_.spec.kind = reduce::KernelSpec::Kind::kTop;
    draft_.spec.name = part.kernel;
  }

  struct Item {
    Json expression;
    std::string name;
  };

  /// `orders`: entries of a tree's ORDER BY. `items`: what comes out.
  Drafted run(const Json& keys, const Json& orders, uint64_t limit,
              const std::vector<Item>& items) {
    const Json& node = part_.node;
    if (!node.at("sample").is_null()) return std::unexpected("SAMPLE");
    draft_.spec.limit = limit;
    for (const Json& key : keys) add(key);
    draft_.spec.keys = static_cast<uint32_t>(columns_.size());
    if (columns_.empty()) return std::unexpected("row_number() without PARTITION BY");
    Json list = Json::array();
    for (const Item& item : items) {
      if (has_window(item.expression)) return std::unexpected("another window function");
      if (has_class(item.expression, "STAR")) return std::unexpected("COLUMNS(...)");
      Json expression = item.expression;
      take(expression);
      list.push_back(named(std::move(expression), item.name));
    }
    for (const Json& order : orders) {
      OrderColumn by;
      if (!read_order(order, by)) return std::unexpected("a strange order");
      const Json& expression = order.at("expression");
      if (has_window(expression) || has_class(expression, "STAR")) {
        return std::unexpected("an order by a window function");
      }
      by.column = add(expression);
      bool settled = by.column < draft_.spec.keys ||
                     std::any_of(
                         draft_.spec.order.begin(), draft_.spec.order.end(),
                         [&](const OrderColumn& one) { return one.column == by.column; });
      if (!settled) draft_.spec.order.push_back(by);
    }
    bool as_is = items.size() == columns_.size();
    std::set<std::string> seen;
    for (size_t i = 0; i < items.size() && as_is; ++i) {
      as_is = scope_.canon(items[i].expression) == columns_[i].canon &&
              seen.insert(to_lower_ascii(items[i].name)).second;
    }
    Json in = Json::array();
    for (size_t i = 0; i < columns_.size(); ++i) {
      in.push_back(named(columns_[i].expression, name_of(i)));
      draft_.spec.input.push_back({name_of(i), ""});
      draft_.spec.output.push_back({as_is ? items[i].name : name_of(i), ""});
    }
    draft_.input = select_of(std::move(in), node.at("from_table"));
    draft_.input["cte_map"] = node.at("cte_map");
    draft_.input["where_clause"] = node.at("where_clause");
    if (!as_is) draft_.output = select_of(std::move(list), base_table(part_.kernel));
    const size_t key_count = draft_.spec.keys;
    draft_.what =
        fmt::format("first {} by {} key{}", limit == 1 ? "row" : fmt::format("{} rows", limit),
                    key_count, key_count == 1 ? "" : "s");
    return std::move(draft_);
  }

 private:
  struct Column {
    std::string canon;
    Json expression;
  };

  static std::string name_of(size_t i) { return fmt::format("tg_c{}", i); }

  uint32_t add(const Json& expression) {
    std::string canon = scope_.canon(expression);
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].canon == canon) return static_cast<uint32_t>(i);
    }
    columns_.push_back({std::move(canon), expression});
    return static_cast<uint32_t>(columns_.size() - 1);
  }

  std::optional<uint32_t> find(const Json& expression) {
    const std::string canon = scope_.canon(expression);
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].canon == canon) return static_cast<uint32_t>(i);
    }
    return {};
  }

  /// Makes the expression one over the kernel's columns, adding those that it needs. What has
  /// names of its own in it is computed before the kernel.
  void take(Json& json) {
    const std::string alias = text_in(json, "alias");
    std::optional<uint32_t> at = find(json);
    if (!at &&
        (is_class(json, "COLUMN_REF") || has_class(json, "LAMBDA") ||
         any_below(json, false, [](const Json& one) { return is_class(one, "SUBQUERY"); }))) {
      at = add(json);
    }
    if (at) {
      json = named(column_ref(name_of(*at)), alias);
    } else {
      take_below(json);
    }
  }

  void take_below(Json& json) {
    for (auto& [key, value] : json.items()) {
      if (json.is_object() && (key == "value" || key == "cast_type")) continue;
      if (value.is_object() && value.contains("class")) {
        take(value);
      } else if (value.is_structured()) {
        take_below(value);
      }
    }
  }

  const Part& part_;
  Scope& scope_;
  std::vector<Column> columns_;
  Draft draft_;
};

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

bool has_unnest(const Json& json) {
  return any_below(json, false, [](const Json& one) {
    return is_class(one, "FUNCTION") && text_in(one, "function_name") == "unnest";
  });
}

}  // namespace

bool read_order(const Json& order, OrderColumn& out) {
  const std::string type = text_in(order, "type"), nulls = text_in(order, "null_order");
  out.descending = type == "DESCENDING";
  out.nulls_first = nulls == "NULLS FIRST" || nulls == "NULLS_FIRST";
  return (type == "ORDER_DEFAULT" || type == "ASCENDING" || out.descending) &&
         (nulls == "ORDER_DEFAULT" || nulls == "NULLS LAST" || nulls == "NULLS_LAST" ||
          out.nulls_first);
}

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

bool is_top_shape(const Json& node) {
  if (!is_select(node) || is_group_shape(node)) return false;
  const Json& modifiers = node.at("modifiers");
  return !node.at("qualify").is_null() ||
         std::any_of(modifiers.begin(), modifiers.end(), is_distinct_on);
}

Drafted draft_top(const Part& part) {
  auto items = items_of(part);
  if (!items) return std::unexpected(items.error());
  for (size_t i = 0; i < items->size(); ++i) {
    std::vector<Json> before(items->begin(), items->begin() + static_cast<long>(i));
    if (!expand_aliases((*items)[i], before, part.scope)) {
      return std::unexpected("a name of two meanings");
    }
    if (has_unnest((*items)[i])) return std::unexpected("unnest");
  }
  Json node = part.node;
  if (!node.at("where_clause").is_null() &&
      !expand_aliases(node.at("where_clause"), *items, part.scope)) {
    return std::unexpected("a name of two meanings in WHERE");
  }
  const Part settled{node, part.names, part.kernel, part.scope};
  Json keys, orders = Json::array();
  uint64_t limit = 1;
  Json window;
  if (!node.at("qualify").is_null()) {
    if (!node.at("modifiers").empty()) return std::unexpected("QUALIFY with DISTINCT or ORDER BY");
    Json condition = node.at("qualify");
    if (!expand_aliases(condition, *items, part.scope)) {
      return std::unexpected("a name of two meanings in QUALIFY");
    }
    std::optional<uint64_t> n = first_rows(condition, is_row_number);
    if (!n) return std::unexpected("a QUALIFY other than row_number() <= n");
    limit = *n;
    window = condition.at(is_row_number(condition.at("left")) ? "left" : "right");
    keys = window.at("partitions");
    orders = window.at("orders");
  } else {
    for (const Json& modifier : node.at("modifiers")) {
      const std::string type = text_in(modifier, "type");
      if (is_distinct_on(modifier)) {
        keys = modifier.at("distinct_on_targets");
      } else if (type == "ORDER_MODIFIER") {
        for (const Json& order : modifier.at("orders")) orders.push_back(order);
      } else {
        return std::unexpected("DISTINCT ON with LIMIT");
      }
    }
    // Here the items' names and places come before FROM's columns.
    auto by_name = [&](Json& json) {
      if (is_class(json, "CONSTANT")) {
        std::optional<uint64_t> at = whole_number(json);
        if (!at || *at == 0 || *at > items->size()) return false;
        json = (*items)[*at - 1];
        return true;
      }
      if (is_class(json, "COLUMN_REF") && json.at("column_names").size() == 1) {
        const std::string name = to_lower_ascii(json.at("column_names")[0].get<std::string>());
        for (size_t i = 0; i < items->size(); ++i) {
          if (to_lower_ascii(part.names[i]) != name) continue;
          json = (*items)[i];
          return true;
        }
        return true;
      }
      // Deeper down a name might be either.
      return !any_below(json, false, [&](const Json& one) {
        if (!is_class(one, "COLUMN_REF") || one.at("column_names").size() != 1) return false;
        const std::string name = to_lower_ascii(one.at("column_names")[0].get<std::string>());
        return std::any_of(items->begin(), items->end(), [&](const Json& item) {
          return to_lower_ascii(text_in(item, "alias")) == name &&
                 part.scope.canon(item) != part.scope.canon(one);
        });
      });
    };
    for (Json& key : keys) {
      if (!by_name(key)) return std::unexpected("DISTINCT ON a name of two meanings");
    }
    for (Json& order : orders) {
      if (!by_name(order.at("expression"))) {
        return std::unexpected("ORDER BY a name of two meanings");
      }
    }
  }
  std::vector<Top::Item> out;
  const std::string number = window.is_null() ? "" : part.scope.canon(window);
  for (size_t i = 0; i < items->size(); ++i) {
    Json expression = named((*items)[i], "");
    if (limit == 1 && !number.empty() && part.scope.canon(expression) == number) {
      expression = bigint_one();
    }
    out.push_back({std::move(expression), part.names[i]});
  }
  return Top(settled).run(keys, orders, limit, out);
}

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
  std::vector<Top::Item> out;
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
  return Top({node, part.names, part.kernel, part.scope}).run(keys, orders, rows.limit, out);
}

}  // namespace tidegate::prove
