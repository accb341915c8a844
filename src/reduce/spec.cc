#include "reduce/spec.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "base/text.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::Meaning;

constexpr std::array<std::pair<AggregateKind, std::string_view>, 40> kNames = {{
    {AggregateKind::kCountRows, "count_star"},
    {AggregateKind::kCount, "count"},
    {AggregateKind::kSum, "sum"},
    {AggregateKind::kAvg, "avg"},
    {AggregateKind::kMin, "min"},
    {AggregateKind::kMax, "max"},
    {AggregateKind::kFirst, "first"},
    {AggregateKind::kLast, "last"},
    {AggregateKind::kAnyValue, "any_value"},
    {AggregateKind::kBoolAnd, "bool_and"},
    {AggregateKind::kBoolOr, "bool_or"},
    {AggregateKind::kBitAnd, "bit_and"},
    {AggregateKind::kBitOr, "bit_or"},
    {AggregateKind::kBitXor, "bit_xor"},
    {AggregateKind::kVarSamp, "var_samp"},
    {AggregateKind::kVarPop, "var_pop"},
    {AggregateKind::kStddevSamp, "stddev_samp"},
    {AggregateKind::kStddevPop, "stddev_pop"},
    {AggregateKind::kCovarSamp, "covar_samp"},
    {AggregateKind::kCovarPop, "covar_pop"},
    {AggregateKind::kCorr, "corr"},
    {AggregateKind::kArgMin, "arg_min"},
    {AggregateKind::kArgMax, "arg_max"},
    {AggregateKind::kArgMinNull, "arg_min_null"},
    {AggregateKind::kArgMaxNull, "arg_max_null"},
    {AggregateKind::kMedian, "median"},
    {AggregateKind::kQuantileCont, "quantile_cont"},
    {AggregateKind::kQuantileDisc, "quantile_disc"},
    {AggregateKind::kMode, "mode"},
    {AggregateKind::kList, "list"},
    {AggregateKind::kStringAgg, "string_agg"},
    {AggregateKind::kApproxCountDistinct, "approx_count_distinct"},
    {AggregateKind::kProduct, "product"},
    {AggregateKind::kExactState, "exact_state"},
    {AggregateKind::kMomentState, "moment_state"},
    {AggregateKind::kSketchState, "sketch_state"},
    {AggregateKind::kSumCounts, "sum_counts"},
    {AggregateKind::kSumStates, "sum_states"},
    {AggregateKind::kAvgSums, "avg_sums"},
    {AggregateKind::kAvgStates, "avg_states"},
}};

/// Types whose values compare and hash by themselves: everything but nested ones, bit strings and
/// big numbers, whose order is not that of their bytes.
bool is_plain(const ColumnType& type) {
  switch (type.meaning) {
    case Meaning::kBit:
    case Meaning::kBignum:
    case Meaning::kTimeTz:
    case Meaning::kInterval:
    case Meaning::kNull:
      return false;
    default:
      return !type.is_nested();
  }
}

/// Nested types whose values can be kept. The C API does not carry all that may be in one.
bool is_carried(std::string_view type) {
  for (const char* part : {"VARIANT", "GEOMETRY", "\"NULL\""})
    if (type.find(part) != std::string_view::npos) return false;
  return type.ends_with(']') || type.starts_with("STRUCT(") || type.starts_with("MAP(") ||
         type.starts_with("UNION(");
}

bool is_value(const ColumnType& type) { return type.meaning != Meaning::kNull; }

/// Types that have an order here, and may be keys: INTERVALs have several forms of one value.
bool is_ordered(const ColumnType& type) {
  return is_plain(type) || type.meaning == Meaning::kInterval;
}

bool is_integer(const ColumnType& type) { return type.meaning == Meaning::kInteger; }

/// The type of what lies between two values of a type: "" the type itself, nothing if it is not
/// known here.
std::optional<std::string> interpolated(const ColumnType& type, bool median) {
  switch (type.meaning) {
    case Meaning::kInteger:
      if (type.storage == batch::Storage::kI128 || type.storage == batch::Storage::kU128) return {};
      return "DOUBLE";
    case Meaning::kDecimal:
      if (type.storage == batch::Storage::kI128) return {};
      return "";
    case Meaning::kDate:
      return "TIMESTAMP";
    case Meaning::kDouble:
    case Meaning::kFloat:
    case Meaning::kTime:
    case Meaning::kTimestampUs:
    case Meaning::kTimestampTz:
      return "";
    case Meaning::kVarchar:
    case Meaning::kBoolean:
      if (median) return "";  // the lower one of the two
      return {};
    default:
      return {};
  }
}

