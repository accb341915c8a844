#include "shuffle/map_output_fixture.h"

namespace tidegate {
namespace {

struct TypeCase {
  const char* name;
  const char* values;  ///< SQL expressions of the type, one a row, in parentheses
  bool is_key = true;  ///< may be hashed
};

std::ostream& operator<<(std::ostream& out, const TypeCase& type) { return out << type.name; }

class ShuffleTypes : public MapOutputFixture, public ::testing::WithParamInterface<TypeCase> {};

TEST_P(ShuffleTypes, ComeBackAsTheyWere) {
  const TypeCase& type = GetParam();
  const std::string name = type.name;
  // Values and NULLs mixed, some repeated, in runs and apart, in more rows than a chunk has.
  run("CREATE TABLE one AS SELECT row_number() OVER () AS n, v::" + name + " AS v FROM (VALUES " +
      type.values + ", (NULL)) t(v)");
  run("CREATE TABLE source AS SELECT i, v, (i % 7)::TINYINT AS tail FROM (SELECT i, v FROM "
      "range(300) r(i), one "
      "WHERE (i + n) % 3 <> 0 UNION ALL SELECT 1000 + i, v FROM range(2500) s(i), one WHERE i % 50 "
      "= n) ORDER BY i, v::VARCHAR");
  const std::string text = scalar("SELECT typeof(v) FROM source LIMIT 1");
  for (const uint32_t buckets : {1u, 7u}) {
    MapOutputOptions options;
    options.buckets = buckets;
    options.attempt = "a1";
    if (type.is_key) options.keys = {{1, text}};
    auto summary = write("SELECT * FROM source", file("m"), options);
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_EQ(std::to_string(summary->rows), scalar("SELECT count(*) FROM source"));
    Status attached = attach("back", {{file("m"), "a1"}}, 0, buckets);
    ASSERT_TRUE(attached) << attached.error().describe();
    EXPECT_EQ(scalar("SELECT typeof(v) FROM back LIMIT 1"), text);
    EXPECT_EQ(difference("source", "back"), "0+0") << buckets;
    // Text tells apart what SQL calls equal: -0.0 and 0.0, '1 month' and '30 days'.
    EXPECT_EQ(difference("(SELECT i, v::VARCHAR FROM source)", "(SELECT i, v::VARCHAR FROM back)"),
              "0+0");
    if (buckets == 1 || !type.is_key) continue;
    // Equal by DuckDB's rules means in one bucket: no value is counted twice.
    std::string counts = "0";
    for (uint32_t bucket = 0; bucket < buckets; ++bucket) {
      const std::string part = "bucket_" + std::to_string(bucket);
      attached = attach(part, {{file("m"), "a1"}}, bucket, bucket + 1);
      ASSERT_TRUE(attached) << attached.error().describe();
      counts += " + (SELECT count(*) FROM (SELECT DISTINCT v FROM " + part + "))";
    }
    EXPECT_EQ(scalar("SELECT " + counts),
              scalar("SELECT count(*) FROM (SELECT DISTINCT v FROM source)"));
  }
}

const TypeCase kTypes[] = {
    {"BOOLEAN", "(true), (false)"},
    {"TINYINT", "(-128), (127), (0)"},
    {"SMALLINT", "(-32768), (32767), (0)"},
    {"INTEGER", "(-2147483648), (2147483647), (0), (5)"},
    {"BIGINT", "(-9223372036854775808), (9223372036854775807), (0), (-1)"},
    {"HUGEINT",
     "('-170141183460469231731687303715884105728'), ('170141183460469231731687303715884105727'), "
     "('0'), ('-1'), ('18446744073709551616')"},
    {"UTINYINT", "(0), (255)"},
    {"USMALLINT", "(0), (65535)"},
    {"UINTEGER", "(0), (4294967295)"},
    {"UBIGINT", "(0), (18446744073709551615), (9223372036854775808)"},
    {"UHUGEINT", "('0'), ('340282366920938463463374607431768211455'), ('7')"},
    {"FLOAT", "('nan'), ('-0.0'), ('0.0'), ('inf'), ('-inf'), ('1e-45'), ('3.4e38'), ('0.1')"},
    {"DOUBLE",
     "('nan'), ('-0.0'), ('0.0'), ('inf'), ('-inf'), ('5e-324'), ('1.7976931348623157e308'), "
     "('0.1'), ('123456.78'), ('4503599627370497.5')"},
    {"DECIMAL(4,1)", "(-999.9), (999.9), (0)"},
    {"DECIMAL(9,2)", "(-9999999.99), (9999999.99), (0)"},
    {"DECIMAL(18,3)", "(-999999999999999.999), (999999999999999.999), (0)"},
    {"DECIMAL(38,10)",
     "('-9999999999999999999999999999.9999999999'), ('9999999999999999999999999999.9999999999'), "
     "('0'), ('1.5')"},
    {"DATE", "('infinity'), ('-infinity'), ('1970-01-01'), ('0044-03-15 (BC)'), ('9999-12-31')"},
    {"TIME", "('00:00:00'), ('23:59:59.999999'), ('24:00:00')"},
    {"TIME WITH TIME ZONE", "('00:00:00+00'), ('23:59:59.999999-15:59'), ('01:00:00+01')"},
    {"TIME_NS", "('00:00:00'), ('23:59:59.999999999')"},
    {"TIMESTAMP_S", "('infinity'), ('-infinity'), ('1970-01-01'), ('2001-06-30 12:00:00')"},
    {"TIMESTAMP_MS", "('infinity'), ('1969-12-31 23:59:59.999'), ('2001-06-30 12:00:00')"},
    {"TIMESTAMP", "('infinity'), ('-infinity'), ('1969-12-31 23:59:59.999999'), ('294247-01-10')"},
    {"TIMESTAMP_NS", "('infinity'), ('1969-12-31 23:59:59.999999999'), ('2001-06-30 12:00:00')"},
    {"TIMESTAMP WITH TIME ZONE", "('infinity'), ('1969-12-31 23:59:59.999999+00'), ('2001-06-30')"},
    {"INTERVAL",
     "('1 month'), ('30 days'), ('-1 day'), ('1 microsecond'), ('720 hours'), ('99 years')"},
    {"UUID",
     "('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff'), "
     "('80000000-0000-0000-0000-000000000001')"},
    {"VARCHAR",
     "(''), ('a'), ('exactly12byt'), ('exactly13byte'), ('näïve ☃ and longer than inline'), "
     "(repeat('x', 5000)), (chr(0) || 'zero')"},
    {"BLOB", "(''::BLOB), ('\\x00\\xFF'::BLOB), ('abc'::BLOB), (repeat('b', 300)::BLOB)"},
    {"BIT", "('0'), ('1'), ('101010101'), (repeat('10', 100))"},
    {"BIGNUM", "('0'), ('-1'), ('123456789012345678901234567890123456789012345678901234567890')"},
    {"JSON", "('{\"a\": [1, null]}'), ('1'), ('\"x\"')"},
    {"ENUM('red', 'it''s', '', 'long enough not to be inline')",
     "('red'), ('it''s'), (''), ('long enough not to be inline')"},
    {"DOUBLE[]",
     "(['nan'::DOUBLE, '-0.0'::DOUBLE]), ([-('nan'::DOUBLE), 0.0::DOUBLE]), ([1.5::DOUBLE])"},
    {"INTERVAL[]", "([INTERVAL '1 month']), ([INTERVAL '30 days'])"},
    {"INTEGER[]", "([1, 2, NULL]), ([]), ([NULL]), ([7])"},
    {"VARCHAR[][]", "([['a', NULL], NULL, []]), ([]), ([['a text that is not inline at all']])"},
    {"INTEGER[3]", "([1, 2, 3]), ([1, NULL, 3])"},
    {"STRUCT(a INTEGER, \"b c\" VARCHAR, d DOUBLE[])",
     "({'a': 1, 'b c': 'x', 'd': [1.5, '-0.0'::DOUBLE]}), ({'a': NULL, 'b c': NULL, 'd': NULL})"},
    {"MAP(VARCHAR, INTEGER[])",
     "(MAP {'k': [1, 2], 'l': NULL}), (MAP {'l': NULL, 'k': [1, 2]}), (MAP {})"},
    {"UNION(num INTEGER, txt VARCHAR)",
     "(union_value(num := 1)::UNION(num INTEGER, txt VARCHAR)), "
     "(union_value(txt := 'one text too long to be inline')::UNION(num INTEGER, txt VARCHAR)), "
     "(union_value(num := NULL::INTEGER)::UNION(num INTEGER, txt VARCHAR)), "
     "(union_value(txt := 'x')::UNION(num INTEGER, txt VARCHAR))"},
    {"STRUCT(x STRUCT(y INTEGER[2], z MAP(DATE, HUGEINT))[])",
     "({'x': [{'y': [1, 2], 'z': MAP {'2001-01-01'::DATE: 5::HUGEINT}}, NULL]}), ({'x': []})"},
};

std::string case_name(const ::testing::TestParamInfo<TypeCase>& info) {
  std::string name = std::to_string(info.index) + "_";
  for (const char c : std::string(info.param.name)) {
    if (isalnum(static_cast<unsigned char>(c)) != 0) name += c;
    if (name.size() > 30) break;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, ShuffleTypes, ::testing::ValuesIn(kTypes), case_name);

using ShuffleRefusals = MapOutputFixture;

TEST_F(ShuffleRefusals, WhatTheInterfaceCannotCarryIsRefused) {
  auto summary = write("SELECT 1::VARIANT AS v", file("m"), {.attempt = "a"});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, "batch.type");
  summary = write("SELECT 'POINT(0 0)'::GEOMETRY AS g", file("m"), {.attempt = "a"});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, "batch.type");
}

}  // namespace
}  // namespace tidegate
