#include "source/rejects.h"

#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "base/units.h"
#include "source/scan.h"

namespace tidegate {
namespace {

/// Some of DuckDB's failures over broken Parquet files have no type, and a code that begins so.
constexpr std::string_view kUntyped = "sql.error_";
/// Lines beyond are not shown. DuckDB's CSV reader allocates 16 times as much for its buffer.
constexpr uint64_t kLineBytesMax = 1024 * 1024;

/// Characters that are asked for: more than kRejectTextMax bytes are cut, and this shows it.
constexpr size_t kTextAsked = kRejectTextMax + 1;

/// At most kRejectTextMax bytes, cut between characters, without what is no UTF-8.
std::string clipped(std::string text) {
  if (text.size() > kRejectTextMax) {
    size_t end = kRejectTextMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
    text += "...";
  }
  if (!is_valid_utf8(text))
    for (char& c : text)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return text;
}

std::map<std::string, std::string> names_by_path(const SourceSnapshot& snapshot,
                                                 const Partition& partition) {
  std::map<std::string, std::string> names;
  for (const FileSlice& slice : partition.slices)
    names[snapshot.files[slice.file].path] = snapshot.files[slice.file].name;
  return names;
}

Result<Rejects> csv_rejects(sql::Connection& connection, const SourceSnapshot& snapshot,
                            const Partition& partition, uint64_t after_scan) {
  const auto names = names_by_path(snapshot, partition);
  std::vector<std::string> paths;
  for (const auto& [path, name] : names) paths.push_back(quote_literal(path));
  Rejects rejects;
  if (paths.empty()) return rejects;
  // One row may break in several columns, and a file may have been scanned more than once. Rows
  // are told apart by where they begin; the line number alone is not exact across scan ranges.
  const std::string rows = fmt::format(
      "FROM (SELECT s.file_path AS file, min(e.line) AS line, e.line_byte_position AS row_at, "
      "first(coalesce(e.column_name, '') ORDER BY e.column_idx) AS col, "
      "first(coalesce(e.error_message, '') ORDER BY e.column_idx) AS reason, "
      "first(coalesce(e.csv_line, '') ORDER BY e.column_idx) AS raw "
      "FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) "
      "WHERE s.file_path IN ({}) AND scan_id > {} GROUP BY s.file_path, e.line_byte_position)",
      join(paths, ", "), after_scan);
  const auto counts =
      connection.query(fmt::format("SELECT file, count(*) {} GROUP BY file ORDER BY file", rows));
  // The tables are made by the first scan that asks for rejects.
  if (!counts && counts.error().code == "sql.catalog") return rejects;
  if (!counts) return std::unexpected(counts.error());
  const auto name_of = [&](const std::string& path) {
    const auto name = names.find(path);
    return name == names.end() ? path : name->second;
  };
  for (const auto& row : counts->rows) {
    rejects.files.emplace_back(name_of(row[0].text), to_u64(row[1].text));
    rejects.rows += rejects.files.back().second;
  }
  if (rejects.rows == 0) return rejects;
  TG_ASSIGN(const sql::Table table,
            connection.query(fmt::format("SELECT file, line, col, left(split_part(reason, chr(10), "
                                         "1), {}), left(raw, {}) {} ORDER BY file, row_at LIMIT {}",
                                         kTextAsked, kTextAsked, rows, kRejectsNamedMax)));
  for (const auto& row : table.rows)
    rejects.first.push_back({name_of(row[0].text), to_u64(row[1].text), row[2].text,
                             clipped(row[3].text), clipped(row[4].text)});
  return rejects;
}

/// Reads the file as one text a line, which no JSON can hinder: JSON has no control characters.
std::string lines_sql(const std::string& path) {
  return fmt::format(
      "SELECT line, row_number() OVER () AS number FROM read_csv({}, auto_detect = false, "
      "header = false, columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', "
      "strict_mode = false, ignore_errors = true, max_line_size = {}, hive_partitioning = false)",
      path_list({path}), kLineBytesMax);
}

Result<Rejects> json_rejects(sql::Connection& connection, const SourceSnapshot& snapshot,
                             const Partition& partition) {
  Rejects rejects;
  for (const FileSlice& slice : partition.slices) {
    const InputFile& file = snapshot.files[slice.file];
    const std::string bad = "NOT (" + json_row_is_good(snapshot.schema, "json") + ")";
    TG_ASSIGN(const sql::Table count,
              connection.query(fmt::format(
                  "SELECT count(*) FROM read_json_objects({}, format = 'newline_delimited', "
                  "ignore_errors = true, hive_partitioning = false) WHERE {}",
                  path_list({file.path}), bad)));
    const uint64_t rows = to_u64(count.scalar());
    rejects.rows += rows;
    if (rows > 0) rejects.files.emplace_back(file.name, rows);
    if (rows == 0 || rejects.first.size() >= kRejectsNamedMax) continue;
    std::vector<std::string> cases;
    for (const sql::Column& column : snapshot.schema)
      cases.push_back(fmt::format("WHEN NOT ({}) THEN {}", json_row_is_good({column}, "line"),
                                  quote_literal(column.name)));
    TG_ASSIGN(
        const sql::Table table,
        connection.query(fmt::format(
            "SELECT number, CASE WHEN NOT json_valid(line) OR json_type(line) <> 'OBJECT' "
            "THEN '' {} ELSE '' END, left(line, {}) FROM ({}) WHERE trim(coalesce(line, '')) <> '' "
            "AND "
            "NOT ({}) ORDER BY number LIMIT {}",
            join(cases, " "), kTextAsked, lines_sql(file.path),
            json_row_is_good(snapshot.schema, "line"), kRejectsNamedMax - rejects.first.size())));
    for (const auto& row : table.rows) {
      std::string reason = "not a JSON object";
      for (const sql::Column& column : snapshot.schema)
        if (column.name == row[1].text && !row[1].text.empty())
          reason = fmt::format("cannot be read as {}", column.type);
      rejects.first.push_back(
          {file.name, to_u64(row[0].text), row[1].text, std::move(reason), clipped(row[2].text)});
    }
  }
  return rejects;
}

std::string bad_file_message(const std::string& name) {
  return fmt::format("an input file cannot be read: \"{}\"", name);
}

bool may_be_broken_file(const Failure& failure) {
  return failure.cls == FailureClass::kData || failure.code.starts_with(kUntyped);
}

/// The first file of a Parquet partition that cannot be read. DuckDB's message may name it; else
/// each is read by itself.
const InputFile* find_bad_file(Effects& effects, sql::Connection& connection,
                               const SourceSnapshot& snapshot, const Partition& partition,
                               const Failure& from_duckdb,
                               const std::vector<std::string>& columns) {
  for (const FileSlice& slice : partition.slices)
    if (from_duckdb.message.find(snapshot.files[slice.file].path) != std::string::npos)
      return &snapshot.files[slice.file];
  for (const FileSlice& slice : partition.slices) {
    Partition alone;
    alone.slices = {slice};
    const auto scan = scan_sql(effects, snapshot, alone, columns);
    if (!scan) return nullptr;
    const Status read =
        connection.execute(fmt::format("SELECT bit_xor(hash(*COLUMNS(*))) FROM ({})", *scan));
    if (!read && may_be_broken_file(read.error())) return &snapshot.files[slice.file];
  }
  return nullptr;
}

}  // namespace

Result<Rejects> read_rejects(Effects&, sql::Connection& connection, const SourceSnapshot& snapshot,
                             const Partition& partition) {
  switch (snapshot.recipe.format) {
    case FileFormat::kCsv:
      return csv_rejects(connection, snapshot, partition, 0);
    case FileFormat::kJson:
      return json_rejects(connection, snapshot, partition);
    case FileFormat::kParquet:
      break;
  }
  return Rejects{};
}

Failure bad_file(const std::string& name, Failure cause) {
  Failure failure{FailureClass::kData, "source.bad_file", bad_file_message(name)};
  if (cause.code == "source.not_whole") failure.message += ": " + cause.message;
  failure.cause = std::make_shared<Failure>(std::move(cause));
  return failure;
}

Failure explain_scan_failure(Effects& effects, sql::Connection& connection,
                             const SourceSnapshot& snapshot, const Partition& partition,
                             const Failure& from_duckdb, const std::vector<std::string>& columns) {
  if (!may_be_broken_file(from_duckdb)) return from_duckdb;
  if (snapshot.recipe.format == FileFormat::kParquet) {
    const InputFile* file =
        find_bad_file(effects, connection, snapshot, partition, from_duckdb, columns);
    if (!file) return from_duckdb;
    return bad_file(file->name, from_duckdb);
  }
  if (from_duckdb.cls != FailureClass::kData) return from_duckdb;
  const bool csv = snapshot.recipe.format == FileFormat::kCsv;
  if (csv && from_duckdb.message.find("CSV Error") == std::string::npos) return from_duckdb;
  if (!csv && from_duckdb.message.find("JSON") == std::string::npos) return from_duckdb;
  // The same scan once more, noting bad rows instead of stopping at the first.
  SourceSnapshot noting = snapshot;
  noting.recipe.set_aside_bad_rows = true;
  uint64_t scans_before = 0;
  if (csv) {
    if (const auto last = connection.query("SELECT max(scan_id) FROM reject_scans"))
      scans_before = to_u64(last->scalar());
    const auto scan = scan_sql(effects, noting, partition);
    if (!scan) return from_duckdb;
    std::vector<std::string> used;
    for (const sql::Column& column : snapshot.schema)
      used.push_back(fmt::format("count({})", quote_identifier(column.name)));
    if (!connection.execute(fmt::format("SELECT {} FROM ({})", join(used, ", "), *scan)))
      return from_duckdb;
  }
  const auto rejects = csv ? csv_rejects(connection, noting, partition, scans_before)
                           : json_rejects(connection, noting, partition);
  if (!rejects || rejects->first.empty()) return from_duckdb;
  const RejectedRow& row = rejects->first.front();
  std::string message = fmt::format("bad row in \"{}\" line {}", row.file, row.line);
  if (!row.column.empty()) message += fmt::format(" column {}", quote_identifier(row.column));
  message += fmt::format(": {}; the row is: {}", row.reason.substr(0, row.reason.find('\n')),
                         quote_json(row.raw));
  if (rejects->rows > 1)
    message += fmt::format("; {} rows of this partition are bad", format_count(rejects->rows));
  Failure failure{FailureClass::kData, "source.bad_row", std::move(message)};
  failure.cause = std::make_shared<Failure>(from_duckdb);
  return failure;
}

const InputFile* bad_file_of(const SourceSnapshot& snapshot, const Partition& partition,
                             const Failure& failure) {
  if (failure.code != "source.bad_file") return nullptr;
  for (const FileSlice& slice : partition.slices)
    if (failure.message.starts_with(bad_file_message(snapshot.files[slice.file].name)))
      return &snapshot.files[slice.file];
  return nullptr;
}

}  // namespace tidegate
