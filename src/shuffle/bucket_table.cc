#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <string>

#include <fmt/format.h>

#include "base/text.h"
#include "duckdb.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/failure_text.h"
#include "shuffle/shuffle.h"

namespace tidegate {
namespace {

using namespace shuffle;

// How a failure travels through DuckDB, which carries text only: "[tidegate/CLASS/CODE] message".
constexpr std::string_view kMark = "[tidegate/";
constexpr size_t kCodeBytesMax = 64;

/// The registration: what all binds and scans of one table share.
struct Registered {
  BucketTable table;
  std::vector<duckdb_logical_type> logical_types;
  uint64_t rows = 0;
  bool rows_known = false;

  ~Registered() {
    for (duckdb_logical_type& type : logical_types) duckdb_destroy_logical_type(&type);
  }
};

template <typename T>
void destroy(void* value) {
  delete static_cast<T*>(value);
}

void bind(duckdb_bind_info info) {
  const auto& registered = *static_cast<const Registered*>(duckdb_bind_get_extra_info(info));
  for (size_t i = 0; i < registered.table.schema.size(); ++i) {
    duckdb_bind_add_result_column(info, registered.table.schema[i].name.c_str(),
                                  registered.logical_types[i]);
  }
  if (registered.rows_known) duckdb_bind_set_cardinality(info, registered.rows, true);
}

void init(duckdb_init_info info) {
  const auto& registered = *static_cast<const Registered*>(duckdb_init_get_extra_info(info));
  std::vector<uint32_t> columns;
  const idx_t count = duckdb_init_get_column_count(info);
  for (idx_t i = 0; i < count; ++i) {
    const idx_t column = duckdb_init_get_column_index(info, i);
    // What is no column of ours stands for "any" (a count of rows): the vector is not read.
    columns.push_back(column < registered.table.schema.size() ? static_cast<uint32_t>(column)
                                                              : BucketScan::kNoColumn);
  }
  // One thread keeps the order of rows: file, bucket, row.
  duckdb_init_set_max_threads(info, 1);
  duckdb_init_set_init_data(info, new BucketScan(registered.table, std::move(columns)),
                            destroy<BucketScan>);
}

void scan(duckdb_function_info info, duckdb_data_chunk chunk) {
  auto& state = *static_cast<BucketScan*>(duckdb_function_get_init_data(info));
  try {
    const Status status = state.fill(chunk);
    if (status) return;
    duckdb_data_chunk_set_size(chunk, 0);
    duckdb_function_set_error(info, failure_text(status.error()).c_str());
  } catch (const std::bad_alloc&) {
    // An exception must not cross DuckDB's C interface.
    duckdb_data_chunk_set_size(chunk, 0);
    duckdb_function_set_error(
        info, failure_text({FailureClass::kMemory, "shuffle.memory", "no memory to read a block"})
                  .c_str());
  }
}

/// The rows that a scan will give, for DuckDB's planner; unknown if a file cannot be read (then the
/// scan says why).
bool count_rows(const BucketTable& table, uint64_t& rows) {
  rows = 0;
  for (const MapOutputRef& ref : table.files) {
    const auto file = open_for(table, ref);
    if (!file) return false;
    const auto entries = file->entries(table.bucket_begin, table.bucket_end);
    if (!entries) return false;
    for (const BucketEntry& entry : *entries) rows += entry.rows;
  }
  return true;
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
  auto registered = std::make_unique<Registered>();
  BucketTable& table = registered->table;
  table.effects = &effects;
  table.schema = schema;
  table.files = std::move(files);
  table.bucket_begin = bucket_begin;
  table.bucket_end = bucket_end;
  table.memory_bytes = memory_bytes;
  for (const sql::Column& column : schema) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    registered->logical_types.push_back(type);
    TG_ASSIGN(auto parts, batch::column_type(type));
    table.types.push_back(std::move(parts));
  }
  registered->rows_known = count_rows(table, registered->rows);

  // Functions cannot be replaced or dropped through the C API, so each registration has its own
  // and the view decides which is meant.
  static std::atomic<uint64_t> counter{0};
  const std::string function_name = fmt::format("tidegate_bucket_table_{}", ++counter);
  duckdb_table_function function = duckdb_create_table_function();
  duckdb_table_function_set_name(function, function_name.c_str());
  duckdb_table_function_set_extra_info(function, registered.release(), destroy<Registered>);
  duckdb_table_function_set_bind(function, bind);
  duckdb_table_function_set_init(function, init);
  duckdb_table_function_set_function(function, scan);
  duckdb_table_function_supports_projection_pushdown(function, true);
  const duckdb_state state = duckdb_register_table_function(connection.raw(), function);
  duckdb_destroy_table_function(&function);
  if (state != DuckDBSuccess) {
    return fail(FailureClass::kDefect, "shuffle.register",
                "DuckDB refused to register a bucket table: " + quote_identifier(name));
  }
  return connection.execute(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS SELECT * FROM {}()",
                                        quote_identifier(name), function_name));
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
