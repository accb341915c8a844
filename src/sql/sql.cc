#include "sql/sql.h"

#include <duckdb.h>
#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace tidegate::sql {
namespace {

struct Rule {
  int type;
  FailureClass cls;
  const char* code;
};

/// DuckDB's error types (duckdb_error_type of 1.5) to classes.
constexpr Rule kRules[] = {
    {DUCKDB_ERROR_OUT_OF_RANGE, FailureClass::kData, "sql.out_of_range"},
    {DUCKDB_ERROR_CONVERSION, FailureClass::kData, "sql.conversion"},
    {DUCKDB_ERROR_DECIMAL, FailureClass::kData, "sql.decimal"},
    {DUCKDB_ERROR_MISMATCH_TYPE, FailureClass::kDefect, "sql.type_mismatch"},
    {DUCKDB_ERROR_DIVIDE_BY_ZERO, FailureClass::kData, "sql.divide_by_zero"},
    {DUCKDB_ERROR_INVALID_TYPE, FailureClass::kDefect, "sql.invalid_type"},
    {DUCKDB_ERROR_NOT_IMPLEMENTED, FailureClass::kDefect, "sql.not_implemented"},
    {DUCKDB_ERROR_CATALOG, FailureClass::kDefect, "sql.catalog"},
    {DUCKDB_ERROR_PARSER, FailureClass::kDefect, "sql.parser"},
    {DUCKDB_ERROR_BINDER, FailureClass::kDefect, "sql.binder"},
    {DUCKDB_ERROR_CONSTRAINT, FailureClass::kData, "sql.constraint"},
    {DUCKDB_ERROR_INTERRUPT, FailureClass::kDefect, "sql.interrupted"},
    {DUCKDB_ERROR_IO, FailureClass::kDependency, "sql.io"},
    {DUCKDB_ERROR_INVALID_INPUT, FailureClass::kData, "sql.invalid_input"},
    {DUCKDB_ERROR_OUT_OF_MEMORY, FailureClass::kMemory, "sql.out_of_memory"},
    {DUCKDB_ERROR_PERMISSION, FailureClass::kDefect, "sql.permission"},
    {DUCKDB_ERROR_SYNTAX, FailureClass::kDefect, "sql.syntax"},
};

/// DuckDB puts its type's name before its text ("Binder Error: ..."); the code says it already.
std::string strip_prefix(std::string_view text) {
  // Its advice is about its own settings, which are not for a pipeline to change.
  text = text.substr(0, text.find("\n\nPossible solutions:"));
  // Nor is the statement, which is one of ours around the pipeline's.
  text = text.substr(0, text.find("\n\nLINE "));
  const size_t colon = text.find(" Error: ");
  if (colon < 40 && text.find('\n') > colon) text.remove_prefix(colon + 8);
  return std::string(text);
}

std::unexpected<Failure> result_failure(duckdb_result* result) {
  const char* text = duckdb_result_error(result);
  Failure failure = classify(duckdb_result_error_type(result), text ? text : "unknown error");
  duckdb_destroy_result(result);
  return std::unexpected(std::move(failure));
}

/// The type of an error that comes as text alone, by the name that DuckDB puts before it.
int type_named_in(std::string_view text) {
  struct Name {
    std::string_view prefix;
    int type;
  };
  constexpr Name kNames[] = {{"Parser Error", DUCKDB_ERROR_PARSER},
                             {"Binder Error", DUCKDB_ERROR_BINDER},
                             {"Catalog Error", DUCKDB_ERROR_CATALOG},
                             {"Permission Error", DUCKDB_ERROR_PERMISSION},
                             {"IO Error", DUCKDB_ERROR_IO},
                             {"Invalid Input Error", DUCKDB_ERROR_INVALID_INPUT},
                             {"Not implemented Error", DUCKDB_ERROR_NOT_IMPLEMENTED},
                             {"Conversion Error", DUCKDB_ERROR_CONVERSION},
                             {"Out of Range Error", DUCKDB_ERROR_OUT_OF_RANGE},
                             {"Constraint Error", DUCKDB_ERROR_CONSTRAINT},
                             {"INTERRUPT Error", DUCKDB_ERROR_INTERRUPT},
                             {"Decimal Error", DUCKDB_ERROR_DECIMAL},
                             {"Mismatch Type Error", DUCKDB_ERROR_MISMATCH_TYPE},
                             {"Out of Memory Error", DUCKDB_ERROR_OUT_OF_MEMORY}};
  for (const Name& name : kNames)
    if (text.starts_with(name.prefix)) return name.type;
  return DUCKDB_ERROR_INVALID;
}

std::unexpected<Failure> prepare_failure(duckdb_prepared_statement statement) {
  const char* text = duckdb_prepare_error(statement);
  std::string_view view = text ? text : "unknown error";
  Failure failure = classify(type_named_in(view), view);
  duckdb_destroy_prepare(&statement);
  return std::unexpected(std::move(failure));
}

Schema result_schema(duckdb_result* result) {
  Schema schema;
  for (idx_t i = 0; i < duckdb_column_count(result); ++i) {
    duckdb_logical_type type = duckdb_column_logical_type(result, i);
    schema.push_back({duckdb_column_name(result, i), type_text(type)});
    duckdb_destroy_logical_type(&type);
  }
  return schema;
}

std::string nested_name(duckdb_logical_type type, idx_t i, bool is_union) {
  char* raw =
      is_union ? duckdb_union_type_member_name(type, i) : duckdb_struct_type_child_name(type, i);
  std::string name = quote_identifier(raw ? raw : "");
  duckdb_free(raw);
  return name;
}

std::string child_text(duckdb_logical_type child) {
  std::string text = type_text(child);
  duckdb_destroy_logical_type(&child);
  return text;
}

}  // namespace

