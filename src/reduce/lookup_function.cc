#include "reduce/lookup_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/text.h"
#include "batch/chunk_view.h"
#include "duckdb.h"
#include "reduce/emit.h"

namespace tidegate::reduce {
namespace {

using Kind = JoinSpec::Kind;

/// What DuckDB calls: keys in, the row's columns out, or whether there is a row.
struct LookupCall {
  std::shared_ptr<const LookupTable> table;
  batch::ChunkView view;
  std::vector<uint32_t> rows = {};

  explicit LookupCall(std::shared_ptr<const LookupTable> of)
      : table(std::move(of)), view(table->key_types()) {}

  Status run(duckdb_data_chunk keys, duckdb_vector out) {
    TG_TRY(view.load(reinterpret_cast<_duckdb_data_chunk*>(keys)));
    const auto count = static_cast<uint32_t>(view.rows());
    rows.resize(count);
    table->find(view.view().columns, count, rows.data());
    if (table->columns() == 0) {
      auto* found = static_cast<bool*>(duckdb_vector_get_data(out));
      for (uint32_t row = 0; row < count; ++row) found[row] = rows[row] != kNoRow;
      return {};
    }
    uint64_t* validity = nullptr;
    for (uint32_t row = 0; row < count; ++row)
      if (rows[row] == kNoRow) set_null(out, validity, row);
    for (size_t column = 0; column < table->columns(); ++column)
      TG_TRY(table->emit(column, rows.data(), count, duckdb_struct_vector_get_child(out, column)));
    return {};
  }
};

void look_up_rows(duckdb_function_info info, duckdb_data_chunk keys, duckdb_vector out) {
  // An exception must not cross DuckDB's C interface.
  try {
    auto& call = *static_cast<LookupCall*>(duckdb_scalar_function_get_extra_info(info));
    if (const Status status = call.run(keys, out); !status)
      duckdb_scalar_function_set_error(info, status.error().message.c_str());
  } catch (const std::exception& error) {
    duckdb_scalar_function_set_error(info, error.what());
  }
}

const sql::Column& lookup_column(const sql::Schema& schema, const std::string& name) {
  const std::string lower = to_lower_ascii(name);
  const auto at = std::find_if(schema.begin(), schema.end(), [&](const sql::Column& column) {
    return to_lower_ascii(column.name) == lower;
  });
  TG_ASSERT(at != schema.end());
  return *at;
}

Result<std::string> register_call(sql::Connection& connection,
                                  const std::vector<std::string>& key_types,
                                  const std::string& result,
                                  std::shared_ptr<const LookupTable> table) {
  static std::atomic<uint64_t> counter{0};
  std::string name = fmt::format("tidegate_lookup_{}", ++counter);
  std::vector<duckdb_logical_type> types;
  for (const std::string& type : key_types) {
    TG_ASSIGN(duckdb_logical_type made, connection.make_type(type));
    types.push_back(made);
  }
  TG_ASSIGN(duckdb_logical_type returned, connection.make_type(result));
  duckdb_scalar_function function = duckdb_create_scalar_function();
  duckdb_scalar_function_set_name(function, name.c_str());
  for (duckdb_logical_type type : types) duckdb_scalar_function_add_parameter(function, type);
  duckdb_scalar_function_set_return_type(function, returned);
  // NULL is a key without a row. Volatile: called once for each row, where it stands.
  duckdb_scalar_function_set_special_handling(function);
  duckdb_scalar_function_set_volatile(function);
  duckdb_scalar_function_set_extra_info(function, new LookupCall(std::move(table)),
                                        [](void* call) { delete static_cast<LookupCall*>(call); });
  duckdb_scalar_function_set_function(function, look_up_rows);
  const auto state = duckdb_register_scalar_function(
      reinterpret_cast<duckdb_connection>(connection.raw()), function);
  for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
  duckdb_destroy_logical_type(&returned);
  duckdb_destroy_scalar_function(&function);
  if (state != DuckDBSuccess)
    return fail(FailureClass::kDefect, "reduce.register", "DuckDB refused to register a lookup");
  return name;
}

}  // namespace

std::string partner_type(const JoinLookup& lookup, const sql::Schema& held) {
  std::vector<std::string> fields;
  for (const std::string& column : lookup.columns)
    fields.push_back(quote_identifier(column) + " " + lookup_column(held, column).type);
  return fmt::format("STRUCT({})", join(fields, ", "));
}

Status register_lookup(sql::Connection& connection, const JoinLookup& lookup,
                       const sql::Schema& input, const sql::Schema& held,
                       std::shared_ptr<const LookupTable> table) {
  std::vector<std::string> types, keys;
  for (size_t i = 0; i < lookup.keys.size(); ++i) {
    const std::string& type = lookup_column(held, lookup.held_keys[i]).type;
    const std::string key = quote_identifier(lookup.keys[i]);
    types.push_back(type);
    // What the held side's type cannot be has no row there.
    keys.push_back(lookup_column(input, lookup.keys[i]).type == type
                       ? key
                       : fmt::format("TRY_CAST({} AS {})", key, type));
  }
  const bool fields = !lookup.columns.empty();
  TG_ASSIGN(const std::string function,
            register_call(connection, types, fields ? partner_type(lookup, held) : "BOOLEAN",
                          std::move(table)));
  const std::string from = quote_identifier(lookup.input);
  const std::string call = fmt::format("{}({})", function, join(keys, ", "));
  std::string rows;
  if (fields) {
    const std::string partner = quote_identifier(lookup.partner);
    rows = fmt::format("SELECT *, {} AS {} FROM {}", call, partner, from);
    if (lookup.kind != Kind::kLeft)
      rows = fmt::format("SELECT * FROM ({}) WHERE {} IS NOT NULL", rows, partner);
  } else if (lookup.kind == Kind::kLeft) {
    rows = "SELECT * FROM " + from;
  } else {
    rows = fmt::format("SELECT * FROM {} WHERE {}{}", from,
                       lookup.kind == Kind::kAnti ? "NOT " : "", call);
  }
  return connection.execute(
      fmt::format("CREATE OR REPLACE TEMP VIEW {} AS {}", quote_identifier(lookup.relation), rows));
}

}  // namespace tidegate::reduce
