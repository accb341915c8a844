#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::prove {

enum class FunctionKind : uint8_t {
  kAllowed,   ///< a function of its arguments alone (or a macro over such)
  kClock,     ///< the wall clock: run_time() is the way
  kVolatile,  ///< chance or a counter
  kSession,   ///< depends on the session, waits or writes
  kUnknown,   ///< anything else: files, catalog, settings, not existing
};

/// What a scalar, aggregate, window function or macro of that name is. The lists stand in
/// allowed_functions.inc; a name without letters is an operator and allowed.
FunctionKind function_kind(std::string_view name);
/// The allowed function that was meant, or "".
std::string nearest_function(std::string_view name);
/// True for the few table functions that read nothing (range, generate_series, unnest).
bool is_allowed_table_function(std::string_view name);
/// True for an aggregate function.
bool is_aggregate(std::string_view name);
/// True for an aggregate whose result depends on the order of its rows (list, first, arg_max, ...).
bool is_order_dependent(std::string_view name);
/// True for an aggregate that adds floating-point numbers up when its arguments are such.
bool is_float_summing(std::string_view name);

}  // namespace tidegate::prove
