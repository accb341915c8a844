#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {
namespace {

using reduce::Aggregate;
using reduce::AggregateKind;

/// Where a list of DISTINCT values is sorted, it may as well come in their order. DuckDB makes
/// list(DISTINCT x ORDER BY x) such a sort.
void order_sorted_list(Json& json) {
  static const std::set<std::string> kSorts = {"list_sort", "array_sort", "list_reverse_sort",
                                               "array_reverse_sort"};
  if (!is_class(json, "FUNCTION") ||
      !kSorts.contains(to_lower_ascii(text_in(json, "function_name"))) ||
      json.at("children").empty())
    return;
  Json& list = json.at("children").at(0);
  if (!is_aggregate_call(list) || !list.value("distinct", false) ||
      list.at("children").size() != 1 || !list.at("order_bys").at("orders").empty())
    return;
  list["order_bys"]["orders"] = Json::array({{{"type", "ORDER_DEFAULT"},
                                              {"null_order", "ORDER_DEFAULT"},
                                              {"expression", list.at("children").at(0)}}});
}

/// Takes one grouped SELECT apart.
class Grouping {
 public:
  explicit Grouping(const Part& part) : part_(part), node_(part.node), scope_(part.scope) {
    draft_.spec.kind = reduce::KernelSpec::Kind::kGroup;
    draft_.spec.name = part.kernel;
  }

  Drafted run() {
    if (node_.at("group_sets").size() > 1) return refused("grouping sets");
    if (!node_.at("sample").is_null()) return refused("SAMPLE");
    if (any_below(node_, false, [](const Json& json) {
          return text_in(json, "type") == "GROUPING_FUNCTION" ||
                 is_class(json, "POSITIONAL_REFERENCE");
        })) {
      return refused("GROUPING() or #1");
    }
    auto items = items_of(part_);
    if (!items) return refused(items.error());
    items_ = std::move(*items);
    if (!groups() || !output()) return refused(why_);
    input();
    if (keys_.empty() && draft_.spec.aggregates.empty()) return refused("no keys and no aggregate");
    describe();
    return std::move(draft_);
  }

 private:
  struct Column {
    std::string canon;
    Json expression;
  };

  static Drafted refused(std::string why) { return std::unexpected(std::move(why)); }
  bool refuse(std::string why) {
    why_ = std::move(why);
    return false;
  }

  /// The group keys, those first that are items as they stand.
  bool groups() {
    // A name of an earlier item may stand in a later one.
    for (size_t i = 0; i < items_.size(); ++i) {
      std::vector<Json> before(items_.begin(), items_.begin() + static_cast<long>(i));
      if (!expand_aliases(items_[i], before, scope_)) return refuse("a name of two meanings");
    }
    std::vector<Json> written;
    if (text_in(node_, "aggregate_handling") == "FORCE_AGGREGATES") {
      for (const Json& item : items_) {
        bool columns = has_class(item, "COLUMN_REF");
        if (is_unnest(item)) return refuse("unnest in GROUP BY ALL");
        if (columns && !has_aggregate(item) && !has_window(item)) written.push_back(item);
      }
    }
    for (Json group : node_.at("group_expressions")) {
      if (is_class(group, "CONSTANT") && group.at("value").value("value", Json()).is_number()) {
        const Json& at = group.at("value").at("value");
        if (!at.is_number_unsigned() || at == 0 || at > items_.size())
          return refuse("GROUP BY a number");
        group = items_[at.get<size_t>() - 1];
      } else if (!expand_aliases(group, items_, scope_)) {
        return refuse("a name of two meanings in GROUP BY");
      }
      written.push_back(std::move(group));
    }
    std::vector<Column> found;
    for (Json& group : written) {
      if (has_aggregate(group) || has_window(group)) return refuse("GROUP BY an aggregate");
      if (has_class(group, "STAR")) return refuse("COLUMNS(...)");
      std::string canon = scope_.canon(group);
      if (std::none_of(found.begin(), found.end(),
                       [&](const Column& one) { return one.canon == canon; })) {
        found.push_back({std::move(canon), std::move(group)});
      }
    }
    for (const Json& item : items_) {
      const std::string canon = scope_.canon(item);
      for (size_t i = 0; i < found.size(); ++i) {
        if (found[i].canon != canon) continue;
        keys_.push_back(std::move(found[i]));
        found.erase(found.begin() + static_cast<long>(i));
        break;
      }
    }
    for (Column& rest : found) keys_.push_back(std::move(rest));
    columns_ = keys_;
    return true;
  }

