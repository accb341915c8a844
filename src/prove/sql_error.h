#pragma once

#include <optional>
#include <string>
#include <vector>

#include "prove/problem.h"

namespace tidegate::prove {

/// What json_serialize_sql and json_serialize_plan answer when they fail.
struct SqlError {
  std::string type;  ///< "parser", "binder", "catalog", ...
  std::string subtype;
  std::string message;
  std::string candidates;            ///< names that were near, comma-separated
  std::optional<uint64_t> position;  ///< byte of the SQL
};

/// The refusal for it: code by kind, first line of DuckDB's message, did-you-mean, exact token.
Problem problem_of(const SqlError& error, const std::string& sql);

}  // namespace tidegate::prove
