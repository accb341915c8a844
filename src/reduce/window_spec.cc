#include "batch/type.h"
#include "reduce/spec.h"

namespace tidegate::reduce {
namespace {

bool gives_a_row(WindowKind kind) { return kind == WindowKind::kLag || kind == WindowKind::kLead; }

bool gives_a_value(WindowKind kind) {
  return gives_a_row(kind) || kind == WindowKind::kFirstValue || kind == WindowKind::kLastValue ||
         kind == WindowKind::kNthValue;
}

bool is_folded(AggregateKind kind) {
  return kind == AggregateKind::kCountRows || kind == AggregateKind::kCount ||
         kind == AggregateKind::kSum || kind == AggregateKind::kAvg ||
         kind == AggregateKind::kMin || kind == AggregateKind::kMax;
}

/// Nested values may be carried as they are: as any_value takes them.
std::optional<std::string> unsupported_value(const WindowFunction& window,
                                             const sql::Schema& input) {
  Aggregate as_any = window.aggregate;
  as_any.kind = AggregateKind::kAnyValue;
  auto reason = unsupported(as_any, input);
  if (!reason) return {};
  const std::string name(to_string(window.kind));
  if (as_any.arguments.empty() || as_any.arguments[0] >= input.size())
    return name + " of a column that is not there";
  return name + " of " + input[as_any.arguments[0]].type;
}

}  // namespace

std::string_view to_string(WindowKind kind) {
  switch (kind) {
    case WindowKind::kRowNumber:
      return "row_number";
    case WindowKind::kRank:
      return "rank";
    case WindowKind::kDenseRank:
      return "dense_rank";
    case WindowKind::kPercentRank:
      return "percent_rank";
    case WindowKind::kCumeDist:
      return "cume_dist";
    case WindowKind::kNtile:
      return "ntile";
    case WindowKind::kLag:
      return "lag";
    case WindowKind::kLead:
      return "lead";
    case WindowKind::kFirstValue:
      return "first_value";
    case WindowKind::kLastValue:
      return "last_value";
    case WindowKind::kNthValue:
      return "nth_value";
    case WindowKind::kAggregate:
      break;
  }
  return "aggregate";
}

std::optional<std::string> unsupported(const WindowFunction& window, const sql::Schema& input) {
  const std::string name(to_string(window.kind));
  if (window.kind == WindowKind::kAggregate) {
    if (!is_folded(window.aggregate.kind) || window.aggregate.distinct)
      return std::string(to_string(window.aggregate.kind)) + " over a window";
    return unsupported(window.aggregate, input);
  }
  if (window.aggregate.filter) return name + " with FILTER";
  if (!gives_a_value(window.kind)) {
    const bool share =
        window.kind == WindowKind::kPercentRank || window.kind == WindowKind::kCumeDist;
    if (window.kind == WindowKind::kNtile && window.number == 0) return name + " of no parts";
    if (window.aggregate.type != (share ? "DOUBLE" : "BIGINT"))
      return name + " as " + window.aggregate.type;
    return {};
  }
  if (auto reason = unsupported_value(window, input)) return reason;
  if (gives_a_row(window.kind) && window.ignore_nulls) return name + " with IGNORE NULLS";
  if (window.kind == WindowKind::kNthValue && window.number == 0) return name + " of no row";
  if (window.otherwise &&
      (*window.otherwise >= input.size() || input[*window.otherwise].type != window.aggregate.type))
    return name + " with a default of another type";
  return {};
}

}  // namespace tidegate::reduce
