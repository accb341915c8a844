#include "sql/sql.h"

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
}

}  // namespace
}  // namespace tidegate::sql
