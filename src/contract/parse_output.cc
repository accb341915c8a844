#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/units.h"
#include "contract/codes.h"
#include "contract/parse_parts.h"

namespace tidegate {
namespace {

constexpr uint64_t kKeepMax = 1000;
constexpr int64_t kDayUs = int64_t{86'400} * 1'000'000;

constexpr std::string_view kSinkLater =
    "this version publishes parquet: `- parquet: published/NAME`";

const std::vector<NotYetKey> kOutputNotYet = {
    {"contract", codes::kOdcsNotYet, "write the promises as `checks` and `freshness`"},
    {"odcs", codes::kOdcsNotYet, "write the promises as `checks` and `freshness`"},
    {"schedule", codes::kFieldNotYet, kServerLater},
    {"alerts", codes::kFieldNotYet, kServerLater},
    {"notify", codes::kFieldNotYet, "it stands once in the file, beside `outputs`"},
    {"on_notify", codes::kFieldNotYet, kServerLater},
    {"runbook", codes::kFieldNotYet, "`tidegate runbook FILE` writes it from the contract"},
    {"canary", codes::kFieldNotYet, kServerLater},
};

const std::vector<NotYetKey> kTargetNotYet = {
    {"delta", codes::kSinkNotYet, kSinkLater},         {"iceberg", codes::kSinkNotYet, kSinkLater},
    {"csv", codes::kSinkNotYet, kSinkLater},           {"json", codes::kSinkNotYet, kSinkLater},
    {"postgres", codes::kSinkNotYet, kSinkLater},      {"redis", codes::kSinkNotYet, kSinkLater},
    {"elasticsearch", codes::kSinkNotYet, kSinkLater}, {"kafka", codes::kSinkNotYet, kSinkLater},
};

Freshness parse_freshness(const YamlNode& node, Fields& fields) {
  Freshness out;
  out.span = node.span;
  if (!fields.is_mapping(node, "freshness", "freshness: {max_age: 24h, completeness: 99.9%}")) {
    return out;
  }
  fields.check_keys(node, "`freshness`", {"max_age", "through", "completeness"});
  if (node.pairs.empty()) {
    fields.error(codes::kEmptyCheck, node.span, "`freshness` promises nothing", "",
                 "give `max_age`, `through` or `completeness`");
  }
  if (const YamlNode* age = node.find("max_age")) out.max_age_us = fields.duration(*age, "max_age");
  if (const YamlNode* through = node.find("through")) {
    bool date_only = false;
    out.through_us = fields.timestamp(*through, "through", &date_only);
    if (out.through_us && date_only) out.through_us->value += kDayUs;
    if (out.max_age_us) {
      fields.error(codes::kConflictingKeys, through->span,
                   "`max_age` and `through` exclude each other", "`max_age` is given too",
                   "keep `max_age` for data that goes on, `through` for a closed data set");
    }
  }
  if (const YamlNode* share = node.find("completeness")) {
    out.completeness = fields.share(*share, "completeness");
    if (out.completeness && out.completeness->value == 0) {
      fields.error(codes::kOutOfRange, share->span, "`completeness: 0%` promises nothing", "",
                   "write how much must have arrived, e.g. `99.9%`, or remove it");
    }
  }
  return out;
}

void parse_target(const YamlNode& node, Output& output, Fields& fields) {
  if (!fields.is_mapping(node, "publish",
                         fmt::format("publish: {{parquet: published/{}}}", output.name.value))) {
    return;
  }
  fields.check_keys(node, "a publish target", {"parquet", "compression", "by"}, kTargetNotYet);
  const YamlNode* path = node.find("parquet");
  if (path == nullptr) {
    const bool told = std::any_of(kTargetNotYet.begin(), kTargetNotYet.end(),
                                  [&](auto& later) { return node.find(later.key) != nullptr; });
    if (!told) {
      fields.error(codes::kNoPublishTarget, node.span, "a publish target without a place", "",
                   fmt::format("write `parquet: published/{}`", output.name.value));
    }
    return;
  }
  if (auto value = fields.text(*path, "parquet")) {
    if (is_local_path(*value, "parquet", fields, "publish to a directory of this machine")) {
      output.parquet_path = std::move(*value);
    }
  }
  if (const YamlNode* compression = node.find("compression")) {
    const auto index = fields.word(*compression, "compression", {"zstd", "snappy", "none"});
    if (index) output.compression = compression->text;
  }
  if (const YamlNode* by = node.find("by")) {
    output.publish_by = fields.texts(*by, "by");
    if (output.publish_by.size() > kPublishByMax) {
      fields.error(codes::kPublishByColumn, by->span,
                   fmt::format("an output is published by at most {} columns", kPublishByMax),
                   fmt::format("{} columns", output.publish_by.size()),
                   "keep those that the output is read or rewritten by");
    }
  }
}

void parse_publish(const YamlNode& node, Output& output, Fields& fields) {
  if (node.kind != YamlKind::kSequence) {
    parse_target(node, output, fields);
    return;
  }
  if (node.items.empty()) {
    fields.error(codes::kNoPublishTarget, node.span,
                 fmt::format("the output `{}` is published nowhere", output.name.value),
                 "an empty list",
                 fmt::format("write `- parquet: published/{}`", output.name.value));
    return;
  }
  parse_target(*node.items[0], output, fields);
  for (size_t i = 1; i < node.items.size(); ++i) {
    fields.error(codes::kSeveralTargets, node.items[i]->span,
                 "a second publish target is not supported by this version", "",
                 "make a second output from the same stage");
  }
}

void check_check_names(const Output& output, Fields& fields) {
  std::set<std::string_view> seen;
  for (const Check& check : output.checks) {
    if (seen.insert(check.name.value).second) continue;
    fields.error(codes::kDuplicateCheck, check.name.span,
                 fmt::format("two checks are called `{}`", check.name.value), "given again here",
                 "remove one of them, or tell them apart by `name:`");
  }
}

}  // namespace

Output parse_output(const YamlPair& entry, Fields& fields) {
  Output out;
  out.name = {entry.key, entry.key_span};
  out.span = {entry.key_span.begin, std::max(entry.key_span.end, entry.value->span.end)};
  fields.valid_name(entry.key, entry.key_span, "an output");
  const YamlNode& node = *entry.value;
  if (!fields.is_mapping(node, entry.key,
                         entry.key + ": {from: STAGE, publish: {parquet: PATH}}")) {
    return out;
  }
  fields.check_keys(
      node, "an output",
      {"from", "description", "freshness", "checks", "publish", "keep", "on_empty", "rollback"},
      kOutputNotYet);
  if (const YamlNode* from = node.find("from")) {
    if (auto name = fields.text(*from, "from")) out.from = std::move(*name);
  } else {
    fields.error(codes::kMissingKey, entry.key_span,
                 fmt::format("the output `{}` has no `from`", entry.key), "from which stage?",
                 "add `from: STAGE`");
  }
  if (const YamlNode* description = node.find("description")) {
    if (auto value = fields.text(*description, "description")) out.description = value->value;
  }
  if (const YamlNode* freshness = node.find("freshness")) {
    out.freshness = parse_freshness(*freshness, fields);
  }
  if (const YamlNode* checks = node.find("checks")) {
    if (fields.is_list(*checks, "checks", "checks: [{unique: [carrier, origin]}]")) {
      for (const auto& item : checks->items) {
        if (auto check = parse_check(*item, fields)) out.checks.push_back(std::move(*check));
      }
    }
    check_check_names(out, fields);
  }
  if (const YamlNode* publish = node.find("publish")) {
    parse_publish(*publish, out, fields);
  } else {
    fields.error(codes::kNoPublishTarget, entry.key_span,
                 fmt::format("the output `{}` is published nowhere", entry.key), "",
                 fmt::format("add `publish: {{parquet: published/{}}}`", entry.key));
  }
  if (const YamlNode* keep = node.find("keep")) {
    if (const auto value = fields.integer(*keep, "keep", 0, kKeepMax)) {
      out.keep = static_cast<uint32_t>(value->value);
    }
  }
  if (const YamlNode* empty = node.find("on_empty")) {
    out.on_empty = fields.on_empty(*empty).value_or(OnEmpty::kAllow);
  }
  if (const YamlNode* rollback = node.find("rollback")) {
    out.rollback = parse_rollback(*rollback, fields);
    if (out.rollback && out.keep == 0)
      fields.error(codes::kRollbackRule, rollback->span, "there is nothing to go back to",
                   "`keep: 0` keeps no earlier generation", "keep at least one: `keep: 1`");
    if (out.rollback && out.rollback->on_check_failed && !out.rollback->on_untrusted &&
        out.checks.empty())
      fields.error(codes::kRollbackRule, rollback->span,
                   "this rollback waits for a check, and the output has none", "",
                   "add `checks`, or write `when: {verdict: UNTRUSTED}`");
  }
  return out;
}

}  // namespace tidegate
