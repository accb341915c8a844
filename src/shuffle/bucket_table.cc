#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/text.h"
#include "duckdb.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/failure_text.h"
#include "shuffle/shuffle.h"
#include "shuffle/table_function.h"

namespace tidegate {
namespace {

using namespace shuffle;

// How a failure travels through DuckDB, which carries text only: "[tidegate/CLASS/CODE] message".
constexpr std::string_view kMark = "[tidegate/";
constexpr size_t kCodeBytesMax = 64;

class RowsOfBuckets final : public TableFunction {
 public:
  explicit RowsOfBuckets(BucketTable table) : table_(std::move(table)) {}

  Result<std::unique_ptr<TableScan>> open(std::vector<uint32_t> columns) override {
    return std::make_unique<Scan>(table_, std::move(columns));
  }

 private:
  class Scan final : public TableScan {
   public:
    Scan(const BucketTable& table, std::vector<uint32_t> columns)
        : scan_(table, std::move(columns)) {}
    Status fill(_duckdb_data_chunk* chunk) override { return scan_.fill(chunk); }

   private:
    BucketScan scan_;
  };

  BucketTable table_;
};

/// The rows that a scan will give, for DuckDB's planner; unknown if a file cannot be read (then the
/// scan says why).
std::optional<uint64_t> count_rows(const BucketTable& table) {
  uint64_t rows = 0;
  for (const MapOutputRef& ref : table.files) {
    const auto file = open_for(table, ref);
    if (!file) return {};
    const auto entries = file->entries(table.bucket_begin, table.bucket_end);
    if (!entries) return {};
    for (const BucketEntry& entry : *entries) rows += entry.rows;
  }
  return rows;
}

}  // namespace

namespace shuffle {

std::string failure_text(const Failure& failure) {
  std::string message = failure.message;
  // DuckDB's messages may be cut at a line's end.
  std::replace_if(
      message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; },
      ' ');
  return fmt::format("{}{}/{}] {}", kMark, to_string(failure.cls), failure.code, message);
}

}  // namespace shuffle

Status register_bucket_table(sql::Connection& connection, Effects& effects, const std::string& name,
                             const sql::Schema& schema, std::vector<MapOutputRef> files,
                             uint32_t bucket_begin, uint32_t bucket_end, uint64_t memory_bytes) {
  if (bucket_begin > bucket_end || bucket_end > kBucketsMax || schema.empty()) {
    return fail(FailureClass::kDefect, "shuffle.options",
                "a bucket table needs columns and buckets");
  }
  BucketTable table;
  table.effects = &effects;
  table.schema = schema;
  table.files = std::move(files);
  table.bucket_begin = bucket_begin;
  table.bucket_end = bucket_end;
  table.memory_bytes = memory_bytes;
  TG_ASSIGN(table.types, batch::column_types(connection, schema));
  const std::optional<uint64_t> rows = count_rows(table);
  TG_ASSIGN(const std::string function,
            register_table(connection, name, "bucket_table", schema,
                           std::make_unique<RowsOfBuckets>(std::move(table)), rows));
  (void)function;
  return {};
}

Failure map_output_failure(const Failure& from_duckdb) {
  const std::string_view text = from_duckdb.message;
  const size_t start = text.find(kMark);
  if (start == std::string_view::npos) return from_duckdb;
  std::string_view rest = text.substr(start + kMark.size());
  const size_t slash = rest.find('/');
  const size_t close = rest.find("] ");
  if (slash == std::string_view::npos || close == std::string_view::npos || close < slash ||
      close - slash > kCodeBytesMax) {
    return from_duckdb;
  }
  Failure failure = from_duckdb;
  if (!parse_failure_class(rest.substr(0, slash), failure.cls)) return from_duckdb;
  failure.code = rest.substr(slash + 1, close - slash - 1);
  failure.message = rest.substr(close + 2);
  return failure;
}

Result<MapOutputInfo> read_map_output_info(Effects& effects, const std::string& path) {
  TG_ASSIGN(const MapOutputFile file, MapOutputFile::open(effects, path));
  TG_ASSIGN(const auto entries, file.all_entries());
  MapOutputInfo info;
  TG_ASSIGN(info.schema, file.schema());
  TG_ASSIGN(info.keys, file.keys());
  info.attempt = file.attempt();
  info.buckets = file.buckets();
  info.rows = file.rows();
  for (const BucketEntry& entry : entries) {
    info.bucket_rows.push_back(entry.rows);
    info.bucket_bytes.push_back(entry.bytes);
  }
  return info;
}

}  // namespace tidegate
