#include "source/source.h"

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "source/cache.h"
#include "source/content.h"
#include "source/partition.h"
#include "source/source_fixture.h"

namespace tidegate {
namespace {

class Snapshot : public SourceFixture {};

TEST_F(Snapshot, ParquetRowsSchemaAndOnePartition) {
  copy("SELECT i, 'v' || i AS \"we\"\"ird näme\" FROM range(3) t(i)", "a.parquet");
  copy("SELECT i + 3 AS i, 'w' AS \"we\"\"ird näme\" FROM range(2) t(i)", "b.parquet");
  const auto snapshot = good(source("*.parquet"));
  ASSERT_EQ(snapshot.schema.size(), 2u);
  EXPECT_EQ(snapshot.schema[0], (sql::Column{"i", "BIGINT"}));
  EXPECT_EQ(snapshot.schema[1], (sql::Column{"we\"ird näme", "VARCHAR"}));
  EXPECT_EQ(snapshot.rows, 5u);
  EXPECT_TRUE(snapshot.rows_known);
  ASSERT_EQ(snapshot.partitions.size(), 1u);
  EXPECT_EQ(snapshot.partitions[0].label, "a.parquet .. b.parquet (2 files)");
  EXPECT_EQ(rows(snapshot), "0|v0\n1|v1\n2|v2\n3|w\n4|w\n");
  EXPECT_EQ(rows(snapshot, snapshot.partitions[0], {"we\"ird näme"}), "v0\nv1\nv2\nw\nw\n");
  EXPECT_FALSE(scan_sql(effects_, snapshot, snapshot.partitions[0], {"nope"}).has_value());
}

TEST_F(Snapshot, HiveDirectoriesAreNoColumns) {
  copy("SELECT 1 AS a", "day=2001-01-01/x.parquet");
  const auto snapshot = good(source("*/x.parquet"));
  ASSERT_EQ(snapshot.schema.size(), 1u);
  EXPECT_EQ(rows(snapshot), "1\n");
}

TEST_F(Snapshot, RowGroupRunsHoldAllRowsOnce) {
  copy("SELECT i, hash(i) AS h FROM range(200000) t(i)", "a.parquet", ", ROW_GROUP_SIZE 20480");
  Source s = source("a.parquet");
  s.partition_bytes = {uint64_t{400} << 10, {}};
  const auto snapshot = good(s);
  EXPECT_EQ(snapshot.files[0].row_groups.size(), 10u);
  ASSERT_GT(snapshot.partitions.size(), 3u);
  uint64_t next = 0, bytes = 0;
  for (const Partition& partition : snapshot.partitions) {
    ASSERT_EQ(partition.slices.size(), 1u);
    EXPECT_EQ(static_cast<uint64_t>(partition.slices[0].row_begin), next);
    next = static_cast<uint64_t>(partition.slices[0].row_end);
    bytes += partition.bytes;
    EXPECT_LE(partition.bytes, uint64_t{600} << 10);
    const auto sql = *scan_sql(effects_, snapshot, partition);
    EXPECT_EQ(ask("SELECT min(i) FROM (" + sql + ")"),
              std::to_string(partition.slices[0].row_begin));
    EXPECT_EQ(ask("SELECT count(*) FROM (" + sql + ")"), std::to_string(partition.rows));
  }
  EXPECT_EQ(next, 200000u);
  EXPECT_LE(bytes, snapshot.bytes);
  EXPECT_EQ(snapshot.partitions[0].label.substr(0, 17), "a.parquet rows 0.");
}

TEST_F(Snapshot, ColumnNamedLikeTheRowNumberIsNotSliced) {
  copy("SELECT i AS file_row_number FROM range(100000) t(i)", "a.parquet",
       ", ROW_GROUP_SIZE 20480");
  Source s = source("a.parquet");
  s.partition_bytes = {1024, {}};
  const auto snapshot = good(s);
  ASSERT_EQ(snapshot.partitions.size(), 1u);
  EXPECT_TRUE(snapshot.partitions[0].slices[0].whole());
}

TEST_F(Snapshot, TargetDoesNotFollowEveryByte) {
  const Source s = source("x");
  EXPECT_EQ(partition_target(s, 0), uint64_t{4} << 20);
  EXPECT_EQ(partition_target(s, 13'500'000), uint64_t{4} << 20);
  EXPECT_EQ(partition_target(s, uint64_t{100} << 20), uint64_t{8} << 20);
  EXPECT_EQ(partition_target(s, uint64_t{120} << 20), uint64_t{8} << 20);
  EXPECT_EQ(partition_target(s, uint64_t{1} << 40), uint64_t{512} << 20);
  // Of ten gigabytes, and of a terabyte, where rows are combined.
  EXPECT_EQ(partition_target(s, uint64_t{10} << 30, kCombinedPartitionBytes), uint64_t{1} << 30);
  EXPECT_EQ(partition_target(s, uint64_t{1} << 40, kCombinedPartitionBytes), uint64_t{2} << 30);
}

TEST_F(Snapshot, OneFileMoreMovesFewPartitions) {
  SourceSnapshot snapshot;
  const Source s = source("x");
  for (int i = 0; i < 2000; ++i) {
    InputFile file;
    file.name = "f" + std::to_string(10000 + i);
    file.stat.size = 100'000;
    file.identity = std::string(64, 'a') + file.name;
    snapshot.files.push_back(file);
    snapshot.bytes += file.stat.size;
  }
  const auto identities = [&] {
    std::vector<std::string> out;
    for (const auto& partition : cut_partitions(snapshot, partition_target(s, snapshot.bytes)))
      out.push_back(partition.identity);
    std::sort(out.begin(), out.end());
    return out;
  };
  const auto before = identities();
  ASSERT_GT(before.size(), 8u);
  InputFile more = snapshot.files[500];
  more.name += "b";
  more.identity += "b";
  snapshot.files.insert(snapshot.files.begin() + 501, more);
  snapshot.bytes += more.stat.size;
  const auto after = identities();
  std::vector<std::string> kept;
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(),
                        std::back_inserter(kept));
  EXPECT_GE(kept.size() + 4, before.size());
  EXPECT_LT(kept.size(), after.size());
}

TEST_F(Snapshot, IdentityNoticesAnInnerByteAtEqualSizeAndMtime) {
  write("a.json", "{\"a\":1}\n");
  options_.cache_path = path("state/inputs.cache");
  options_.now_us = later_us();
  Source s = source("a.json", FileFormat::kJson);
  declare(s, "a", "INTEGER");
  const auto first = good(s);
  struct stat before{};
  ASSERT_EQ(stat(path("a.json").c_str(), &before), 0);
  usleep(20'000);  // the kernel's tick: ctime has to move
  write("a.json", "{\"a\":2}\n");
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, path("a.json").c_str(), times, 0), 0);
  const auto second = good(s);
  EXPECT_EQ(first.files[0].stat.size, second.files[0].stat.size);
  EXPECT_EQ(first.files[0].stat.mtime_ns, second.files[0].stat.mtime_ns);
  EXPECT_NE(first.files[0].identity, second.files[0].identity);
  EXPECT_NE(first.partitions[0].identity, second.partitions[0].identity);
  EXPECT_FALSE(verify_unchanged(effects_, first.files[0]).has_value());
  EXPECT_EQ(verify_unchanged(effects_, first, first.partitions[0]).error().code, "source.changed");
  EXPECT_TRUE(verify_unchanged(effects_, second.files[0]).has_value());
}

