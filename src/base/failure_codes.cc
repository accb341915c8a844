#include "base/failure_codes.h"

#include <algorithm>
#include <utility>

namespace tidegate {

// Made from docs/errors.md.
extern const std::string_view kPage_classes;
extern const std::string_view kPage_evidence;
extern const std::string_view kPage_failures;

namespace {

using TableRow = std::vector<std::string>;

std::string trimmed_cell(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(' ') + 1 - begin));
}

/// A name in backticks, without them.
std::string bare_name(std::string_view text) {
  if (text.starts_with('`')) text.remove_prefix(1);
  if (text.ends_with('`')) text.remove_suffix(1);
  return std::string(text);
}

/// The rows of a Markdown table under its head, `columns` cells each.
std::vector<TableRow> rows_of(std::string_view table, size_t columns) {
  std::vector<TableRow> rows;
  size_t head = 2;
  while (!table.empty()) {
    const size_t end = std::min(table.find('\n'), table.size());
    std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    if (!line.starts_with("| ") && !line.starts_with("|-")) continue;
    if (head > 0) {
      --head;
      continue;
    }
    TableRow row;
    line.remove_prefix(1);
    for (size_t bar = line.find('|'); bar != std::string_view::npos; bar = line.find('|')) {
      row.push_back(trimmed_cell(line.substr(0, bar)));
      line.remove_prefix(bar + 1);
    }
    if (!row.empty()) row[0] = bare_name(row[0]);
    TG_ASSERT(row.size() == columns);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<FailureCodeInfo> read_codes() {
  std::vector<FailureCodeInfo> codes;
  for (TableRow& row : rows_of(kPage_failures, 4))
    codes.push_back({std::move(row[0]), std::move(row[1]), std::move(row[2]), std::move(row[3])});
  TG_ASSERT(std::ranges::is_sorted(codes, {}, &FailureCodeInfo::code));
  return codes;
}

std::vector<FailureClassInfo> read_classes() {
  std::vector<FailureClassInfo> classes;
  for (TableRow& row : rows_of(kPage_classes, 4)) {
    FailureClassInfo info{FailureClass::kDefect, std::move(row[1]), std::move(row[2]),
                          std::move(row[3])};
    TG_ASSERT(parse_failure_class(row[0], info.cls));
    classes.push_back(std::move(info));
  }
  return classes;
}

}  // namespace

const std::vector<FailureCodeInfo>& failure_codes() {
  static const std::vector<FailureCodeInfo> codes = read_codes();
  return codes;
}

const FailureCodeInfo* find_failure_code(std::string_view code) {
  const auto& codes = failure_codes();
  const auto found = std::ranges::lower_bound(
      codes, code, {}, [](const FailureCodeInfo& info) { return std::string_view(info.code); });
  return found == codes.end() || found->code != code ? nullptr : &*found;
}

const FailureClassInfo& about(FailureClass cls) {
  static const std::vector<FailureClassInfo> classes = read_classes();
  const auto found = std::ranges::find(classes, cls, &FailureClassInfo::cls);
  TG_ASSERT(found != classes.end());
  return *found;
}

std::string_view evidence_of(std::string_view code) {
  static const std::vector<TableRow> evidence = rows_of(kPage_evidence, 2);
  for (const TableRow& row : evidence)
    if (code.starts_with(row[0])) return row[1];
  return "what the program saw";
}

std::string_view advice_for(std::string_view code) {
  if (const FailureCodeInfo* info = find_failure_code(code)) return info->advice;
  return "report it with `tidegate explain` and the pipeline file";
}

}  // namespace tidegate
