#include "prove/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/text.h"
#include "contract/codes.h"

namespace tidegate::prove {
namespace {

/// A name that DuckDB would open as a file.
bool looks_like_file(const std::string& name) {
  return name.find('/') != std::string::npos || name.find('.') != std::string::npos ||
         name.find(':') != std::string::npos || name.find('*') != std::string::npos;
}

class Resolver {
 public:
  Resolver(const Pipeline& pipeline, std::vector<GraphStage>& stages, Diagnostics& diagnostics)
      : pipeline_(pipeline), stages_(stages), diagnostics_(diagnostics) {
    for (const Source& source : pipeline.sources) {
      known_.push_back(source.name.value);
      sources_[to_lower_ascii(source.name.value)] = &source;
    }
    for (size_t i = 0; i < stages.size(); ++i) {
      known_.push_back(stages[i].stage->name.value);
      by_name_[to_lower_ascii(stages[i].stage->name.value)] = i;
    }
  }

  std::vector<size_t> run() {
    for (GraphStage& stage : stages_) tables(stage);
    for (size_t i = 0; i < stages_.size(); ++i) visit(i);
    unused();
    return order_;
  }

 private:
  void tables(GraphStage& stage) {
    for (const TableUse& use : stage.tree.tables) {
      if (by_name_.contains(use.name) || sources_.contains(use.name)) {
        if (std::find(stage.inputs.begin(), stage.inputs.end(), use.name) == stage.inputs.end()) {
          stage.inputs.push_back(use.name);
        }
        continue;
      }
      stage.broken = true;
      Problem problem;
      problem.range = use.range;
      if (looks_like_file(use.written)) {
        problem.code = codes::kSqlReadsFile;
        problem.message = fmt::format("the SQL reads the file `{}`", use.written);
        problem.label = "a stage reads its sources and stages only";
        problem.help = "declare it under `sources:` and name the source here";
      } else {
        problem.code = codes::kUnknownInput;
        problem.message = fmt::format("no source or stage is called `{}`", use.written);
        std::string near = did_you_mean(use.written, known_);
        if (!near.empty()) problem.help = fmt::format("did you mean `{}`?", near);
      }
      diagnostics_.add(to_diagnostic(problem, stage.stage->sql, stage.tree));
    }
    if (stage.broken) return;
    auto reads = [&](const std::string& name) {
      return std::find(stage.inputs.begin(), stage.inputs.end(), to_lower_ascii(name)) !=
             stage.inputs.end();
    };
    for (const auto& name : stage.stage->broadcast) {
      if (reads(name.value)) continue;
      diagnostics_.add({codes::kUnusedBroadcast, Severity::kWarning, name.span,
                        fmt::format("the SQL does not read `{}`", name.value),
                        "broadcast for nothing"});
    }
    if (!stage.stage->partition_by) return;
    for (const KeysOf& keys : stage.stage->partition_by->per_input) {
      if (reads(keys.input.value)) continue;
      stage.broken = true;
      diagnostics_.add({codes::kUnusedPartitionInput, Severity::kError, keys.input.span,
                        fmt::format("the SQL does not read `{}`", keys.input.value),
                        "its keys are named for nothing"});
    }
  }

  /// Depth-first, inputs before readers. `path_` is the way down, for naming a cycle.
  void visit(size_t i) {
    GraphStage& stage = stages_[i];
    if (state_[i] == State::kDone) return;
    if (state_[i] == State::kOpen) {
      auto from = std::find(path_.begin(), path_.end(), i);
      std::vector<std::string> names;
      for (auto it = from; it != path_.end(); ++it) {
        names.push_back(stages_[*it].stage->name.value);
        stages_[*it].broken = true;
      }
      names.push_back(stage.stage->name.value);
      bool self = names.size() == 2;
      const GraphStage& reader = stages_[path_.back()];
      Problem problem{
          self ? codes::kSelfReference : codes::kCycle,
          self ? fmt::format("stage `{}` reads itself", names[0])
               : fmt::format("stages read each other in a circle: {}", join(names, " <- "))};
      for (const TableUse& use : reader.tree.tables) {
        if (use.name == to_lower_ascii(stage.stage->name.value)) {
          problem.range = use.range;
          break;
        }
      }
      diagnostics_.add(to_diagnostic(problem, reader.stage->sql, reader.tree));
      return;
    }
    state_[i] = State::kOpen;
    path_.push_back(i);
    for (const std::string& input : stage.inputs) {
      if (auto it = by_name_.find(input); it != by_name_.end()) visit(it->second);
    }
    path_.pop_back();
    state_[i] = State::kDone;
    order_.push_back(i);
  }

  void unused() {
    std::set<std::string> used;
    for (const GraphStage& stage : stages_) used.insert(stage.inputs.begin(), stage.inputs.end());
    for (const Output& output : pipeline_.outputs) {
      used.insert(to_lower_ascii(output.from.value));
      for (const Check& check : output.checks) {
        used.insert(to_lower_ascii(check.references_to.value));
      }
    }
    // A stage that cannot be read may well use them.
    bool unsure = std::any_of(stages_.begin(), stages_.end(), [](const GraphStage& stage) {
      return stage.broken && stage.inputs.empty();
    });
    if (unsure) return;
    for (const GraphStage& stage : stages_) {
      const auto& name = stage.stage->name;
      if (used.contains(to_lower_ascii(name.value))) continue;
      diagnostics_.add({codes::kUnusedStage, Severity::kWarning, name.span,
                        fmt::format("stage `{}` feeds nothing", name.value),
                        "no stage reads it and no output comes from it"});
    }
    for (const Source& source : pipeline_.sources) {
      if (used.contains(to_lower_ascii(source.name.value))) continue;
      diagnostics_.add({codes::kUnusedSource, Severity::kWarning, source.name.span,
                        fmt::format("source `{}` is not read", source.name.value), ""});
    }
  }

  enum class State : uint8_t { kNew, kOpen, kDone };

  const Pipeline& pipeline_;
  std::vector<GraphStage>& stages_;
  Diagnostics& diagnostics_;
  std::vector<std::string> known_;
  std::map<std::string, const Source*> sources_;
  std::map<std::string, size_t> by_name_;
  std::map<size_t, State> state_;
  std::vector<size_t> path_, order_;
};

}  // namespace

std::vector<size_t> resolve_graph(const Pipeline& pipeline, std::vector<GraphStage>& stages,
                                  Diagnostics& diagnostics) {
  return Resolver(pipeline, stages, diagnostics).run();
}

Diagnostic to_diagnostic(const Problem& problem, const SqlText& sql, const SyntaxTree& tree) {
  Range range = locate(tree, sql.text, problem);
  Diagnostic out{problem.code,    Severity::kError, sql.map(range.begin, range.end),
                 problem.message, problem.label,    problem.notes,
                 problem.help};
  return out;
}

}  // namespace tidegate::prove
