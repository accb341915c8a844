#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "base/effects.h"
#include "base/text.h"
#include "shuffle/shuffle.h"
#include "sql/sql.h"

namespace tidegate {

/// A database, a temporary directory, and short ways from SQL to a map output and back.
class MapOutputFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tidegate-shuffle-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    const Status loaded = sql::load_library();
    ASSERT_TRUE(loaded) << loaded.error().describe();
    auto database = sql::Database::open({.memory_bytes = uint64_t{512} << 20});
    ASSERT_TRUE(database) << database.error().describe();
    database_ = std::move(*database);
    auto connection = database_->connect();
    ASSERT_TRUE(connection) << connection.error().describe();
    connection_ = std::move(*connection);
  }
  void TearDown() override {
    connection_.reset();
    database_.reset();
    ASSERT_TRUE(remove_tree(real_effects(), directory_));
  }

  std::string file(const std::string& name) const { return path_join(directory_, name); }

  void run(const std::string& sql) {
    const Status status = connection_->execute(sql);
    ASSERT_TRUE(status) << sql << "\n" << status.error().describe();
  }

  std::string scalar(const std::string& sql) {
    auto table = connection_->query(sql);
    EXPECT_TRUE(table) << sql << "\n" << (table ? "" : table.error().describe());
    return table ? table->scalar() : "";
  }

  /// Streams a SELECT into a map output; the schema comes from the SELECT.
  Result<MapOutputSummary> write(const std::string& sql, const std::string& path,
                                 MapOutputOptions options, Effects& effects = real_effects()) {
    TG_ASSIGN(auto stream, connection_->stream(sql));
    options.schema = stream->schema();
    TG_ASSIGN(auto writer, MapOutputWriter::create(effects, path, std::move(options)));
    while (true) {
      TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
      if (chunk == nullptr) break;
      Status status = writer->append(chunk);
      sql::destroy_chunk(chunk);
      TG_TRY(status);
    }
    return writer->finish();
  }

  Status attach(const std::string& name, const std::vector<MapOutputRef>& files, uint32_t begin,
                uint32_t end, uint64_t memory_bytes = uint64_t{16} << 20) {
    TG_ASSIGN(const MapOutputInfo info, read_map_output_info(real_effects(), files.at(0).path));
    return register_bucket_table(*connection_, real_effects(), name, info.schema, files, begin, end,
                                 memory_bytes);
  }

  /// Rows of `a` that are not in `b` and the other way round, counted with their multiplicity.
  std::string difference(const std::string& a, const std::string& b) {
    return scalar("SELECT (SELECT count(*) FROM (SELECT * FROM " + a +
                  " EXCEPT ALL SELECT * FROM " + b +
                  ")) || '+' || (SELECT count(*) FROM (SELECT * FROM " + b +
                  " EXCEPT ALL SELECT * FROM " + a + "))");
  }

  std::string bytes(const std::string& path) {
    auto text = read_file(real_effects(), path);
    EXPECT_TRUE(text);
    return text ? *text : "";
  }

  std::string directory_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
};

}  // namespace tidegate
