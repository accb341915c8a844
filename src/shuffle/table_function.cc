#include "shuffle/table_function.h"

#include <fmt/format.h>

#include <atomic>
#include <new>

#include "base/text.h"
#include "duckdb.h"
#include "shuffle/failure_text.h"

namespace tidegate::shuffle {
namespace {

/// What all binds and scans of one table share.
struct RegisteredTable {
  std::unique_ptr<TableFunction> table;
  sql::Schema schema;
  std::vector<duckdb_logical_type> types;
  std::optional<uint64_t> rows;

  ~RegisteredTable() {
    for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
  }
};

template <typename T>
void destroy_as(void* value) {
  delete static_cast<T*>(value);
}

/// An exception must not cross DuckDB's C interface.
template <typename Work>
Status without_exceptions(Work work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return fail(FailureClass::kMemory, "shuffle.memory", "no memory for rows that are read");
  }
}

void bind_table(duckdb_bind_info info) {
  const auto& registered = *static_cast<const RegisteredTable*>(duckdb_bind_get_extra_info(info));
  for (size_t i = 0; i < registered.schema.size(); ++i)
    duckdb_bind_add_result_column(info, registered.schema[i].name.c_str(), registered.types[i]);
  if (registered.rows) duckdb_bind_set_cardinality(info, *registered.rows, true);
}

void open_scan(duckdb_init_info info) {
  const auto& registered = *static_cast<const RegisteredTable*>(duckdb_init_get_extra_info(info));
  std::vector<uint32_t> columns;
  const idx_t count = duckdb_init_get_column_count(info);
  for (idx_t i = 0; i < count; ++i) {
    const idx_t column = duckdb_init_get_column_index(info, i);
    // DuckDB asks for "any" by an index beyond the columns.
    columns.push_back(column < registered.schema.size() ? static_cast<uint32_t>(column)
                                                        : kNoColumn);
  }
  const Status opened = without_exceptions([&]() -> Status {
    TG_ASSIGN(auto scan, registered.table->open(std::move(columns)));
    // One thread keeps the order of rows.
    duckdb_init_set_max_threads(info, 1);
    duckdb_init_set_init_data(info, scan.release(), destroy_as<TableScan>);
    return {};
  });
  if (!opened) duckdb_init_set_error(info, failure_text(opened.error()).c_str());
}

void fill_chunk(duckdb_function_info info, duckdb_data_chunk chunk) {
  auto& scan = *static_cast<TableScan*>(duckdb_function_get_init_data(info));
  const Status status = without_exceptions([&] { return scan.fill(chunk); });
  if (status) return;
  duckdb_data_chunk_set_size(chunk, 0);
  duckdb_function_set_error(info, failure_text(status.error()).c_str());
}

}  // namespace

Result<std::string> register_table(sql::Connection& connection, const std::string& name,
                                   const std::string& kind, const sql::Schema& schema,
                                   std::unique_ptr<TableFunction> table,
                                   std::optional<uint64_t> rows) {
  auto registered = std::make_unique<RegisteredTable>();
  registered->table = std::move(table);
  registered->schema = schema;
  registered->rows = rows;
  for (const sql::Column& column : schema) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    registered->types.push_back(type);
  }
  // Functions cannot be replaced or dropped through the C API, so each registration has its own
  // and the view decides which is meant.
  static std::atomic<uint64_t> counter{0};
  std::string function_name = fmt::format("tidegate_{}_{}", kind, ++counter);
  duckdb_table_function function = duckdb_create_table_function();
  duckdb_table_function_set_name(function, function_name.c_str());
  duckdb_table_function_set_extra_info(function, registered.release(), destroy_as<RegisteredTable>);
  duckdb_table_function_set_bind(function, bind_table);
  duckdb_table_function_set_init(function, open_scan);
  duckdb_table_function_set_function(function, fill_chunk);
  duckdb_table_function_supports_projection_pushdown(function, true);
  const duckdb_state state = duckdb_register_table_function(connection.raw(), function);
  duckdb_destroy_table_function(&function);
  if (state != DuckDBSuccess) {
    return fail(FailureClass::kDefect, "shuffle.register",
                "DuckDB refused to register a table: " + quote_identifier(name));
  }
  TG_TRY(connection.execute(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS SELECT * FROM {}()",
                                        quote_identifier(name), function_name)));
  return function_name;
}

}  // namespace tidegate::shuffle