  static bool is_unnest(const Json& json) {
    return any_below(json, false, [](const Json& one) {
      return is_class(one, "FUNCTION") && text_in(one, "function_name") == "unnest";
    });
  }

  std::string column_name(size_t i) const {
    return i < keys_.size() ? fmt::format("tg_k{}", i) : fmt::format("tg_a{}", i - keys_.size());
  }

  uint32_t column(const Json& expression) {
    std::string canon = scope_.canon(expression);
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].canon == canon) return static_cast<uint32_t>(i);
    }
    columns_.push_back({std::move(canon), expression});
    return static_cast<uint32_t>(columns_.size() - 1);
  }

  /// The node over the kernel's output.
  bool output() {
    Json list = Json::array();
    for (size_t i = 0; i < items_.size(); ++i) {
      Json item = items_[i];
      if (!rewrite(item)) return false;
      list.push_back(named(std::move(item), part_.names[i]));
    }
    Json out = select_of(std::move(list), base_table(part_.kernel));
    out["cte_map"] = node_.at("cte_map");
    for (const char* clause : {"having", "qualify"}) {
      Json condition = node_.at(clause);
      if (condition.is_null()) continue;
      if (has_class(condition, "STAR")) return refuse("COLUMNS(...)");
      if (!names_of_items(condition) || !groups_by_itself(condition) || !rewrite(condition)) {
        return false;
      }
      out[std::string(clause) == "having" ? "where_clause" : "qualify"] = std::move(condition);
    }
    Json modifiers = node_.at("modifiers");
    for (Json& modifier : modifiers) {
      const std::string type = text_in(modifier, "type");
      if (type == "DISTINCT_MODIFIER") {
        if (!modifier.value("distinct_on_targets", Json::array()).empty()) {
          return refuse("DISTINCT ON over groups");
        }
      } else if (type == "ORDER_MODIFIER") {
        for (Json& order : modifier.at("orders")) {
          if (!order_item(order.at("expression"))) return false;
        }
      } else if (has_class(modifier, "SUBQUERY") || has_class(modifier, "COLUMN_REF")) {
        return refuse("a LIMIT that is computed");
      }
    }
    out["modifiers"] = std::move(modifiers);
    draft_.output = std::move(out);
    return true;
  }

  /// An ORDER BY at the top goes by the items' names first, and those stay.
  bool order_item(Json& expression) {
    if (is_class(expression, "STAR")) return true;  // ORDER BY ALL
    if (is_class(expression, "CONSTANT")) return true;
    if (is_class(expression, "COLUMN_REF") && expression.at("column_names").size() == 1) {
      const std::string name = to_lower_ascii(expression.at("column_names")[0].get<std::string>());
      for (const std::string& item : part_.names) {
        if (to_lower_ascii(item) == name) return true;
      }
    }
    return names_of_items(expression) && rewrite(expression);
  }

  /// GROUP BY ALL also groups by each column that HAVING names, even within an expression that is a
  /// key.
  bool groups_by_itself(const Json& json) {
    if (text_in(node_, "aggregate_handling") != "FORCE_AGGREGATES") return true;
    if (!json.is_structured() || is_aggregate_call(json) || is_class(json, "SUBQUERY")) return true;
    if (is_class(json, "COLUMN_REF")) {
      const std::string canon = scope_.canon(json);
      bool key = std::any_of(keys_.begin(), keys_.end(),
                             [&](const Column& one) { return one.canon == canon; });
      return key || refuse("GROUP BY ALL with more keys in HAVING");
    }
    return std::all_of(json.begin(), json.end(),
                       [&](const Json& child) { return groups_by_itself(child); });
  }

  /// Writes the items' names out where a condition uses them, once: what is put in place of a name
  /// is over FROM. A name that is a key's column too, or two items', is refused.
  bool names_of_items(Json& json) {
    // Inside an aggregate a name is a column of FROM.
    if (!json.is_structured() || is_class(json, "SUBQUERY") || is_aggregate_call(json)) return true;
    if (!is_class(json, "COLUMN_REF")) {
      return std::all_of(json.begin(), json.end(),
                         [&](Json& child) { return names_of_items(child); });
    }
    if (json.at("column_names").size() != 1) return true;
    const std::string name = to_lower_ascii(json.at("column_names")[0].get<std::string>());
    const std::string plain = scope_.canon(json);
    const Json* found = nullptr;
    for (const Json& item : items_) {
      if (to_lower_ascii(text_in(item, "alias")) != name) continue;
      if (found && scope_.canon(item) != scope_.canon(*found)) {
        return refuse("a name of two meanings");
      }
      found = &item;
    }
    if (!found || scope_.canon(*found) == plain) return true;
    if (std::any_of(keys_.begin(), keys_.end(),
                    [&](const Column& one) { return one.canon == plain; })) {
      return refuse("a name of two meanings");
    }
    json = named(Json(*found), text_in(json, "alias"));
    return true;
  }

  /// From an expression over FROM to one over the kernel's output.
  bool rewrite(Json& json) {
    if (json.is_array()) {
      return std::all_of(json.begin(), json.end(), [&](Json& child) { return rewrite(child); });
    }
    if (!json.is_object()) return true;
    const std::string alias = text_in(json, "alias");
    if (json.contains("class")) {
      const std::string canon = scope_.canon(json);
      for (size_t i = 0; i < keys_.size(); ++i) {
        if (keys_[i].canon != canon) continue;
        json = named(column_ref(fmt::format("tg_k{}", i)), alias);
        return true;
      }
    }
    order_sorted_list(json);
    if (is_aggregate_call(json)) return aggregate(json);
    if (is_class(json, "COLUMN_REF")) return refuse("a column that is not grouped by");
    if (is_class(json, "LAMBDA")) return refuse("a lambda over groups");
    if (is_class(json, "STAR")) return refuse("COLUMNS(...)");
    if (is_class(json, "SUBQUERY")) {
      Json body = json.at("subquery").at("node");
      draft_.apart.push_back(std::move(body));
      auto child = json.find("child");
      return child == json.end() || child->is_null() || rewrite(*child);
    }
    for (auto& [key, value] : json.items()) {
      if (key == "value" || key == "cast_type" || !value.is_structured()) continue;
      if (!rewrite(value)) return false;
    }
    return true;
  }

  bool aggregate(Json& call) {
    auto read = read_aggregate(call, [&](const Json& expression) { return column(expression); });
    if (!read) return refuse(read.error());
    auto& all = draft_.spec.aggregates;
    auto found = std::find(all.begin(), all.end(), *read);
    Json result = column_ref(fmt::format("tg_g{}", found - all.begin()));
    if (found == all.end()) all.push_back(std::move(*read));
    call = named(std::move(result), text_in(call, "alias"));
    return true;
  }

  void input() {
    if (columns_.empty()) column(bigint_one());  // count(*) alone reads no column
    Json list = Json::array();
    for (size_t i = 0; i < columns_.size(); ++i) {
      list.push_back(named(columns_[i].expression, column_name(i)));
      draft_.spec.input.push_back({column_name(i), ""});
    }
    draft_.input = select_of(std::move(list), node_.at("from_table"));
    draft_.input["cte_map"] = node_.at("cte_map");
    Json where = node_.at("where_clause");
    draft_.input["where_clause"] = std::move(where);
    draft_.spec.keys = static_cast<uint32_t>(keys_.size());
    for (size_t i = 0; i < keys_.size(); ++i) {
      draft_.spec.output.push_back({fmt::format("tg_k{}", i), ""});
    }
    for (size_t i = 0; i < draft_.spec.aggregates.size(); ++i) {
      draft_.spec.output.push_back({fmt::format("tg_g{}", i), ""});
    }
  }

  void describe() {
    std::vector<std::string> names;
    for (const Aggregate& one : draft_.spec.aggregates) {
      std::string name(to_string(one.kind));
      if (one.kind == AggregateKind::kCountRows) name = "count";
      if (one.distinct) name += " distinct";
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    const size_t keys = keys_.size();
    draft_.what =
        keys == 0 ? "no keys" : fmt::format("GROUP BY {} key{}", keys, keys == 1 ? "" : "s");
    if (!names.empty()) draft_.what += ": " + join(names, ", ");
  }

  const Part& part_;
  const Json& node_;
  Scope& scope_;
  std::vector<Json> items_;
  std::vector<Column> keys_;
  std::vector<Column> columns_;
  std::string why_;
  Draft draft_;
};

}  // namespace

