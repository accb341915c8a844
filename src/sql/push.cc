#include <duckdb.h>
#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <optional>
#include <utility>

#include "sql/sql.h"

namespace tidegate::sql {

/// What the scalar function of a connection does with the chunks that DuckDB evaluates it over.
struct Connection::Taker {
  std::string function;  ///< its name; functions are the whole database's
  const std::function<Status(_duckdb_data_chunk*)>* take = nullptr;
  std::optional<Failure> failure;
  std::exception_ptr thrown;  ///< must not cross DuckDB's C interface

  static void call(duckdb_function_info info, duckdb_data_chunk rows, duckdb_vector) {
    auto& taker = *static_cast<Taker*>(duckdb_scalar_function_get_extra_info(info));
    // DuckDB does not go on after an error, but may evaluate what it has begun.
    if (taker.failure || taker.thrown || taker.take == nullptr) return;
    try {
      Status status = (*taker.take)(reinterpret_cast<_duckdb_data_chunk*>(rows));
      if (status) return;
      taker.failure = std::move(status).error();
    } catch (...) {
      taker.thrown = std::current_exception();
    }
    duckdb_scalar_function_set_error(info, "rows were not taken");
  }

  Status register_in(duckdb_connection connection) {
    static std::atomic<uint64_t> next = 0;
    function = fmt::format("tidegate_take_{}", next.fetch_add(1));
    duckdb_scalar_function made = duckdb_create_scalar_function();
    duckdb_logical_type any = duckdb_create_logical_type(DUCKDB_TYPE_ANY);
    duckdb_logical_type boolean = duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN);
    duckdb_scalar_function_set_name(made, function.c_str());
    duckdb_scalar_function_set_varargs(made, any);
    duckdb_scalar_function_set_return_type(made, boolean);
    // It must see every row, whatever is NULL or constant in it.
    duckdb_scalar_function_set_special_handling(made);
    duckdb_scalar_function_set_volatile(made);
    duckdb_scalar_function_set_extra_info(made, this, nullptr);
    duckdb_scalar_function_set_function(made, &Taker::call);
    const auto state = duckdb_register_scalar_function(connection, made);
    duckdb_destroy_logical_type(&any);
    duckdb_destroy_logical_type(&boolean);
    duckdb_destroy_scalar_function(&made);
    if (state != DuckDBSuccess)
      return fail(FailureClass::kDefect, "sql.push", "cannot register a function with DuckDB");
    return {};
  }
};

Connection::Connection() = default;

Connection::~Connection() {
  auto raw = reinterpret_cast<duckdb_connection>(raw_);
  if (raw) duckdb_disconnect(&raw);
}

Status Connection::push(const std::string& sql,
                        const std::function<Status(_duckdb_data_chunk*)>& take) {
  if (!taker_) {
    auto taker = std::make_unique<Taker>();
    TG_TRY(taker->register_in(reinterpret_cast<duckdb_connection>(raw_)));
    taker_ = std::move(taker);
  }
  taker_->failure.reset();
  taker_->thrown = nullptr;
  taker_->take = &take;
  const auto run = [&]() -> Status {
    TG_ASSIGN(const auto answers,
              stream(fmt::format("SELECT {}(*COLUMNS(*)) FROM ({})", taker_->function, sql)));
    for (;;) {
      TG_ASSIGN(_duckdb_data_chunk * answer, answers->next());
      if (!answer) return {};
      destroy_chunk(answer);
    }
  };
  Status status = run();
  taker_->take = nullptr;
  if (taker_->thrown) std::rethrow_exception(std::exchange(taker_->thrown, nullptr));
  if (taker_->failure) return std::unexpected(*std::exchange(taker_->failure, std::nullopt));
  return status;
}

}  // namespace tidegate::sql
