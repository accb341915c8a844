#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/memory_file.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/format.h"
#include "shuffle/map_output_fixture.h"

namespace tidegate {
namespace {

class Shuffle : public MapOutputFixture {
 protected:
  MapOutputOptions options(uint32_t buckets, std::vector<HashKey> keys = {{0, "BIGINT"}}) {
    return {.keys = std::move(keys), .buckets = buckets, .attempt = "a1"};
  }
  void must_write(const std::string& sql, const std::string& name, MapOutputOptions options,
                  MapOutputSummary* summary = nullptr) {
    auto written = write(sql, file(name), std::move(options));
    ASSERT_TRUE(written) << written.error().describe();
    if (summary != nullptr) *summary = *written;
  }
  void must_attach(const std::string& name, const std::vector<MapOutputRef>& files, uint32_t begin,
                   uint32_t end, uint64_t memory_bytes = uint64_t{16} << 20) {
    const Status status = attach(name, files, begin, end, memory_bytes);
    ASSERT_TRUE(status) << status.error().describe();
  }
  /// The failure of reading all of a table, as a task would see it.
  Failure read_failure(const std::string& table) {
    const Status status = connection_->execute("SELECT max(COLUMNS(*)) FROM " + table);
    if (status) {
      ADD_FAILURE() << "it could be read";
      return {};
    }
    return map_output_failure(status.error());
  }
  void poke(const std::string& path, uint64_t offset, char flip) {
    const int fd = ::open(path.c_str(), O_RDWR);
    char byte = 0;
    ASSERT_EQ(pread(fd, &byte, 1, static_cast<off_t>(offset)), 1);
    byte = static_cast<char>(byte ^ flip);
    ASSERT_EQ(pwrite(fd, &byte, 1, static_cast<off_t>(offset)), 1);
    ::close(fd);
  }
};

constexpr const char* kMixed =
    "SELECT (hash(i) % 5000)::BIGINT AS k, i::INTEGER AS n, (i % 1000) / 100.0 AS price, "
    "CASE WHEN i % 11 = 0 THEN NULL ELSE 'name ' || (i % 300) END AS name, "
    "repeat('z', (i % 40)::INTEGER) AS filler, CASE WHEN i % 3 = 0 THEN NULL ELSE i * 1e-3 END AS "
    "x "
    "FROM range(100000) r(i)";

TEST_F(Shuffle, BucketsAreDisjointByKeyAndTogetherWhole) {
  run(std::string("CREATE TABLE source AS ") + kMixed);
  MapOutputSummary summary;
  must_write("SELECT * FROM source", "m", options(16), &summary);
  must_attach("whole", {{file("m"), "a1"}}, 0, 16);
  EXPECT_EQ(difference("source", "whole"), "0+0");
  run("CREATE TABLE parts(bucket INTEGER, k BIGINT)");
  for (uint32_t b = 0; b < 16; ++b) {
    must_attach("part", {{file("m"), "a1"}}, b, b + 1);
    EXPECT_EQ(scalar("SELECT count(*) FROM part"), std::to_string(summary.bucket_rows[b]));
    EXPECT_GT(summary.bucket_rows[b], 100'000u / 16 / 2) << "badly spread";
    run("INSERT INTO parts SELECT DISTINCT " + std::to_string(b) + ", k FROM part");
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT k FROM parts GROUP BY k HAVING count(*) > 1)"),
            "0");
  EXPECT_EQ(scalar("SELECT count(*) FROM parts"), scalar("SELECT count(DISTINCT k) FROM source"));
}

TEST_F(Shuffle, TwiceTheBucketsSplitEachInTwo) {
  must_write(kMixed, "few", options(8));
  must_write(kMixed, "many", options(16));
  must_attach("few", {{file("few"), "a1"}}, 3, 4);
  must_attach("many", {{file("many"), "a1"}}, 6, 8);
  EXPECT_EQ(difference("few", "many"), "0+0");
}

TEST_F(Shuffle, OrderIsFileThenBucketThenRow) {
  must_write("SELECT i AS k FROM range(10000) r(i)", "m1", options(4));
  must_write("SELECT i + 10000 AS k FROM range(10000) r(i)", "m2", options(4));
  run("SET threads = 2");
  must_attach("t", {{file("m2"), "a1"}, {file("m1"), "a1"}}, 1, 3);
  // Within file and bucket the keys ascend, so an order that is kept descends three times.
  EXPECT_EQ(
      scalar("SELECT count(*) FROM (SELECT k, lag(k) OVER (ORDER BY n) AS before FROM (SELECT "
             "k, row_number() OVER () AS n FROM t)) WHERE before > k"),
      "3");
  EXPECT_EQ(scalar("SELECT k >= 10000 FROM t LIMIT 1"), "true");
}

TEST_F(Shuffle, ScansRunSideBySideAndProjectionsRead) {
  run(std::string("CREATE TABLE source AS ") + kMixed);
  must_write("SELECT * FROM source", "m", options(4));
  must_attach("t", {{file("m"), "a1"}}, 0, 4);
  EXPECT_EQ(scalar("SELECT count(*) FROM t a JOIN t b ON a.n = b.n"), "100000");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "100000");
  EXPECT_EQ(scalar("SELECT sum(n)::VARCHAR || max(name) FROM t"),
            scalar("SELECT sum(n)::VARCHAR || max(name) FROM source"));
  EXPECT_EQ(scalar("SELECT sum(hash(name, k)) FROM t WHERE x IS NULL"),
            scalar("SELECT sum(hash(name, k)) FROM source WHERE x IS NULL"));
  EXPECT_EQ(scalar("WITH w AS (SELECT * FROM t LIMIT 10) SELECT count(*) FROM w, w AS v"), "100");
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT 1 FROM t LIMIT 5000)"), "5000");
}

