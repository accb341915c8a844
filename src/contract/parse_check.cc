#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/text.h"
#include "base/units.h"
#include "contract/codes.h"
#include "contract/parse_parts.h"

namespace tidegate {
namespace {

constexpr std::array<std::string_view, 9> kKinds = {
    "unique", "not_null", "rows", "accepted", "range", "regex", "references", "expect", "schema"};
constexpr double kChangeMax = 100;  // 10,000%: a hundredfold

std::string names_of(const std::vector<Spanned<std::string>>& columns) {
  std::vector<std::string> names;
  for (const auto& column : columns) names.push_back(column.value);
  return join(names, ", ");
}

/// The value of a key that must be there.
const YamlNode* need(const YamlNode& node, std::string_view kind, std::string_view key,
                     std::string_view example, Fields& fields) {
  if (const YamlNode* value = node.find(key)) return value;
  fields.error(codes::kMissingKey, node.span, fmt::format("`{}` has no `{}`", kind, key), "",
               fmt::format("write `{}`", example));
  return nullptr;
}

void read_column(const YamlNode& node, std::string_view kind, std::string_view example,
                 Check& check, Fields& fields) {
  if (const YamlNode* column = need(node, kind, "column", example, fields)) {
    if (auto name = fields.text(*column, "column")) check.columns.push_back(std::move(*name));
  }
}

void parse_rows(const YamlNode& node, Check& check, Fields& fields) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  if (!fields.is_mapping(node, "rows", "rows: {min: 100, change: 30%}")) return;
  fields.check_keys(node, "`rows`", {"min", "max", "change"});
  if (const YamlNode* min = node.find("min"))
    check.rows_min = fields.integer(*min, "min", 0, kMost);
  if (const YamlNode* max = node.find("max"))
    check.rows_max = fields.integer(*max, "max", 0, kMost);
  if (const YamlNode* change = node.find("change")) {
    check.rows_change = fields.share(*change, "change", kChangeMax);
  }
  if (node.pairs.empty()) {
    fields.error(codes::kEmptyCheck, node.span, "`rows` promises nothing", "",
                 "give `min`, `max` or `change`");
  }
  if (check.rows_min && check.rows_max && check.rows_min->value > check.rows_max->value) {
    fields.error(codes::kReversedRange, check.rows_max->span, "`max` is below `min`",
                 fmt::format("below {}", check.rows_min->value));
  }
}

void parse_accepted(const YamlNode& node, Check& check, Fields& fields) {
  constexpr std::string_view kExample = "accepted: {column: status, values: [new, done]}";
  if (!fields.is_mapping(node, "accepted", kExample)) return;
  fields.check_keys(node, "`accepted`", {"column", "values"});
  read_column(node, "accepted", kExample, check, fields);
  const YamlNode* values = need(node, "accepted", "values", kExample, fields);
  if (values == nullptr || !fields.is_list(*values, "values", "values: [new, done]")) return;
  if (values->items.empty()) {
    fields.error(codes::kEmptyCheck, values->span, "`values` accepts nothing", "an empty list");
  }
  if (values->items.size() > kEntriesMax) {
    fields.error(codes::kOutOfRange, values->items[kEntriesMax]->span,
                 fmt::format("`values` has more than {} items", format_count(kEntriesMax)), "",
                 "put the values into a source, and use `references`");
    return;
  }
  for (const auto& item : values->items) {
    if (item->kind == YamlKind::kScalar && item->is_null() && !item->broken) {
      fields.error(codes::kCheckValue, item->span, "NULL is not a value that can be accepted",
                   "rows with NULL pass this check",
                   "remove it; to refuse NULL add `- not_null: [COLUMN]`");
      continue;
    }
    auto value = fields.literal(*item, "values");
    if (!value) continue;
    const bool twice = std::any_of(check.accepted.begin(), check.accepted.end(),
                                   [&](const auto& other) { return other.value == value->value; });
    if (twice) {
      fields.error(codes::kDuplicateItem, value->span,
                   fmt::format("{} stands twice in `values`", value->value), "given again here",
                   "remove one of them");
      continue;
    }
    check.accepted.push_back(std::move(*value));
  }
}

std::optional<double> number_of(const Spanned<std::string>& literal) {
  double value = 0;
  const char* end = literal.value.data() + literal.value.size();
  const auto [stop, failed] = std::from_chars(literal.value.data(), end, value);
  if (failed != std::errc() || stop != end) return std::nullopt;
  return value;
}

void parse_range(const YamlNode& node, Check& check, Fields& fields) {
  constexpr std::string_view kExample = "range: {column: delay, min: -60, max: 1440}";
  if (!fields.is_mapping(node, "range", kExample)) return;
  fields.check_keys(node, "`range`", {"column", "min", "max"});
  read_column(node, "range", kExample, check, fields);
  if (const YamlNode* min = node.find("min")) check.range_min = fields.literal(*min, "min");
  if (const YamlNode* max = node.find("max")) check.range_max = fields.literal(*max, "max");
  if (node.find("min") == nullptr && node.find("max") == nullptr) {
    fields.error(codes::kEmptyCheck, node.span, "`range` promises nothing", "",
                 "give `min`, `max` or both");
  }
  if (!check.range_min || !check.range_max) return;
  const auto min = number_of(*check.range_min);
  const auto max = number_of(*check.range_max);
  if (min.has_value() != max.has_value()) {
    fields.error(codes::kCheckValue, check.range_max->span,
                 "`min` and `max` are of different types", "",
                 "write both as numbers, or both as texts");
  } else if (min && *min > *max) {
    fields.error(codes::kReversedRange, check.range_max->span, "`max` is below `min`",
                 fmt::format("below {}", check.range_min->value));
  }
}

void parse_regex(const YamlNode& node, Check& check, Fields& fields) {
  constexpr std::string_view kExample = "regex: {column: iata, pattern: '[A-Z]{3}'}";
  if (!fields.is_mapping(node, "regex", kExample)) return;
  fields.check_keys(node, "`regex`", {"column", "pattern"});
  read_column(node, "regex", kExample, check, fields);
  if (const YamlNode* pattern = need(node, "regex", "pattern", kExample, fields)) {
    check.regex = fields.text(*pattern, "pattern");
  }
}

void parse_references(const YamlNode& node, Check& check, Fields& fields) {
  constexpr std::string_view kExample =
      "references: {columns: [origin], to: airports, to_columns: [iata]}";
  if (!fields.is_mapping(node, "references", kExample)) return;
  fields.check_keys(node, "`references`", {"columns", "to", "to_columns"});
  if (const YamlNode* columns = need(node, "references", "columns", kExample, fields)) {
    check.columns = fields.texts(*columns, "columns");
  }
  if (const YamlNode* to = need(node, "references", "to", kExample, fields)) {
    if (auto name = fields.text(*to, "to")) check.references_to = std::move(*name);
  }
  const YamlNode* to_columns = node.find("to_columns");
  if (to_columns == nullptr) {
    check.references_columns = check.columns;
    return;
  }
  check.references_columns = fields.texts(*to_columns, "to_columns");
  const size_t ours = check.columns.size();
  const size_t theirs = check.references_columns.size();
  if (ours != 0 && theirs != 0 && ours != theirs) {
    fields.error(codes::kReferenceColumns, to_columns->span,
                 "`columns` and `to_columns` pair up one to one",
                 fmt::format("{} here, {} in `columns`", theirs, ours));
  }
}

void parse_kind(const YamlPair& entry, Check& check, Fields& fields) {
  const YamlNode& node = *entry.value;
  switch (check.kind) {
    case CheckKind::kUnique:
      check.columns = fields.texts(node, "unique");
      break;
    case CheckKind::kNotNull:
      check.columns = fields.texts(node, "not_null");
      break;
    case CheckKind::kRows:
      parse_rows(node, check, fields);
      break;
    case CheckKind::kAccepted:
      parse_accepted(node, check, fields);
      break;
    case CheckKind::kRange:
      parse_range(node, check, fields);
      break;
    case CheckKind::kRegex:
      parse_regex(node, check, fields);
      break;
    case CheckKind::kReferences:
      parse_references(node, check, fields);
      break;
    case CheckKind::kExpect:
      check.expect = fields.sql(node, "expect");
      break;
    case CheckKind::kSchema:
      check.schema = fields.columns(node, "schema");
      break;
  }
}

std::string default_name(const Check& check) {
  std::string kind(to_string(check.kind));
  switch (check.kind) {
    case CheckKind::kRows:
    case CheckKind::kSchema:
      return kind;
    case CheckKind::kExpect:
      return fmt::format("{}({})", kind, check.expect.text);
    case CheckKind::kReferences:
      return fmt::format("{}({} -> {})", kind, names_of(check.columns), check.references_to.value);
    default:
      return fmt::format("{}({})", kind, names_of(check.columns));
  }
}

}  // namespace

