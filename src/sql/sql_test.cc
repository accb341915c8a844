#include "sql/sql.h"

#include <duckdb.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace tidegate::sql {
namespace {

std::unique_ptr<Database> open() {
  auto database = Database::open({});
  if (!database) throw std::runtime_error(database.error().describe());
  return std::move(*database);
}

TEST(Sql, QueryGivesTextAndNull) {
  auto database = open();
  auto connection = *database->connect();
  const auto table =
      connection->query("SELECT 1 AS a, NULL AS b, 'x' AS c, 1.50::DECIMAL(4,2) AS d");
  ASSERT_TRUE(table);
  EXPECT_EQ(table->schema[3], (Column{"d", "DECIMAL(4,2)"}));
  EXPECT_EQ(table->rows[0][0].text, "1");
  EXPECT_TRUE(table->rows[0][1].null);
  EXPECT_EQ(table->rows[0][3].text, "1.50");
}

TEST(Sql, WhatParquetCannotHoldIsOfTheRows) {
  auto database = open();
  auto connection = *database->connect();
  const std::string path = testing::TempDir() + "negative_interval.parquet";
  const std::string copy =
      "COPY (SELECT INTERVAL '-1 day' AS x) TO '" + path + "' (FORMAT parquet)";
  for (const Failure& failure :
       {connection->execute(copy).error(), connection->execute_in_steps(copy, [] {}).error()}) {
    EXPECT_EQ(failure.cls, FailureClass::kData) << failure.describe();
    EXPECT_EQ(failure.code, "sql.not_in_parquet") << failure.describe();
    EXPECT_NE(failure.message.find("negative INTERVAL"), std::string::npos) << failure.describe();
  }
}

TEST(Sql, TypesGoThereAndBack) {
  auto database = open();
  auto connection = *database->connect();
  for (const char* type :
       {"BOOLEAN", "HUGEINT", "DECIMAL(38,10)", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS",
        "VARCHAR", "ENUM('a', 'b''c')", "INTEGER[]", "INTEGER[3]", "MAP(VARCHAR, INTEGER)",
        "STRUCT(\"a\" INTEGER, \"b c\" VARCHAR[])", "UNION(\"n\" INTEGER, \"s\" VARCHAR)",
        "TIME WITH TIME ZONE", "UUID", "BIT", "BLOB", "JSON"}) {
    const auto made = connection->make_type(type);
    ASSERT_TRUE(made) << type;
    EXPECT_EQ(type_text(*made), type);
    destroy_type(*made);
  }
}

TEST(Sql, AnErrorInTheMiddleOfAStreamIsNoQuietEnd) {
  auto database = open();
  auto connection = *database->connect();
  auto stream = connection->stream(
      "SELECT CASE WHEN i = 900000 THEN error('boom') ELSE i END FROM range(1000000) t(i)");
  ASSERT_TRUE(stream) << stream.error().describe();
  for (;;) {
    auto chunk = (*stream)->next();
    if (!chunk) {
      EXPECT_NE(chunk.error().message.find("boom"), std::string::npos);
      break;
    }
    ASSERT_NE(*chunk, nullptr) << "the error was lost";
    destroy_chunk(*chunk);
  }
}

TEST(Sql, PushedRowsAreThoseOfTheSelect) {
  auto database = open();
  ASSERT_TRUE(database->lock());
  auto connection = *database->connect();
  uint64_t rows = 0, nulls = 0, calls = 0;
  int64_t last = -1;
  const auto take = [&](_duckdb_data_chunk* chunk) -> Status {
    ++calls;
    auto raw = reinterpret_cast<duckdb_data_chunk>(chunk);
    EXPECT_EQ(duckdb_data_chunk_get_column_count(raw), 4U);
    const auto* numbers =
        static_cast<const int64_t*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(raw, 0)));
    const uint64_t* valid = duckdb_vector_get_validity(duckdb_data_chunk_get_vector(raw, 1));
    for (uint64_t row = 0; row < chunk_rows(chunk); ++row) {
      EXPECT_GT(numbers[row], last) << "rows come in their order";
      last = numbers[row];
      nulls += valid != nullptr && ((valid[row / 64] >> (row % 64)) & 1) == 0;
    }
    rows += chunk_rows(chunk);
    return {};
  };
  const char* sql =
      "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'a text that is long ' || i END AS i, 7 AS c, "
      "NULL AS n FROM range(10000) t(i) WHERE i % 2 = 0";
  for (int time = 1; time <= 2; ++time) {
    last = -1;
    const auto status = connection->push(sql, take);
    ASSERT_TRUE(status) << status.error().describe();
    EXPECT_EQ(rows, 5000U * static_cast<uint64_t>(time));
  }
  EXPECT_EQ(nulls, 2 * 1667U);
  EXPECT_GE(calls, 6U);
  // One row of constants is a row, too.
  rows = 0;
  ASSERT_TRUE(connection->push("SELECT 1::BIGINT, NULL, NULL, 'x'",
                               [&](_duckdb_data_chunk* chunk) -> Status {
                                 rows += chunk_rows(chunk);
                                 return {};
                               }));
  EXPECT_EQ(rows, 1U);
}

