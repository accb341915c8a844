#include "prove/stage_inputs.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <vector>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/types.h"

namespace tidegate::prove {
namespace {

std::vector<std::string> names_in(const sql::Schema& schema) {
  std::vector<std::string> out;
  for (const sql::Column& column : schema) out.push_back(column.name);
  return out;
}

/// The schema's column of that name, ASCII case ignored; null if there is none.
const sql::Column* find_column(const sql::Schema& schema, std::string_view name) {
  std::string lower = to_lower_ascii(name);
  for (const sql::Column& column : schema) {
    if (to_lower_ascii(column.name) == lower) return &column;
  }
  return nullptr;
}

class InputSettler {
 public:
  InputSettler(const KnownTables& known, Diagnostics& diagnostics)
      : known_(known), diagnostics_(diagnostics) {}

  /// Fills the inputs with modes and keys, and the request with their properties.
  bool run(const GraphStage& graph, CheckedStage& out, DeriveRequest& request) {
    const Stage& stage = *graph.stage;
    std::set<std::string> broadcast;
    for (const auto& name : stage.broadcast) broadcast.insert(to_lower_ascii(name.value));
    bool all = stage.partition_by && stage.partition_by->all;
    size_t split = 0;
    for (const std::string& name : graph.inputs) {
      const Known& known = known_.at(name);
      StageInput input{known.name, known.is_source};
      for (const TableUse& use : graph.tree.tables) {
        if (use.name != name) continue;
        input.first_use = stage.sql.map(use.range.begin, use.range.end);
        break;
      }
      bool everywhere = broadcast.contains(name);
      input.mode = all          ? InputMode::kAll
                   : everywhere ? InputMode::kBroadcast
                                : (request.map_stage ? InputMode::kPartition : InputMode::kShuffle);
      split += !all && !everywhere ? 1 : 0;
      out.inputs.push_back(std::move(input));
    }
    // No split input: one task, as with `all`.
    request.whole = all || split == 0;
    out.one_task = request.whole;
    if (!all && stage.partition_by && split == 0) {
      add({codes::kNeedlessPartitionBy,
           "no input of this stage is split, so nothing is partitioned",
           "",
           {},
           "leave partition_by out, or write `partition_by: all`"},
          graph);
      return false;
    }
    if (!all && !request.map_stage && !keys(graph, out, request)) return false;
    for (StageInput& input : out.inputs) {
      const Known& known = known_.at(to_lower_ascii(input.name));
      InputProperty property;
      property.replicated = input.mode == InputMode::kBroadcast || request.whole;
      property.unique = unique_of(known);
      if (input.mode == InputMode::kPartition && split == 1 && known.stage &&
          known.stage->part_known) {
        property.keys = known.stage->part_columns;
        property.hash_types = known.stage->part_types;
        request.key_names = property.keys;
        input.key_columns = property.keys;
        input.hash_types = property.hash_types;
      } else if (input.mode == InputMode::kShuffle || input.mode == InputMode::kAligned) {
        property.keys = input.key_columns;
        property.hash_types = input.hash_types;
      }
      request.inputs[to_lower_ascii(input.name)] = std::move(property);
    }
    return true;
  }

 private:
  void add(const Problem& problem, const GraphStage& stage) {
    diagnostics_.add(to_diagnostic(problem, stage.stage->sql, stage.tree));
  }

