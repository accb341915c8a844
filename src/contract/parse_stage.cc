#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "contract/codes.h"
#include "contract/parse_parts.h"

namespace tidegate {
namespace {

constexpr uint64_t kMemoryBytesMax = uint64_t{1} << 50;
constexpr uint64_t kBucketsMax = 65'536;
constexpr uint64_t kRetriesMax = 100;
constexpr size_t kSortKeysMax = 64;

constexpr std::string_view kQuarantineAtSource =
    "set bad rows aside where they are read: put `retry: {data: {quarantine: 1%}}` at a "
    "source, or into `defaults` for all of them";
constexpr std::string_view kRetryLater =
    "tasks are tried again for `transient`, `timeout`, `lost` and `memory`; other classes fail at "
    "once with their reason";
constexpr std::string_view kBudgetInDefaults =
    "the budget is the whole run's: put it into `defaults: {retry: {budget: 10%}}`";

const std::vector<NotYetKey> kRetryNotYet = {
    {"disk", codes::kRetryNotYet, kRetryLater},
    {"dependency", codes::kRetryNotYet, kRetryLater},
    {"uncertain", codes::kRetryNotYet, kRetryLater},
};

const std::vector<NotYetKey> kStageRetryNotYet = [] {
  std::vector<NotYetKey> keys = kRetryNotYet;
  keys.push_back({"data", codes::kRetryNotYet, kQuarantineAtSource});
  keys.push_back({"budget", codes::kRetryNotYet, kBudgetInDefaults});
  return keys;
}();

const std::vector<NotYetKey> kStageNotYet = {
    {"watermark", codes::kWatermarkNotYet, "watermarks come with streams"},
};

PartitionBy parse_partition_by(const YamlNode& node, Fields& fields) {
  PartitionBy out;
  out.span = node.span;
  if (node.broken) return out;
  if (node.kind == YamlKind::kScalar && !node.is_null()) {
    if (node.text == "all") {
      out.all = true;
    } else {
      fields.error(codes::kWrongType, node.span,
                   "`partition_by` must be `all` or a list of columns", "this is a text",
                   fmt::format("write `partition_by: [{}]`", node.text));
    }
    return out;
  }
  if (node.kind != YamlKind::kMapping) {
    out.columns = fields.texts(node, "partition_by");
    return out;
  }
  if (node.pairs.empty()) {
    fields.error(codes::kEmptyValue, node.span, "`partition_by` names no input", "",
                 "write `partition_by: {INPUT: [COLUMN, ...]}`, or `all`");
  }
  for (const YamlPair& pair : node.pairs) {
    KeysOf keys;
    keys.input = {pair.key, pair.key_span};
    keys.columns = fields.texts(*pair.value, pair.key);
    if (!keys.columns.empty()) out.per_input.push_back(std::move(keys));
  }
  return out;
}

/// "asc", "desc", with "nulls first" or "nulls last" after it or alone.
void parse_direction(const YamlNode& node, SortKey& key, Fields& fields) {
  const auto index = fields.word(node, "sort_by",
                                 {"asc", "desc", "nulls first", "nulls last", "asc nulls first",
                                  "asc nulls last", "desc nulls first", "desc nulls last"});
  if (!index) return;
  key.descending = node.text.starts_with("desc");
  key.nulls_first = node.text.ends_with("nulls first");
}

SortBy parse_sort_by(const YamlNode& node, Fields& fields) {
  constexpr std::string_view kExample = "sort_by: [day, {flights: desc}]";
  SortBy out;
  out.span = node.span;
  std::vector<const YamlNode*> items;
  if (node.kind == YamlKind::kScalar) {
    items.push_back(&node);
  } else if (fields.is_list(node, "sort_by", kExample)) {
    for (const auto& item : node.items) items.push_back(item.get());
    if (items.empty())
      fields.error(codes::kEmptyValue, node.span, "`sort_by` is an empty list",
                   "expected at least one column");
  }
  if (items.size() > kSortKeysMax) {
    fields.error(codes::kOutOfRange, items[kSortKeysMax]->span,
                 fmt::format("`sort_by` has more than {} columns", kSortKeysMax));
    items.resize(kSortKeysMax);
  }
  for (const YamlNode* item : items) {
    SortKey key;
    if (item->kind == YamlKind::kMapping && !item->broken) {
      if (item->pairs.size() != 1) {
        fields.error(codes::kWrongType, item->span, "an item of `sort_by` is one column",
                     fmt::format("this names {}", item->pairs.size()),
                     fmt::format("write `{}`", kExample));
        continue;
      }
      key.column = {item->pairs[0].key, item->pairs[0].key_span};
      parse_direction(*item->pairs[0].value, key, fields);
    } else if (auto name = fields.text(*item, "sort_by")) {
      key.column = std::move(*name);
    } else {
      continue;
    }
    const auto same = [&](const SortKey& other) {
      return to_lower_ascii(other.column.value) == to_lower_ascii(key.column.value);
    };
    if (std::any_of(out.keys.begin(), out.keys.end(), same)) {
      fields.error(codes::kDuplicateItem, key.column.span,
                   fmt::format("`{}` stands twice in `sort_by`", key.column.value),
                   "given again here", "remove one of them");
      continue;
    }
    out.keys.push_back(std::move(key));
  }
  return out;
}

}  // namespace

Retry parse_retry(const YamlNode& node, Fields& fields, Pipeline* defaults) {
  Retry out;
  if (!fields.is_mapping(node, "retry", "retry: {transient: 5, lost: 3}")) return out;
  if (const YamlNode* defect = node.find("defect")) {
    fields.error(codes::kRetryNotYet, defect->span, "a `defect` is never retried",
                 "the same input gives the same error", "remove it");
  }
  if (defaults == nullptr) {
    fields.check_keys(node, "`retry`", {"transient", "timeout", "lost", "memory", "defect"},
                      kStageRetryNotYet);
  } else {
    fields.check_keys(node, "`retry`",
                      {"transient", "timeout", "lost", "memory", "data", "budget", "defect"},
                      kRetryNotYet);
    if (const YamlNode* share = node.find("budget"))
      if (const auto value = fields.share(*share, "budget")) defaults->retry_share = value->value;
    if (const YamlNode* data = node.find("data"))
      defaults->quarantine_share = parse_quarantine(*data, fields);
  }
  const auto most = [&](const char* key, uint32_t& times) {
    const YamlNode* written = node.find(key);
    if (written == nullptr) return;
    if (const auto value = fields.integer(*written, key, 0, kRetriesMax))
      times = static_cast<uint32_t>(value->value);
  };
  most("transient", out.transient_max);
  most("timeout", out.timeout_max);
  most("lost", out.lost_max);
  if (const YamlNode* memory = node.find("memory"))
    if (const auto index = fields.word(*memory, "memory", {"fail", "split"}))
      out.splits_memory = *index == 1;
  return out;
}

std::optional<Spanned<uint64_t>> parse_memory(const YamlNode& node, Fields& fields) {
  return fields.size(node, "memory", kMemoryBytesMin, kMemoryBytesMax);
}

std::optional<bool> parse_skew(const YamlNode& node, Fields& fields) {
  const auto index = fields.word(node, "skew", {"fail", "split"});
  if (!index) return std::nullopt;
  return *index == 1;
}

Stage parse_stage(const YamlPair& entry, Fields& fields) {
  Stage out;
  out.name = {entry.key, entry.key_span};
  out.span = {entry.key_span.begin, std::max(entry.key_span.end, entry.value->span.end)};
  out.sql.span = entry.key_span;
  fields.valid_name(entry.key, entry.key_span, "a stage");
  const YamlNode& node = *entry.value;
  if (!fields.is_mapping(node, entry.key, entry.key + ": {sql: SELECT ...}")) return out;
  fields.check_keys(node, "a stage",
                    {"sql", "partition_by", "sort_by", "broadcast", "memory", "buckets", "retry",
                     "timeout", "on_empty", "skew"},
                    kStageNotYet);
  if (const YamlNode* sql = node.find("sql")) {
    out.sql = fields.sql(*sql, "sql");
  } else {
    fields.error(codes::kMissingKey, entry.key_span,
                 fmt::format("the stage `{}` has no `sql`", entry.key), "",
                 "add `sql: SELECT ... FROM ...`");
  }
  if (const YamlNode* keys = node.find("partition_by")) {
    out.partition_by = parse_partition_by(*keys, fields);
  }
  if (const YamlNode* columns = node.find("sort_by")) {
    out.sort_by = parse_sort_by(*columns, fields);
    if (out.partition_by) {
      fields.error(codes::kConflictingKeys, out.sort_by->span, "`sort_by` with `partition_by`",
                   "rows lie in ranges or in buckets, not in both",
                   fmt::format("sort in a stage of its own: `sql: SELECT * FROM {}`", entry.key));
    }
  }
  if (const YamlNode* inputs = node.find("broadcast")) {
    out.broadcast = fields.texts(*inputs, "broadcast");
  }
  if (const YamlNode* memory = node.find("memory"))
    out.memory_bytes = parse_memory(*memory, fields);
  if (const YamlNode* buckets = node.find("buckets")) {
    if (const auto value = fields.integer(*buckets, "buckets", 1, kBucketsMax)) {
      out.buckets = Spanned<uint32_t>{static_cast<uint32_t>(value->value), value->span};
      if (!out.partition_by && !out.sort_by) {
        fields.error(codes::kConflictingKeys, value->span, "`buckets` without `partition_by`",
                     "a map stage has partitions, no buckets",
                     "add `partition_by: [COLUMN, ...]`, or remove `buckets`");
      } else if (out.partition_by && out.partition_by->all && value->value != 1) {
        fields.error(codes::kConflictingKeys, value->span,
                     "`partition_by: all` has exactly one bucket", "", "remove `buckets`");
      }
    }
  }
  if (const YamlNode* retry = node.find("retry")) out.retry = parse_retry(*retry, fields);
  if (const YamlNode* timeout = node.find("timeout")) {
    out.timeout_us = fields.duration(*timeout, "timeout");
  }
  if (const YamlNode* empty = node.find("on_empty")) {
    out.on_empty = fields.on_empty(*empty).value_or(OnEmpty::kAllow);
  }
  if (const YamlNode* skew = node.find("skew")) out.splits_skew = parse_skew(*skew, fields);
  return out;
}

}  // namespace tidegate