Failure classify(int error_type, std::string_view text) {
  FailureClass cls = FailureClass::kDefect;
  std::string code = fmt::format("sql.error_{}", error_type);
  for (const Rule& rule : kRules) {
    if (rule.type != error_type) continue;
    cls = rule.cls;
    code = rule.code;
  }
  // DuckDB has no types of its own for these.
  if (text.find("No space left on device") != std::string_view::npos) {
    cls = FailureClass::kDisk;
    code = "disk.no_space";
  } else if (text.find("max_temp_directory_size") != std::string_view::npos) {
    cls = FailureClass::kDisk;
    code = "disk.spill_quota";
  } else if (text.find("Allocation failure") != std::string_view::npos ||
             text.find("bad allocation") != std::string_view::npos ||
             text.find("std::bad_alloc") != std::string_view::npos) {
    cls = FailureClass::kMemory;
    code = "sql.out_of_memory";
  } else if (text.find("Parquet files do not support negative intervals") !=
             std::string_view::npos) {
    // An IO error to DuckDB, but it is the rows: no file or machine is wrong.
    return Failure{FailureClass::kData, "sql.not_in_parquet",
                   "Parquet has no negative INTERVAL: publish it as text, CAST(x AS VARCHAR), or "
                   "as a number, epoch(x)"};
  }
  return Failure{cls, std::move(code), without_control(strip_prefix(text))};
}

