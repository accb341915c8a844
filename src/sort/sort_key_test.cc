#include "sort/sort_key.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"
#include "sort/sort_fixture.h"

namespace tidegate::sort {
namespace {

struct Values {
  const char* type;
  std::vector<std::string> literals;
};

const std::vector<Values> kValues = {
    {"BOOLEAN", {"true", "false", "NULL"}},
    {"TINYINT", {"-128", "-1", "0", "1", "127", "NULL"}},
    {"SMALLINT", {"-32768", "-1", "0", "256", "255", "32767", "NULL"}},
    {"INTEGER", {"-2147483648", "-256", "-1", "0", "1", "2147483647", "NULL"}},
    {"BIGINT", {"-9223372036854775808", "-1", "0", "4294967296", "9223372036854775807", "NULL"}},
    {"HUGEINT",
     {"-170141183460469231731687303715884105728", "-18446744073709551616", "-1", "0",
      "18446744073709551615", "170141183460469231731687303715884105727", "NULL"}},
    {"UTINYINT", {"0", "128", "255", "NULL"}},
    {"USMALLINT", {"0", "256", "65535", "NULL"}},
    {"UINTEGER", {"0", "65536", "4294967295", "NULL"}},
    {"UBIGINT", {"0", "9223372036854775808", "18446744073709551615", "NULL"}},
    {"UHUGEINT", {"0", "18446744073709551616", "340282366920938463463374607431768211455", "NULL"}},
    {"FLOAT", {"'nan'", "'inf'", "'-inf'", "-0.0", "0.0", "1e-40", "-1e-40", "3.4e38", "NULL"}},
    {"DOUBLE",
     {"'nan'", "-'nan'::DOUBLE", "'inf'", "'-inf'", "-0.0", "0.0", "5e-324", "-5e-324",
      "1.7976931348623157e308", "-2.5", "NULL"}},
    {"DECIMAL(4,1)", {"-999.9", "0", "0.1", "999.9", "NULL"}},
    {"DECIMAL(38,3)", {"-99999999999999999999999999999999999.999", "-0.001", "0", "1", "NULL"}},
    {"DATE",
     {"'-infinity'", "'infinity'", "'1969-12-31'", "'1970-01-01'", "'0044-03-15 (BC)'",
      "'2262-04-12'", "NULL"}},
    {"TIME", {"'00:00:00'", "'23:59:59.999999'", "'24:00:00'", "NULL"}},
    {"TIME WITH TIME ZONE",
     {"'12:00:00+01'", "'12:00:00+00'", "'11:00:00.000001+00'", "'10:00:00-01'", "'23:00:00-05'",
      "'00:00:00+15:59:59'", "'24:00:00-15:59:59'", "NULL"}},
    {"TIMESTAMP",
     {"'-infinity'", "'infinity'", "'1969-12-31 23:59:59.999999'", "'1970-01-01'",
      "'2001-02-03 04:05:06'", "NULL"}},
    {"TIMESTAMP_S", {"'1969-12-31 23:59:59'", "'2001-02-03 04:05:06'", "NULL"}},
    {"TIMESTAMP_MS", {"'1969-12-31 23:59:59.999'", "'2001-02-03 04:05:06'", "NULL"}},
    {"TIMESTAMP_NS", {"'1969-12-31 23:59:59.999999999'", "'2001-02-03 04:05:06'", "NULL"}},
    {"TIMESTAMP WITH TIME ZONE", {"'1970-01-01 00:00:00+02'", "'1970-01-01 00:00:00+00'", "NULL"}},
    {"INTERVAL",
     {"'1 month -1 day'", "'29 days'", "'1 month'", "'-1 day'", "'0 days'", "'-31 days'",
      "'-1 month'", "'1 day -1 second'", "'86399 seconds'", "'-1 month 45 days'",
      "'2 months -65 days 1 second'", "'-100 hours'", "'-4 days -5 hours'", "NULL"}},
    {"UUID",
     {"'00000000-0000-0000-0000-000000000001'", "'80000000-0000-0000-0000-000000000000'",
      "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'7fffffff-0000-0000-0000-000000000000'", "NULL"}},
    {"VARCHAR",
     {"''", "'a'", "'A'", "'ab'", "'a' || chr(0)", "'a' || chr(0) || 'b'", "'a' || chr(1)", "'é'",
      "'😀'", "repeat('x', 300)", "repeat('x', 300) || 'y'", "'abcdefghijkl'", "'abcdefghijklm'",
      "chr(0)", "chr(0) || chr(0)", "NULL"}},
    {"BLOB", {"''", "'\\x00'", "'\\x00\\xFF'", "'\\xFF'", "'\\xFF\\xFF'", "'a'", "NULL"}},
    {"ENUM('zebra', 'ape', '')", {"'ape'", "'zebra'", "''", "NULL"}},
};

std::string in_sql(bool descending, bool nulls_first) {
  return std::string(descending ? "DESC" : "ASC") + (nulls_first ? " NULLS FIRST" : " NULLS LAST");
}

class SortKeyTest : public SortTest {
 protected:
  /// The values of `i` in the order of the keys of the other columns.
  std::vector<std::string> by_keys(const std::string& table, const SortOrder& order) {
    std::vector<std::pair<std::string, std::string>> keys;
    each_chunk("FROM " + table, [&](const auto& types, const batch::RowsView& rows) {
      auto maker = KeyMaker::create(types, order);
      ASSERT_TRUE(maker) << maker.error().message;
      KeyBatch batch;
      maker->make(rows, 0, rows.rows, batch);
      for (size_t row = 0; row < rows.rows; ++row) {
        if (maker->fixed_width() != 0) {
          EXPECT_EQ(batch.key(row).size(), maker->fixed_width());
        }
        EXPECT_LE(batch.key(row).size(), maker->bytes_of(rows, row));
        const auto number = static_cast<const int64_t*>(rows.column(0).data)[row];
        keys.emplace_back(batch.key(row), std::to_string(number));
      }
    });
    std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
      return compare_keys(a.first, b.first) < 0;
    });
    std::vector<std::string> out;
    for (auto& [key, number] : keys) out.push_back(std::move(number));
    return out;
  }
};

