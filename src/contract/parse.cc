#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"
#include "contract/contract.h"
#include "contract/parse_parts.h"

namespace tidegate {
namespace {

const std::vector<NotYetKey> kRootNotYet = {
    {"schedule", codes::kFieldNotYet, kServerLater},
    {"alerts", codes::kFieldNotYet, kServerLater},
    {"on_notify", codes::kFieldNotYet, kServerLater},
    {"runbooks", codes::kFieldNotYet, kServerLater},
    {"contracts", codes::kOdcsNotYet, "write the promises as `checks` and `freshness`"},
};

void check_version(const YamlNode& root, Fields& fields) {
  const YamlNode* version = root.find("version");
  if (version == nullptr) {
    fields.error(codes::kMissingKey, {root.span.begin, root.span.begin},
                 "the file has no `version`", "", "begin it with `version: 1`");
    return;
  }
  if (version->broken || (version->is_plain() && version->text == "1")) return;
  fields.error(codes::kVersion, version->span, "this version of the file format is not known",
               "tidegate reads version 1", "write `version: 1`");
}

/// Calls `each` for every entry of the section, which must be a mapping.
template <typename Each>
void section(const YamlNode& root, std::string_view name, const char* missing_code,
             std::string_view example, Fields& fields, Each each) {
  const YamlNode* node = root.find(name);
  if (node == nullptr) {
    fields.error(missing_code, {root.span.begin, root.span.begin},
                 fmt::format("the file has no `{}`", name), "", fmt::format("add `{}`", example));
    return;
  }
  if (!fields.is_mapping(*node, name, example)) return;
  if (node->pairs.empty()) {
    fields.error(missing_code, node->span, fmt::format("`{}` is empty", name), "",
                 fmt::format("add `{}`", example));
  }
  for (size_t i = 0; i < node->pairs.size() && i < kEntriesMax; ++i) each(node->pairs[i]);
  if (node->pairs.size() > kEntriesMax) {
    fields.error(codes::kOutOfRange, node->pairs[kEntriesMax].key_span,
                 fmt::format("more than {} entries in `{}`", format_count(kEntriesMax), name),
                 "this and what follows is not read", "split the pipeline");
  }
}

void parse_defaults(const YamlNode& node, Pipeline& pipeline, Fields& fields) {
  if (!fields.is_mapping(node, "defaults", "defaults: {memory: 512MiB}")) return;
  fields.check_keys(node, "`defaults`", {"memory", "retry", "skew"});
  if (const YamlNode* memory = node.find("memory")) {
    if (const auto value = parse_memory(*memory, fields)) pipeline.memory_bytes = value->value;
  }
  if (const YamlNode* retry = node.find("retry"))
    pipeline.retry = parse_retry(*retry, fields, &pipeline);
  if (const YamlNode* skew = node.find("skew"))
    pipeline.splits_skew = parse_skew(*skew, fields).value_or(false);
}

void parse_root(const YamlNode& root, Pipeline& pipeline, Fields& fields) {
  fields.check_keys(root, "a pipeline file",
                    {"version", "pipeline", "owner", "sources", "defaults", "stages", "outputs",
                     "publish_together", "notify"},
                    kRootNotYet);
  check_version(root, fields);
  if (const YamlNode* name = root.find("pipeline")) {
    if (auto value = fields.text(*name, "pipeline")) {
      fields.valid_name(value->value, value->span, "a pipeline");
      pipeline.name = std::move(*value);
    }
  } else {
    fields.error(codes::kMissingKey, {root.span.begin, root.span.begin}, "the pipeline has no name",
                 "", "add `pipeline: NAME`");
  }
  if (const YamlNode* owner = root.find("owner")) {
    if (auto value = fields.text(*owner, "owner")) pipeline.owner = std::move(value->value);
  }
  if (const YamlNode* defaults = root.find("defaults")) {
    parse_defaults(*defaults, pipeline, fields);
  }
  if (const YamlNode* together = root.find("publish_together")) {
    pipeline.publish_together = fields.boolean(*together, "publish_together").value_or(false);
  }
  if (const YamlNode* notify = root.find("notify")) pipeline.notify = parse_notify(*notify, fields);
  section(root, "sources", codes::kNoSources, "sources: {NAME: {files: data/*.parquet}}", fields,
          [&](const YamlPair& entry) { pipeline.sources.push_back(parse_source(entry, fields)); });
  for (Source& source : pipeline.sources)
    if (!source.quarantine_share && can_set_aside(source))
      source.quarantine_share = pipeline.quarantine_share;
  section(root, "stages", codes::kNoStages, "stages: {NAME: {sql: SELECT ... FROM ...}}", fields,
          [&](const YamlPair& entry) { pipeline.stages.push_back(parse_stage(entry, fields)); });
  section(root, "outputs", codes::kNoOutputs,
          "outputs: {NAME: {from: STAGE, publish: {parquet: published/NAME}}}", fields,
          [&](const YamlPair& entry) { pipeline.outputs.push_back(parse_output(entry, fields)); });
}

template <typename Item>
const Item* find_by_name(const std::vector<Item>& items, std::string_view name) {
  const std::string lower = to_lower_ascii(name);
  const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) {
    return to_lower_ascii(item.name.value) == lower;
  });
  return found == items.end() ? nullptr : &*found;
}

}  // namespace

Span SqlText::map(size_t begin, size_t end) const {
  if (offsets.empty()) return span;
  const size_t last = offsets.size() - 1;
  begin = std::min(begin, last);
  end = std::clamp(end, begin, last);
  return {offsets[begin], std::max(offsets[begin], offsets[end])};
}

std::string_view to_string(FileFormat format) {
  switch (format) {
    case FileFormat::kParquet:
      return "parquet";
    case FileFormat::kCsv:
      return "csv";
    case FileFormat::kJson:
      return "json";
  }
  return "parquet";
}

const Source* Pipeline::source(std::string_view wanted) const {
  return find_by_name(sources, wanted);
}
const Stage* Pipeline::stage(std::string_view wanted) const { return find_by_name(stages, wanted); }
const Output* Pipeline::output(std::string_view wanted) const {
  return find_by_name(outputs, wanted);
}

bool is_valid_name(std::string_view name) {
  constexpr size_t kNameBytesMax = 63;
  if (name.empty() || name.size() > kNameBytesMax || (name[0] >= '0' && name[0] <= '9')) {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Pipeline parse_pipeline(const std::string& path, const std::string& directory, std::string text,
                        Diagnostics& diagnostics) {
  Pipeline pipeline;
  pipeline.directory = directory;
  auto source = std::make_shared<const SourceText>(path, std::move(text));
  pipeline.text = source;
  const std::unique_ptr<YamlNode> root = parse_yaml(*source, diagnostics);
  if (root == nullptr) return pipeline;
  Fields fields(*source, diagnostics);
  if (root->kind != YamlKind::kMapping) {
    if (root->broken) return pipeline;
    fields.error(codes::kWrongType, root->span, "a pipeline file must be a mapping",
                 fmt::format("this is {}", kind_of(*root)), "begin it with `version: 1`");
    return pipeline;
  }
  parse_root(*root, pipeline, fields);
  check_references(pipeline, fields);
  check_paths(pipeline, fields);
  check_scalars(*root, fields);
  return pipeline;
}

}  // namespace tidegate