std::string type_text(_duckdb_logical_type* raw) {
  auto type = reinterpret_cast<duckdb_logical_type>(raw);
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN:
      return "BOOLEAN";
    case DUCKDB_TYPE_TINYINT:
      return "TINYINT";
    case DUCKDB_TYPE_SMALLINT:
      return "SMALLINT";
    case DUCKDB_TYPE_INTEGER:
      return "INTEGER";
    case DUCKDB_TYPE_BIGINT:
      return "BIGINT";
    case DUCKDB_TYPE_UTINYINT:
      return "UTINYINT";
    case DUCKDB_TYPE_USMALLINT:
      return "USMALLINT";
    case DUCKDB_TYPE_UINTEGER:
      return "UINTEGER";
    case DUCKDB_TYPE_UBIGINT:
      return "UBIGINT";
    case DUCKDB_TYPE_HUGEINT:
      return "HUGEINT";
    case DUCKDB_TYPE_UHUGEINT:
      return "UHUGEINT";
    case DUCKDB_TYPE_FLOAT:
      return "FLOAT";
    case DUCKDB_TYPE_DOUBLE:
      return "DOUBLE";
    case DUCKDB_TYPE_DATE:
      return "DATE";
    case DUCKDB_TYPE_TIME:
      return "TIME";
    case DUCKDB_TYPE_TIME_TZ:
      return "TIME WITH TIME ZONE";
    case DUCKDB_TYPE_TIMESTAMP:
      return "TIMESTAMP";
    case DUCKDB_TYPE_TIMESTAMP_S:
      return "TIMESTAMP_S";
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return "TIMESTAMP_MS";
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return "TIMESTAMP_NS";
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return "TIMESTAMP WITH TIME ZONE";
    case DUCKDB_TYPE_INTERVAL:
      return "INTERVAL";
    case DUCKDB_TYPE_UUID:
      return "UUID";
    case DUCKDB_TYPE_BLOB:
      return "BLOB";
    case DUCKDB_TYPE_BIT:
      return "BIT";
    case DUCKDB_TYPE_BIGNUM:
      return "BIGNUM";
    case DUCKDB_TYPE_SQLNULL:
      return "\"NULL\"";
    case DUCKDB_TYPE_TIME_NS:
      return "TIME_NS";
    case DUCKDB_TYPE_VARCHAR: {
      char* alias = duckdb_logical_type_get_alias(type);
      std::string text = alias ? alias : "VARCHAR";
      duckdb_free(alias);
      return text;
    }
    case DUCKDB_TYPE_DECIMAL:
      return fmt::format("DECIMAL({},{})", duckdb_decimal_width(type), duckdb_decimal_scale(type));
    case DUCKDB_TYPE_ENUM: {
      std::vector<std::string> words;
      for (uint32_t i = 0; i < duckdb_enum_dictionary_size(type); ++i) {
        char* word = duckdb_enum_dictionary_value(type, i);
        words.push_back(quote_literal(word));
        duckdb_free(word);
      }
      return fmt::format("ENUM({})", join(words, ", "));
    }
    case DUCKDB_TYPE_LIST:
      return child_text(duckdb_list_type_child_type(type)) + "[]";
    case DUCKDB_TYPE_ARRAY:
      return fmt::format("{}[{}]", child_text(duckdb_array_type_child_type(type)),
                         duckdb_array_type_array_size(type));
    case DUCKDB_TYPE_MAP:
      return fmt::format("MAP({}, {})", child_text(duckdb_map_type_key_type(type)),
                         child_text(duckdb_map_type_value_type(type)));
    case DUCKDB_TYPE_STRUCT: {
      std::vector<std::string> fields;
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i)
        fields.push_back(nested_name(type, i, false) + " " +
                         child_text(duckdb_struct_type_child_type(type, i)));
      return fmt::format("STRUCT({})", join(fields, ", "));
    }
    case DUCKDB_TYPE_UNION: {
      std::vector<std::string> fields;
      for (idx_t i = 0; i < duckdb_union_type_member_count(type); ++i)
        fields.push_back(nested_name(type, i, true) + " " +
                         child_text(duckdb_union_type_member_type(type, i)));
      return fmt::format("UNION({})", join(fields, ", "));
    }
    default:
      return fmt::format("UNSUPPORTED_{}", static_cast<int>(duckdb_get_type_id(type)));
  }
}

void destroy_chunk(_duckdb_data_chunk* chunk) {
  auto raw = reinterpret_cast<duckdb_data_chunk>(chunk);
  duckdb_destroy_data_chunk(&raw);
}

