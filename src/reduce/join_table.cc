#include "reduce/join_table.h"

#include <fmt/format.h>

#include <atomic>
#include <new>

#include "base/text.h"
#include "duckdb.h"
#include "reduce/join_run.h"
#include "shuffle/failure_text.h"

namespace tidegate::reduce {
namespace {

/// One relation: what all of its scans share.
struct Registered {
  std::shared_ptr<JoinRun> run;
  JoinRun::Which which = JoinRun::kLeft;
  std::vector<std::string> names;
  std::vector<duckdb_logical_type> types;

  ~Registered() {
    for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
  }
};

/// A scan of it.
struct Scan {
  std::shared_ptr<JoinRun> run;
  JoinRun::Which which;
  bool open = false;
  ~Scan() {
    if (open) run->close(which);
  }
};

template <typename T>
void destroy(void* value) {
  delete static_cast<T*>(value);
}

void bind(duckdb_bind_info info) {
  const auto& registered = *static_cast<const Registered*>(duckdb_bind_get_extra_info(info));
  for (size_t i = 0; i < registered.names.size(); ++i)
    duckdb_bind_add_result_column(info, registered.names[i].c_str(), registered.types[i]);
}

void init(duckdb_init_info info) {
  auto& registered = *static_cast<Registered*>(duckdb_init_get_extra_info(info));
  std::vector<uint32_t> columns;
  const idx_t count = duckdb_init_get_column_count(info);
  for (idx_t i = 0; i < count; ++i) {
    const idx_t column = duckdb_init_get_column_index(info, i);
    columns.push_back(column < registered.names.size() ? static_cast<uint32_t>(column)
                                                       : UINT32_MAX);
  }
  auto scan = std::make_unique<Scan>(Scan{registered.run, registered.which});
  const Status opened = registered.run->open(registered.which, columns);
  if (!opened) {
    duckdb_init_set_error(info, shuffle::failure_text(opened.error()).c_str());
    return;
  }
  scan->open = true;
  duckdb_init_set_max_threads(info, 1);
  duckdb_init_set_init_data(info, scan.release(), destroy<Scan>);
}

void scan(duckdb_function_info info, duckdb_data_chunk chunk) {
  auto& state = *static_cast<Scan*>(duckdb_function_get_init_data(info));
  Failure failure;
  try {
    const Status status = state.run->fill(state.which, chunk);
    if (status) return;
    failure = status.error();
  } catch (const std::bad_alloc&) {
    // An exception must not cross DuckDB's C interface.
    failure = {FailureClass::kMemory, "reduce.memory", "no memory for a join's table"};
  }
  duckdb_data_chunk_set_size(chunk, 0);
  duckdb_function_set_error(info, shuffle::failure_text(failure).c_str());
}

Result<uint32_t> place_of(const sql::Schema& schema, const std::string& name) {
  const std::string lower = to_lower_ascii(name);
  for (uint32_t i = 0; i < schema.size(); ++i)
    if (to_lower_ascii(schema[i].name) == lower) return i;
  return fail(FailureClass::kDefect, "reduce.join_column",
              fmt::format("a join's input has no column \"{}\"", name));
}

Result<JoinRun::Side> make_side(sql::Connection& connection, Effects& effects,
                                const JoinSpec::Side& spec, JoinInput input) {
  JoinRun::Side side;
  for (const sql::Column& column : input.schema) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    auto parts = batch::column_type(type);
    duckdb_destroy_logical_type(&type);
    if (!parts) return std::unexpected(std::move(parts).error());
    side.table.types.push_back(std::move(*parts));
  }
  side.table.effects = &effects;
  side.table.files = std::move(input.files);
  side.table.bucket_begin = input.bucket_begin;
  side.table.bucket_end = input.bucket_end;
  side.table.memory_bytes = input.scan_bytes;
  for (const std::string& key : spec.keys) {
    TG_ASSIGN(const uint32_t column, place_of(input.schema, key));
    side.keys.push_back(column);
  }
  for (const std::string& name : spec.columns) {
    TG_ASSIGN(const uint32_t column, place_of(input.schema, name));
    side.shown.push_back(column);
  }
  side.table.schema = std::move(input.schema);
  return side;
}

Result<std::string> register_half(sql::Connection& connection, std::shared_ptr<JoinRun> run,
                                  JoinRun::Which which, const JoinSpec::Side& spec,
                                  const sql::Schema& schema) {
  static std::atomic<uint64_t> counter{0};
  std::string name = fmt::format("tidegate_join_{}", ++counter);
  auto registered = std::make_unique<Registered>();
  registered->run = std::move(run);
  registered->which = which;
  for (const std::string& column : spec.columns) {
    TG_ASSIGN(const uint32_t place, place_of(schema, column));
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(schema[place].type));
    registered->types.push_back(type);
    registered->names.push_back(column);
  }
  duckdb_table_function function = duckdb_create_table_function();
  duckdb_table_function_set_name(function, name.c_str());
  duckdb_table_function_set_extra_info(function, registered.release(), destroy<Registered>);
  duckdb_table_function_set_bind(function, bind);
  duckdb_table_function_set_init(function, init);
  duckdb_table_function_set_function(function, scan);
  duckdb_table_function_supports_projection_pushdown(function, true);
  const duckdb_state state = duckdb_register_table_function(connection.raw(), function);
  duckdb_destroy_table_function(&function);
  if (state != DuckDBSuccess)
    return fail(FailureClass::kDefect, "reduce.register",
                "DuckDB refused to register a join: " + quote_identifier(spec.relation));
  TG_TRY(connection.execute(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS SELECT * FROM {}()",
                                        quote_identifier(spec.relation), name)));
  return name;
}

}  // namespace

Result<std::pair<std::string, std::string>> register_join(sql::Connection& connection,
                                                          Effects& effects, const JoinSpec& spec,
                                                          JoinInput left, JoinInput right,
                                                          JoinOptions options,
                                                          std::shared_ptr<JoinCounts> counts) {
  const sql::Schema left_schema = left.schema, right_schema = right.schema;
  TG_ASSIGN(auto left_side, make_side(connection, effects, spec.left, std::move(left)));
  TG_ASSIGN(auto right_side, make_side(connection, effects, spec.right, std::move(right)));
  const auto run = std::make_shared<JoinRun>(spec, std::move(left_side), std::move(right_side),
                                             std::move(options), std::move(counts));
  TG_TRY(run->start());
  std::pair<std::string, std::string> names;
  if (!spec.left.relation.empty()) {
    TG_ASSIGN(names.first, register_half(connection, run, JoinRun::kLeft, spec.left, left_schema));
  }
  if (!spec.right.relation.empty()) {
    TG_ASSIGN(names.second,
              register_half(connection, run, JoinRun::kRight, spec.right, right_schema));
  }
  return names;
}

}  // namespace tidegate::reduce