size_t arguments_of(AggregateKind kind) {
  switch (kind) {
    case AggregateKind::kCountRows:
      return 0;
    case AggregateKind::kArgMin:
    case AggregateKind::kArgMax:
    case AggregateKind::kArgMinNull:
    case AggregateKind::kArgMaxNull:
    case AggregateKind::kCovarSamp:
    case AggregateKind::kCovarPop:
    case AggregateKind::kCorr:
      return 2;
    default:
      return 1;
  }
}

/// DuckDB would give them in the order of a hash table.
constexpr std::string_view kOtherOrder = " of DISTINCT values in another order than their own";

/// Whether the order of rows is that of the argument.
bool is_by_value(const Aggregate& aggregate) {
  const auto other = [&](const OrderColumn& by) { return by.column != aggregate.arguments[0]; };
  return !aggregate.order.empty() && std::ranges::none_of(aggregate.order, other);
}

std::optional<std::string> expect(const Aggregate& aggregate, std::string_view type) {
  if (aggregate.type == type) return {};
  return std::string(to_string(aggregate.kind)) + " as " + aggregate.type;
}

}  // namespace

std::string_view to_string(AggregateKind kind) {
  for (const auto& [candidate, name] : kNames)
    if (candidate == kind) return name;
  return "?";
}

std::optional<std::string> unsupported(const Aggregate& aggregate, const sql::Schema& input) {
  std::string name(to_string(aggregate.kind));
  std::vector<ColumnType> types;
  for (const uint32_t column : aggregate.arguments) {
    if (column >= input.size()) return name + " of a column that is not there";
    auto type = batch::parse_scalar_type(input[column].type);
    if (!type) {
      if (!is_carried(input[column].type)) return name + " of " + input[column].type;
      // One encoded value: it can be kept, but not compared.
      type = ColumnType{.storage = batch::Storage::kBytes, .meaning = Meaning::kStruct};
    }
    types.push_back(std::move(*type));
  }
  if (aggregate.filter &&
      (*aggregate.filter >= input.size() || input[*aggregate.filter].type != "BOOLEAN"))
    return name + " with a filter that is no BOOLEAN";
  for (const OrderColumn& order : aggregate.order) {
    if (order.column >= input.size()) return name + " ordered by a column that is not there";
    const auto type = batch::parse_scalar_type(input[order.column].type);
    if (!type || !is_ordered(*type)) return name + " ordered by " + input[order.column].type;
  }
  const bool row_distinct = aggregate.kind == AggregateKind::kCount && aggregate.distinct;
  if (row_distinct ? types.empty() : types.size() != arguments_of(aggregate.kind))
    return name + " with that many arguments";
  if (aggregate.distinct) {
    if (types.empty()) return name + " of DISTINCT rows";
    for (size_t i = 0; i < types.size(); ++i)
      if (!is_plain(types[i])) return name + " of DISTINCT " + input[aggregate.arguments[i]].type;
  }
  const auto of = [&] { return name + " of " + input[aggregate.arguments[0]].type; };
  switch (aggregate.kind) {
    case AggregateKind::kCountRows:
    case AggregateKind::kCount:
      if (!aggregate.order.empty()) return name + " with ORDER BY";
      return expect(aggregate, "BIGINT");
    case AggregateKind::kSum:
    case AggregateKind::kAvg: {
      if (!aggregate.order.empty()) return name + " with ORDER BY";
      const bool avg = aggregate.kind == AggregateKind::kAvg;
      if (types[0].meaning == Meaning::kFloat || types[0].meaning == Meaning::kDouble)
        return expect(aggregate, "DOUBLE");
      if (types[0].meaning == Meaning::kDecimal)
        return expect(
            aggregate,
            avg ? "DOUBLE" : "DECIMAL(38," + std::to_string(types[0].decimal_scale) + ")");
      if (types[0].meaning == Meaning::kBoolean && !avg) return expect(aggregate, "HUGEINT");
      if (is_integer(types[0]) && types[0].storage != batch::Storage::kU128)
        return expect(aggregate, avg ? "DOUBLE" : "HUGEINT");
      return of();
    }
    case AggregateKind::kMin:
    case AggregateKind::kMax:
      if (!is_ordered(types[0]) || !aggregate.order.empty() || aggregate.distinct) return of();
      return expect(aggregate, input[aggregate.arguments[0]].type);
    case AggregateKind::kFirst:
    case AggregateKind::kLast:
    case AggregateKind::kAnyValue:
      if (!is_value(types[0]) || aggregate.distinct) return of();
      return expect(aggregate, input[aggregate.arguments[0]].type);
    case AggregateKind::kArgMin:
    case AggregateKind::kArgMax:
    case AggregateKind::kArgMinNull:
    case AggregateKind::kArgMaxNull:
      if (!is_value(types[0]) || !is_plain(types[1]) || !aggregate.order.empty() ||
          aggregate.distinct)
        return of();
      return expect(aggregate, input[aggregate.arguments[0]].type);
    case AggregateKind::kBoolAnd:
    case AggregateKind::kBoolOr:
      if (types[0].meaning != Meaning::kBoolean || !aggregate.order.empty()) return of();
      return expect(aggregate, "BOOLEAN");
    case AggregateKind::kBitAnd:
    case AggregateKind::kBitOr:
    case AggregateKind::kBitXor:
      if (!is_integer(types[0]) || !aggregate.order.empty() || aggregate.distinct) return of();
      return expect(aggregate, input[aggregate.arguments[0]].type);
    case AggregateKind::kVarSamp:
    case AggregateKind::kVarPop:
    case AggregateKind::kStddevSamp:
    case AggregateKind::kStddevPop:
    case AggregateKind::kCovarSamp:
    case AggregateKind::kCovarPop:
    case AggregateKind::kCorr:
      if (!aggregate.order.empty()) return name + " with ORDER BY";
      for (const ColumnType& type : types)
        if (type.meaning != Meaning::kDouble) return of();
      return expect(aggregate, "DOUBLE");
    case AggregateKind::kMedian:
    case AggregateKind::kQuantileCont:
    case AggregateKind::kQuantileDisc:
      if (!aggregate.order.empty() || aggregate.distinct)
        return name + " with ORDER BY or DISTINCT";
      if (!(aggregate.quantile >= 0 && aggregate.quantile <= 1)) return name + " beyond 0..1";
      if (!is_plain(types[0]) || types[0].meaning == Meaning::kEnum) return of();
      if (aggregate.kind != AggregateKind::kQuantileDisc) {
        const auto type = interpolated(types[0], aggregate.kind == AggregateKind::kMedian);
        if (!type) return of();
        if (!type->empty()) return expect(aggregate, *type);
      }
      return expect(aggregate, input[aggregate.arguments[0]].type);
    case AggregateKind::kMode:
      if (!is_plain(types[0]) || !aggregate.order.empty() || aggregate.distinct) return of();
      return expect(aggregate, input[aggregate.arguments[0]].type);
    case AggregateKind::kList:
      if (!is_value(types[0])) return of();
      if (aggregate.distinct && !is_by_value(aggregate)) return name.append(kOtherOrder);
      return expect(aggregate, input[aggregate.arguments[0]].type + "[]");
    case AggregateKind::kStringAgg:
      if (types[0].meaning != Meaning::kVarchar) return of();
      if (aggregate.distinct && !is_by_value(aggregate)) return name.append(kOtherOrder);
      return expect(aggregate, "VARCHAR");
    case AggregateKind::kApproxCountDistinct:
      if (input[aggregate.arguments[0]].type != "UBIGINT") return of();
      if (!aggregate.order.empty() || aggregate.distinct)
        return name + " with ORDER BY or DISTINCT";
      return expect(aggregate, "BIGINT");
    default:
      return name;
  }
}

