#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tidegate::prove {

/// How a column of this type is hashed when it is the only side ("ENUM('a')" by its text, as
/// VARCHAR); nothing for types that cannot be a partition key (nested, JSON, BIT, ...).
std::optional<std::string> hash_type_of(std::string_view type);

/// The type that equal values of both sides meet in, without loss: INTEGER and BIGINT as BIGINT,
/// DECIMALs rescaled, DATE and TIMESTAMP as TIMESTAMP, ... Nothing where DuckDB's comparison would
/// lose digits or parse text (BIGINT with DOUBLE, INTEGER with VARCHAR).
std::optional<std::string> common_hash_type(std::string_view a, std::string_view b);

/// True if for every x of type `from`: CAST(CAST(x AS to) AS hash) equals CAST(x AS hash), or
/// fails.
bool cast_keeps_hash(std::string_view from, std::string_view to, std::string_view hash);

/// True for FLOAT and DOUBLE, whose sums depend on the order of their rows.
bool is_floating(std::string_view type);

}  // namespace tidegate::prove
