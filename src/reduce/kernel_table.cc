#include "reduce/kernel_table.h"

#include <fmt/format.h>

#include <atomic>
#include <new>

#include "base/text.h"
#include "duckdb.h"
#include "reduce/kernel_run.h"
#include "reduce/window_run.h"
#include "shuffle/failure_text.h"

namespace tidegate::reduce {
namespace {

struct Registered {
  std::unique_ptr<KernelRows> run;
  std::vector<duckdb_logical_type> types;
  std::atomic<bool> scanned = false;

  ~Registered() {
    for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
  }
};

template <typename T>
void destroy(void* value) {
  delete static_cast<T*>(value);
}

void bind(duckdb_bind_info info) {
  const auto& registered = *static_cast<const Registered*>(duckdb_bind_get_extra_info(info));
  const sql::Schema& output = registered.run->spec().output;
  for (size_t i = 0; i < output.size(); ++i)
    duckdb_bind_add_result_column(info, output[i].name.c_str(), registered.types[i]);
}

void init(duckdb_init_info info) {
  auto& registered = *static_cast<Registered*>(duckdb_init_get_extra_info(info));
  if (registered.scanned.exchange(true)) {
    duckdb_init_set_error(
        info, shuffle::failure_text({FailureClass::kDefect, "reduce.scanned_twice",
                                     "a kernel's result is there once, and was read twice"})
                  .c_str());
    return;
  }
  auto* columns = new std::vector<uint32_t>;
  const idx_t count = duckdb_init_get_column_count(info);
  for (idx_t i = 0; i < count; ++i) {
    const idx_t column = duckdb_init_get_column_index(info, i);
    columns->push_back(column < registered.types.size() ? static_cast<uint32_t>(column)
                                                        : UINT32_MAX);
  }
  duckdb_init_set_max_threads(info, 1);
  duckdb_init_set_init_data(info, columns, destroy<std::vector<uint32_t>>);
}

void scan(duckdb_function_info info, duckdb_data_chunk chunk) {
  auto& registered = *static_cast<Registered*>(duckdb_function_get_extra_info(info));
  const auto& columns =
      *static_cast<const std::vector<uint32_t>*>(duckdb_function_get_init_data(info));
  Failure failure;
  try {
    const Status status = registered.run->fill(columns, chunk);
    if (status) return;
    failure = status.error();
  } catch (const std::bad_alloc&) {
    // An exception must not cross DuckDB's C interface.
    failure = {FailureClass::kMemory, "reduce.memory", "no memory for a kernel's table"};
  }
  duckdb_data_chunk_set_size(chunk, 0);
  duckdb_function_set_error(info, shuffle::failure_text(failure).c_str());
}

}  // namespace

Result<std::string> register_kernel(sql::Connection& connection, Effects& effects,
                                    const KernelSpec& spec, KernelInput input,
                                    KernelOptions options, std::shared_ptr<KernelCounts> counts) {
  std::vector<batch::ColumnType> types;
  for (const sql::Column& column : spec.input) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    auto parts = batch::column_type(type);
    duckdb_destroy_logical_type(&type);
    if (!parts) return std::unexpected(std::move(parts).error());
    types.push_back(std::move(*parts));
  }
  auto registered = std::make_unique<Registered>();
  for (const sql::Column& column : spec.output) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    registered->types.push_back(type);
  }
  if (spec.kind == KernelSpec::Kind::kWindow)
    registered->run = std::make_unique<WindowRun>(effects, spec, std::move(types), std::move(input),
                                                  std::move(options), std::move(counts));
  else
    registered->run = std::make_unique<KernelRun>(effects, spec, std::move(types), std::move(input),
                                                  std::move(options), std::move(counts));
  TG_TRY(registered->run->start());

  static std::atomic<uint64_t> counter{0};
  std::string function_name = fmt::format("tidegate_kernel_{}", ++counter);
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
    return fail(FailureClass::kDefect, "reduce.register",
                "DuckDB refused to register a kernel: " + quote_identifier(spec.name));
  }
  TG_TRY(connection.execute(fmt::format("CREATE OR REPLACE TEMP VIEW {} AS SELECT * FROM {}()",
                                        quote_identifier(spec.name), function_name)));
  return function_name;
}

}  // namespace tidegate::reduce
