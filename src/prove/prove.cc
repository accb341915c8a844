#include "prove/prove.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "batch/row_hash.h"
#include "contract/codes.h"
#include "prove/derive.h"
#include "prove/graph.h"
#include "prove/kernel.h"
#include "prove/kernel_join.h"
#include "prove/sort_by.h"
#include "prove/stage_inputs.h"
#include "prove/tokens.h"
#include "prove/tree.h"

namespace tidegate {

using namespace prove;

std::string_view to_string(InputMode mode) {
  switch (mode) {
    case InputMode::kPartition:
      return "partition";
    case InputMode::kShuffle:
      return "shuffle";
    case InputMode::kAligned:
      return "aligned";
    case InputMode::kBroadcast:
      return "broadcast";
    case InputMode::kAll:
      return "all";
  }
  return "?";
}

const CheckedStage* CheckedPipeline::stage(std::string_view name) const {
  for (const CheckedStage& stage : stages) {
    if (stage.name == name) return &stage;
  }
  return nullptr;
}

namespace {

constexpr const char* kRunTimeMacro =
    "CREATE OR REPLACE MACRO run_time() AS TIMESTAMPTZ '2001-01-01 00:00:00+00'";

std::string create_table(const std::string& name, const sql::Schema& schema) {
  std::vector<std::string> columns;
  for (const sql::Column& column : schema) {
    columns.push_back(quote_identifier(column.name) + " " + column.type);
  }
  return fmt::format("CREATE OR REPLACE TABLE {} ({})", quote_identifier(name),
                     join(columns, ", "));
}

/// True if a plan does nothing but read, filter and compute.
bool is_row_by_row(const std::string& serialized_plan) {
  constexpr std::string_view kOperator = "\"LOGICAL_";
  for (size_t at = serialized_plan.find(kOperator); at != std::string::npos;
       at = serialized_plan.find(kOperator, at + 1)) {
    const std::string_view name = std::string_view(serialized_plan).substr(at + kOperator.size());
    if (!name.starts_with("GET\"") && !name.starts_with("PROJECTION\"") &&
        !name.starts_with("FILTER\""))
      return false;
  }
  return true;
}

/// The SELECT with -0.0 as 0.0 and every NaN as the one that SQL writes.
std::string in_one_form(const std::string& sql, const std::vector<std::string>& columns) {
  std::vector<std::string> parts;
  for (const std::string& column : columns) {
    const std::string name = quote_identifier(column);
    parts.push_back(fmt::format(
        "CASE WHEN {0} = 0 THEN 0 WHEN isnan({0}) THEN 'NaN' ELSE {0} END AS {0}", name));
  }
  return fmt::format("SELECT * REPLACE ({}) FROM ({})", join(parts, ", "), sql);
}

/// Proves one pipeline, stage by stage.
class Prover {
 public:
  Prover(const Pipeline& pipeline, sql::Connection& scratch, Diagnostics& diagnostics,
         bool with_kernels)
      : pipeline_(pipeline),
        scratch_(scratch),
        diagnostics_(diagnostics),
        with_kernels_(with_kernels) {}

  CheckedPipeline run(const std::map<std::string, sql::Schema>& source_schemas) {
    CheckedPipeline out;
    out.stages.reserve(pipeline_.stages.size());  // Known points into it
    if (auto made = scratch_.execute(kRunTimeMacro); !made) return broken(made.error(), out);
    for (const Source& source : pipeline_.sources) {
      auto it = source_schemas.find(source.name.value);
      if (it == source_schemas.end() || it->second.empty()) continue;
      if (auto made = scratch_.execute(create_table(source.name.value, it->second)); !made) {
        diagnostics_.add({codes::kUnsupportedType, Severity::kError, source.name.span,
                          fmt::format("the columns of `{}` cannot be bound: {}", source.name.value,
                                      made.error().message),
                          ""});
        continue;
      }
      known_[to_lower_ascii(source.name.value)] = {source.name.value, true, it->second, nullptr};
    }
    std::vector<GraphStage> stages(pipeline_.stages.size());
    for (size_t i = 0; i < stages.size(); ++i) {
      stages[i].stage = &pipeline_.stages[i];
      std::vector<Problem> problems;
      stages[i].tree = read_tree(scratch_, stages[i].stage->sql.text, {}, problems);
      stages[i].broken = !problems.empty();
      for (const Problem& problem : problems) add(problem, stages[i]);
    }
    for (size_t i : resolve_graph(pipeline_, stages, diagnostics_)) {
      GraphStage& stage = stages[i];
      bool ready = std::all_of(stage.inputs.begin(), stage.inputs.end(),
                               [&](const std::string& input) { return known_.contains(input); });
      if (stage.broken || !ready) continue;
      CheckedStage checked;
      if (!prove(stage, checked)) continue;
      if (auto made = scratch_.execute(create_table(checked.name, checked.schema)); !made) {
        add({codes::kUnsupportedType, fmt::format("the result of `{}` cannot be stored: {}",
                                                  checked.name, made.error().message)},
            stage);
        continue;
      }
      out.stages.push_back(std::move(checked));
      const CheckedStage& done = out.stages.back();
      known_[to_lower_ascii(done.name)] = {done.name, false, done.schema, &done};
    }
    return out;
  }