TEST_F(Snapshot, YoungFileKeepsItsIdentityWhenItGrowsOld) {
  write("a.csv", "a\n1\n");
  const FileStat stat = *effects_.stat(path("a.csv"));
  const int64_t changed = stat.ctime_ns / 1000;
  MetadataCache cache = MetadataCache::load(effects_, "");
  const auto identity = [&](int64_t now) {
    return *file_identity(effects_, path("a.csv"), stat, InputIdentity::kStat, now, cache);
  };
  const std::string young = identity(changed + 1000);
  EXPECT_EQ(identity(changed + 5'000'000), young);
  EXPECT_EQ(cache.content(stat)->hashed_us, changed + 5'000'000);  // hashed once more ...
  EXPECT_EQ(identity(changed + 9'000'000), young);
  EXPECT_EQ(cache.content(stat)->hashed_us, changed + 5'000'000);  // ... and then never again
  // A file that is old when first seen goes by stat alone.
  MetadataCache other = MetadataCache::load(effects_, "");
  EXPECT_NE(*file_identity(effects_, path("a.csv"), stat, InputIdentity::kStat, changed + 5'000'000,
                           other),
            young);
  EXPECT_EQ(other.content(stat), nullptr);
  // A clock behind the file's time proves nothing: the bytes are hashed.
  EXPECT_EQ(*file_identity(effects_, path("a.csv"), stat, InputIdentity::kStat,
                           changed - 60'000'000, other),
            young);
}

