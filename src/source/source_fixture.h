#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "source/source.h"

namespace tidegate {

/// A directory of its own, a DuckDB and the shortest way to a source over files in it. For tests.
class SourceFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/tidegate_source_XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    dir_ = resolve_links_of(pattern);
    pipeline_.directory = dir_;
    auto database = sql::Database::open({});
    ASSERT_TRUE(database.has_value()) << database.error().describe();
    database_ = std::move(*database);
    auto connection = database_->connect();
    ASSERT_TRUE(connection.has_value());
    connection_ = std::move(*connection);
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(effects_, dir_)); }

  static std::string resolve_links_of(const char* path) {
    char* real = realpath(path, nullptr);
    std::string out = real ? real : "";
    free(real);
    return out;
  }

  std::string path(const std::string& name) const { return path_join(dir_, name); }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(make_directories(effects_, path_dirname(path(name))));
    std::ofstream(path(name), std::ios::binary) << text;
  }
  void copy(const std::string& select, const std::string& name, const std::string& options = "") {
    ASSERT_TRUE(make_directories(effects_, path_dirname(path(name))));
    const Status done = connection_->execute("COPY (" + select + ") TO '" + path(name) +
                                             "' (FORMAT parquet" + options + ")");
    ASSERT_TRUE(done.has_value()) << done.error().describe();
  }

  Source source(const std::string& glob, FileFormat format = FileFormat::kParquet) const {
    Source out;
    out.name = {"s", {1, 2}};
    out.files = {{glob, {10, 20}}};
    out.format = format;
    return out;
  }
  static void declare(Source& source, const std::string& name, const std::string& type) {
    const auto at = static_cast<uint32_t>(30 + 10 * source.columns.size());
    source.columns.push_back({{name, {at, at + 2}}, {type, {at + 3, at + 5}}});
  }
  static void option(Source& source, const std::string& name, const std::string& literal) {
    source.options.push_back({{name, {90, 91}}, {literal, {92, 93}}});
  }

  Result<SourceSnapshot> look(const Source& source) {
    diagnostics_ = Diagnostics();
    return snapshot_source(effects_, pipeline_, source, with_sql_ ? connection_.get() : nullptr,
                           diagnostics_, options_);
  }
  SourceSnapshot good(const Source& source) {
    auto snapshot = look(source);
    EXPECT_TRUE(snapshot.has_value()) << (snapshot ? "" : snapshot.error().describe()) << said();
    return snapshot ? std::move(*snapshot) : SourceSnapshot{};
  }
  std::string said() const {
    std::string out;
    for (const Diagnostic& d : diagnostics_.sorted())
      out += d.code + " " + d.message + " | " + d.label + " | " + d.help + "\n";
    return out;
  }
  bool says(const std::string& part) const { return said().find(part) != std::string::npos; }

  /// All rows of a partition (or of all in turn), cells by "|", rows by a line's end.
  std::string rows(const SourceSnapshot& snapshot, const Partition& partition,
                   const std::vector<std::string>& columns = {}) {
    auto sql = scan_sql(effects_, snapshot, partition, columns);
    EXPECT_TRUE(sql.has_value());
    auto table = connection_->query(sql.value_or(""));
    EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().describe()) << *sql;
    std::string out;
    if (table)
      for (const auto& row : table->rows) {
        for (size_t i = 0; i < row.size(); ++i)
          out += (i ? "|" : "") + (row[i].null ? std::string("NULL") : row[i].text);
        out += "\n";
      }
    return out;
  }
  std::string rows(const SourceSnapshot& snapshot) {
    std::string out;
    for (const Partition& partition : snapshot.partitions) out += rows(snapshot, partition);
    return out;
  }
  std::string ask(const std::string& sql) {
    auto table = connection_->query(sql);
    EXPECT_TRUE(table.has_value()) << (table ? "" : table.error().describe());
    return table ? table->scalar() : "";
  }
  /// Makes every file look old, so that no hash is needed; ctime cannot be set, so time goes on.
  int64_t later_us(int64_t seconds = 10) { return effects_.now_us() + seconds * 1'000'000; }

  Effects& effects_ = real_effects();
  std::string dir_;
  Pipeline pipeline_;
  Diagnostics diagnostics_;
  SnapshotOptions options_;
  bool with_sql_ = true;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
};

}  // namespace tidegate