TEST_F(SortKeyTest, OrdersEveryTypeAsDuckdb) {
  for (const Values& values : kValues) {
    EXPECT_FALSE(unsortable(values.type)) << values.type;
    std::vector<std::string> rows;
    for (size_t i = 0; i < values.literals.size(); ++i)
      rows.push_back("(" + std::to_string(i) + "::BIGINT, (" + values.literals[i] +
                     ")::" + values.type + ")");
    ASSERT_TRUE(connection_->execute("CREATE OR REPLACE TABLE t AS SELECT * FROM (VALUES " +
                                     join(rows, ", ") + ") v(i, x)"));
    for (const bool descending : {false, true}) {
      for (const bool nulls_first : {false, true}) {
        const std::string order = "x " + in_sql(descending, nulls_first);
        std::vector<std::string> wanted;
        for (const auto& row : table("SELECT i FROM t ORDER BY " + order + ", i"))
          wanted.push_back(row[0]);
        EXPECT_EQ(by_keys("t", {{1, descending, nulls_first}}), wanted)
            << values.type << " " << order;
      }
    }
  }
}

TEST_F(SortKeyTest, OrdersByPairsOfColumns) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT row_number() OVER () AS i, x, y, z FROM (VALUES (''), ('a'), "
      "('a' || chr(0)), (NULL), ('b')) a(x), (VALUES (1), (NULL), (-3)) b(y), "
      "(VALUES ('q'), (''), (NULL)) c(z)"));
  for (int directions = 0; directions < 64; ++directions) {
    SortOrder order;
    std::vector<std::string> terms;
    const char* names[] = {"x", "y", "z"};
    for (uint32_t c = 0; c < 3; ++c) {
      const bool descending = (directions >> (2 * c) & 1) != 0;
      const bool nulls_first = (directions >> (2 * c + 1) & 1) != 0;
      order.push_back({c + 1, descending, nulls_first});
      terms.push_back(std::string(names[c]) + " " + in_sql(descending, nulls_first));
    }
    std::vector<std::string> wanted;
    for (const auto& row : table("SELECT i FROM t ORDER BY " + join(terms, ", ") + ", i"))
      wanted.push_back(row[0]);
    EXPECT_EQ(by_keys("t", order), wanted) << join(terms, ", ");
  }
}

TEST_F(SortKeyTest, RefusesWhatHasNoOrderHere) {
  for (const char* type : {"INTEGER[]", "STRUCT(a INTEGER)", "MAP(VARCHAR, INTEGER)", "BIT",
                           "BIGNUM", "INTEGER[3]", "UNION(a INTEGER)"})
    EXPECT_TRUE(unsortable(type)) << type;
}

}  // namespace
}  // namespace tidegate::sort
