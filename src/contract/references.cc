#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/effects.h"
#include "base/text.h"
#include "contract/codes.h"
#include "contract/parse_parts.h"
#include "contract/secret.h"

namespace tidegate {
namespace {

/// Names as they were declared, found without regard to case as DuckDB does.
class Names {
 public:
  void add(const Spanned<std::string>& name) {
    by_lower_.emplace(to_lower_ascii(name.value), name);
    all_.push_back(name.value);
  }
  const Spanned<std::string>* find(std::string_view name) const {
    const auto found = by_lower_.find(to_lower_ascii(name));
    return found == by_lower_.end() ? nullptr : &found->second;
  }
  const std::vector<std::string>& all() const { return all_; }

 private:
  std::map<std::string, Spanned<std::string>> by_lower_;
  std::vector<std::string> all_;
};

/// The name that was meant, or those that there are.
std::string names_help(std::string_view wrong, std::string_view kind,
                       std::vector<std::string> names, const Fields& fields) {
  if (fields.is_full()) return {};
  const std::string meant = did_you_mean(wrong, names);
  if (!meant.empty()) return fmt::format("did you mean `{}`?", meant);
  constexpr size_t kShownMax = 12;
  if (names.empty()) return fmt::format("the file has no {}", kind);
  const size_t more = names.size() > kShownMax ? names.size() - kShownMax : 0;
  names.resize(names.size() - more);
  std::string out = fmt::format("{} in this file: {}", kind, join(names, ", "));
  if (more > 0) out += fmt::format(" and {} more", more);
  return out;
}

void check_stage(Stage& stage, const Names& inputs, Fields& fields) {
  const auto own = to_lower_ascii(stage.name.value);
  const auto help = [&](const std::string& wrong) {
    std::vector<std::string> others = inputs.all();
    std::erase_if(others, [&](const std::string& name) { return to_lower_ascii(name) == own; });
    return names_help(wrong, "sources and stages", std::move(others), fields);
  };
  for (auto& input : stage.broadcast) {
    if (to_lower_ascii(input.value) == own) {
      fields.error(codes::kSelfReference, input.span,
                   fmt::format("the stage `{}` cannot read itself", stage.name.value));
      continue;
    }
    const auto* declared = inputs.find(input.value);
    if (declared == nullptr) {
      fields.error(codes::kUnknownBroadcast, input.span,
                   fmt::format("there is no source or stage `{}` to broadcast", input.value), "",
                   help(input.value));
      continue;
    }
    input.value = declared->value;
  }
  if (!stage.partition_by) return;
  const KeysOf* first = nullptr;
  std::map<std::string, Span> seen;
  for (KeysOf& keys : stage.partition_by->per_input) {
    const std::string lower = to_lower_ascii(keys.input.value);
    const auto* declared = inputs.find(keys.input.value);
    if (lower == own) {
      fields.error(codes::kSelfReference, keys.input.span,
                   fmt::format("the stage `{}` cannot read itself", stage.name.value));
    } else if (declared == nullptr) {
      fields.error(codes::kUnknownPartitionInput, keys.input.span,
                   fmt::format("there is no source or stage `{}` to partition", keys.input.value),
                   "", help(keys.input.value));
    } else {
      keys.input.value = declared->value;
    }
    if (!seen.emplace(lower, keys.input.span).second) {
      fields.error(codes::kDuplicateItem, keys.input.span,
                   fmt::format("`{}` stands twice in `partition_by`", keys.input.value),
                   "names that differ only in case are one input");
    }
    const bool broadcast =
        std::any_of(stage.broadcast.begin(), stage.broadcast.end(),
                    [&](const auto& input) { return to_lower_ascii(input.value) == lower; });
    if (broadcast) {
      fields.error(codes::kPartitionedBroadcast, keys.input.span,
                   fmt::format("`{}` is broadcast: every task reads it whole", keys.input.value),
                   "so it cannot be partitioned too", "remove it here, or from `broadcast`");
    }
    if (first == nullptr) {
      first = &keys;
    } else if (keys.columns.size() != first->columns.size()) {
      const Span span{keys.columns.front().span.begin, keys.columns.back().span.end};
      fields.error(codes::kKeyCountsDiffer, span,
                   "the inputs are partitioned by different numbers of columns",
                   fmt::format("{} here, {} for `{}`", keys.columns.size(), first->columns.size(),
                               first->input.value),
                   "give the columns that meet in the join, in the same order");
    }
  }
}

void check_output(Output& output, const Names& sources, const Names& stages, const Names& outputs,
                  Fields& fields) {
  if (!output.from.value.empty()) {
    const std::string name = output.from.value;
    if (const auto* stage = stages.find(name)) {
      output.from.value = stage->value;
    } else if (sources.find(name) != nullptr) {
      fields.error(codes::kOutputFromSource, output.from.span,
                   fmt::format("`{}` is a source, not a stage", name),
                   "an output comes from a stage",
                   fmt::format("add a stage with `sql: SELECT * FROM {}` and name it here", name));
    } else {
      fields.error(codes::kUnknownStage, output.from.span,
                   fmt::format("there is no stage `{}`", name), "",
                   names_help(name, "stages", stages.all(), fields));
    }
  }
  for (Check& check : output.checks) {
    std::string& to = check.references_to.value;
    if (check.kind != CheckKind::kReferences || to.empty()) continue;
    if (const auto* source = sources.find(to)) {
      to = source->value;
    } else if (const auto* other = outputs.find(to)) {
      to = other->value;
    } else {
      std::vector<std::string> names = sources.all();
      names.insert(names.end(), outputs.all().begin(), outputs.all().end());
      const bool stage = stages.find(to) != nullptr;
      fields.error(codes::kUnknownReference, check.references_to.span,
                   fmt::format("there is no source or output `{}` to refer to", to),
                   stage ? "this is a stage" : "",
                   stage ? std::string("publish the stage as an output, and name that")
                         : names_help(to, "sources and outputs", names, fields));
    }
  }
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> out;
  for (size_t at = 0; at < path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    if (slash > at) out.emplace_back(path.substr(at, slash - at));
    at = slash + 1;
  }
  return out;
}

/// A pattern of a source, split once: every output is held against every pattern.
struct InputPattern {
  const Source* source;
  const std::string* written;
  std::vector<std::string> components;
};

/// True if the pattern could match the directory or something below it.
bool reaches_into(const std::vector<std::string>& wanted, const std::vector<std::string>& place) {
  for (size_t i = 0; i < place.size(); ++i) {
    if (i >= wanted.size()) return false;
    if (wanted[i] == "**") return true;
    if (!glob_match(wanted[i], place[i])) return false;
  }
  return true;
}

bool is_below(std::string_view path, std::string_view parent) {
  return path.size() > parent.size() && path.starts_with(parent) &&
         (parent.ends_with('/') || path[parent.size()] == '/');
}

/// False if the path was refused.
bool check_output_path(const Pipeline& pipeline, const Output& output, const std::string& path,
                       const std::vector<InputPattern>& inputs, Fields& fields) {
  const Spanned<std::string>& written = output.parquet_path;
  if (written.value.find_first_of("*?[") != std::string::npos) {
    fields.error(codes::kBadOutputPath, written.span, "an output path cannot be a pattern",
                 "has one of * ? [", "write the one directory that holds the generations");
    return false;
  }
  if (path == "/" || path == pipeline.directory || is_below(pipeline.directory, path)) {
    fields.error(codes::kBadOutputPath, written.span,
                 "the output would be published over the pipeline's own directory",
                 "holds the pipeline file",
                 fmt::format("give it a directory of its own: `published/{}`", output.name.value));
    return false;
  }
  const std::vector<std::string> place = components(path);
  for (const InputPattern& input : inputs) {
    if (!reaches_into(input.components, place)) continue;
    fields.error(
        codes::kPathInsideInput, written.span,
        fmt::format("the output's directory is read by the source `{}`", input.source->name.value),
        fmt::format("`{}` reaches into it", *input.written),
        fmt::format("publish elsewhere, e.g. `published/{}`;\nto read a published output "
                    "say `output: NAME` in the source",
                    output.name.value));
    return false;
  }
  return true;
}

void walk_scalars(const YamlNode& node, size_t depth, bool in_options, Fields& fields) {
  if (node.kind == YamlKind::kScalar) {
    if (node.text.find('\0') != std::string::npos) {
      fields.error(codes::kControlCharacter, node.span, "a NUL character", "written as an escape",
                   "remove it");
    }
    if (!in_options && !find_secret_references(node.text).empty()) {
      fields.error(codes::kSecretReference, node.span,
                   "a secret may only stand in a source's `options` or a webhook", "",
                   "remove it: everything else of this file is kept in the journal");
    }
    return;
  }
  for (const auto& item : node.items) walk_scalars(*item, depth + 1, in_options, fields);
  for (const YamlPair& pair : node.pairs) {
    const bool options = in_options || (depth == 2 && pair.key == "options");
    walk_scalars(*pair.value, depth + 1, options, fields);
  }
}

}  // namespace

void check_references(Pipeline& pipeline, Fields& fields) {
  Names sources, stages, inputs, outputs;
  const auto declare = [&](const Spanned<std::string>& name, std::string_view kind, Names& names,
                           Names& shared) {
    if (const auto* first = shared.find(name.value)) {
      const auto line = fields.source().position(first->span.begin).line;
      fields.error(codes::kDuplicateName, name.span,
                   fmt::format("the name `{}` is taken", name.value),
                   fmt::format("this {} needs another name", kind), "",
                   {fmt::format("`{}` is declared at line {}; case makes no difference",
                                first->value, line)});
      return;
    }
    shared.add(name);
    if (&names != &shared) names.add(name);
  };
  for (const Source& source : pipeline.sources) declare(source.name, "source", sources, inputs);
  for (const Stage& stage : pipeline.stages) declare(stage.name, "stage", stages, inputs);
  // Checks refer to sources and outputs by one name, so these two share a space as well.
  Names referable = sources;
  for (const Output& output : pipeline.outputs) declare(output.name, "output", outputs, referable);

  for (Stage& stage : pipeline.stages) check_stage(stage, inputs, fields);
  for (Output& output : pipeline.outputs) check_output(output, sources, stages, outputs, fields);
  for (const Source& source : pipeline.sources) {
    if (!source.from_output || outputs.find(source.from_output->value) == nullptr) continue;
    fields.error(codes::kOwnOutput, source.from_output->span,
                 fmt::format("`{}` is an output of this very pipeline", source.from_output->value),
                 "each run would read what the run before it published",
                 "read the stage that it comes from");
  }
}

void check_paths(const Pipeline& pipeline, Fields& fields) {
  std::vector<InputPattern> inputs;
  for (const Source& source : pipeline.sources) {
    for (const auto& file : source.files) {
      inputs.push_back(
          {&source, &file.value, components(path_absolute(file.value, pipeline.directory))});
    }
  }
  std::vector<std::pair<std::string, const Output*>> seen;
  for (const Output& output : pipeline.outputs) {
    if (output.parquet_path.value.empty()) continue;
    const Span span = output.parquet_path.span;
    const std::string path = path_absolute(output.parquet_path.value, pipeline.directory);
    if (!check_output_path(pipeline, output, path, inputs, fields)) continue;
    for (const auto& [other_path, other] : seen) {
      if (path == other_path) {
        fields.error(codes::kSamePath, span, "two outputs are published to one directory",
                     fmt::format("`{}` is published here too", other->name.value),
                     fmt::format("give it its own: `published/{}`", output.name.value));
        break;
      }
      if (is_below(path, other_path) || is_below(other_path, path)) {
        fields.error(
            codes::kPathInsideOutput, span, "one output's directory lies inside another's",
            fmt::format("`{}` is published to {}", other->name.value, other->parquet_path.value),
            "put them side by side");
        break;
      }
    }
    seen.emplace_back(path, &output);
  }
}

void check_scalars(const YamlNode& root, Fields& fields) {
  if (root.kind != YamlKind::kMapping) return;
  for (const YamlPair& pair : root.pairs) {
    // Depth 2 is where a source's keys stand: only there is `options` exempt.
    if (pair.key != "notify") {
      walk_scalars(*pair.value, pair.key == "sources" ? 1 : 8, false, fields);
      continue;
    }
    for (const auto& target : pair.value->items)
      for (const YamlPair& part : target->pairs)
        walk_scalars(*part.value, 8, part.key == "webhook", fields);
  }
}

}  // namespace tidegate
