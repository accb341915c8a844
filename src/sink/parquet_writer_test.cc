#include "sink/parquet_writer.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "base/memory_file.h"
#include "sink/dictionary.h"
#include "sink/parquet_fixture.h"

namespace tidegate::sink {
namespace {

constexpr int kRows = 2500;
// Small, so that they make several pages and row groups.
constexpr uint64_t kPageRows = 300;
constexpr uint64_t kGroupRows = 1000;

struct TypeCase {
  const char* name;
  const char* random;    ///< an expression of the type, of the UBIGINT h
  const char* extremes;  ///< VALUES of the type, in parentheses
  bool has_statistics = true;
};

std::ostream& operator<<(std::ostream& out, const TypeCase& type) { return out << type.name; }

class ParquetTypes : public ParquetFixture, public ::testing::WithParamInterface<TypeCase> {
 protected:
  /// Each chunk's statistics against what SQL says of its rows.
  void expect_statistics(const std::string& path, bool has_order, const sql::Schema& schema) {
    const std::string published = sql::parquet_select("unsorted", schema);
    for (const sql::Column& column : schema) {
      if (column.name == "runs" || column.name == "many" || column.name == "few") continue;
      const std::string type = sql::parquet_type(column.type);
      std::string left_out = "max(octet_length(v::VARCHAR::BLOB)) < 0";  // never
      if (type == "VARCHAR" || type == "JSON")
        left_out = "greatest(octet_length(min(v)::BLOB), octet_length(max(v)::BLOB)) > 64";
      if (type == "BLOB") left_out = "greatest(octet_length(min(v)), octet_length(max(v))) > 64";
      if (type == "FLOAT" || type == "DOUBLE") left_out = "bool_or(isnan(v))";
      if (column.name != "i" && !has_order) left_out = "true";
      EXPECT_EQ(
          text(fmt::format(
              "SELECT s.row_group_id, stats_min_value, stats_max_value, stats_null_count, lo, hi, "
              "nulls FROM (SELECT * FROM parquet_metadata('{}') WHERE path_in_schema = '{}') s "
              "JOIN (SELECT n // {} AS row_group_id, count(*) - count(v) AS nulls, CASE WHEN NOT "
              "({}) THEN min(v) END AS lo, CASE WHEN NOT ({}) THEN max(v) END AS hi FROM (SELECT "
              "row_number() OVER () - 1 AS n, {} AS v FROM ({})) GROUP BY ALL) e USING "
              "(row_group_id) WHERE stats_min_value::{} IS DISTINCT FROM lo OR stats_max_value::{} "
              "IS DISTINCT FROM hi OR stats_null_count <> nulls",
              path, column.name, kGroupRows, left_out, left_out, column.name, published, type,
              type)),
          "")
          << column.name;
    }
  }
};

TEST_P(ParquetTypes, ComeBackAsTheyWere) {
  const TypeCase& type = GetParam();
  const std::string name = type.name;
  run(fmt::format("CREATE MACRO v(h) AS ({})::{}", type.random, name));
  run(
      fmt::format("CREATE TABLE extremes AS SELECT row_number() OVER () - 1 AS n, v::{} AS v FROM "
                  "(VALUES {}) t(v)",
                  name, type.extremes));
  run(fmt::format(
      "CREATE TABLE unsorted AS SELECT i, v(hash(i)) AS many, CASE WHEN hash(i + 7) % 3 > 0 THEN "
      "v(hash(i)) END AS many_null, v(hash(i % 5)) AS few, CASE WHEN i % 400 < 200 THEN v(hash(i "
      "% 5)) END AS few_null, v(hash(i // 300)) AS runs, CASE WHEN i > 1400 THEN v(hash(i)) END "
      "AS late, CASE WHEN i = 2321 THEN v(hash(i)) END AS once, NULL::{} AS none, e.v AS extreme "
      "FROM range({}) t(i) LEFT JOIN extremes e ON e.n = i % (SELECT count(*) FROM extremes) "
      "ORDER BY i",
      name, kRows));
  run("CREATE TABLE sorted AS SELECT * FROM unsorted ORDER BY many, i");
  for (const std::string source : {"unsorted", "sorted"}) {
    SCOPED_TRACE(source);
    const std::string path = file(source + ".parquet");
    auto schema = connection_->describe("SELECT * FROM " + source);
    ASSERT_TRUE(schema);
    ASSERT_TRUE(can_write(*schema));
    ASSERT_TRUE(can_write(sql::parquet_schema(*schema)));
    auto summary = write("SELECT * FROM " + source, path,
                         {.row_group_rows_max = kGroupRows, .page_rows_max = kPageRows});
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_EQ(summary->rows, kRows);
    EXPECT_EQ(summary->row_groups, 3u);
    auto bytes = read_file(real_effects(), path);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(summary->xxh3, hex64(xxh3_64(*bytes)));
    EXPECT_EQ(summary->bytes, bytes->size());

    // In order, and as text, which tells apart what SQL calls equal.
    run(fmt::format("CREATE OR REPLACE VIEW back AS FROM '{}'", path));
    std::string differ;
    for (const sql::Column& column : *schema)
      differ += fmt::format(", count(*) FILTER (a.{0}::VARCHAR IS DISTINCT FROM b.{0}::VARCHAR)",
                            column.name);
    EXPECT_EQ(text(fmt::format("SELECT count(*) FILTER (a.i IS DISTINCT FROM b.i){} FROM {} a "
                               "POSITIONAL JOIN back b",
                               differ, source)),
              "0|0|0|0|0|0|0|0|0|0|0|\n");

    keep(path, source + "-" + name.substr(0, 20));
    if (source == "sorted") continue;

    // The schema is what COPY makes, to the last field.
    const std::string peer = file(source + "-duckdb.parquet");
    run(fmt::format("COPY ({}) TO '{}' (FORMAT parquet, COMPRESSION zstd)",
                    sql::parquet_select(source, *schema), peer));
    const auto describe = [&](const std::string& of) {
      return text(fmt::format("DESCRIBE SELECT * FROM '{}'", of)) +
             text(fmt::format("SELECT COLUMNS(c -> c <> 'file_name') FROM parquet_schema('{}') "
                              "WHERE num_children IS NULL",
                              of));
    };
    EXPECT_EQ(describe(path), describe(peer));

    // Rows that statistics would hide are found: NaN, both zeros, the least and the greatest.
    std::string counts;
    for (const auto& row : table("SELECT DISTINCT v::VARCHAR FROM extremes").rows) {
      if (row[0].text.size() > 100) continue;
      for (const char* op : {"=", "<", ">="})
        counts += fmt::format("{}(SELECT count(*) FROM one WHERE extreme {} {}::{})",
                              counts.empty() ? "SELECT " : ", ", op, quote_literal(row[0].text),
                              sql::parquet_type(name));
    }
    run(fmt::format("CREATE OR REPLACE VIEW one AS {}", sql::parquet_select(source, *schema)));
    const std::string counted = text(counts);
    run("CREATE OR REPLACE VIEW one AS FROM back");
    EXPECT_EQ(text(counts), counted) << counts;
    expect_statistics(path, type.has_statistics, *schema);
    // Rows made by parquet_select have the published types already: the same bytes.
    auto again = write(sql::parquet_select(source, *schema), file("again.parquet"),
                       {.row_group_rows_max = kGroupRows, .page_rows_max = kPageRows});
    ASSERT_TRUE(again) << again.error().describe();
    const bool same_storage = sql::parquet_schema(*schema) == *schema;
    if (same_storage) {
      EXPECT_EQ(again->xxh3, summary->xxh3);
    }
    EXPECT_EQ(scalar(fmt::format("SELECT count(*) FROM (FROM '{}' EXCEPT ALL FROM back)",
                                 file("again.parquet"))),
              "0");
  }
}

const TypeCase kTypes[] = {
    {"BOOLEAN", "h % 2 = 0", "(true), (false)"},
    {"TINYINT", "(h % 256)::INT - 128", "(-128), (127), (0)"},
    {"SMALLINT", "(h % 65536)::INT - 32768", "(-32768), (32767), (0)"},
    {"INTEGER", "(h % 4294967296)::BIGINT - 2147483648", "(-2147483648), (2147483647), (0), (5)"},
    {"BIGINT", "(h >> 1)::BIGINT - 4611686018427387904",
     "(-9223372036854775808), (9223372036854775807), (0), (-1)"},
    {"HUGEINT", "h::HUGEINT * (h % 100000000)::HUGEINT - 1000000000000000000000",
     "('-99999999999999999999999999999999999999'), ('99999999999999999999999999999999999999'), "
     "('0'), ('-1')"},
    {"UTINYINT", "h % 256", "(0), (255)"},
    {"USMALLINT", "h % 65536", "(0), (65535)"},
    {"UINTEGER", "h % 4294967296", "(0), (4294967295), (2147483648)"},
    {"UBIGINT", "h", "(0), (18446744073709551615), (9223372036854775808)"},
    {"UHUGEINT", "h::UHUGEINT * 1000", "('0'), ('99999999999999999999999999999999999999'), ('7')"},
    {"FLOAT", "(h % 100000)::FLOAT / 100",
     "('nan'), ('-0.0'), ('0.0'), ('inf'), ('-inf'), ('1e-45'), ('3.4e38'), ('0.1')"},
    {"DOUBLE", "(h % 1000000)::DOUBLE / 100",
     "('nan'), ('-0.0'), ('0.0'), ('inf'), ('-inf'), ('5e-324'), ('1.7976931348623157e308'), "
     "('0.1')"},
    {"DECIMAL(4,1)", "((h % 19999)::INT - 9999) / 10", "(-999.9), (999.9), (0)"},
    {"DECIMAL(9,2)", "(h % 100000000)::INT / 100", "(-9999999.99), (9999999.99), (0)"},
    {"DECIMAL(18,3)", "(h % 10000000000)::BIGINT / 1000",
     "(-999999999999999.999), (999999999999999.999), (0)"},
    {"DECIMAL(22,2)", "h::DECIMAL(22,2)",
     "('-99999999999999999999.99'), ('99999999999999999999.99'), ('0')"},
    {"DECIMAL(38,10)", "(h % 1000000)::DECIMAL(38,10) / 100",
     "('-9999999999999999999999999999.9999999999'), ('9999999999999999999999999999.9999999999'), "
     "('0'), ('1.5')"},
    {"DATE", "DATE '1950-01-01' + (h % 40000)::INT",
     "('infinity'), ('-infinity'), ('1970-01-01'), ('0044-03-15 (BC)'), ('9999-12-31')"},
    {"TIME", "TIME '00:00:00' + to_microseconds((h % 86400000000)::BIGINT)",
     "('00:00:00'), ('23:59:59.999999'), ('24:00:00')"},
    {"TIMESTAMP_S", "TIMESTAMP '2001-01-01' + INTERVAL 1 SECOND * (h % 86400000)::BIGINT",
     "('infinity'), ('-infinity'), ('1970-01-01'), ('2001-06-30 12:00:00')"},
    {"TIMESTAMP_MS", "TIMESTAMP '2001-01-01' + INTERVAL 1 MILLISECOND * (h % 86400000)::BIGINT",
     "('infinity'), ('1969-12-31 23:59:59.999'), ('2001-06-30 12:00:00')"},
    {"TIMESTAMP", "TIMESTAMP '2001-01-01' + to_microseconds((h % 86400000000)::BIGINT)",
     "('infinity'), ('-infinity'), ('1969-12-31 23:59:59.999999'), ('294247-01-10')"},
    {"TIMESTAMP_NS", "make_timestamp_ns((h % 1000000000000000000)::BIGINT)",
     "('infinity'), ('1969-12-31 23:59:59.999999999'), ('2001-06-30 12:00:00')"},
    {"TIMESTAMP WITH TIME ZONE",
     "TIMESTAMPTZ '2001-01-01' + to_microseconds((h % 86400000000)::BIGINT)",
     "('infinity'), ('1969-12-31 23:59:59.999999+00'), ('2001-06-30')"},
    {"INTERVAL", "INTERVAL 1 MILLISECOND * (h % 86400000)::BIGINT + INTERVAL 1 DAY * (h % 40)::INT",
     "('1 month'), ('30 days'), ('1 millisecond'), ('720 hours'), ('99 years'), ('0 days')", false},
    {"UUID", "(md5(h::VARCHAR))",
     "('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff'), "
     "('80000000-0000-0000-0000-000000000001')"},
    {"VARCHAR", "repeat(chr(97 + (h % 26)::INT), (h % 40)::INT) || h",
     "(''), ('a'), ('exactly12byt'), ('exactly13byte'), ('exactly 16 bytes'), ('of 17 bytes "
     "long.'), (repeat('y', 32)), (repeat('z', 33)), ('näïve ☃ and longer than inline'), "
     "(repeat('x', 5000)), (chr(0) || 'zero'), ('a' || chr(0))"},
    {"BLOB", "(md5(h::VARCHAR))::BLOB",
     "(''::BLOB), ('\\x00\\xFF'::BLOB), ('\\xFF'::BLOB), ('abc'::BLOB), (repeat('b', 300)::BLOB)"},
    {"JSON", "'{\"a\": ' || h || '}'", "('{\"a\": [1, null]}'), ('1'), ('\"x\"')"},
    {"ENUM('red', 'it''s', '', 'long enough not to be inline')",
     "CASE h % 3 WHEN 0 THEN 'red' WHEN 1 THEN 'it''s' ELSE '' END",
     "('red'), ('it''s'), (''), ('long enough not to be inline')"},
};

std::string case_name(const ::testing::TestParamInfo<TypeCase>& info) {
  std::string name = std::to_string(info.index) + "_";
  for (const char c : std::string(info.param.name)) {
    if (isalnum(static_cast<unsigned char>(c)) != 0) name += c;
    if (name.size() > 30) break;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, ParquetTypes, ::testing::ValuesIn(kTypes), case_name);

using ParquetFiles = ParquetFixture;

/// Columns that take every way a chunk can be encoded.
const char* const kMixed =
    "SELECT i, hash(i) AS random, (i // 100)::INTEGER AS runs, (hash(i) % 1000000)::DOUBLE / 100 "
    "AS amount, md5(i::VARCHAR) AS text, sin(i) AS wave, CASE WHEN i % 3 > 0 THEN repeat('n', "
    "(hash(i) % "
    "100)::INT) END AS texts, CASE WHEN i % 5 = 0 THEN i % 7 END AS few, i % 2 = 0 AS even FROM "
    "range({}) t(i)";

TEST_F(ParquetFiles, NoRowsAndOneRow) {
  for (const int rows : {0, 1}) {
    const std::string path = file(fmt::format("{}.parquet", rows));
    const std::string query = fmt::format(fmt::runtime(kMixed), rows);
    auto summary = write(query, path);
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_EQ(summary->rows, static_cast<uint64_t>(rows));
    EXPECT_EQ(summary->row_groups, static_cast<uint64_t>(rows));
    EXPECT_EQ(text(fmt::format("FROM '{}'", path)), text(query));
    EXPECT_EQ(text(fmt::format("DESCRIBE FROM '{}'", path)), text("DESCRIBE " + query));
  }
}

TEST_F(ParquetFiles, SameBytesHoweverRowsAreCut) {
  const std::string query = fmt::format(fmt::runtime(kMixed), 9000);
  std::string whole;
  // The small bound ends row groups by memory, the large one by rows.
  for (const uint64_t memory : {uint64_t{2} << 20, uint64_t{64} << 20}) {
    const ParquetOptions options{.memory_bytes = memory, .row_group_rows_max = 7777};
    for (const size_t piece : {SIZE_MAX, size_t{1}, size_t{100}, size_t{1025}}) {
      MemoryFile disk;
      auto summary = write(query, "memory", options, piece, disk);
      ASSERT_TRUE(summary) << summary.error().describe();
      if (piece == SIZE_MAX) {
        whole = disk.bytes;
        EXPECT_GE(summary->row_groups, 2u);
      }
      EXPECT_TRUE(disk.bytes == whole) << memory << " " << piece;
    }
  }
}

TEST_F(ParquetFiles, EveryCompressionIsRead) {
  const std::string query = fmt::format(fmt::runtime(kMixed), 20'000);
  run("CREATE TABLE mixed AS " + query);
  for (const char* compression : {"zstd", "snappy", "none"}) {
    const std::string path = file(std::string(compression) + ".parquet");
    auto summary = write("FROM mixed", path, {.compression = compression});
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_EQ(scalar(fmt::format("SELECT count(*) FROM (FROM mixed EXCEPT ALL FROM '{}')", path)),
              "0");
    EXPECT_EQ(scalar(fmt::format("SELECT count(*) FROM '{}'", path)), "20000");
  }
  auto summary = write(query, file("brotli"), {.compression = "brotli"});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, "parquet.compression");
}

TEST_F(ParquetFiles, EncodingsFollowWhatTheFirstPageBecomes) {
  const std::string path = file("chosen.parquet");
  run("CREATE TABLE chosen AS SELECT hash(i) AS random, i AS rising, i % 9 AS few, (hash(i) % "
      "1000000)::DOUBLE / 100 AS "
      "cents, left(md5(i::VARCHAR), 20) AS hex, 'group ' || i // 1000 AS groups, CASE WHEN i < "
      "60000 THEN i % 2 ELSE (hash(i) >> 1)::BIGINT END AS turns, sin(i) AS wave FROM "
      "range(200000) t(i)");
  auto summary = write("FROM chosen", path);
  ASSERT_TRUE(summary) << summary.error().describe();
  EXPECT_EQ(
      text(fmt::format("SELECT path_in_schema, encodings, compression FROM parquet_metadata('{}') "
                       "WHERE row_group_id = 0",
                       path)),
      "random|PLAIN, RLE|UNCOMPRESSED|\n"
      "rising|DELTA_BINARY_PACKED, RLE|ZSTD|\n"
      "few|RLE_DICTIONARY, RLE, PLAIN|ZSTD|\n"
      "cents|PLAIN, RLE|ZSTD|\n"
      "hex|DELTA_LENGTH_BYTE_ARRAY, RLE|ZSTD|\n"
      "groups|RLE_DICTIONARY, RLE, PLAIN|ZSTD|\n"
      "turns|RLE_DICTIONARY, RLE, DELTA_BINARY_PACKED, PLAIN|ZSTD|\n"
      "wave|BYTE_STREAM_SPLIT, RLE|ZSTD|\n");
  EXPECT_EQ(scalar(fmt::format("SELECT count(*) FROM (FROM chosen EXCEPT ALL FROM '{}')", path)),
            "0");
  keep(path, "chosen");
}

TEST(ExpectedDistinct, FollowsHowTheValuesCome) {
  // Drawn alike from 100,000: all of them, nearly. Half new for ever: half of all. None twice.
  EXPECT_NEAR(expected_distinct(15'104, 27'926, 32'768, 524'288), 99'500, 1'000);
  EXPECT_NEAR(expected_distinct(8'192, 16'384, 32'768, 524'288), 262'144, 10);
  EXPECT_EQ(expected_distinct(16'384, 32'768, 32'768, 524'288), 524'288);
  EXPECT_NEAR(expected_distinct(5, 5, 32'768, 524'288), 5, 0.01);
  EXPECT_NEAR(expected_distinct(1, 1, 2, 2), 1, 0.5);
}

TEST_F(ParquetFiles, RunsAndWidthsOfEveryLength) {
  // Runs of 1 to 20 values and NULLs, between and across groups of 8 and words of 64; deltas of
  // every width in blocks of 128, and of all in one block.
  run("CREATE TABLE runs AS SELECT (hash(i // (1 + hash(i // 64) % 20)) % 3)::INTEGER AS few, CASE "
      "WHEN hash(i // (1 + hash(i // 640) % 200)) % 2 = 0 THEN hash(i // 5) % 100 END AS "
      "null_runs, "
      "(hash(i) >> (1 + hash(i // 128) % 63))::BIGINT * (CASE WHEN i // 700 % 2 = 0 THEN 1 ELSE -1 "
      "END) AS wide, ((hash(i) >> (33 + hash(i // 128) % 31))::BIGINT * (CASE WHEN i // 900 % 2 = "
      "0 "
      "THEN 1 ELSE -1 END))::INTEGER AS narrow, (hash(i) >> (1 + i % 63))::BIGINT AS mixed, "
      "repeat('x', (hash(i) >> (57 + i % 7))::INT) AS texts FROM range(60000) t(i)");
  const std::string path = file("runs.parquet");
  auto summary =
      write("FROM runs", path,
            {.compression = "none", .row_group_rows_max = 20'011, .page_rows_max = 1'237}, 999);
  ASSERT_TRUE(summary) << summary.error().describe();
  EXPECT_EQ(scalar(fmt::format("SELECT count(*) FROM runs a POSITIONAL JOIN '{}' b WHERE a IS "
                               "DISTINCT FROM b",
                               path)),
            "0");
  EXPECT_EQ(scalar(fmt::format("SELECT string_agg(DISTINCT path_in_schema, ' ' ORDER BY "
                               "path_in_schema) FROM parquet_metadata('{}') WHERE encodings LIKE "
                               "'%DELTA_BINARY%'",
                               path)),
            "narrow null_runs wide");
  keep(path, "runs");
}

TEST_F(ParquetFiles, LongTextsAreHeldWithinReason) {
  run("CREATE TABLE long AS SELECT i, CASE i % 4 WHEN 0 THEN '' WHEN 1 THEN repeat(chr(97 + "
      "(i % 26)::INT), 1000000) WHEN 2 THEN i::VARCHAR END AS v FROM range(60) t(i)");
  const std::string path = file("long.parquet");
  const uint64_t memory = uint64_t{12} << 20;
  auto summary = write("FROM long", path, {.memory_bytes = memory}, 16);
  ASSERT_TRUE(summary) << summary.error().describe();
  EXPECT_GT(summary->row_groups, 0u);
  EXPECT_LT(summary->memory_peak_bytes, memory);
  EXPECT_EQ(scalar(fmt::format("SELECT count(*) FROM (FROM long EXCEPT ALL FROM '{}')", path)),
            "0");
}

TEST_F(ParquetFiles, HoldsItsMemoryBound) {
  // Nothing of it shrinks, so that row groups must end early.
  const std::string query =
      "SELECT hash(i) AS a, hash(i + 1) AS b, md5(i::VARCHAR) || md5((i + 1)::VARCHAR) AS c FROM "
      "range(150000) t(i)";
  for (const uint64_t mib : {4, 8, 32}) {
    auto summary = write(query, file(fmt::format("{}.parquet", mib)), {.memory_bytes = mib << 20});
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_LE(summary->memory_peak_bytes, mib << 20);
    EXPECT_GE(summary->memory_peak_bytes, peak_seen_);
    if (mib > 16) continue;
    EXPECT_GE(summary->row_groups, 2u);
    EXPECT_LE(summary->row_groups, 20u) << "the bound is made use of";
  }
}

TEST_F(ParquetFiles, DictionariesTakeThePlaceOfPages) {
  // Row groups that fill the memory with pages, then some that fill it with dictionaries.
  const std::string query =
      "SELECT CASE WHEN i < 150000 THEN md5(i::VARCHAR) ELSE md5((hash(i) % 3000)::VARCHAR) END AS "
      "a, CASE WHEN i < 150000 THEN hash(i) ELSE hash(i % 3000) END AS b, CASE WHEN i < 150000 "
      "THEN "
      "md5((-i)::VARCHAR) ELSE md5((hash(-i) % 3000)::VARCHAR) END AS c FROM range(250000) t(i)";
  const uint64_t memory = uint64_t{6} << 20;
  auto summary = write(query, file("turns.parquet"), {.memory_bytes = memory});
  ASSERT_TRUE(summary) << summary.error().describe();
  EXPECT_LE(summary->memory_peak_bytes, memory);
  EXPECT_GE(summary->row_groups, 2u);
  EXPECT_LE(summary->row_groups, 12u);
}

TEST_F(ParquetFiles, AFailedWriteIsAFailure) {
  const std::string query = fmt::format(fmt::runtime(kMixed), 30'000);
  const ParquetOptions options{.compression = "none", .memory_bytes = uint64_t{4} << 20};
  MemoryFile whole;
  auto summary = write(query, "memory", options, SIZE_MAX, whole);
  ASSERT_TRUE(summary) << summary.error().describe();
  ASSERT_GT(whole.calls, 3);
  for (int call = 0; call < whole.calls; ++call) {
    MemoryFile disk;
    disk.fail_at = call;
    auto failed = write(query, "memory", options, SIZE_MAX, disk);
    ASSERT_FALSE(failed) << call;
    EXPECT_EQ(failed.error().cls, FailureClass::kDisk) << call;
  }
}

TEST_F(ParquetFiles, ValuesThatParquetLacksFail) {
  struct Case {
    const char* query;
    const char* says;
  };
  for (const auto& [query, says] :
       {Case{"SELECT INTERVAL '-1 day' AS v", "negative"},
        Case{"SELECT INTERVAL '1 microsecond' AS v", "finer than milliseconds"},
        Case{"SELECT INTERVAL '1500 hours' AS v", "49 days"},
        Case{"SELECT 100000000000000000000000000000000000000::HUGEINT AS v", "38 digits"},
        Case{"SELECT 340282366920938463463374607431768211455::UHUGEINT AS v", "38 digits"},
        Case{"SELECT CASE WHEN i = 70 THEN '-170141183460469231731687303715884105728'::HUGEINT END "
             "AS v FROM range(99) t(i)",
             "38 digits"}}) {
    MemoryFile disk;
    auto summary = write(query, "memory", {}, SIZE_MAX, disk);
    ASSERT_FALSE(summary) << query;
    EXPECT_EQ(summary.error().code, "parquet.value");
    EXPECT_EQ(summary.error().cls, FailureClass::kData);
    EXPECT_NE(summary.error().message.find(says), std::string::npos) << summary.error().message;
    EXPECT_NE(summary.error().message.find("column v"), std::string::npos);
  }
}

TEST_F(ParquetFiles, OtherTypesAreLeftToDuckdb) {
  for (const char* type :
       {"INTEGER[]", "INTEGER[3]", "STRUCT(a INTEGER)", "MAP(INTEGER, INTEGER)", "UNION(a INTEGER)",
        "BIT", "BIGNUM", "TIME_NS", "TIME WITH TIME ZONE", "VARIANT", "ENUM('a')[]"})
    EXPECT_FALSE(can_write({{"fine", "INTEGER"}, {"v", type}})) << type;
  auto summary = write("SELECT '101'::BIT AS v", file("refused"));
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, "parquet.type");
  EXPECT_FALSE(exists(real_effects(), file("refused")));
}

TEST_F(ParquetFiles, AFileThatIsThereStays) {
  ASSERT_TRUE(write("SELECT 1 AS v", file("one")));
  auto summary = write("SELECT 2 AS v", file("one"));
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, "file.exists");
  EXPECT_EQ(scalar(fmt::format("FROM read_parquet('{}')", file("one"))), "1");
}

}  // namespace
}  // namespace tidegate::sink
