#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {
namespace {

using reduce::Aggregate;
using reduce::AggregateKind;

const std::unordered_map<std::string_view, AggregateKind> kKinds = {
    {"count_star", AggregateKind::kCountRows},
    {"count", AggregateKind::kCount},
    {"sum", AggregateKind::kSum},
    {"avg", AggregateKind::kAvg},
    {"mean", AggregateKind::kAvg},
    {"min", AggregateKind::kMin},
    {"max", AggregateKind::kMax},
    {"first", AggregateKind::kFirst},
    {"arbitrary", AggregateKind::kFirst},
    {"last", AggregateKind::kLast},
    {"any_value", AggregateKind::kAnyValue},
    {"bool_and", AggregateKind::kBoolAnd},
    {"bool_or", AggregateKind::kBoolOr},
    {"bit_and", AggregateKind::kBitAnd},
    {"bit_or", AggregateKind::kBitOr},
    {"bit_xor", AggregateKind::kBitXor},
    {"var_samp", AggregateKind::kVarSamp},
    {"variance", AggregateKind::kVarSamp},
    {"var_pop", AggregateKind::kVarPop},
    {"stddev_samp", AggregateKind::kStddevSamp},
    {"stddev", AggregateKind::kStddevSamp},
    {"stddev_pop", AggregateKind::kStddevPop},
    {"covar_samp", AggregateKind::kCovarSamp},
    {"covar_pop", AggregateKind::kCovarPop},
    {"corr", AggregateKind::kCorr},
    {"arg_min", AggregateKind::kArgMin},
    {"argmin", AggregateKind::kArgMin},
    {"min_by", AggregateKind::kArgMin},
    {"arg_max", AggregateKind::kArgMax},
    {"argmax", AggregateKind::kArgMax},
    {"max_by", AggregateKind::kArgMax},
    {"arg_min_null", AggregateKind::kArgMinNull},
    {"arg_max_null", AggregateKind::kArgMaxNull},
    {"median", AggregateKind::kMedian},
    {"quantile_cont", AggregateKind::kQuantileCont},
    {"quantile_disc", AggregateKind::kQuantileDisc},
    {"quantile", AggregateKind::kQuantileDisc},
    {"mode", AggregateKind::kMode},
    {"list", AggregateKind::kList},
    {"array_agg", AggregateKind::kList},
    {"string_agg", AggregateKind::kStringAgg},
    {"group_concat", AggregateKind::kStringAgg},
    {"listagg", AggregateKind::kStringAgg},
    {"approx_count_distinct", AggregateKind::kApproxCountDistinct},
    {"product", AggregateKind::kProduct},
};

/// Aggregates whose result the order of rows does not change; DuckDB drops ORDER BY there too.
bool ignores_order(AggregateKind kind) {
  switch (kind) {
    case AggregateKind::kFirst:
    case AggregateKind::kLast:
    case AggregateKind::kAnyValue:
    case AggregateKind::kArgMin:
    case AggregateKind::kArgMax:
    case AggregateKind::kArgMinNull:
    case AggregateKind::kArgMaxNull:
    case AggregateKind::kMode:
    case AggregateKind::kList:
    case AggregateKind::kStringAgg:
      return false;
    default:
      return true;
  }
}

bool ignores_distinct(AggregateKind kind) {
  switch (kind) {
    case AggregateKind::kMin:
    case AggregateKind::kMax:
    case AggregateKind::kBoolAnd:
    case AggregateKind::kBoolOr:
    case AggregateKind::kBitAnd:
    case AggregateKind::kBitOr:
      return true;
    default:
      return false;
  }
}

bool is_boolean(const Json& expression) {
  const std::string type = text_in(expression, "type");
  return is_class(expression, "COMPARISON") || is_class(expression, "CONJUNCTION") ||
         is_class(expression, "BETWEEN") || type == "OPERATOR_NOT" || type == "OPERATOR_IS_NULL" ||
         type == "OPERATOR_IS_NOT_NULL" || type == "COMPARE_IN" || type == "COMPARE_NOT_IN";
}

/// The number that a constant stands for.
std::optional<double> number_of(const Json& expression) {
  if (is_class(expression, "CAST")) {
    const Json& child = expression.at("child");
    if (!is_class(child, "CONSTANT") || child.at("value").value("is_null", true)) return {};
    if (text_in(expression.at("cast_type"), "id") != "DOUBLE") return {};
    const Json& inner = child.at("value").at("value");
    if (!inner.is_string()) return number_of(child);
    const Json number = Json::parse(inner.get<std::string>(), nullptr, false);
    return number.is_number() ? std::optional(number.get<double>()) : std::nullopt;
  }
  if (!is_class(expression, "CONSTANT")) return {};
  const Json& value = expression.at("value");
  if (value.value("is_null", true) || !value.at("value").is_number()) return {};
  const std::string id = value.at("type").value("id", "");
  if (id == "DECIMAL") {
    // Read as DuckDB casts it: the nearest double of the decimal text.
    const int scale = value.at("type").at("type_info").value("scale", 0);
    return Json::parse(fmt::format("{}e-{}", value.at("value").get<int64_t>(), scale))
        .get<double>();
  }
  return value.at("value").get<double>();
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

  /// Writes the items' names out where a condition uses them; a name that is a key's column and an
  /// item of another meaning is refused.
  bool names_of_items(Json& expression) {
    for (const Json& item : items_) {
      const std::string alias = to_lower_ascii(text_in(item, "alias"));
      if (alias.empty()) continue;
      const std::string plain = scope_.canon(column_ref(alias));
      if (scope_.canon(item) == plain) continue;
      bool key = std::any_of(keys_.begin(), keys_.end(),
                             [&](const Column& one) { return one.canon == plain; });
      bool used = any_below(expression, false, [&](const Json& json) {
        return is_class(json, "COLUMN_REF") && json.at("column_names").size() == 1 &&
               to_lower_ascii(json.at("column_names")[0].get<std::string>()) == alias;
      });
      bool twice = std::any_of(items_.begin(), items_.end(), [&](const Json& other) {
        return to_lower_ascii(text_in(other, "alias")) == alias &&
               scope_.canon(other) != scope_.canon(item);
      });
      if ((key || twice) && used) return refuse("a name of two meanings");
      if (used) put_item(expression, alias, item);
    }
    return true;
  }

  static void put_item(Json& json, const std::string& alias, const Json& item) {
    // Inside an aggregate a name is a column of FROM.
    if (!json.is_structured() || is_class(json, "SUBQUERY") || is_aggregate_call(json)) return;
    if (is_class(json, "COLUMN_REF")) {
      if (json.at("column_names").size() == 1 &&
          to_lower_ascii(json.at("column_names")[0].get<std::string>()) == alias) {
        json = named(item, text_in(json, "alias"));
      }
      return;
    }
    for (Json& child : json) put_item(child, alias, item);
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
    std::string name = to_lower_ascii(text_in(call, "function_name"));
    const std::string alias = text_in(call, "alias");
    if (any_below(call, true, [](const Json& json) { return is_class(json, "SUBQUERY"); })) {
      return refuse(name + " over a subquery");
    }
    if (has_class(call, "STAR")) return refuse("COLUMNS(...)");
    if (has_window(call)) return refuse(name + " of a window function");
    if (call.value("export_state", false)) return refuse("EXPORT_STATE");
    Json children = call.at("children");
    Json orders = call.at("order_bys").value("orders", Json::array());
    Json filter = call.value("filter", Json());
    Aggregate out;
    bool huge = false;
    if (name == "count_if" || name == "countif") {
      if (!filter.is_null() || call.value("distinct", false) || children.size() != 1) {
        return refuse("count_if with FILTER or DISTINCT");
      }
      filter = children[0];
      children = Json::array();
      name = "count_star";
      huge = true;  // as DuckDB counts there
    }
    auto kind = kKinds.find(name);
    if (kind == kKinds.end()) return refuse(name);
    out.kind = kind->second;
    out.distinct = call.value("distinct", false) && !ignores_distinct(out.kind);
    if (out.kind == AggregateKind::kCount && !out.distinct && children.size() == 1 &&
        is_class(children[0], "CONSTANT") && !children[0].at("value").value("is_null", true)) {
      out.kind = AggregateKind::kCountRows;
      children = Json::array();
    }
    if (out.kind == AggregateKind::kQuantileCont || out.kind == AggregateKind::kQuantileDisc) {
      if (children.size() == 1 && orders.size() == 1) {  // WITHIN GROUP
        if (text_in(orders[0], "type") == "DESCENDING") return refuse(name + " descending");
        children.insert(children.begin(), orders[0].at("expression"));
        orders = Json::array();
      }
      std::optional<double> share = children.size() == 2 ? number_of(children[1]) : std::nullopt;
      if (!share) return refuse(name + " of other than one constant share");
      out.quantile = *share;
      children.erase(1);
    }
    if (out.kind == AggregateKind::kMode && children.empty()) return refuse("mode() WITHIN GROUP");
    if (out.kind == AggregateKind::kStringAgg) {
      out.separator = ",";
      if (children.size() == 2) {
        const Json value = is_class(children[1], "CONSTANT") ? children[1].at("value") : Json();
        if (value.is_null() || value.value("is_null", true) || !value.at("value").is_string()) {
          return refuse(name + " with a separator that is computed");
        }
        out.separator = value.at("value").get<std::string>();
        children.erase(1);
      }
    }
    for (const Json& child : children) out.arguments.push_back(column(named(child, "")));
    if (!filter.is_null()) {
      out.filter = column(is_boolean(filter) ? filter : cast_to(filter, "BOOLEAN"));
    }
    if (!ignores_order(out.kind)) {
      for (const Json& order : orders) {
        reduce::OrderColumn by;
        if (!read_order(order, by)) return refuse(name + " in a strange order");
        by.column = column(order.at("expression"));
        out.order.push_back(by);
      }
    }
    auto& all = draft_.spec.aggregates;
    size_t at = static_cast<size_t>(std::find(all.begin(), all.end(), out) - all.begin());
    if (at == all.size()) all.push_back(std::move(out));
    Json result = column_ref(fmt::format("tg_g{}", at));
    call = named(huge ? cast_to(std::move(result), "HUGEINT") : std::move(result), alias);
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
