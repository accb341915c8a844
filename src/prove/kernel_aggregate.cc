#include <fmt/format.h>

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

/// Aggregates whose arguments DuckDB's binder casts to DOUBLE.
bool takes_doubles(AggregateKind kind) {
  switch (kind) {
    case AggregateKind::kVarSamp:
    case AggregateKind::kVarPop:
    case AggregateKind::kStddevSamp:
    case AggregateKind::kStddevPop:
    case AggregateKind::kCovarSamp:
    case AggregateKind::kCovarPop:
    case AggregateKind::kCorr:
      return true;
    default:
      return false;
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
    case AggregateKind::kApproxCountDistinct:
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

/// What counts in a DISTINCT of rows: the parts of row(a, b), (a, b) or {'x': a, 'y': b}; an
/// expression of another kind is itself.
Json parts_of_row(const Json& expression) {
  if (!is_class(expression, "FUNCTION")) return Json::array({expression});
  const std::string name = to_lower_ascii(text_in(expression, "function_name"));
  const Json& parts = expression.at("children");
  // A row of one part counts where the part is NULL, which the part alone would not.
  if ((name != "row" && name != "struct_pack") || parts.size() < 2)
    return Json::array({expression});
  return parts;
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

}  // namespace

std::expected<Aggregate, std::string> read_aggregate(
    const Json& call, const std::function<uint32_t(const Json&)>& column) {
  std::string name = to_lower_ascii(text_in(call, "function_name"));
  if (any_below(call, true, [](const Json& json) { return is_class(json, "SUBQUERY"); })) {
    return std::unexpected(name + " over a subquery");
  }
  if (has_class(call, "STAR")) return std::unexpected("COLUMNS(...)");
  if (has_window(call)) return std::unexpected(name + " of a window function");
  if (call.value("export_state", false)) return std::unexpected("EXPORT_STATE");
  Json children = call.at("children");
  Json orders = call.at("order_bys").value("orders", Json::array());
  Json filter = call.value("filter", Json());
  Aggregate out;
  if (name == "count_if" || name == "countif") {
    // So DuckDB counts: NULL where no condition is known.
    if (children.size() != 1) return std::unexpected("count_if of that many arguments");
    if (!is_boolean(children[0])) children[0] = cast_to(named(children[0], ""), "BOOLEAN");
    name = "sum";
  }
  auto kind = kKinds.find(name);
  if (kind == kKinds.end()) return std::unexpected(name);
  out.kind = kind->second;
  out.distinct = call.value("distinct", false) && !ignores_distinct(out.kind);
  if (out.kind == AggregateKind::kCount && !out.distinct && children.size() == 1 &&
      is_class(children[0], "CONSTANT") && !children[0].at("value").value("is_null", true)) {
    out.kind = AggregateKind::kCountRows;
    children = Json::array();
  }
  if (out.kind == AggregateKind::kQuantileCont || out.kind == AggregateKind::kQuantileDisc) {
    if (children.size() == 1 && orders.size() == 1) {  // WITHIN GROUP
      if (text_in(orders[0], "type") == "DESCENDING") return std::unexpected(name + " descending");
      children.insert(children.begin(), orders[0].at("expression"));
      orders = Json::array();
    }
    std::optional<double> share = children.size() == 2 ? number_of(children[1]) : std::nullopt;
    if (!share) return std::unexpected(name + " of other than one constant share");
    out.quantile = *share;
    children.erase(1);
  }
  if (out.kind == AggregateKind::kMode && children.empty())
    return std::unexpected("mode() WITHIN GROUP");
  if (out.kind == AggregateKind::kStringAgg) {
    out.separator = ",";
    if (children.size() == 2) {
      const Json value = is_class(children[1], "CONSTANT") ? children[1].at("value") : Json();
      if (value.is_null() || value.value("is_null", true) || !value.at("value").is_string()) {
        return std::unexpected(name + " with a separator that is computed");
      }
      out.separator = value.at("value").get<std::string>();
      children.erase(1);
    }
  }
  if (out.kind == AggregateKind::kCount && out.distinct && children.size() == 1)
    children = parts_of_row(children[0]);
  if (takes_doubles(out.kind))
    for (Json& child : children) child = cast_to(named(child, ""), "DOUBLE");
  if (out.kind == AggregateKind::kApproxCountDistinct)
    for (Json& child : children) child = hash_of(named(child, ""));
  if (out.kind == AggregateKind::kStringAgg && !children.empty())
    children[0] = cast_to(named(children[0], ""), "VARCHAR");
  for (const Json& child : children) out.arguments.push_back(column(named(child, "")));
  if (!filter.is_null()) {
    out.filter = column(is_boolean(filter) ? filter : cast_to(filter, "BOOLEAN"));
  }
  if (!ignores_order(out.kind)) {
    for (const Json& order : orders) {
      reduce::OrderColumn by;
      if (!read_order(order, by)) return std::unexpected(name + " in a strange order");
      // DuckDB knows the argument again without the cast that it adds.
      const bool text = out.distinct && out.kind == AggregateKind::kStringAgg;
      Json expression = named(order.at("expression"), "");
      by.column = column(text ? cast_to(std::move(expression), "VARCHAR") : expression);
      if (out.distinct && by.column != out.arguments.at(0))
        return std::unexpected(name + " of DISTINCT values in another order than their own");
      out.order.push_back(by);
    }
  }
  return out;
}

}  // namespace tidegate::prove