TEST_F(Shuffle, NothingInNothingOut) {
  run("CREATE TABLE source(k BIGINT, s VARCHAR)");
  MapOutputSummary summary;
  must_write("SELECT * FROM source", "m", options(256), &summary);
  EXPECT_EQ(summary.rows, 0u);
  EXPECT_EQ(summary.bucket_rows.size(), 256u);
  must_attach("t", {{file("m"), "a1"}}, 0, 256);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
  must_attach("none", {{file("m"), "a1"}}, 7, 7);
  EXPECT_EQ(scalar("SELECT count(*) FROM none"), "0");
}

TEST_F(Shuffle, NoKeysMeansBucketZero) {
  MapOutputSummary summary;
  must_write(kMixed, "m", options(3, {}), &summary);
  EXPECT_EQ(summary.bucket_rows, (std::vector<uint64_t>{100'000, 0, 0}));
}

TEST_F(Shuffle, LongTextsAreCarried) {
  run("CREATE TABLE source AS SELECT i AS k, CASE WHEN i % 2 = 0 THEN repeat(chr((97 + i % "
      "26)::INTEGER), (1 << 20) + i::INTEGER) WHEN i % 3 = 0 THEN '' ELSE 's' || i END AS s FROM "
      "range(60) r(i)");
  must_write("SELECT * FROM source", "m", options(5));
  must_attach("t", {{file("m"), "a1"}}, 0, 5);
  EXPECT_EQ(difference("source", "t"), "0+0");
}

TEST_F(Shuffle, OneValueAboveTheBoundFailsByName) {
  MapOutputOptions small = options(2);
  small.memory_bytes = uint64_t{4} << 20;
  auto written = write("SELECT 1::BIGINT AS k, repeat('x', 3000000) AS s", file("m"), small);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().cls, FailureClass::kMemory);
  EXPECT_EQ(written.error().code, "shuffle.value_too_large");

  must_write("SELECT 1::BIGINT AS k, repeat('x', 3000000) AS s", "big", options(2));
  must_attach("t", {{file("big"), "a1"}}, 0, 2, uint64_t{1} << 20);
  const Failure failure = read_failure("t");
  EXPECT_EQ(failure.cls, FailureClass::kMemory);
  EXPECT_EQ(failure.code, "shuffle.memory");
}

TEST_F(Shuffle, ManyBucketsStayWithinTheBound) {
  run("CREATE TABLE source AS SELECT i AS k, (i % 100)::INTEGER AS n, 'text ' || i % 977 AS s FROM "
      "range(100000) r(i)");
  MapOutputOptions tight = options(65'536);
  tight.memory_bytes = uint64_t{24} << 20;
  MapOutputSummary summary;
  must_write("SELECT * FROM source", "m", tight, &summary);
  EXPECT_LE(summary.memory_peak_bytes, tight.memory_bytes);
  EXPECT_EQ(summary.rows, 100'000u);
  must_attach("t", {{file("m"), "a1"}}, 0, 65'536);
  EXPECT_EQ(difference("source", "t"), "0+0");
  tight.memory_bytes = uint64_t{4} << 20;
  const auto refused = write("SELECT * FROM source", file("m2"), tight);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cls, FailureClass::kMemory);
}

TEST_F(Shuffle, SkewUnderPressureKeepsAllRows) {
  run("CREATE TABLE source AS SELECT CASE WHEN i % 10 < 8 THEN 1 ELSE i END::BIGINT AS k, "
      "i::INTEGER "
      "AS n, repeat('y', (i % 200)::INTEGER) AS s FROM range(200000) r(i)");
  MapOutputOptions tight = options(512);
  tight.memory_bytes = uint64_t{3} << 20;
  MapOutputSummary summary;
  must_write("SELECT * FROM source", "m", tight, &summary);
  EXPECT_LE(summary.memory_peak_bytes, tight.memory_bytes);
  EXPECT_GT(summary.memory_peak_bytes, tight.memory_bytes / 2) << "not the case under test";
  must_attach("t", {{file("m"), "a1"}}, 0, 512, uint64_t{2} << 20);
  EXPECT_EQ(difference("source", "t"), "0+0");
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT n, lag(n) OVER (ORDER BY r) AS p FROM (SELECT n, "
                   "row_number() OVER () AS r FROM t WHERE k = 1)) WHERE p > n"),
            "0");
}

TEST_F(Shuffle, SameRowsGiveTheSameBytes) {
  MapOutputSummary first;
  MapOutputSummary second;
  must_write(kMixed, "m1", options(16), &first);
  must_write(kMixed, "m2", options(16), &second);
  EXPECT_EQ(bytes(file("m1")), bytes(file("m2")));
  MapOutputOptions other = options(16);
  other.attempt = "another, longer token";
  must_write(kMixed, "m3", other, &second);
  EXPECT_EQ(first.content_digest, second.content_digest);
  EXPECT_EQ(bytes(file("m1")).substr(sizeof(shuffle::FileHead)),
            bytes(file("m3")).substr(sizeof(shuffle::FileHead)));
  must_write(std::string("SELECT * FROM (") + kMixed + ") ORDER BY n DESC", "m4", options(16),
             &second);
  EXPECT_NE(first.content_digest, second.content_digest);
}

TEST_F(Shuffle, CutsIntoChunksDoNotMatter) {
  run(std::string("CREATE TABLE source AS ") + kMixed);
  for (const uint64_t memory : {uint64_t{64} << 20, uint64_t{2} << 20}) {
    MapOutputOptions some = options(64);
    some.memory_bytes = memory;
    must_write("SELECT * FROM source ORDER BY n", "m1", some);
    // Filters leave chunks of other sizes: two thirds of the rows of each chunk of a longer table.
    must_write(
        "SELECT k, n, price, name, filler, x FROM (SELECT *, 0 AS t FROM source UNION ALL "
        "SELECT *, 1 FROM source WHERE n % 2 = 0) WHERE t = 0",
        "m2", some);
    must_write(
        "SELECT * FROM source WHERE n < 31 UNION ALL SELECT * FROM source WHERE n BETWEEN 31 "
        "AND 4999 UNION ALL SELECT * FROM source WHERE n >= 5000",
        "m3", some);
    EXPECT_EQ(xxh3_64(bytes(file("m1"))), xxh3_64(bytes(file("m2"))));
    EXPECT_EQ(xxh3_64(bytes(file("m1"))), xxh3_64(bytes(file("m3"))));
  }
}

TEST_F(Shuffle, InfoTellsWhatTheFooterHolds) {
  MapOutputSummary summary;
  must_write(kMixed, "m", options(16), &summary);
  auto info = read_map_output_info(real_effects(), file("m"));
  ASSERT_TRUE(info) << info.error().describe();
  EXPECT_EQ(info->attempt, "a1");
  EXPECT_EQ(info->buckets, 16u);
  EXPECT_EQ(info->rows, summary.rows);
  EXPECT_EQ(info->bucket_rows, summary.bucket_rows);
  EXPECT_EQ(info->bucket_bytes, summary.bucket_bytes);
  ASSERT_EQ(info->schema.size(), 6u);
  EXPECT_EQ(info->schema[3], (sql::Column{"name", "VARCHAR"}));
  EXPECT_EQ(std::to_string(summary.bytes), std::to_string(bytes(file("m")).size()));
}

TEST_F(Shuffle, MissingForeignAndAlteredFilesAreLost) {
  must_write(kMixed, "m", options(4));
  must_attach("t", {{file("m"), "a1"}}, 0, 4);
  must_attach("foreign_attempt", {{file("m"), "a2"}}, 0, 4);
  Failure failure = read_failure("foreign_attempt");
  EXPECT_EQ(failure.cls, FailureClass::kLost);
  EXPECT_EQ(failure.code, "shuffle.attempt");
  EXPECT_NE(failure.message.find(file("m")), std::string::npos);

  poke(file("m"), 5000, 0x10);
  failure = read_failure("t");
  EXPECT_EQ(failure.cls, FailureClass::kLost);
  EXPECT_EQ(failure.code, "shuffle.torn");
  EXPECT_NE(failure.message.find(file("m")), std::string::npos);
  poke(file("m"), 5000, 0x10);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "100000");

  ASSERT_EQ(::truncate(file("m").c_str(), 70'000), 0);
  EXPECT_EQ(read_failure("t").code, "shuffle.torn");
  ASSERT_EQ(::unlink(file("m").c_str()), 0);
  failure = read_failure("t");
  EXPECT_EQ(failure.cls, FailureClass::kLost);
  EXPECT_EQ(failure.code, "shuffle.missing");
}

TEST_F(Shuffle, NewerVersionIsRefused) {
  must_write("SELECT 1::BIGINT AS k", "m", options(1));
  std::string text = bytes(file("m"));
  shuffle::FileHead head;
  std::memcpy(&head, text.data(), sizeof head);
  head.version = shuffle::kFormatVersion + 1;
  head.check = shuffle::check_of(head);
  std::memcpy(text.data(), &head, sizeof head);
  ASSERT_TRUE(write_file(real_effects(), file("m"), text));
  const auto info = read_map_output_info(real_effects(), file("m"));
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, "shuffle.version");
}

TEST_F(Shuffle, OtherFailuresPassThrough) {
  const Status status = connection_->execute("SELECT error('plain')");
  ASSERT_FALSE(status);
  EXPECT_EQ(map_output_failure(status.error()).code, status.error().code);
  for (const char* text :
       {"[tidegate/", "[tidegate/lost", "[tidegate/what/x] y", "[tidegate/lost] /"}) {
    const Failure failure{FailureClass::kDefect, "sql.other", text};
    EXPECT_EQ(map_output_failure(failure).code, "sql.other") << text;
  }
}

TEST_F(Shuffle, OptionsAreChecked) {
  const auto code = [&](MapOutputOptions wrong) {
    wrong.schema = {{"k", "BIGINT"}, {"d", "DOUBLE"}};
    auto writer = MapOutputWriter::create(real_effects(), file("w"), std::move(wrong));
    return writer ? std::string("accepted") : writer.error().code;
  };
  EXPECT_EQ(code(options(0)), "shuffle.options");
  EXPECT_EQ(code(options(65'537)), "shuffle.options");
  EXPECT_EQ(code(options(1, {{2, "BIGINT"}})), "shuffle.options");
  EXPECT_EQ(code(options(1, {{0, "DOUBLE"}})), "batch.hash_type");
  EXPECT_EQ(code(options(1, {{1, "BIGINT"}})), "batch.hash_type");
  MapOutputOptions token = options(1);
  token.attempt = std::string(300, 'x');
  EXPECT_EQ(code(token), "shuffle.options");
  EXPECT_EQ(code(options(65'536)), "accepted");
}

TEST_F(Shuffle, ChunksMustMatchTheSchema) {
  auto stream = connection_->stream("SELECT 1::INTEGER AS k");
  ASSERT_TRUE(stream);
  MapOutputOptions wrong = options(1);
  wrong.schema = {{"k", "BIGINT"}};
  auto writer = MapOutputWriter::create(real_effects(), file("m"), wrong);
  ASSERT_TRUE(writer);
  auto chunk = (*stream)->next();
  ASSERT_TRUE(chunk);
  const Status status = (*writer)->append(*chunk);
  sql::destroy_chunk(*chunk);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "shuffle.schema");
  // A writer that failed once makes no file that could be taken for whole.
  EXPECT_FALSE((*writer)->finish());
  EXPECT_FALSE(read_map_output_info(real_effects(), file("m")));
}

TEST_F(Shuffle, EachFailedWriteFailsTheWriterAndLeavesNoWholeFile) {
  MemoryFile disk;
  MapOutputSummary summary;
  ASSERT_TRUE(write(kMixed, "m", options(4), disk));
  const int writes = disk.calls;
  ASSERT_GT(writes, 5);
  for (int at = 0; at < writes; ++at) {
    MemoryFile full;
    full.fail_at = at;
    const auto written = write(kMixed, "m", options(4), full);
    ASSERT_FALSE(written) << at;
    EXPECT_EQ(written.error().cls, FailureClass::kDisk);
    full.fail_at = -1;
    EXPECT_FALSE(read_map_output_info(full, "m")) << at;
  }
}

TEST_F(Shuffle, EachFailedReadFailsTheStatement) {
  MemoryFile disk;
  ASSERT_TRUE(write(kMixed, "m", options(4), disk));
  const auto info = read_map_output_info(disk, "m");
  ASSERT_TRUE(info);
  ASSERT_TRUE(register_bucket_table(*connection_, disk, "t", info->schema, {{"m", "a1"}}, 0, 4,
                                    uint64_t{1} << 20));
  disk.calls = 0;
  EXPECT_EQ(scalar("SELECT sum(n) FROM t"), "4999950000");
  const int reads = disk.calls;
  ASSERT_GT(reads, 10);
  for (int at = 0; at < reads; ++at) {
    disk.calls = 0;
    disk.fail_at = at;
    const Status status = connection_->execute("SELECT sum(n) FROM t");
    ASSERT_FALSE(status) << at;
    EXPECT_EQ(map_output_failure(status.error()).cls, FailureClass::kDisk);
  }
}

// File after file, bucket after bucket, all but what is read at once; and never much at a time.
TEST_F(Shuffle, ReadsAhead) {
  MemoryFile disk;
  ASSERT_TRUE(write("SELECT i AS k, repeat(md5(i::VARCHAR), 30) AS s FROM range(20000) r(i)", "m",
                    options(4), disk));
  auto opened = shuffle::MapOutputFile::open(disk, "m");
  ASSERT_TRUE(opened) << opened.error().describe();
  const auto entries = opened->entries(1, 3);
  ASSERT_TRUE(entries);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (int file = 0; file < 2; ++file) {
    for (const auto& entry : *entries) {
      const auto found = shuffle::bucket_ranges(*opened, entry, 1 << 20);
      ASSERT_TRUE(found);
      for (const auto& range : *found) ranges.emplace_back(range.offset, range.bytes);
    }
  }
  ASSERT_GT(ranges.size(), 60u);

  shuffle::BucketTable table;
  table.effects = &disk;
  table.schema = *opened->schema();
  table.types = {*batch::parse_scalar_type("BIGINT"), *batch::parse_scalar_type("VARCHAR")};
  table.files = {{"m", "a1"}, {"m", "a1"}};
  table.bucket_begin = 1;
  table.bucket_end = 3;
  table.memory_bytes = 1 << 20;
  shuffle::BucketScan scan(table, {0, 1});
  std::vector<batch::ColumnView> views;
  ASSERT_TRUE(scan.next(views));
  uint64_t first = 0;
  for (const auto& [offset, bytes] : disk.asked) first += bytes;
  EXPECT_GE(first, shuffle::BucketScan::kReadAheadBytes);
  EXPECT_LT(first, shuffle::BucketScan::kReadAheadBytes + 2 * shuffle::kRangeBytes);
  EXPECT_LT(disk.asked.size(), ranges.size());
  while (true) {
    const auto rows = scan.next(views);
    ASSERT_TRUE(rows);
    if (*rows == 0) break;
  }
  EXPECT_EQ(disk.asked, ranges);
}

TEST_F(Shuffle, WorksInALockedDatabase) {
  must_write(kMixed, "m", options(4));
  ASSERT_TRUE(database_->lock());
  must_attach("t", {{file("m"), "a1"}}, 0, 4);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "100000");
}

TEST_F(Shuffle, NamesMayBeAnything) {
  const std::string select =
      "SELECT 1::BIGINT AS \"a \"\" b\", 2 AS \"SELECT\", 3 AS \"naïve\", 4 AS \"rowid\"";
  must_write(select, "m", options(1));
  must_attach("a \"table\" of; ours", {{file("m"), "a1"}}, 0, 1);
  EXPECT_EQ(difference("(" + select + ")", "\"a \"\"table\"\" of; ours\""), "0+0");
  // Registering again replaces what the name means.
  must_write("SELECT 7::BIGINT AS k", "m2", options(1));
  must_attach("a \"table\" of; ours", {{file("m2"), "a1"}}, 0, 1);
  EXPECT_EQ(scalar("SELECT k FROM \"a \"\"table\"\" of; ours\""), "7");
}

std::string fixture_of(int version) {
  return fmt::format("{}/src/shuffle/testdata/map_output_v{}.bin", TIDEGATE_SOURCE_DIR, version);
}

// Map outputs of each version must be read, or refused by name, for ever; and hashing and encoding
// must not change under the same version.
TEST_F(Shuffle, EarlierVersionsAreRefusedByName) {
  for (const int version : {1, 2, 3}) {
    const auto info = read_map_output_info(real_effects(), fixture_of(version));
    ASSERT_FALSE(info) << version;
    EXPECT_EQ(info.error().cls, FailureClass::kLost);
    EXPECT_EQ(info.error().code, "shuffle.version");
  }
}

TEST_F(Shuffle, ThisVersionStaysReadableAndTheSame) {
  const std::string fixture = fixture_of(4);
  const std::string select =
      "SELECT i::BIGINT AS k, 's' || (i % 9) AS s, 'https://example.com/' || i AS u, "
      "CASE WHEN i % 7 = 0 THEN '' ELSE 'a name of ' || i END AS p, i * 0.25 AS d, "
      "CASE WHEN i % 4 = 0 THEN NULL ELSE i::SMALLINT END AS n, [i] AS l, INTERVAL 1 DAY * i AS v "
      "FROM range(50) r(i)";
  must_write(select, "m", options(4, {{0, "BIGINT"}, {1, "VARCHAR"}}));
  EXPECT_EQ(xxh3_64(bytes(file("m"))), xxh3_64(bytes(fixture)));
  must_attach("t", {{fixture, "a1"}}, 0, 4);
  EXPECT_EQ(difference("(" + select + ")", "t"), "0+0");
}

TEST_F(Shuffle, NestedVectorsOfAnyShapeAreRead) {
  // Constants, dictionaries and slices below lists and structs: what flattening leaves alone.
  const std::string select =
      "SELECT i AS k, list_filter([1, 2, 3, i], lambda x: x % 2 = 0) AS a, [s.name, s.name] AS b, "
      "{'x': s.name, 'y': 7} AS c, [{'z': 'constant'}] AS d, list_slice([i, i + 1, i + 2], 2, 3) "
      "AS "
      "e FROM range(6000) r(i) JOIN (SELECT j, 'a name longer than inline ' || j AS name FROM "
      "range(10) q(j)) s ON s.j = i % 10 WHERE i % 7 <> 3 ORDER BY i";
  run("CREATE TABLE source AS " + select);
  must_write(select, "m", options(3));
  must_attach("t", {{file("m"), "a1"}}, 0, 3);
  EXPECT_EQ(difference("source", "t"), "0+0");
}

}  // namespace
}  // namespace tidegate
