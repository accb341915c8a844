#include "reduce/combine_sql.h"

#include <fmt/format.h>

#include "base/text.h"
#include "batch/type.h"

namespace tidegate::reduce {
namespace {

/// The aggregate's call, or "".
std::string call_of(const Aggregate& aggregate, const sql::Schema& input) {
  if (aggregate.distinct || aggregate.arguments.size() > 1 || !aggregate.order.empty()) return "";
  if (aggregate.kind == AggregateKind::kCountRows) return "count(*)";
  if (aggregate.arguments.empty()) return "";
  const auto type = batch::parse_scalar_type(input[aggregate.arguments[0]].type);
  if (!type) return "";
  const std::string argument = fmt::format("c{}", aggregate.arguments[0]);
  switch (aggregate.kind) {
    case AggregateKind::kCount:
      return fmt::format("count({})", argument);
    case AggregateKind::kSum: {
      // Of wider values DuckDB's sum may overflow sooner than ours, or be of doubles.
      const bool exact = type->width <= 8 && (type->meaning == batch::Meaning::kInteger ||
                                              type->meaning == batch::Meaning::kDecimal ||
                                              type->meaning == batch::Meaning::kBoolean);
      return exact ? fmt::format("sum({})", argument) : "";
    }
    case AggregateKind::kExactState:
      return fmt::format("{}({}::DOUBLE)", kExactSumFunction, argument);
    case AggregateKind::kMin:
    case AggregateKind::kMax: {
      const bool plain =
          type->storage != batch::Storage::kInterval && type->storage != batch::Storage::kNull;
      const char* name = aggregate.kind == AggregateKind::kMin ? "min" : "max";
      return plain ? fmt::format("{}({})", name, argument) : "";
    }
    case AggregateKind::kBoolAnd:
      return fmt::format("bool_and({})", argument);
    case AggregateKind::kBoolOr:
      return fmt::format("bool_or({})", argument);
    case AggregateKind::kBitAnd:
      return fmt::format("bit_and({})", argument);
    case AggregateKind::kBitOr:
      return fmt::format("bit_or({})", argument);
    case AggregateKind::kBitXor:
      return fmt::format("bit_xor({})", argument);
    default:
      return "";
  }
}

}  // namespace

std::optional<std::string> combine_select(const KernelSpec& partial, const std::string& relation) {
  if (partial.kind != KernelSpec::Kind::kGroup || partial.keys == 0) return {};
  std::vector<std::string> names, keys, columns;
  for (size_t i = 0; i < partial.input.size(); ++i) names.push_back(fmt::format("c{}", i));
  for (uint32_t i = 0; i < partial.keys; ++i) {
    // Of the forms of equal intervals DuckDB gives the first that comes.
    if (partial.input[i].type == "INTERVAL") return {};
    keys.push_back(names[i]);
    columns.push_back(fmt::format("c{} AS {}", i, quote_identifier(partial.output[i].name)));
  }
  for (size_t i = 0; i < partial.aggregates.size(); ++i) {
    const Aggregate& aggregate = partial.aggregates[i];
    std::string call = call_of(aggregate, partial.input);
    if (call.empty()) return {};
    if (aggregate.filter) call += fmt::format(" FILTER (WHERE c{})", *aggregate.filter);
    const sql::Column& made = partial.output[partial.keys + i];
    columns.push_back(
        fmt::format("CAST({} AS {}) AS {}", call, made.type, quote_identifier(made.name)));
  }
  return fmt::format("SELECT {} FROM {} AS rows({}) GROUP BY {}", join(columns, ", "), relation,
                     join(names, ", "), join(keys, ", "));
}

}  // namespace tidegate::reduce
