#include "source/rejects.h"
#include "source/source_fixture.h"

namespace tidegate {
namespace {

class Text : public SourceFixture {
 protected:
  Source csv() {
    Source s = source("*.csv", FileFormat::kCsv);
    declare(s, "a", "INTEGER");
    declare(s, "b", "VARCHAR");
    declare(s, "c", "DOUBLE");
    return s;
  }
  Source json() {
    Source s = source("*.json", FileFormat::kJson);
    declare(s, "a", "INTEGER");
    declare(s, "b", "VARCHAR");
    return s;
  }
  /// The failure that a scan of the first partition ends with, explained.
  Failure scan_failure(const SourceSnapshot& snapshot) {
    const auto table = connection_->query(*scan_sql(effects_, snapshot, snapshot.partitions[0]));
    EXPECT_FALSE(table.has_value());
    if (table) return {};
    return explain_scan_failure(effects_, *connection_, snapshot, snapshot.partitions[0],
                                table.error());
  }
  Rejects rejects(const SourceSnapshot& snapshot) {
    auto out = read_rejects(effects_, *connection_, snapshot, snapshot.partitions[0]);
    EXPECT_TRUE(out.has_value()) << (out ? "" : out.error().describe());
    return out.value_or(Rejects{});
  }
};

TEST_F(Text, BadCsvRowsAreNamed) {
  struct Case {
    const char* bytes;
    const char* where;
    const char* why;
  };
  const std::string huge = "a,b,c\n1,x,1\n2," + std::string(3'000'000, 'h') + ",1\n";
  const Case cases[] = {
      {"a,b,c\n1,x,2.5\n2,y\n", "line 3", "Expected Number of Columns: 3 Found: 2"},
      {"a,b,c\n1,x,2.5\n2,y,1,9\n", "line 3", "Expected Number of Columns: 3 Found: 4"},
      {"a,b,c\n1,x,2.5\nq,y,1\n", "line 3 column \"a\"",
       "Could not convert string \"q\" to 'INTEGER'"},
      {"a,b,c\n1,x,2.5\n2,\"un\"quoted,1\n", "line 3", "quote"},
      {"a,b,c\n1,x,2.5\n2,\xff\xfe,1\n", "line 3", "not utf-8"},
      {huge.c_str(), "line 3", "Maximum line size of 2000000 bytes exceeded"},
  };
  for (const Case& one : cases) {
    write("x.csv", one.bytes);
    const Failure failure = scan_failure(good(csv()));
    EXPECT_EQ(failure.code, "source.bad_row") << failure.describe();
    EXPECT_EQ(failure.cls, FailureClass::kData);
    EXPECT_NE(failure.message.find("\"x.csv\" " + std::string(one.where)), std::string::npos)
        << failure.message;
    EXPECT_NE(failure.message.find(one.why), std::string::npos) << failure.message;
    EXPECT_LT(failure.message.size(), 2000u);
  }
}

TEST_F(Text, CsvQuarantineSetsBadRowsAside) {
  write("x.csv", "a,b,c\n1,x,2.5\nq,y,z\n2,y\n3,w,1,9\n4,\xff,1\n5,\"q\"q,1\n6,ok,3\n");
  write("y.csv", "a,b,c\n7,fine,1\n8,bad,no\n");
  Source s = csv();
  s.quarantine_share = {0.5, {}};
  const auto snapshot = good(s);
  ASSERT_EQ(snapshot.partitions.size(), 1u);
  EXPECT_EQ(rows(snapshot), "1|x|2.5\n6|ok|3.0\n7|fine|1.0\n");
  rows(snapshot);  // scanned twice in one task: each bad row counts once
  const Rejects bad = rejects(snapshot);
  EXPECT_EQ(bad.rows, 6u);
  ASSERT_EQ(bad.first.size(), 6u);
  EXPECT_EQ(bad.first[0].file, "x.csv");
  EXPECT_EQ(bad.first[0].line, 3u);
  EXPECT_EQ(bad.first[0].column, "a");
  EXPECT_EQ(bad.first[0].raw, "q,y,z");
  EXPECT_EQ(bad.first[1].line, 4u);
  EXPECT_EQ(bad.first[5].file, "y.csv");
  EXPECT_EQ(bad.first[5].column, "c");
}

TEST_F(Text, BadRowsAreCountedBeyondWhatIsNamed) {
  std::string csv_text = "a,b,c\n", json_text;
  for (size_t row = 0; row < kRejectsNamedMax + 5; ++row) {
    csv_text += "q," + std::string(2 * kRejectTextMax, 'r') + ",1\n";
    json_text += R"({"a": "q", "b": ")" + std::string(2 * kRejectTextMax, 'r') + "\"}\n";
  }
  write("x.csv", csv_text);
  write("y.csv", "a,b,c\n7,fine,1\n8,bad,no\n");
  write("x.json", json_text);
  write("y.json", "{\"a\": 1}\n[]\n");
  for (Source s : {csv(), json()}) {
    s.quarantine_share = {1, {}};
    s.partition_bytes = {uint64_t{64} << 20, {}};
    const auto snapshot = good(s);
    ASSERT_EQ(snapshot.partitions.size(), 1u);
    rows(snapshot);
    const Rejects bad = rejects(snapshot);
    EXPECT_EQ(bad.rows, kRejectsNamedMax + 6);
    ASSERT_EQ(bad.files.size(), 2u);
    EXPECT_EQ(bad.files[0].second, kRejectsNamedMax + 5);
    EXPECT_EQ(bad.files[1].first[0], 'y');
    EXPECT_EQ(bad.files[1].second, 1u);
    ASSERT_EQ(bad.first.size(), kRejectsNamedMax);
    EXPECT_EQ(bad.first[0].raw.size(), kRejectTextMax + 3) << "cut, and that shows";
    EXPECT_EQ(bad.first[0].reason.find('\n'), std::string::npos);
  }
}

TEST_F(Text, QuarantineWithNothingBad) {
  write("x.csv", "a,b,c\n1,x,2.5\n");
  Source s = csv();
  s.quarantine_share = {0.01, {}};
  const auto snapshot = good(s);
  EXPECT_EQ(rejects(snapshot).rows, 0u);  // before any scan
  EXPECT_EQ(rows(snapshot), "1|x|2.5\n");
  EXPECT_EQ(rejects(snapshot).rows, 0u);
}

TEST_F(Text, CsvDialectsAndEndings) {
  write("a.csv", "a,b,c\r\n1,\"x, \"\"y\"\"\",2.5\r\n");
  write("b.csv",
        "\xef\xbb\xbf"
        "a,b,c\n2,z,1\n");
  EXPECT_EQ(rows(good(csv())), "1|x, \"y\"|2.5\n2|z|1.0\n");
  write("a.csv", "1;x;2,5\n");
  ASSERT_TRUE(effects_.unlink(path("b.csv")));
  Source s = csv();
  option(s, "delim", "';'");
  option(s, "header", "false");
  option(s, "decimal_separator", "','");
  EXPECT_EQ(rows(good(s)), "1|x|2.5\n");
}

TEST_F(Text, CsvHeadersThatDiffer) {
  write("a.csv", "a,b,c\n1,x,2\n");
  write("b.csv", "a,c,b\n1,2,x\n");
  EXPECT_FALSE(look(csv()).has_value());
  EXPECT_TRUE(says(
      "T0609 the columns of \"b.csv\" are in another order than those of \"a.csv\": \"a\", \"c\""))
      << said();
  write("b.csv", "a,b\n1,x\n");
  EXPECT_FALSE(look(csv()).has_value());
  EXPECT_TRUE(says("T0608 \"b.csv\" has no column \"c\"")) << said();
  write("b.csv", "a,b,c,d\n1,x,2,3\n");
  EXPECT_FALSE(look(csv()).has_value());
  EXPECT_TRUE(says("T0641 \"b.csv\" has the column \"d\"")) << said();
  write("a.csv", "b,a,c\nx,1,2\n");
  write("b.csv", "b,a,c\nx,1,2\n");
  EXPECT_FALSE(look(csv()).has_value());
  EXPECT_TRUE(says("another order than declared")) << said();
  write("a.csv", "x,y,z\n1,2,3\n");
  ASSERT_TRUE(effects_.unlink(path("b.csv")));
  EXPECT_FALSE(look(csv()).has_value());
  EXPECT_TRUE(says("T0624")) << said();
}

TEST_F(Text, CsvUnionByNameGoesByTheHeader) {
  write("a.csv", "a,b\n1,x\n");
  write("b.csv", "b,c,a\ny,2.5,3\n");
  Source s = source("*.csv", FileFormat::kCsv);
  s.union_by_name = true;
  const auto snapshot = good(s);
  EXPECT_EQ(snapshot.schema, (sql::Schema{{"a", "BIGINT"}, {"b", "VARCHAR"}, {"c", "DOUBLE"}}));
  EXPECT_EQ(rows(snapshot), "1|x|NULL\n3|y|2.5\n");
}

TEST_F(Text, SniffedTypesArePinnedOverAllFiles) {
  write("a.csv", "n,d,t\n1,2001-01-01,x\n");
  write("b.csv", "n,d,t\n1.5,2001-01-02 10:00:00,1\n");
  const auto snapshot = good(source("*.csv", FileFormat::kCsv));
  EXPECT_EQ(snapshot.schema, (sql::Schema{{"n", "DOUBLE"}, {"d", "TIMESTAMP"}, {"t", "VARCHAR"}}));
  Partition only_first;
  only_first.slices = {{0, 0, -1}};
  EXPECT_EQ(rows(snapshot, only_first), "1.0|2001-01-01 00:00:00|x\n");
  write("b.csv", "n;d;t\n1.5;2001-01-02;1\n");
  EXPECT_FALSE(look(source("*.csv", FileFormat::kCsv)).has_value());
  EXPECT_TRUE(says("T0614")) << said();
}

TEST_F(Text, SniffingRaggedFilesSaysSo) {
  write("a.csv", "a,b,c\n1,x,2.5\nq,y,1\n3,w,1,9\n4,z,3\n");
  EXPECT_FALSE(look(source("a.csv", FileFormat::kCsv)).has_value());
  EXPECT_TRUE(says("T0615 the columns of \"a.csv\" cannot be told apart")) << said();
}

TEST_F(Text, EmptyTextFiles) {
  write("a.csv", "");
  write("b.csv", "a,b,c\n");
  Source s = csv();
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0604")) << said();
  s.on_empty = OnEmpty::kWarn;
  EXPECT_EQ(rows(good(s)), "");
  EXPECT_EQ(diagnostics_.warning_count(), 1u);
}

TEST_F(Text, SecretsAreResolvedAtUseOnly) {
  write("a.csv", "a,b,c\n1,x,2\n2,it's,3\n");
  write("null.txt", "it's\n");
  setenv("TIDEGATE_TEST_NULL", "x", 1);
  Source s = csv();
  option(s, "nullstr", "['${env:TIDEGATE_TEST_NULL}', '${file:null.txt}']");
  const auto snapshot = good(s);
  EXPECT_EQ(snapshot.recipe.options[0].second, "['${env:TIDEGATE_TEST_NULL}', '${file:null.txt}']");
  EXPECT_EQ(rows(snapshot), "1|NULL|2.0\n2|NULL|3.0\n");
  unsetenv("TIDEGATE_TEST_NULL");
  const auto sql = scan_sql(effects_, snapshot, snapshot.partitions[0]);
  EXPECT_EQ(sql.error().code, "source.secret");
}

TEST_F(Text, JsonIsPinned) {
  write("a.json", "{\"a\":1,\"b\":\"x\"}\n{\"b\":2}\n");
  write("b.json", "[{\"a\":3,\"b\":\"y\"}]");
  EXPECT_EQ(rows(good(json())), "1|x\nNULL|2\n3|y\n");
  const auto sniffed = good(source("a.json", FileFormat::kJson));
  EXPECT_EQ(sniffed.schema[0], (sql::Column{"a", "BIGINT"}));
  write("a.json", "{\"a\":1,\"b\":\"x\"}\n{\"a\":\"q\"}\n");
  const Failure failure = scan_failure(good(json()));
  EXPECT_EQ(failure.code, "source.bad_row");
  EXPECT_NE(failure.message.find("\"a.json\" line 2 column \"a\""), std::string::npos)
      << failure.message;
  write("a.json", "{\"a\":1\n");
  EXPECT_FALSE(look(source("a.json", FileFormat::kJson)).has_value());
  EXPECT_TRUE(says("T0617")) << said();
}

TEST_F(Text, JsonQuarantine) {
  write("a.json",
        "{\"a\":1,\"b\":\"x\"}\n{\"a\":\"q\",\"b\":\"y\"}\n\n{\"b\":\"only\"}\n[1]\n{\"a\":null}\n{"
        "\"a\":5");
  Source s = json();
  s.quarantine_share = {0.5, {70, 72}};
  const auto snapshot = good(s);
  EXPECT_EQ(rows(snapshot), "1|x\nNULL|only\nNULL|NULL\n");
  const Rejects bad = rejects(snapshot);
  EXPECT_EQ(bad.rows, 3u);
  ASSERT_EQ(bad.first.size(), 3u);
  EXPECT_EQ(bad.first[0].line, 2u);
  EXPECT_EQ(bad.first[0].column, "a");
  EXPECT_EQ(bad.first[1].raw, "[1]");
  EXPECT_EQ(bad.first[2].raw, "{\"a\":5");
  s.columns.clear();
  declare(s, "a", "STRUCT(x INTEGER)");
  EXPECT_FALSE(look(s).has_value());
  EXPECT_TRUE(says("T0620")) << said();
}

TEST_F(Text, OddColumnNames) {
  write("a.csv", "a b,\"q\"\"q\",select,naïve\n1,2,3,4\n");
  Source s = source("a.csv", FileFormat::kCsv);
  for (const char* name : {"a b", "q\"q", "select", "naïve"}) declare(s, name, "INTEGER");
  EXPECT_EQ(rows(good(s)), "1|2|3|4\n");
  s.quarantine_share = {0.1, {}};
  EXPECT_EQ(rows(good(s)), "1|2|3|4\n");
  write("a.json", "{\"a b\":1,\"q\\\"q\":2,\"it's\":3}\n{\"a b\":\"x\"}\n");
  Source j = source("a.json", FileFormat::kJson);
  for (const char* name : {"a b", "q\"q", "it's"}) declare(j, name, "INTEGER");
  j.quarantine_share = {0.1, {}};
  EXPECT_EQ(rows(good(j)), "1|2|3\n");
}

TEST_F(Text, LockedDatabaseReadsThroughResolvedPaths) {
  write("real/a.csv", "a,b,c\n1,x,2\n");
  ASSERT_EQ(symlink("real", path("linked").c_str()), 0);
  Source s = csv();
  s.files[0].value = "linked/a.csv";
  const auto snapshot = good(s);
  sql::OpenOptions options;
  options.allowed_paths = {snapshot.files[0].path};
  auto locked = sql::Database::open(options);
  ASSERT_TRUE(locked && (*locked)->lock());
  auto connection = (*locked)->connect();
  const auto table = (*connection)->query(*scan_sql(effects_, snapshot, snapshot.partitions[0]));
  ASSERT_TRUE(table.has_value()) << table.error().describe();
  EXPECT_EQ(table->rows.size(), 1u);
}

}  // namespace
}  // namespace tidegate
