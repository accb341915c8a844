#include "reduce/combine.h"

#include <fmt/format.h>

#include "batch/type.h"

namespace tidegate::reduce {
namespace {

/// Puts partial aggregates and the one that merges them together.
class Splitter {
 public:
  explicit Splitter(const KernelSpec& spec) : spec_(spec) {
    out_.partial = spec;
    out_.merge = spec;
    out_.partial.aggregates.clear();
    out_.merge.aggregates.clear();
    out_.partial.output.assign(spec.input.begin(), spec.input.begin() + spec.keys);
    // States lie where the rows are made, under the keys that those are shuffled by.
    out_.merge.input_sql.clear();
  }

  std::optional<CombinedKernel> run() {
    if (spec_.kind != KernelSpec::Kind::kGroup) return {};
    for (const Aggregate& aggregate : spec_.aggregates)
      if (!split(aggregate)) return {};
    out_.merge.input = out_.partial.output;
    return std::move(out_);
  }

 private:
  /// Adds a state; returns its column.
  uint32_t state(const Aggregate& aggregate, AggregateKind kind, std::string type) {
    Aggregate made = aggregate;
    made.kind = kind;
    made.type = std::move(type);
    out_.partial.output.push_back(
        {fmt::format("tg_s{}", out_.partial.aggregates.size()), made.type});
    out_.partial.aggregates.push_back(std::move(made));
    return static_cast<uint32_t>(out_.partial.output.size() - 1);
  }
  void merge(const Aggregate& aggregate, AggregateKind kind, std::vector<uint32_t> states,
             uint32_t scale = 0) {
    out_.merge.aggregates.push_back(
        {.kind = kind, .arguments = std::move(states), .scale = scale, .type = aggregate.type});
  }

  bool split(const Aggregate& aggregate) {
    if (aggregate.distinct) return false;
    switch (aggregate.kind) {
      case AggregateKind::kCountRows:
      case AggregateKind::kCount:
        merge(aggregate, AggregateKind::kSumCounts, {state(aggregate, aggregate.kind, "BIGINT")});
        return true;
      case AggregateKind::kMin:
      case AggregateKind::kMax:
      case AggregateKind::kBoolAnd:
      case AggregateKind::kBoolOr:
      case AggregateKind::kBitAnd:
      case AggregateKind::kBitOr:
      case AggregateKind::kBitXor:
        merge(aggregate, aggregate.kind, {state(aggregate, aggregate.kind, aggregate.type)});
        return true;
      case AggregateKind::kSum:
      case AggregateKind::kAvg:
        return split_sum(aggregate);
      case AggregateKind::kApproxCountDistinct:
        merge(aggregate, aggregate.kind, {state(aggregate, AggregateKind::kSketchState, "BLOB")});
        return true;
      case AggregateKind::kVarSamp:
      case AggregateKind::kVarPop:
      case AggregateKind::kStddevSamp:
      case AggregateKind::kStddevPop:
      case AggregateKind::kCovarSamp:
      case AggregateKind::kCovarPop:
      case AggregateKind::kCorr:
        merge(aggregate, aggregate.kind, {state(aggregate, AggregateKind::kMomentState, "BLOB")});
        return true;
      default:
        return false;
    }
  }

  bool split_sum(const Aggregate& aggregate) {
    const auto type = batch::parse_scalar_type(spec_.input[aggregate.arguments[0]].type);
    if (!type) return false;
    const bool real =
        type->meaning == batch::Meaning::kFloat || type->meaning == batch::Meaning::kDouble;
    const uint32_t scale = type->meaning == batch::Meaning::kDecimal ? type->decimal_scale : 0;
    const uint32_t sum = real ? state(aggregate, AggregateKind::kExactState, "BLOB")
                              : state(aggregate, AggregateKind::kSum,
                                      type->meaning == batch::Meaning::kDecimal
                                          ? fmt::format("DECIMAL(38,{})", scale)
                                          : "HUGEINT");
    if (aggregate.kind == AggregateKind::kSum) {
      merge(aggregate, real ? AggregateKind::kSumStates : AggregateKind::kSum, {sum});
      return true;
    }
    const uint32_t count = state(aggregate, AggregateKind::kCount, "BIGINT");
    merge(aggregate, real ? AggregateKind::kAvgStates : AggregateKind::kAvgSums, {sum, count},
          scale);
    return true;
  }

  const KernelSpec& spec_;
  CombinedKernel out_;
};

}  // namespace

std::optional<CombinedKernel> combine(const KernelSpec& spec) { return Splitter(spec).run(); }

}  // namespace tidegate::reduce