TEST_F(Snapshot, WriteAfterTheYoungHashInTheSameTickIsFound) {
  write("a.csv", "a\n1\n");
  FileStat stat = *effects_.stat(path("a.csv"));
  MetadataCache cache = MetadataCache::load(effects_, "");
  // What the cache would hold if the bytes had been others at the very same stat.
  cache.set_content({stat, stat.ctime_ns / 1000, true, sha256_hex("a\n0\n"), "0"});
  const auto identity = file_identity(effects_, path("a.csv"), stat, InputIdentity::kStat,
                                      stat.ctime_ns / 1000 + 5'000'000, cache);
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(cache.content(stat)->sha256, sha256_hex("a\n1\n"));
}

TEST_F(Snapshot, ContentIdentitySurvivesACopy) {
  copy("SELECT 1 AS a", "a/x.parquet");
  copy("SELECT 1 AS a", "b/x.parquet");
  Source a = source("a/x.parquet"), b = source("b/x.parquet");
  EXPECT_NE(good(a).files[0].identity, good(b).files[0].identity);
  a.identity = b.identity = InputIdentity::kContent;
  EXPECT_EQ(good(a).partitions[0].identity, good(b).partitions[0].identity);
  copy("SELECT 2 AS a", "b/x.parquet");
  EXPECT_NE(good(a).partitions[0].identity, good(b).partitions[0].identity);
}

TEST_F(Snapshot, DigestsAreThoseOfOtherTools) {
  write("x", "abc");
  const auto digest = digest_file(effects_, path("x"), *effects_.stat(path("x")));
  ASSERT_TRUE(digest.has_value());
  EXPECT_EQ(digest->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest->xxh3, hex64(xxh3_64("abc")));
  FileStat other = *effects_.stat(path("x"));
  other.size = 2;
  EXPECT_EQ(digest_file(effects_, path("x"), other).error().code, "source.changed");
}

TEST_F(Snapshot, NothingNewNeedsNoDuckdb) {
  for (int i = 0; i < 50; ++i)
    copy("SELECT 1 AS a, 'x' AS b", "p/" + std::to_string(i) + ".parquet");
  write("c.csv", "a,b\n1,x\n");
  write("j.json", "{\"a\":1}\n");
  options_.cache_path = path("state/inputs.cache");
  const auto first = good(source("p/*.parquet"));
  const auto csv = good(source("c.csv", FileFormat::kCsv));
  const auto json = good(source("j.json", FileFormat::kJson));
  with_sql_ = false;
  const auto second = good(source("p/*.parquet"));
  EXPECT_EQ(second.rows, 50u);
  EXPECT_EQ(second.schema, first.schema);
  ASSERT_EQ(second.partitions.size(), first.partitions.size());
  for (size_t i = 0; i < first.partitions.size(); ++i)
    EXPECT_EQ(second.partitions[i].identity, first.partitions[i].identity);
  EXPECT_EQ(good(source("c.csv", FileFormat::kCsv)).partitions[0].identity,
            csv.partitions[0].identity);
  EXPECT_EQ(good(source("j.json", FileFormat::kJson)).schema, json.schema);
  write("p/new.parquet", "not parquet at all, but long enough to be one");
  EXPECT_FALSE(look(source("p/*.parquet")).has_value());
  EXPECT_TRUE(says("T0606")) << said();  // found by its first bytes, without DuckDB
  ASSERT_TRUE(effects_.unlink(path("p/new.parquet")));
  with_sql_ = true;
  copy("SELECT 1 AS a, 'x' AS b", "p/new.parquet");
  with_sql_ = false;
  EXPECT_EQ(look(source("p/*.parquet")).error().code, "source.needs_sql");
}