uint64_t chunk_rows(_duckdb_data_chunk* chunk) {
  return duckdb_data_chunk_get_size(reinterpret_cast<duckdb_data_chunk>(chunk));
}

void destroy_type(_duckdb_logical_type* type) {
  auto raw = reinterpret_cast<duckdb_logical_type>(type);
  duckdb_destroy_logical_type(&raw);
}

std::string Table::scalar() const {
  return rows.empty() || rows[0].empty() || rows[0][0].null ? "" : rows[0][0].text;
}

Result<std::unique_ptr<Database>> Database::open(const OpenOptions& options) {
  TG_TRY(load_library());
  duckdb_config config = nullptr;
  if (duckdb_create_config(&config) != DuckDBSuccess)
    return fail(FailureClass::kDefect, "sql.open", "cannot make a DuckDB configuration");
  const std::string memory = fmt::format("{}B", options.memory_bytes);
  const std::string threads = fmt::format("{}", options.threads);
  const std::string temp_max = fmt::format("{}B", options.temp_bytes_max);
  const std::array<std::pair<const char*, const char*>, 11> settings = {{
      {"memory_limit", memory.c_str()},
      {"threads", threads.c_str()},
      {"temp_directory", options.temp_directory.c_str()},
      {"max_temp_directory_size", temp_max.c_str()},
      {"autoload_known_extensions", "false"},
      {"autoinstall_known_extensions", "false"},
      {"allow_community_extensions", "false"},
      {"allow_unsigned_extensions", "false"},
      {"allow_persistent_secrets", "false"},
      {"preserve_insertion_order", "true"},
      {"enable_object_cache", "false"},
  }};
  for (const auto& [name, value] : settings) {
    if (duckdb_set_config(config, name, value) != DuckDBSuccess) {
      duckdb_destroy_config(&config);
      return fail(FailureClass::kDefect, "sql.open",
                  fmt::format("DuckDB refuses the setting {} = {}", name, value));
    }
  }
  duckdb_database raw = nullptr;
  char* error = nullptr;
  const auto state = duckdb_open_ext(nullptr, &raw, config, &error);
  duckdb_destroy_config(&config);
  if (state != DuckDBSuccess) {
    Failure failure = classify(DUCKDB_ERROR_INVALID, error ? error : "unknown error");
    duckdb_free(error);
    return fail_because(std::move(failure), "sql.open", "cannot open DuckDB");
  }
  std::unique_ptr<Database> database(new Database());
  database->raw_ = reinterpret_cast<_duckdb_database*>(raw);
  database->options_ = options;
  TG_ASSIGN(auto connection, database->connect());
  TG_TRY(connection->execute("SET GLOBAL TimeZone = 'UTC'"));
  return database;
}

Database::~Database() {
  auto raw = reinterpret_cast<duckdb_database>(raw_);
  if (raw) duckdb_close(&raw);
}

Status Database::limit(const OpenOptions& options) {
  TG_ASSERT(!locked_ && options.threads == options_.threads);
  options_ = options;
  TG_ASSIGN(auto connection, connect());
  return connection->execute(fmt::format(
      "SET memory_limit = '{}B'; SET temp_directory = {}; SET max_temp_directory_size = '{}B'",
      options.memory_bytes, quote_literal(options.temp_directory), options.temp_bytes_max));
}

Status Database::lock() {
  TG_ASSIGN(auto connection, connect());
  const auto list = [](const std::vector<std::string>& paths) {
    std::vector<std::string> quoted;
    for (const std::string& path : paths) quoted.push_back(quote_literal(path));
    return fmt::format("[{}]", join(quoted, ", "));
  };
  TG_TRY(connection->execute("SET allowed_directories = " + list(options_.allowed_directories)));
  TG_TRY(connection->execute("SET allowed_paths = " + list(options_.allowed_paths)));
  TG_TRY(connection->execute("SET enable_external_access = false"));
  locked_ = true;
  return connection->execute("SET lock_configuration = true");
}