 private:
  CheckedPipeline broken(const Failure& failure, const CheckedPipeline& out) {
    diagnostics_.add({codes::kSqlBinding, Severity::kError, pipeline_.name.span,
                      fmt::format("DuckDB cannot bind SQL: {}", failure.message), ""});
    return out;
  }

  void add(const Problem& problem, const GraphStage& stage) {
    diagnostics_.add(to_diagnostic(problem, stage.stage->sql, stage.tree));
  }

  bool prove(const GraphStage& graph, CheckedStage& out) {
    const Stage& stage = *graph.stage;
    out.name = stage.name.value;
    TakenOrder taken{stage.sql.text, {}};
    if (stage.sort_by) {
      auto order = take_order(scratch_, stage.sql.text, graph.tree);
      if (!order) return add(order.error(), graph), false;
      taken = std::move(*order);
    }
    const std::string& sql = taken.sql;
    out.sql = canonical_sql(sql);
    out.uses_run_time = graph.tree.uses_run_time;
    DeriveRequest request;
    request.map_stage = !stage.partition_by;
    if (!settle_inputs(graph, known_, diagnostics_, out, request)) return false;
    auto plan = scratch_.query(fmt::format("SELECT json_serialize_plan({})", quote_literal(sql)));
    if (!plan) {
      Problem problem{codes::kNotProven, "the bound query cannot be looked at"};
      problem.notes.push_back(plan.error().message);
      add(problem, graph);
      return false;
    }
    auto derived = derive(plan->scalar(), sql, request);
    if (!derived) {
      for (const Problem& problem : derived.error()) add(problem, graph);
      return false;
    }
    bool fine = top(graph, request, *derived) && schema(graph, sql, out);
    if (fine && stage.sort_by)
      fine = check_sort_by(stage, graph.tree, taken, out.schema, diagnostics_, out.sort_by);
    if (!fine) return false;
    finish(graph, request, *derived, out);
    return true;
  }

  bool top(const GraphStage& graph, const DeriveRequest& request, const DeriveResult& derived) {
    if (request.whole) return true;
    if (derived.top.replicated) {
      Problem problem{codes::kTopIsBroadcast, "every task of this stage would give the same rows",
                      "nothing in the result comes from a split input"};
      problem.help = "write `partition_by: all`";
      add(problem, graph);
      return false;
    }
    if (graph.tree.ordered_at_top && !graph.stage->sort_by) {
      Problem problem{codes::kOrderByAtTop, "ORDER BY over a split stage",
                      "each bucket would be ordered by itself"};
      problem.help =
          request.map_stage
              ? "say it by `sort_by` at the stage, or leave it out (tables have no order)"
              : "leave it out (tables have no order) and sort in a stage of its own with "
                "`sort_by`";
      problem.range = graph.tree.top_order;
      add(problem, graph);
      return false;
    }
    return true;
  }

  bool schema(const GraphStage& graph, const std::string& sql, CheckedStage& out) {
    auto described = scratch_.describe(sql);
    if (!described) {
      add({codes::kSqlBinding, described.error().message}, graph);
      return false;
    }
    out.schema = std::move(*described);
    bool fine = true;
    std::map<std::string, std::string> seen;
    for (const sql::Column& column : out.schema) {
      Problem problem;
      problem.anchor = AnchorKind::kColumn;
      auto [it, fresh] = seen.emplace(to_lower_ascii(column.name), column.name);
      if (!fresh) {
        problem.code =
            it->second == column.name ? codes::kDuplicateColumn : codes::kColumnCaseClash;
        problem.message = fmt::format("the result has two columns called `{}`", column.name);
        problem.help = "name them apart with AS, or list the columns instead of `*`";
      } else if (column.type == "\"NULL\"" || column.type == "NULL") {
        problem.code = codes::kUnsupportedType;
        problem.message = fmt::format("column `{}` has no type", column.name);
        problem.help = "write CAST(NULL AS a type)";
      } else {
        continue;
      }
      add(problem, graph);
      fine = false;
    }
    return fine;
  }

