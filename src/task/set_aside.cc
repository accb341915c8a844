#include "task/set_aside.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/secrets.h"
#include "base/text.h"

namespace tidegate {
namespace {

/// The fields of a row, without braces.
std::string fields_of_row(const RejectedRow& row) {
  return fmt::format(R"("file":{},"line":{},"column":{},"reason":{},"raw":{})",
                     quote_json(row.file), row.line, quote_json(row.column), quote_json(row.reason),
                     quote_json(row.raw));
}

bool take_out(TaskScan& scan, const Failure& failure) {
  const InputFile* file = bad_file_of(scan.snapshot, scan.partition, failure);
  if (!file) return false;
  uint64_t rows = 0;
  std::erase_if(scan.partition.slices, [&](const FileSlice& slice) {
    if (&scan.snapshot.files[slice.file] != file) return false;
    rows += rows_in(scan.snapshot, slice);
    return true;
  });
  scan.lost.rows += rows;
  scan.lost.files.emplace_back(file->name, rows);
  scan.lost.first.push_back({file->name, 0, "",
                             first_line(failure.cause ? failure.cause->message : failure.message),
                             ""});
  return true;
}

}  // namespace

uint64_t rows_in(const SourceSnapshot& snapshot, const FileSlice& slice) {
  const uint64_t rows = snapshot.files[slice.file].rows;
  if (slice.row_end >= 0)
    return static_cast<uint64_t>(std::max<int64_t>(0, slice.row_end - slice.row_begin));
  return rows - std::min(rows, static_cast<uint64_t>(slice.row_begin));
}

bool set_file_aside(TaskSpec& spec, const Failure& failure) {
  for (TaskInput& input : spec.inputs)
    if (input.scan && input.scan->count_rejects && take_out(*input.scan, failure)) return true;
  if (!spec.verify) return false;
  // A reference that is not there is missed by the check, so nothing passes for it.
  for (auto& [name, scan] : spec.verify->sources)
    if (scan.snapshot.recipe.set_aside_bad_rows && take_out(scan, failure)) return true;
  return false;
}

std::string set_aside_table(size_t index) { return fmt::format("quarantine-{}.jsonl", index); }

std::string set_aside_json(const RejectedRow& row) { return "{" + fields_of_row(row) + "}"; }

Result<uint64_t> write_set_aside(Effects& effects, const std::string& path, const SetAside& aside) {
  std::string text;
  uint64_t rows = 0;
  for (const RejectedRow& row : aside.rows) {
    const std::string line = without_secrets(
        fmt::format("{{\"source\":{},{},\"stage\":{},\"attempt\":{}}}\n", quote_json(aside.source),
                    fields_of_row(row), quote_json(aside.stage), quote_json(aside.attempt)));
    if (text.size() + line.size() > kSetAsideBytesMax) break;
    text += line;
    ++rows;
  }
  TG_TRY(write_file(effects, path, text));
  return rows;
}

Result<SetAside> read_set_aside(Effects& effects, const std::string& path) {
  const auto torn = [&] {
    return fail(FailureClass::kLost, "quarantine.table",
                fmt::format("the rows set aside cannot be read: \"{}\"", path));
  };
  TG_ASSIGN(const std::string text, read_file(effects, path, kSetAsideBytesMax));
  SetAside aside;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) return torn();
    const auto row = nlohmann::json::parse(text.begin() + static_cast<long>(at),
                                           text.begin() + static_cast<long>(end), nullptr, false);
    at = end + 1;
    try {
      if (!row.is_object()) return torn();
      row.at("source").get_to(aside.source);
      row.at("stage").get_to(aside.stage);
      row.at("attempt").get_to(aside.attempt);
      aside.rows.push_back(
          {row.at("file"), row.at("line"), row.at("column"), row.at("reason"), row.at("raw")});
    } catch (const nlohmann::json::exception&) {
      return torn();
    }
  }
  return aside;
}

}  // namespace tidegate