TEST_F(Snapshot, DamagedCacheIsNoCache) {
  copy("SELECT 1 AS a", "a.parquet");
  options_.cache_path = path("inputs.cache");
  const auto first = good(source("a.parquet"));
  const std::string bytes = *read_file(effects_, options_.cache_path);
  for (size_t at = 0; at < bytes.size(); at += 7) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    write("inputs.cache", bad);
    EXPECT_EQ(MetadataCache::load(effects_, options_.cache_path)
                  .shape(first.files[0].identity, "parquet.1.duckdb-1.5"),
              nullptr)
        << at;
  }
  write("inputs.cache", bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(good(source("a.parquet")).rows, 1u);
  EXPECT_NE(MetadataCache::load(effects_, options_.cache_path)
                .shape(good(source("a.parquet")).files[0].identity, "parquet.1.duckdb-1.5"),
            nullptr);
}

TEST_F(Snapshot, ColumnsThatDiffer) {
  copy("SELECT 1 AS a, 'x' AS b", "1.parquet");
  const auto differs = [&](const std::string& select, const std::string& code) {
    copy(select, "2.parquet");
    EXPECT_FALSE(look(source("*.parquet")).has_value());
    EXPECT_TRUE(says(code)) << said();
    EXPECT_TRUE(says("2.parquet")) << said();
    EXPECT_TRUE(says("union_by_name")) << said();
  };
  differs("SELECT 1 AS a", "T0608 \"2.parquet\" has no column \"b\"");
  differs("SELECT 1 AS a, 'x' AS b, 2 AS c",
          "T0641 \"2.parquet\" has the column \"c\" (INTEGER), which \"1.parquet\" has not");
  differs("SELECT 'x' AS b, 1 AS a", "T0609");
  differs("SELECT 1.5::DOUBLE AS a, 'x' AS b",
          "column \"a\" is INTEGER in \"1.parquet\" and DOUBLE");
}

TEST_F(Snapshot, EachColumnThatDriftedIsNamed) {
  copy("SELECT 1 AS a, 'x' AS b, 2 AS c, 3 AS d", "1.parquet");
  copy("SELECT 1::BIGINT AS a, 'x' AS b, 2.5::DOUBLE AS c, 3 AS e", "2.parquet");
  copy("SELECT 2::BIGINT AS a, 'y' AS b, 3.5::DOUBLE AS c, 4 AS e", "3.parquet");
  copy("SELECT 1 AS a, true AS b, 2 AS c, 3 AS d", "4.parquet");
  EXPECT_FALSE(look(source("*.parquet")).has_value());
  std::string text;
  for (const Diagnostic& d : diagnostics_.sorted()) {
    text += d.code + " " + d.message + "\n";
    for (const std::string& note : d.notes) text += "  " + note + "\n";
  }
  EXPECT_EQ(
      text,
      "T0608 \"2.parquet\" and 1 more file have no column \"d\", which is INTEGER in "
      "\"1.parquet\"\n"
      "T0610 column \"a\" is INTEGER in \"1.parquet\" and BIGINT in \"2.parquet\" and 1 more "
      "file\n"
      "  column \"c\" is INTEGER in \"1.parquet\" and DOUBLE in \"2.parquet\" and 1 more file\n"
      "  column \"b\" is VARCHAR in \"1.parquet\" and BOOLEAN in \"4.parquet\"\n"
      "T0641 \"2.parquet\" and 1 more file have the column \"e\" (INTEGER), which "
      "\"1.parquet\" has not\n");
}