bool is_group_shape(const Json& node) {
  return is_select(node) &&
         (!node.at("group_expressions").empty() || !node.at("group_sets").empty() ||
          text_in(node, "aggregate_handling") == "FORCE_AGGREGATES" ||
          has_aggregate(node.at("select_list")) || !node.at("having").is_null());
}

bool is_distinct_shape(const Json& node) {
  if (!is_select(node) || is_group_shape(node)) return false;
  const Json& modifiers = node.at("modifiers");
  return std::any_of(modifiers.begin(), modifiers.end(), [](const Json& modifier) {
    return text_in(modifier, "type") == "DISTINCT_MODIFIER" &&
           modifier.value("distinct_on_targets", Json::array()).empty();
  });
}

Drafted draft_group(const Part& part) {
  Json node = part.node;
  // A WHERE may use the items' names.
  Json where = node.at("where_clause");
  if (!where.is_null()) {
    std::vector<Json> items(node.at("select_list").begin(), node.at("select_list").end());
    if (!expand_aliases(where, items, part.scope)) {
      return std::unexpected("a name of two meanings in WHERE");
    }
    node["where_clause"] = std::move(where);
  }
  return Grouping({node, part.names, part.kernel, part.scope}).run();
}

Drafted draft_distinct(const Part& part) {
  Draft out;
  out.input = part.node;
  Json rest = Json::array();
  for (const Json& modifier : part.node.at("modifiers")) {
    const std::string type = text_in(modifier, "type");
    if (type == "DISTINCT_MODIFIER") continue;
    for (const Json& order : modifier.value("orders", Json::array())) {
      const Json& by = order.at("expression");
      bool plain = is_class(by, "CONSTANT") || is_class(by, "STAR") ||
                   (is_class(by, "COLUMN_REF") && by.at("column_names").size() == 1);
      if (!plain) return std::unexpected("DISTINCT with ORDER BY an expression");
    }
    if (type != "ORDER_MODIFIER" && has_class(modifier, "SUBQUERY")) {
      return std::unexpected("a LIMIT that is computed");
    }
    rest.push_back(modifier);
  }
  if (!part.node.at("sample").is_null()) return std::unexpected("SAMPLE");
  out.input["modifiers"] = Json::array();
  Json list = Json::array();
  std::set<std::string> seen;
  for (const std::string& name : part.names) {
    if (!seen.insert(to_lower_ascii(name)).second)
      return std::unexpected("two columns of one name");
    out.spec.input.push_back({name, ""});
    out.spec.output.push_back({name, ""});
    list.push_back(named(column_ref(name), name));
  }
  out.spec.name = part.kernel;
  out.spec.keys = static_cast<uint32_t>(part.names.size());
  if (!rest.empty()) {
    out.output = select_of(std::move(list), base_table(part.kernel));
    out.output["modifiers"] = std::move(rest);
  }
  out.what =
      fmt::format("DISTINCT of {} column{}", part.names.size(), part.names.size() == 1 ? "" : "s");
  return out;
}

}  // namespace tidegate::prove