std::optional<std::string> unsupported(const KernelSpec& spec) {
  if (spec.keys > spec.input.size()) return "keys that are not there";
  std::vector<uint32_t> keys(spec.keys);
  std::iota(keys.begin(), keys.end(), 0U);
  std::vector<OrderColumn> order = spec.order;
  for (const WindowSort& sort : spec.sorts) {
    keys.insert(keys.end(), sort.keys.begin(), sort.keys.end());
    order.insert(order.end(), sort.order.begin(), sort.order.end());
  }
  for (const uint32_t key : keys) {
    if (key >= spec.input.size()) return "keys that are not there";
    const auto type = batch::parse_scalar_type(spec.input[key].type);
    if (!type || !is_ordered(*type)) return "keys of " + spec.input[key].type;
  }
  if (spec.kind != KernelSpec::Kind::kGroup) {
    if (spec.keys == 0 && spec.kind == KernelSpec::Kind::kTop) return "no keys";
    for (const OrderColumn& by : order) {
      if (by.column >= spec.input.size()) return "an order by a column that is not there";
      const auto type = batch::parse_scalar_type(spec.input[by.column].type);
      if (!type || !is_ordered(*type)) return "an order by " + spec.input[by.column].type;
    }
    for (const sql::Column& column : spec.input)
      if (!batch::parse_scalar_type(column.type) && !is_carried(column.type))
        return "rows with " + column.type;
    for (const WindowFunction& window : spec.windows) {
      if (window.sort > spec.sorts.size()) return "a window over an order that is not there";
      if (auto reason = unsupported(window, spec.input)) return reason;
    }
    return {};
  }
  for (const Aggregate& aggregate : spec.aggregates)
    if (auto reason = unsupported(aggregate, spec.input)) return reason;
  return {};
}

}  // namespace tidegate::reduce