Result<std::unique_ptr<Connection>> Database::connect() {
  duckdb_connection raw = nullptr;
  if (duckdb_connect(reinterpret_cast<duckdb_database>(raw_), &raw) != DuckDBSuccess)
    return fail(FailureClass::kDefect, "sql.connect", "cannot connect to DuckDB");
  std::unique_ptr<Connection> connection(new Connection());
  connection->raw_ = reinterpret_cast<_duckdb_connection*>(raw);
  // A few chunks: those that are read next are still in the processor's cache.
  if (!locked_) TG_TRY(connection->execute("SET streaming_buffer_size = '64KB'"));
  return connection;
}

Status Connection::execute(const std::string& sql) {
  duckdb_result result;
  if (duckdb_query(reinterpret_cast<duckdb_connection>(raw_), sql.c_str(), &result) !=
      DuckDBSuccess)
    return result_failure(&result);
  duckdb_destroy_result(&result);
  return {};
}

Result<Table> Connection::query(const std::string& sql, size_t rows_max) {
  duckdb_result result;
  if (duckdb_query(reinterpret_cast<duckdb_connection>(raw_), sql.c_str(), &result) !=
      DuckDBSuccess)
    return result_failure(&result);
  Table table;
  table.schema = result_schema(&result);
  const idx_t rows = duckdb_row_count(&result);
  if (rows > rows_max) {
    duckdb_destroy_result(&result);
    return fail(FailureClass::kDefect, "sql.too_many_rows",
                fmt::format("the answer has {} rows, the most is {}", rows, rows_max));
  }
  table.rows.reserve(rows);
  for (idx_t y = 0; y < rows; ++y) {
    std::vector<Table::Cell> row(table.schema.size());
    for (idx_t x = 0; x < table.schema.size(); ++x) {
      if (duckdb_value_is_null(&result, x, y)) continue;
      duckdb_string text = duckdb_value_string(&result, x, y);
      row[x].null = false;
      if (text.data) row[x].text.assign(text.data, text.size);
      duckdb_free(text.data);
    }
    table.rows.push_back(std::move(row));
  }
  duckdb_destroy_result(&result);
  return table;
}

Result<std::string> Connection::execute_in_steps(const std::string& sql,
                                                 const std::function<void()>& between) {
  duckdb_prepared_statement statement = nullptr;
  if (duckdb_prepare(reinterpret_cast<duckdb_connection>(raw_), sql.c_str(), &statement) !=
      DuckDBSuccess)
    return prepare_failure(statement);
  duckdb_pending_result pending = nullptr;
  if (duckdb_pending_prepared(statement, &pending) == DuckDBSuccess) {
    for (;;) {
      const auto state = duckdb_pending_execute_task(pending);
      if (state == DUCKDB_PENDING_ERROR || duckdb_pending_execution_is_finished(state)) break;
      between();
    }
  }
  duckdb_result result;
  const auto executed = duckdb_execute_pending(pending, &result);
  std::string pending_error;
  if (executed != DuckDBSuccess) {
    const char* text = duckdb_result_error(&result);
    if (!text || !*text) text = duckdb_pending_error(pending);
    pending_error = text ? text : "unknown error";
  }
  const int error_type = executed == DuckDBSuccess ? 0 : duckdb_result_error_type(&result);
  duckdb_destroy_pending(&pending);
  duckdb_destroy_prepare(&statement);
  if (executed != DuckDBSuccess) {
    duckdb_destroy_result(&result);
    // An error in one of the steps comes wrapped, as an invalid input.
    constexpr std::string_view kWrapper = "pending query result\nError: ";
    const size_t wrapped = pending_error.find(kWrapper);
    if (wrapped == std::string::npos) return std::unexpected(classify(error_type, pending_error));
    const std::string_view inner =
        std::string_view(pending_error).substr(wrapped + kWrapper.size());
    return std::unexpected(classify(type_named_in(inner), inner));
  }
  std::string scalar;
  if (duckdb_row_count(&result) > 0 && duckdb_column_count(&result) > 0) {
    duckdb_string text = duckdb_value_string(&result, 0, 0);
    if (text.data) scalar.assign(text.data, text.size);
    duckdb_free(text.data);
  }
  duckdb_destroy_result(&result);
  return scalar;
}