  /// Where the partition keys stand among the columns of the kernel's input, if it is row by row
  /// and keeps them all: then it may run where the rows are made, before they are shuffled.
  std::vector<uint32_t> partition_of(const reduce::KernelSpec& kernel,
                                     const DeriveRequest& request) {
    auto plan = scratch_.query(
        fmt::format("SELECT json_serialize_plan({})", quote_literal(kernel.input_sql)));
    if (!plan || !is_row_by_row(plan->scalar())) return {};
    auto derived = derive(plan->scalar(), kernel.input_sql, request);
    if (!derived) return {};
    std::vector<uint32_t> columns;
    for (const KeyClass& key : derived->top.keys) {
      // A member may be a cast of the key to a wider type, which is not hashed as the narrower one.
      const auto member =
          std::find_if(key.members.begin(), key.members.end(), [&](uint32_t column) {
            const auto type = batch::parse_scalar_type(kernel.input.at(column).type);
            return type && batch::KeyHasher::create(*type, key.hash_type);
          });
      if (member == key.members.end()) return {};
      columns.push_back(*member);
    }
    return columns;
  }

  void finish(const GraphStage& graph, const DeriveRequest& request, DeriveResult& derived,
              CheckedStage& out) {
    const Relation& top = derived.top;
    out.float_sums = derived.float_sums;
    out.unordered_reasons = derived.unordered_reasons;
    out.unordered = !out.unordered_reasons.empty();
    auto name = [&](uint32_t column) { return out.schema.at(column).name; };
    for (uint32_t i = 0; i < std::min(top.columns.size(), out.schema.size()); ++i) {
      if (top.columns[i].any_form) out.one_form.push_back(name(i));
    }
    if (!out.one_form.empty()) out.sql = in_one_form(out.sql, out.one_form);
    bool known = !out.one_task && out.sort_by.empty() && top.has_keys() &&
                 std::all_of(top.keys.begin(), top.keys.end(),
                             [](const KeyClass& key) { return !key.members.empty(); });
    if (known) {
      out.part_known = true;
      for (const KeyClass& key : top.keys) {
        out.part_columns.push_back(name(*key.members.begin()));
        out.part_types.push_back(key.hash_type);
      }
    }
    constexpr size_t kUniqueMax = 8;
    for (const ColumnSet& set : top.unique) {
      if (set.empty() || out.unique.size() == kUniqueMax) continue;
      out.unique.emplace_back();
      for (uint32_t column : set) out.unique.back().push_back(name(column));
    }
    for (const Output& output : pipeline_.outputs) {
      if (to_lower_ascii(output.from.value) != to_lower_ascii(out.name)) continue;
      for (const Check& check : output.checks) {
        if (check.kind != CheckKind::kUnique || !check.is_error || check.tolerance) continue;
        out.unique.emplace_back();
        for (const auto& column : check.columns) out.unique.back().push_back(column.value);
      }
    }
    // A table that the plan does not scan as often as the SQL names it hides in an unused WITH.
    bool every = graph.tree.needs_all_columns || derived.scans < graph.tree.tables.size();
    for (StageInput& input : out.inputs) {
      const Known& table = known_.at(to_lower_ascii(input.name));
      const auto& used = derived.columns_used[to_lower_ascii(input.name)];
      for (const sql::Column& column : table.schema) {
        bool is_key = std::find(input.key_columns.begin(), input.key_columns.end(), column.name) !=
                      input.key_columns.end();
        if (every || used.contains(column.name) || is_key)
          input.columns_used.push_back(column.name);
      }
      if (input.columns_used.empty()) input.columns_used.push_back(table.schema.front().name);
    }
    if (out.unordered) {
      diagnostics_.add({codes::kUnordered, Severity::kNote, graph.stage->name.span,
                        fmt::format("stage `{}` depends on the order of tied rows", out.name),
                        "its result is known by its content only", out.unordered_reasons,
                        "a total order lets its readers be reused by recipe"});
    }
    if (with_kernels_) kernel(graph, request, out);
  }

