#include "sql/parquet_type.h"

#include <gtest/gtest.h>

namespace tidegate::sql {
namespace {

TEST(ParquetType, KeepsWhatParquetHolds) {
  for (const char* type :
       {"BIGINT", "DECIMAL(12,2)", "VARCHAR", "TIMESTAMP WITH TIME ZONE", "UUID", "INTEGER[]",
        "STRUCT(a INTEGER, \"HUGEINT\" DATE)", "MAP(VARCHAR, DOUBLE)", "INTERVAL", "TIMESTAMP_NS"})
    EXPECT_EQ(parquet_type(type), type);
}

TEST(ParquetType, StandsInExactlyForTheRest) {
  EXPECT_EQ(parquet_type("HUGEINT"), "DECIMAL(38,0)");
  EXPECT_EQ(parquet_type("STRUCT(a HUGEINT, b ENUM('x''y)', 'HUGEINT')[])"),
            "STRUCT(a DECIMAL(38,0), b VARCHAR[])");
  EXPECT_EQ(parquet_type("TIMESTAMP_S"), "TIMESTAMP");
  EXPECT_EQ(parquet_type("INTEGER[3][]"), "INTEGER[][]");
  EXPECT_EQ(parquet_type("STRUCT(i INTERVAL, l INTERVAL[])"), "STRUCT(i VARCHAR, l VARCHAR[])");
  EXPECT_EQ(parquet_type("MAP(UHUGEINT, BIT)"), "MAP(DECIMAL(38,0), VARCHAR)");
}

TEST(ParquetType, SelectsOnlyWhatDiffers) {
  EXPECT_EQ(parquet_select("t", {{"a", "INTEGER"}}), "SELECT * FROM t");
  EXPECT_EQ(parquet_select("t", {{"a", "INTEGER"}, {"s\"m", "HUGEINT"}}),
            "SELECT * REPLACE (CAST(\"s\"\"m\" AS DECIMAL(38,0)) AS \"s\"\"m\") FROM t");
}

}  // namespace
}  // namespace tidegate::sql