struct Stream::State {
  duckdb_prepared_statement statement = nullptr;
  duckdb_result result{};
  bool has_result = false;
  ~State() {
    if (has_result) duckdb_destroy_result(&result);
    if (statement) duckdb_destroy_prepare(&statement);
  }
};

Stream::~Stream() = default;

Result<std::unique_ptr<Stream>> Connection::stream(const std::string& sql) {
  std::unique_ptr<Stream> stream(new Stream());
  stream->state_ = std::make_unique<Stream::State>();
  auto& state = *stream->state_;
  if (duckdb_prepare(reinterpret_cast<duckdb_connection>(raw_), sql.c_str(), &state.statement) !=
      DuckDBSuccess)
    return prepare_failure(std::exchange(state.statement, nullptr));
  duckdb_pending_result pending = nullptr;
  if (duckdb_pending_prepared_streaming(state.statement, &pending) != DuckDBSuccess) {
    const char* text = duckdb_pending_error(pending);
    Failure failure = classify(DUCKDB_ERROR_INVALID, text ? text : "unknown error");
    duckdb_destroy_pending(&pending);
    return std::unexpected(std::move(failure));
  }
  const auto executed = duckdb_execute_pending(pending, &state.result);
  state.has_result = true;
  duckdb_destroy_pending(&pending);
  if (executed != DuckDBSuccess) {
    state.has_result = false;
    return result_failure(&state.result);
  }
  stream->schema_ = result_schema(&state.result);
  return stream;
}

Result<_duckdb_data_chunk*> Stream::next() {
  duckdb_data_chunk chunk = duckdb_fetch_chunk(state_->result);
  if (chunk) return reinterpret_cast<_duckdb_data_chunk*>(chunk);
  // A failure in the middle looks like the end: the result's error tells them apart.
  const char* text = duckdb_result_error(&state_->result);
  if (text && *text)
    return std::unexpected(classify(duckdb_result_error_type(&state_->result), text));
  return nullptr;
}

Result<Schema> Connection::describe(const std::string& sql) {
  duckdb_prepared_statement statement = nullptr;
  if (duckdb_prepare(reinterpret_cast<duckdb_connection>(raw_), sql.c_str(), &statement) !=
      DuckDBSuccess)
    return prepare_failure(statement);
  Schema schema;
  for (idx_t i = 0; i < duckdb_prepared_statement_column_count(statement); ++i) {
    duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(statement, i);
    const char* name = duckdb_prepared_statement_column_name(statement, i);
    schema.push_back({name ? name : "", type_text(type)});
    duckdb_free(const_cast<char*>(name));
    duckdb_destroy_logical_type(&type);
  }
  duckdb_destroy_prepare(&statement);
  return schema;
}

Result<_duckdb_logical_type*> Connection::make_type(const std::string& type) {
  duckdb_prepared_statement statement = nullptr;
  const std::string sql = fmt::format("SELECT CAST(NULL AS {})", type);
  if (duckdb_prepare(reinterpret_cast<duckdb_connection>(raw_), sql.c_str(), &statement) !=
      DuckDBSuccess)
    return prepare_failure(statement);
  duckdb_logical_type made = duckdb_prepared_statement_column_logical_type(statement, 0);
  duckdb_destroy_prepare(&statement);
  return reinterpret_cast<_duckdb_logical_type*>(made);
}

void Connection::interrupt() { duckdb_interrupt(reinterpret_cast<duckdb_connection>(raw_)); }

}  // namespace tidegate::sql
