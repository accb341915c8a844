#include "source/parquet_footer.h"

#include <cstring>
#include <random>

#include "source/source_fixture.h"

namespace tidegate {
namespace {

class ParquetFooterTest : public SourceFixture {
 protected:
  /// The footer's bytes of a file.
  std::string footer(const std::string& name) {
    const std::string bytes = *read_file(effects_, path(name));
    uint32_t size = 0;
    std::memcpy(&size, bytes.data() + bytes.size() - 8, sizeof size);
    return bytes.substr(bytes.size() - 8 - size, size);
  }
  ParquetFooter parsed(const std::string& name) {
    auto found = parse_parquet_footer(footer(name));
    EXPECT_TRUE(found) << found.error().describe();
    return found.value_or(ParquetFooter{});
  }
  /// "rows bytes;" of each row group, as DuckDB tells them.
  std::string told(const std::string& name) {
    return ask(
        "SELECT coalesce(string_agg(rows || ' ' || bytes, ';' ORDER BY id), '') FROM (SELECT "
        "row_group_id AS id, any_value(row_group_num_rows) AS rows, sum(total_compressed_size) AS "
        "bytes FROM parquet_metadata('" +
        path(name) + "') GROUP BY ALL)");
  }
  static std::string text(const ParquetFooter& footer) {
    std::string out;
    uint64_t begin = 0;
    for (const RowGroup& group : footer.row_groups) {
      EXPECT_EQ(group.row_begin, begin);
      begin += group.rows;
      out +=
          (out.empty() ? "" : ";") + std::to_string(group.rows) + " " + std::to_string(group.bytes);
    }
    return out;
  }
};

TEST_F(ParquetFooterTest, IsWhatDuckdbTells) {
  const std::string wide =
      "SELECT i, i::VARCHAR AS s, i % 3 = 0 AS b, {'x': i, 'y': [i, i + 1]} AS nested, "
      "MAP {i: 'v'} AS m, i::DECIMAL(30, 3) AS d, TIMESTAMP '2001-01-01' + INTERVAL (i) SECOND AS "
      "t "
      "FROM range(10000) r(i)";
  copy(wide, "wide.parquet", ", ROW_GROUP_SIZE 2048");
  copy(wide, "v2.parquet", ", PARQUET_VERSION v2, COMPRESSION zstd, KV_METADATA {k: 'v'}");
  copy("SELECT 1 AS a WHERE false", "none.parquet");
  copy("SELECT 1 AS a", "one.parquet");
  std::string columns = "i AS c0";
  for (int c = 1; c < 40; ++c) columns += ", i AS c" + std::to_string(c);
  copy("SELECT " + columns + " FROM range(100000) r(i)", "many.parquet", ", ROW_GROUP_SIZE 4096");
  for (const char* name :
       {"wide.parquet", "v2.parquet", "none.parquet", "one.parquet", "many.parquet"})
    EXPECT_EQ(text(parsed(name)), told(name)) << name;
}

TEST_F(ParquetFooterTest, EqualSchemasHaveEqualBytes) {
  copy("SELECT 1 AS a, 'x' AS b", "a.parquet");
  copy("SELECT 2 AS a, 'y' AS b FROM range(5000)", "b.parquet", ", COMPRESSION zstd");
  copy("SELECT 1 AS a, 2 AS b", "c.parquet");
  EXPECT_EQ(parsed("a.parquet").schema, parsed("b.parquet").schema);
  EXPECT_NE(parsed("a.parquet").schema, parsed("c.parquet").schema);
}

TEST_F(ParquetFooterTest, AnyBytesAreReadWithoutHarm) {
  copy("SELECT i, [i] AS l, MAP {i: i} AS m FROM range(9000) r(i)", "a.parquet",
       ", ROW_GROUP_SIZE 2048");
  const std::string whole = footer("a.parquet");
  ASSERT_TRUE(parse_parquet_footer(whole));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_parquet_footer(whole.substr(0, size))) << size << " bytes of it";
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string changed = whole;
    for (unsigned n = 1 + random() % 4; n > 0; --n)
      changed[random() % changed.size()] = static_cast<char>(random());
    const auto found = parse_parquet_footer(changed);
    if (!found) {
      EXPECT_EQ(found.error().code, "source.bad_file");
    }
  }
  // Lists in lists in lists.
  EXPECT_FALSE(parse_parquet_footer(std::string(1, 0x19) + std::string(100'000, 0x19)));
  EXPECT_FALSE(parse_parquet_footer(std::string(1, 0x1C) + std::string(100'000, 0x1C)));
}

}  // namespace
}  // namespace tidegate
