#pragma once

#include <fmt/format.h>

#include <string>

namespace tidegate::reduce {

/// A SELECT of so many rows: every type of value, with NULLs, extremes and long texts, and keys by
/// the SQL `key`, in which {} is the number of groups.
inline std::string values_sql(int rows, int groups, const std::string& key) {
  return fmt::format(
      "SELECT {1}, i::INTEGER AS n, CASE WHEN i % 7 = 0 THEN NULL ELSE (hash(i) % 200)::INTEGER - "
      "100 END AS small, (hash(i + 1)::HUGEINT - 9223372036854775808)::BIGINT AS big, "
      "(hash(i + 2)::HUGEINT * 1000003)::HUGEINT AS huge, (hash(i) % 255)::UTINYINT AS byte, "
      "([0.1, 2.5, -0.0, 0.0, 1e300, -1e300, 1e-300, 'nan'::DOUBLE, NULL, 123456.789, "
      "'inf'::DOUBLE])[1 + (hash(i * 3) % 10)::INTEGER] AS real, (hash(i) % 100000)::DOUBLE / 100 "
      "AS cents, CASE WHEN i % 6 > 0 THEN (hash(i + 7) % 1000)::DOUBLE / 8 END AS eighths, "
      "(hash(i + 9) % 1000)::DOUBLE * pow(10, (hash(i) % 90)::INTEGER - 45) AS wide_reals, "
      "((hash(i) % 1000) / 8)::FLOAT AS single, "
      "((hash(i) % 100000) / 100)::DECIMAL(12,2) AS money, "
      "(hash(i)::DECIMAL(38,4) / 7)::DECIMAL(38,4) AS wide, i % 3 = 0 AS flag, "
      "DATE '2020-01-01' + (hash(i) % 1000)::INTEGER AS day, "
      "make_timestamp((hash(i) % 4000000000000)::BIGINT) AS moment, "
      "CASE WHEN i % 5 = 0 THEN NULL WHEN i % 5 = 1 THEN '' ELSE "
      "repeat('text', (hash(i) % 9)::INTEGER) || (hash(i) % 50) END AS name, "
      "CASE WHEN name IS NOT NULL THEN hash(name) END AS name_hash, hash(i) AS n_hash, "
      "(hash(i) % 256)::UTINYINT::VARCHAR::BLOB AS blob, md5(i::VARCHAR)::UUID AS id, "
      "[i, NULL, i + 1] AS list, to_months((hash(i) % 20)::INTEGER) + to_days((hash(i + 1) % "
      "90)::INTEGER) AS span FROM range({0}) r(i)",
      rows, fmt::format(fmt::runtime(key), groups));
}

}  // namespace tidegate::reduce