  /// Resolves partition_by against each exchanged input and settles the hash types.
  bool keys(const GraphStage& graph, CheckedStage& out, DeriveRequest& request) {
    const PartitionBy& by = *graph.stage->partition_by;
    bool fine = true;
    std::vector<std::string> types;  // so far common, by position
    std::vector<std::string> from;   // the input that gave them
    std::vector<Span> spans;
    for (StageInput& input : out.inputs) {
      if (input.mode != InputMode::kShuffle) continue;
      const Known& known = known_.at(to_lower_ascii(input.name));
      const std::vector<Spanned<std::string>>* columns = &by.columns;
      for (const KeysOf& keys : by.per_input) {
        if (to_lower_ascii(keys.input.value) == to_lower_ascii(input.name)) columns = &keys.columns;
      }
      if (columns->empty()) {
        diagnostics_.add(
            {codes::kInputWithoutKeys,
             Severity::kError,
             by.span,
             fmt::format("partition_by names no keys for `{}`", input.name),
             "every input that is not broadcast needs them",
             {},
             fmt::format("add `{}: [...]`, or mark `{}` broadcast", input.name, input.name)});
        fine = false;
        continue;
      }
      if (!types.empty() && columns->size() != types.size()) {
        diagnostics_.add({codes::kKeyCountsDiffer, Severity::kError, by.span,
                          fmt::format("`{}` has {} keys and `{}` has {}", from[0], types.size(),
                                      input.name, columns->size()),
                          ""});
        fine = false;
        continue;
      }
      bool first = types.empty();
      for (size_t j = 0; j < columns->size(); ++j) {
        fine = key(input, known, (*columns)[j], j, first, types, from) && fine;
        if (!fine && types.size() <= j) types.resize(j + 1), from.resize(j + 1, input.name);
      }
      if (request.key_names.empty()) {
        for (const auto& column : *columns) request.key_names.push_back(column.value);
      }
    }
    if (!fine) return false;
    for (StageInput& input : out.inputs) {
      if (input.mode != InputMode::kShuffle) continue;
      input.hash_types = types;
      const Known& known = known_.at(to_lower_ascii(input.name));
      if (known.stage && known.stage->part_known &&
          known.stage->part_columns == input.key_columns && known.stage->part_types == types) {
        input.mode = InputMode::kAligned;
      }
    }
    return true;
  }

  bool key(StageInput& input, const Known& known, const Spanned<std::string>& name, size_t j,
           bool first, std::vector<std::string>& types, std::vector<std::string>& from) {
    const sql::Column* column = find_column(known.schema, name.value);
    if (!column) {
      std::string near = did_you_mean(name.value, names_in(known.schema));
      diagnostics_.add(
          {codes::kUnknownKeyColumn,
           Severity::kError,
           name.span,
           fmt::format("`{}` has no column `{}`", known.name, name.value),
           "not among its columns",
           {fmt::format("its columns: {}", join(names_in(known.schema), ", "))},
           near.empty() ? fmt::format("name keys per input: partition_by: {{{}: [...]}}, or mark "
                                      "`{}` broadcast",
                                      known.name, known.name)
                        : fmt::format("did you mean `{}`?", near)});
      return false;
    }
    input.key_columns.push_back(column->name);
    std::optional<std::string> type = hash_type_of(column->type);
    if (!type) {
      diagnostics_.add(
          {codes::kKeyTypeUnhashable,
           Severity::kError,
           name.span,
           fmt::format("`{}` is {}, which cannot be a partition key", name.value, column->type),
           "",
           {},
           "partition by a plain value of it, made in an earlier stage"});
      return false;
    }
    if (first) {
      types.push_back(*type);
      from.push_back(input.name);
      return true;
    }
    std::optional<std::string> common = common_hash_type(types[j], column->type);
    if (!common) {
      bool text = types[j] == "VARCHAR";
      std::string target = text ? "VARCHAR" : types[j];
      diagnostics_.add({codes::kKeyTypesDiffer,
                        Severity::kError,
                        name.span,
                        fmt::format("`{}` is {} in `{}` and {} in `{}`", name.value, types[j],
                                    from[j], column->type, known.name),
                        "equal values could land in different buckets",
                        {},
                        fmt::format("cast one side in an earlier stage: CAST({} AS {})",
                                    quote_if_needed(column->name), target)});
      return false;
    }
    types[j] = *common;
    return true;
  }

  static std::string quote_if_needed(const std::string& name) {
    return is_valid_name(name) ? name : quote_identifier(name);
  }

  std::vector<std::vector<std::string>> unique_of(const Known& known) const {
    return known.stage ? known.stage->unique : std::vector<std::vector<std::string>>{};
  }

  const KnownTables& known_;
  Diagnostics& diagnostics_;
};

}  // namespace

bool settle_inputs(const GraphStage& graph, const KnownTables& known, Diagnostics& diagnostics,
                   CheckedStage& out, DeriveRequest& request) {
  return InputSettler(known, diagnostics).run(graph, out, request);
}

}  // namespace tidegate::prove