  void kernel(const GraphStage& graph, const DeriveRequest& request, CheckedStage& out) {
    std::vector<KernelInput> inputs;
    for (const StageInput& input : out.inputs) {
      inputs.push_back({input.name, known_.at(to_lower_ascii(input.name)).schema,
                        input.mode == InputMode::kBroadcast});
    }
    const bool joins = take_join(out, inputs);
    const bool across_rows =
        std::any_of(graph.tree.anchors.begin(), graph.tree.anchors.end(), [](const Anchor& anchor) {
          return anchor.kind == AnchorKind::kGroupBy || anchor.kind == AnchorKind::kAggregate ||
                 anchor.kind == AnchorKind::kDistinct || anchor.kind == AnchorKind::kWindow;
        });
    if (!across_rows) return;
    KernelChoice choice =
        choose_kernel(scratch_, out.name, joins ? out.join_sql : out.sql, inputs, out.schema);
    out.kernel = std::move(choice.kernel);
    if (out.kernel) out.lookups.clear();
    if (out.kernel_why.empty() || (out.kernel && !joins))
      out.kernel_why = std::move(choice.why);
    else if (!choice.why.empty())
      out.kernel_why += (out.kernel ? ", then " : "; ") + choice.why;
    if (out.kernel && joins) out.kernel->kernel.input_table.clear();
    if (out.kernel && !out.kernel->kernel.input_table.empty() && !out.one_task)
      out.kernel->kernel.partition = partition_of(out.kernel->kernel, request);
  }

  /// Takes a join out of the stage; `inputs` get its relations.
  bool take_join(CheckedStage& out, std::vector<KernelInput>& inputs) {
    if (out.one_task) return false;
    std::vector<JoinCandidate> candidates;
    for (const StageInput& input : out.inputs) {
      if (input.mode != InputMode::kShuffle && input.mode != InputMode::kAligned) continue;
      JoinCandidate& candidate = candidates.emplace_back();
      candidate.name = input.name;
      candidate.keys = input.key_columns;
      for (const sql::Column& column : known_.at(to_lower_ascii(input.name)).schema) {
        const bool used = input.columns_used.empty() ||
                          std::any_of(input.columns_used.begin(), input.columns_used.end(),
                                      [&](const auto& name) {
                                        return to_lower_ascii(name) == to_lower_ascii(column.name);
                                      });
        if (used) candidate.schema.push_back(column);
      }
    }
    if (candidates.empty()) return false;
    JoinChoice choice = choose_join(scratch_, out.name, out.sql, candidates, out.schema);
    out.kernel_why = std::move(choice.why);
    if (!choice.join) return false;
    out.join = std::move(choice.join);
    out.join_sql = std::move(choice.sql);
    out.lookups = std::move(choice.lookups);
    for (KernelInput& relation : choice.relations) inputs.push_back(std::move(relation));
    return true;
  }

  const Pipeline& pipeline_;
  sql::Connection& scratch_;
  Diagnostics& diagnostics_;
  bool with_kernels_;
  KnownTables known_;
};

}  // namespace

CheckedPipeline prove_pipeline(const Pipeline& pipeline,
                               const std::map<std::string, sql::Schema>& source_schemas,
                               sql::Connection& scratch, Diagnostics& diagnostics,
                               bool with_kernels) {
  return Prover(pipeline, scratch, diagnostics, with_kernels).run(source_schemas);
}

Status check_select(sql::Connection& scratch, const std::string& sql,
                    const std::vector<std::string>& tables, SelectProblem* problem) {
  std::vector<Problem> problems;
  SyntaxTree tree = read_tree(scratch, sql, {.clock_and_chance = true}, problems);
  DeriveRequest request;
  request.whole = true;
  request.clock_and_chance = true;
  for (const std::string& table : tables) request.inputs[to_lower_ascii(table)] = {};
  for (const TableUse& use : tree.tables) {
    if (request.inputs.contains(use.name)) continue;
    Problem unknown{codes::kUnknownInput, fmt::format("no table is called `{}`", use.written)};
    std::string near = did_you_mean(use.written, tables);
    if (!near.empty()) unknown.help = fmt::format("did you mean `{}`?", near);
    unknown.range = use.range;
    problems.push_back(std::move(unknown));
  }
  if (problems.empty()) {
    TG_ASSIGN(sql::Table plan,
              scratch.query(fmt::format("SELECT json_serialize_plan({})", quote_literal(sql))));
    auto derived = derive(plan.scalar(), sql, request);
    if (!derived) problems = derived.error();
  }
  if (problems.empty()) return {};
  auto first =
      std::min_element(problems.begin(), problems.end(), [&](const auto& a, const auto& b) {
        return locate(tree, sql, a).begin < locate(tree, sql, b).begin;
      });
  Range range = locate(tree, sql, *first);
  if (problem) {
    *problem = {first->code, first->message, first->label, first->help, range.begin, range.end};
  }
  return fail(FailureClass::kDefect, "sql.refused", first->message);
}

}  // namespace tidegate