TEST(Sql, WhatTakesPushedRowsFailsWithItsOwnFailure) {
  auto database = open();
  auto connection = *database->connect();
  uint64_t calls = 0;
  const auto refuse = [&](_duckdb_data_chunk*) -> Status {
    if (++calls < 3) return {};
    return fail(FailureClass::kDisk, "disk.no_space", "full");
  };
  const auto refused = connection->push("SELECT * FROM range(1000000)", refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "disk.no_space");
  EXPECT_EQ(calls, 3U);
  const auto throws = [](_duckdb_data_chunk*) -> Status { throw std::bad_alloc(); };
  EXPECT_THROW((void)connection->push("SELECT 1", throws), std::bad_alloc);
  const auto pass = [](_duckdb_data_chunk*) -> Status { return {}; };
  const auto broken = connection->push(
      "SELECT CASE WHEN i = 900000 THEN error('boom') ELSE i END FROM range(1000000) t(i)", pass);
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("boom"), std::string::npos) << broken.error().describe();
  EXPECT_EQ(connection->push("SELECT x", pass).error().code, "sql.binder");
  EXPECT_EQ(connection->push("SELECT 'a'::INTEGER", pass).error().code, "sql.conversion");
  EXPECT_TRUE(connection->push("SELECT 1", pass));
}

TEST(Sql, LockedDatabaseReachesNoFile) {
  auto database = open();
  ASSERT_TRUE(database->lock());
  auto connection = *database->connect();
  for (const char* sql :
       {"SELECT * FROM read_text('/etc/hostname')", "SET threads = 2",
        "ATTACH '/tmp/tidegate-x.db'", "COPY (SELECT 1) TO '/tmp/tidegate-x.csv'", "LOAD httpfs"}) {
    const auto status = connection->execute(sql);
    EXPECT_FALSE(status) << sql;
  }
}

TEST(Sql, OneOpenedAheadIsLimitedAsIfOpenedSo) {
  OpenOptions options;
  options.memory_bytes = uint64_t{48} << 20;
  options.temp_directory = testing::TempDir() + "it's limited";
  options.temp_bytes_max = uint64_t{1} << 20;
  auto ahead = open();
  ASSERT_TRUE(ahead->limit(options));
  auto at_once = *Database::open(options);
  for (Database* database : {ahead.get(), at_once.get()}) {
    ASSERT_TRUE(database->lock());
    auto connection = *database->connect();
    const auto settings = connection->query(
        "SELECT name, value FROM duckdb_settings() WHERE name IN ('memory_limit', "
        "'temp_directory', 'max_temp_directory_size', 'threads', 'TimeZone', "
        "'enable_external_access', 'lock_configuration') ORDER BY name");
    ASSERT_TRUE(settings);
    std::string text;
    for (const auto& row : settings->rows) text += row[0].text + "=" + row[1].text + "\n";
    EXPECT_EQ(text,
              "TimeZone=UTC\nenable_external_access=false\nlock_configuration=true\n"
              "max_temp_directory_size=1.0 MiB\nmemory_limit=48.0 MiB\ntemp_directory=" +
                  options.temp_directory + "\nthreads=1\n");
    if (database != ahead.get()) continue;  // DuckDB keeps only to a quota that is set later
    const auto full = connection->execute(
        "CREATE TEMP TABLE wide AS SELECT hash(i) AS a, hash(i + 1) AS b FROM range(10000000) AS "
        "t(i)");
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, "disk.spill_quota") << full.error().describe();
  }
}

TEST(Sql, ErrorsInAStepKeepTheirClass) {
  auto database = open();
  auto connection = *database->connect();
  const auto cast = connection->execute_in_steps(
      "CREATE TABLE a AS SELECT (i || 'x')::INTEGER AS n FROM range(9) t(i)", [] {});
  ASSERT_FALSE(cast);
  EXPECT_EQ(cast.error().code, "sql.conversion") << cast.error().describe();
  EXPECT_EQ(cast.error().message.find("pending query"), std::string::npos) << cast.error().message;
  ASSERT_TRUE(connection->execute("SET memory_limit = '20MB'"));
  const auto memory = connection->execute_in_steps(
      "CREATE TABLE b AS SELECT list(i) AS l FROM range(9000000) t(i)", [] {});
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().cls, FailureClass::kMemory) << memory.error().describe();
  EXPECT_EQ(memory.error().message.find("Possible solutions"), std::string::npos)
      << memory.error().message;
}

TEST(Sql, ErrorsHaveClasses) {
  auto database = open();
  auto connection = *database->connect();
  EXPECT_EQ(connection->execute("SELEC 1").error().code, "sql.parser");
  EXPECT_EQ(connection->execute("SELECT x").error().code, "sql.binder");
  EXPECT_EQ(connection->describe("SELECT x").error().code, "sql.binder");
  EXPECT_EQ(connection->execute("SELECT 'a'::INTEGER").error().cls, FailureClass::kData);
  EXPECT_EQ(connection->stream("SELECT * FROM nope").error().code, "sql.catalog");
  const std::string told =
      connection->execute("SELECT (chr(27) || '[2J')::INTEGER").error().message;
  EXPECT_EQ(told.find('\x1b'), std::string::npos) << "data in a message does nothing to a terminal";
  EXPECT_NE(told.find(".[2J"), std::string::npos) << told;
}

}  // namespace
}  // namespace tidegate::sql
