#pragma once

#include <string>

#include "sql/sql.h"

namespace tidegate::sql {

/// The type that a column of `type` is published as, which holds every value exactly or not at all.
/// DuckDB's Parquet writer would round HUGEINT to DOUBLE in silence; it is DECIMAL(38,0) here, and
/// a value beyond 38 digits fails. Types that Parquet lacks are read back as what stands for them:
/// ENUM, BIT, BIGNUM and TIME_NS as VARCHAR, TIMESTAMP_S and TIMESTAMP_MS as TIMESTAMP, arrays as
/// lists, an INTERVAL inside a list or a struct as VARCHAR (Parquet's has milliseconds only).
std::string parquet_type(const std::string& type);

/// Each column with its parquet_type.
Schema parquet_schema(Schema schema);

/// `SELECT` of `relation`'s columns as they are published. An INTERVAL finer than Parquet's
/// milliseconds fails.
std::string parquet_select(const std::string& relation, const Schema& schema);

}  // namespace tidegate::sql
