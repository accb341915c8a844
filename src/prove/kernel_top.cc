#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {
namespace {

using reduce::OrderColumn;

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

  /// `orders`: entries of a tree's ORDER BY. `items`: what comes out.
  Drafted run(const Json& keys, const Json& orders, uint64_t limit,
              const std::vector<TopItem>& items) {
    const Json& node = part_.node;
    if (!node.at("sample").is_null()) return std::unexpected("SAMPLE");
    draft_.spec.limit = limit;
    for (const Json& key : keys) add(key);
    draft_.spec.keys = static_cast<uint32_t>(columns_.size());
    if (columns_.empty()) return std::unexpected("row_number() without PARTITION BY");
    Json list = Json::array();
    for (const TopItem& item : items) {
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

}  // namespace

std::optional<uint64_t> whole_number(const Json& json) {
  if (!is_class(json, "CONSTANT")) return {};
  const Json& value = json.at("value");
  if (value.value("is_null", true) || !value.at("value").is_number_unsigned()) return {};
  const std::string id = value.at("type").value("id", "");
  if (id != "INTEGER" && id != "BIGINT") return {};
  return value.at("value").get<uint64_t>();
}

bool is_row_number(const Json& json) {
  return is_class(json, "WINDOW") && text_in(json, "type") == "WINDOW_ROW_NUMBER" &&
         json.value("filter_expr", Json()).is_null() && !json.value("distinct", false) &&
         json.value("arg_orders", Json::array()).empty();
}

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

bool read_order(const Json& order, OrderColumn& out) {
  const std::string type = text_in(order, "type"), nulls = text_in(order, "null_order");
  out.descending = type == "DESCENDING";
  out.nulls_first = nulls == "NULLS FIRST" || nulls == "NULLS_FIRST";
  return (type == "ORDER_DEFAULT" || type == "ASCENDING" || out.descending) &&
         (nulls == "ORDER_DEFAULT" || nulls == "NULLS LAST" || nulls == "NULLS_LAST" ||
          out.nulls_first);
}

Drafted draft_first_rows(const Part& part, const Json& keys, const Json& orders, uint64_t limit,
                         const std::vector<TopItem>& items) {
  return Top(part).run(keys, orders, limit, items);
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
  std::vector<TopItem> out;
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

}  // namespace tidegate::prove