TEST_F(Snapshot, DriftInManyColumnsIsNamedUpToABound) {
  std::string one = "SELECT 1 AS c0", two = "SELECT 'x' AS c0";
  for (int i = 1; i < 30; ++i) {
    one += ", 1 AS c" + std::to_string(i);
    two += ", 'x' AS c" + std::to_string(i);
  }
  copy(one, "1.parquet");
  copy(two, "2.parquet");
  EXPECT_FALSE(look(source("*.parquet")).has_value());
  ASSERT_EQ(diagnostics_.sorted().size(), 1u) << said();
  const auto notes = diagnostics_.sorted()[0].notes;
  ASSERT_EQ(notes.size(), 20u);
  EXPECT_EQ(notes[18], "column \"c19\" is INTEGER in \"1.parquet\" and VARCHAR in \"2.parquet\"");
  EXPECT_EQ(notes[19], "and 10 more of the kind in other files or columns");
}

TEST_F(Snapshot, ParquetFilesThatCannotBeReadAreSetAside) {
  copy("SELECT i FROM range(1000) t(i)", "2001-01-01.parquet");
  copy("SELECT i FROM range(10) t(i)", "2001-01-03.parquet");
  const std::string bytes = *read_file(effects_, path("2001-01-01.parquet"));
  write("2001-01-02.parquet", bytes.substr(0, bytes.size() / 2));
  write("2001-01-03-b.parquet", "");
  Source s = source("*.parquet");
  s.arrives = Arrives{};
  s.arrives->every_us = {86'400'000'000, {}};
  s.arrives->path = {"{date}", {}};
  s.arrives->to_us = {978'480'000'000'000, {}};  // 2001-01-03
  EXPECT_FALSE(look(s).has_value()) << "not without the contract's word";
  diagnostics_ = {};
  s.quarantine_share = {0.5, {}};
  auto snapshot = look(s);
  ASSERT_TRUE(snapshot.has_value()) << said();
  EXPECT_TRUE(says("T0636")) << said();
  ASSERT_EQ(snapshot->files.size(), 2u);
  EXPECT_EQ(snapshot->rows, 1010u);
  ASSERT_EQ(snapshot->set_aside.size(), 2u);
  EXPECT_EQ(snapshot->set_aside[0].name, "2001-01-02.parquet");
  EXPECT_EQ(snapshot->set_aside[0].identity.size(), 64u);
  EXPECT_NE(snapshot->set_aside[0].reason.find("cut off"), std::string::npos);
  // A period of which a file was set aside has not arrived, though another of its files is there.
  EXPECT_EQ(snapshot->arrival.expected, 3u);
  EXPECT_EQ(snapshot->arrival.arrived, 1u);
  EXPECT_EQ(snapshot->arrival.missing, (std::vector<std::string>{"2001-01-02", "2001-01-03"}));
  const FileSetAside cut = snapshot->set_aside[0];
  options_.accepted = {{cut.name, cut.identity}, {"2001-01-03-b.parquet", "of other bytes"}};
  snapshot = look(s);
  ASSERT_TRUE(snapshot.has_value()) << said();
  EXPECT_TRUE(snapshot->set_aside[0].accepted);
  EXPECT_FALSE(snapshot->set_aside[1].accepted);
  EXPECT_EQ(snapshot->arrival.missing, std::vector<std::string>{"2001-01-03"});
}

TEST_F(Snapshot, AReleasedFileIsAnotherOneThoughItLooksTheSame) {
  copy("SELECT i FROM range(1000) t(i)", "a.parquet");
  copy("SELECT i FROM range(1000) t(i)", "b.parquet");
  Source s = source("*.parquet");
  s.partition_bytes = {1024, {}};
  const auto first = good(s);
  ASSERT_EQ(first.partitions.size(), 2u);
  options_.released = {{"b.parquet", first.files[1].identity}};
  const auto second = good(s);
  EXPECT_EQ(second.files[0].identity, first.files[0].identity);
  EXPECT_EQ(second.partitions[0].identity, first.partitions[0].identity);
  EXPECT_NE(second.files[1].identity, first.files[1].identity);
  EXPECT_NE(second.partitions[1].identity, first.partitions[1].identity);
  options_.released.emplace_back("b.parquet", second.files[1].identity);
  EXPECT_NE(good(s).files[1].identity, second.files[1].identity) << "and again";
  options_.released = {{"b.parquet", second.files[1].identity}};
  EXPECT_EQ(good(s).files[1].identity, first.files[1].identity) << "other bytes were released";
}

TEST_F(Snapshot, AManifestExpectsNothingOfAFileWhoseLossIsAccepted) {
  copy("SELECT i FROM range(1000) t(i)", "a.parquet");
  const std::string bytes = *read_file(effects_, path("a.parquet"));
  write("b.parquet", bytes.substr(0, bytes.size() / 2));
  write("m.json",
        R"({"files":[{"path":"a.parquet","rows":1000},{"path":"b.parquet","rows":1000}]})");
  Source s = source("*.parquet");
  s.manifest = SourceManifest{{"m.json", {}}};
  s.quarantine_share = {0.5, {}};
  auto snapshot = look(s);
  ASSERT_TRUE(snapshot.has_value()) << said();
  EXPECT_EQ(snapshot->arrival.expected, 2000u);
  EXPECT_EQ(snapshot->arrival.arrived, 1000u);
  EXPECT_EQ(snapshot->arrival.missing, std::vector<std::string>{"b.parquet"});
  options_.accepted = {{"b.parquet", snapshot->set_aside[0].identity}};
  snapshot = look(s);
  ASSERT_TRUE(snapshot.has_value()) << said();
  EXPECT_EQ(snapshot->arrival.expected, 1000u);
  EXPECT_TRUE(snapshot->arrival.missing.empty());
}

TEST_F(Snapshot, UnionByName) {
  copy("SELECT 1 AS a, 'x' AS b", "1.parquet");
  copy("SELECT 2.5::DOUBLE AS A, true AS c", "2.parquet");
  Source s = source("*.parquet");
  s.union_by_name = true;
  options_.cache_path = path("inputs.cache");
  const auto snapshot = good(s);
  const sql::Schema want = {{"a", "DOUBLE"}, {"b", "VARCHAR"}, {"c", "BOOLEAN"}};
  EXPECT_EQ(snapshot.schema, want);
  EXPECT_EQ(rows(snapshot), "1.0|x|NULL\n2.5|NULL|true\n");
  with_sql_ = false;
  EXPECT_EQ(good(s).schema, want);
}

TEST_F(Snapshot, BadParquetFiles) {
  copy("SELECT i FROM range(1000) t(i)", "ok.parquet");
  const std::string bytes = *read_file(effects_, path("ok.parquet"));
  write("a.parquet", "");
  write("b.parquet", "hello");
  write("c.parquet", bytes.substr(0, bytes.size() / 2));
  EXPECT_FALSE(look(source("a.parquet")).has_value());
  EXPECT_TRUE(says("T0604")) << said();
  EXPECT_FALSE(look(source("b.parquet")).has_value());
  EXPECT_TRUE(says("T0606 \"b.parquet\" is not a Parquet file")) << said();
  EXPECT_FALSE(look(source("c.parquet")).has_value());
  EXPECT_TRUE(says("T0607")) << said();
  std::string torn = bytes;  // a footer of rubbish: only DuckDB can tell
  for (size_t i = bytes.size() - 40; i < bytes.size() - 8; ++i) torn[i] = '\x7f';
  write("d.parquet", torn);
  EXPECT_FALSE(look(source("[od]*.parquet")).has_value());
  EXPECT_TRUE(says("\"d.parquet\" cannot be read as Parquet")) << said();
}

TEST_F(Snapshot, ZeroRows) {
  copy("SELECT 1 AS a WHERE false", "a.parquet");
  Source s = source("a.parquet");
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0605")) << said();
  s.on_empty = OnEmpty::kWarn;
  EXPECT_EQ(good(s).rows, 0u);
  EXPECT_EQ(diagnostics_.warning_count(), 1u);
  s.on_empty = OnEmpty::kAllow;
  EXPECT_EQ(rows(good(s)), "");
  EXPECT_EQ(diagnostics_.warning_count(), 0u);
}

TEST_F(Snapshot, NoFilesNeedDeclaredColumns) {
  Source s = source("none*.parquet");
  s.on_empty = OnEmpty::kAllow;
  EXPECT_FALSE(look(s).has_value());
  declare(s, "a", "INTEGER");
  const auto snapshot = good(s);
  EXPECT_TRUE(snapshot.partitions.empty());
  EXPECT_EQ(ask("SELECT count(*) FROM (" + *scan_sql(effects_, snapshot, Partition{}) + ")"), "0");
}

TEST_F(Snapshot, DeclaredColumnsOfParquet) {
  copy("SELECT 1::BIGINT AS amount", "a.parquet");
  Source s = source("a.parquet");
  declare(s, "amuont", "BIGINT");
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("did you mean `amount`?")) << said();
  s.columns.clear();
  declare(s, "amount", "INTEGER");
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0624")) << said();
  s.columns.clear();
  declare(s, "amount", "INTEGRE");
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0635")) << said();
  s.columns.clear();
  declare(s, "amount", "int8");
  good(s);
}

