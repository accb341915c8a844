#include "batch/chunk_view.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "sql/sql.h"

namespace tidegate::batch {
namespace {

std::unique_ptr<sql::Database> open_database() {
  auto database = sql::Database::open({});
  if (!database) throw std::runtime_error(database.error().describe());
  return std::move(*database);
}

// DuckDB aligns 128-bit values to 8 bytes, a compiler expects 16: loads of them may then crash.
TEST(ChunkView, WideValuesAreAlignedWhereverTheyLay) {
  auto database = open_database();
  auto connection = *database->connect();
  size_t rows = 0;
  for (const char* type : {"HUGEINT", "DECIMAL(38,2)", "UUID"}) {
    const std::string cast =
        std::string(type) == "UUID" ? "md5(i::VARCHAR)::UUID" : "i::" + std::string(type);
    // A window's values are given where they lie, small vectors one behind the other.
    const auto status = connection->push(
        "SELECT lead(i) OVER (PARTITION BY g ORDER BY i) AS a, max(x) OVER (PARTITION BY g ORDER "
        "BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS x, x AS y FROM (SELECT i, i % 37 AS "
        "g, " +
            cast + " AS x FROM range(777) t(i))",
        [&](_duckdb_data_chunk* chunk) -> Status {
          TG_ASSIGN(auto types, chunk_types(chunk));
          ChunkView view(types);
          TG_TRY(view.load(chunk));
          for (size_t i = 1; i < 3; ++i) {
            const ColumnView& column = view.column(i);
            EXPECT_EQ(reinterpret_cast<uintptr_t>(column.data) % alignof(int128), 0U) << type;
            if (types[i].storage != Storage::kI128 || types[i].meaning == Meaning::kUuid) continue;
            for (size_t row = 0; row < view.rows(); ++row)
              EXPECT_GE(static_cast<const int128*>(column.data)[row], 0);
          }
          rows += view.rows();
          return {};
        });
    ASSERT_TRUE(status) << status.error().describe();
  }
  EXPECT_EQ(rows, 3 * 777U);
}

}  // namespace
}  // namespace tidegate::batch