std::string_view to_string(CheckKind kind) { return kKinds[static_cast<size_t>(kind)]; }

std::optional<Check> parse_check(const YamlNode& node, Fields& fields) {
  if (node.kind != YamlKind::kMapping) {
    if (!node.broken) {
      fields.error(codes::kWrongType, node.span, "an item of `checks` must be a mapping",
                   fmt::format("this is {}", kind_of(node)),
                   "write e.g. `- unique: [carrier, origin]`");
    }
    return std::nullopt;
  }
  const YamlPair* kind = nullptr;
  for (const YamlPair& pair : node.pairs) {
    const auto found = std::find(kKinds.begin(), kKinds.end(), pair.key);
    if (found != kKinds.end()) {
      if (kind != nullptr) {
        fields.error(codes::kSeveralKinds, pair.key_span, "two checks in one item",
                     fmt::format("beside `{}`", kind->key),
                     fmt::format("begin a new item: `- {}: ...`", pair.key));
        continue;
      }
      kind = &pair;
      continue;
    }
    if (pair.key == "name" || pair.key == "severity" || pair.key == "tolerance" ||
        pair.key == "evolution") {
      continue;
    }
    std::vector<std::string> candidates(kKinds.begin(), kKinds.end());
    candidates.insert(candidates.end(), {"name", "severity", "tolerance", "evolution"});
    const std::string meant = did_you_mean(pair.key, candidates);
    fields.error(codes::kUnknownCheck, pair.key_span, fmt::format("unknown check `{}`", pair.key),
                 "",
                 meant.empty()
                     ? std::string("the checks are unique, not_null, rows, accepted, range, regex, "
                                   "references, expect and schema;\nbeside one may stand name, "
                                   "severity, tolerance and (schema) evolution")
                     : fmt::format("did you mean `{}`?", meant));
    if (kind == nullptr) return std::nullopt;
  }
  if (kind == nullptr) {
    fields.error(codes::kUnknownCheck, node.span, "a check that checks nothing", "",
                 "begin the item with its kind, e.g. `- unique: [carrier, origin]`");
    return std::nullopt;
  }
  Check check;
  check.span = node.span;
  check.kind =
      static_cast<CheckKind>(std::find(kKinds.begin(), kKinds.end(), kind->key) - kKinds.begin());
  parse_kind(*kind, check, fields);
  if (const YamlNode* severity = node.find("severity")) {
    check.is_error = fields.word(*severity, "severity", {"error", "warn"}).value_or(0) == 0;
  }
  if (const YamlNode* tolerance = node.find("tolerance")) {
    if (check.kind == CheckKind::kRows || check.kind == CheckKind::kSchema) {
      fields.error(codes::kTolerance, tolerance->span,
                   fmt::format("`{}` has no rows that could be tolerated", kind->key),
                   "it holds for the output as a whole", "remove `tolerance`");
    } else {
      check.tolerance = fields.share(*tolerance, "tolerance");
    }
  }
  if (const YamlNode* evolution = node.find("evolution")) {
    if (check.kind != CheckKind::kSchema) {
      fields.error(codes::kConflictingKeys, evolution->span, "`evolution` belongs to `schema`", "",
                   "remove it");
    } else {
      check.evolution_add = fields.word(*evolution, "evolution", {"none", "add"}).value_or(0) == 1;
    }
  }
  check.name = {default_name(check), kind->key_span};
  if (const YamlNode* name = node.find("name")) {
    if (auto given = fields.text(*name, "name")) check.name = std::move(*given);
  }
  return check;
}

}  // namespace tidegate