TEST_F(Snapshot, EventTime) {
  copy("SELECT 1 AS a, DATE '2001-01-01' AS day", "a.parquet");
  Source s = source("a.parquet");
  s.event_time = {"day", {50, 53}};
  good(s);
  s.event_time->value = "dya";
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0622")) << said();
  s.event_time->value = "a";
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0623")) << said();
}

TEST_F(Snapshot, GivenFilesOfAGeneration) {
  copy("SELECT 1 AS a", "gen/part-0.parquet");
  Source s = source("");
  s.files.clear();
  s.from_output = {"upstream", {5, 9}};
  EXPECT_EQ(look(s).error().code, "source.no_generation");
  options_.files = {{path("gen/part-0.parquet"), "abc"}};
  options_.upstream_output = "upstream";
  options_.upstream_generation = "000001-abcd";
  const auto snapshot = good(s);
  EXPECT_EQ(snapshot.files[0].identity, "abc");
  EXPECT_EQ(snapshot.arrival.known_by, "output");
  EXPECT_EQ(snapshot.arrival.upstream_generation, "000001-abcd");
  EXPECT_EQ(rows(snapshot), "1\n");
}

TEST_F(Snapshot, UnreadableFile) {
  if (geteuid() != 0) GTEST_SKIP() << "needs a user to change to";
  copy("SELECT 1 AS a", "a.parquet");
  ASSERT_EQ(chmod(dir_.c_str(), 0755), 0);
  ASSERT_EQ(chmod(path("a.parquet").c_str(), 0000), 0);
  ASSERT_EQ(seteuid(65534), 0);
  const auto snapshot = look(source("a.parquet"));
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_FALSE(snapshot.has_value());
  EXPECT_TRUE(says("T0602 cannot read \"a.parquet\"")) << said();
}

TEST_F(Snapshot, ThousandFilesByStat) {
  copy("SELECT 1 AS a", "p/0.parquet");
  const std::string bytes = *read_file(effects_, path("p/0.parquet"));
  for (int i = 1; i < 1000; ++i) write("p/" + std::to_string(i) + ".parquet", bytes);
  options_.cache_path = path("inputs.cache");
  options_.now_us = later_us();
  good(source("p/*.parquet"));
  with_sql_ = false;
  const int64_t begin = effects_.monotonic_us();
  const auto snapshot = good(source("p/*.parquet"));
  const int64_t took = effects_.monotonic_us() - begin;
  EXPECT_EQ(snapshot.rows, 1000u);
  RecordProperty("microseconds", static_cast<int>(took));
  std::printf("1,000 files by stat: %.1f ms (this build)\n", static_cast<double>(took) / 1000);
  EXPECT_LT(took, 2'000'000);  // sanitized and beside others; release is measured by the bench
}

}  // namespace
}  // namespace tidegate
