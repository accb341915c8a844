#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/text.h"
#include "sink/parquet_writer.h"
#include "sql/parquet_type.h"

namespace tidegate::sink {

/// A database, a temporary directory, and short ways from SQL to a file and back. With
/// TIDEGATE_PARQUET_KEEP set, copies of files go there (for tests/parquet/readers.py).
class ParquetFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tidegate-sink-XXXXXX";
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
  sql::Table table(const std::string& sql) {
    auto table = connection_->query(sql);
    EXPECT_TRUE(table) << sql << "\n" << (table ? "" : table.error().describe());
    return table ? std::move(*table) : sql::Table{};
  }
  std::string scalar(const std::string& sql) { return table(sql).scalar(); }

  /// All cells of an answer, rows in lines.
  std::string text(const std::string& sql) {
    std::string out;
    for (const auto& row : table(sql).rows) {
      for (const auto& cell : row) out += (cell.null ? "NULL" : cell.text) + "|";
      out += "\n";
    }
    return out;
  }

  /// Writes the rows of a SELECT, in appends of at most `piece` rows.
  Result<ParquetSummary> write(const std::string& query, const std::string& path,
                               ParquetOptions options = {}, size_t piece = SIZE_MAX,
                               Effects& effects = real_effects()) {
    TG_ASSIGN(const sql::Schema schema, connection_->describe(query));
    options.schema = sql::parquet_schema(schema);
    std::vector<batch::ColumnType> types;
    for (const sql::Column& column : schema) {
      TG_ASSIGN(_duckdb_logical_type * raw, connection_->make_type(column.type));
      auto type = batch::column_type(raw);
      sql::destroy_type(raw);
      TG_TRY(type);
      types.push_back(std::move(*type));
    }
    TG_ASSIGN(auto stream, connection_->stream(query));
    TG_ASSIGN(auto writer, ParquetWriter::create(effects, path, options, types));
    batch::ChunkView view(types);
    peak_seen_ = 0;
    while (true) {
      TG_ASSIGN(_duckdb_data_chunk * chunk, stream->next());
      if (chunk == nullptr) break;
      Status status = view.load(chunk);
      for (size_t begin = 0; status && begin < view.rows(); begin += piece)
        status = append_piece(*writer, view, begin, std::min(piece, view.rows() - begin));
      sql::destroy_chunk(chunk);
      TG_TRY(status);
      peak_seen_ = std::max(peak_seen_, writer->held_bytes());
    }
    return writer->finish();
  }

  /// Copies a file to the directory that TIDEGATE_PARQUET_KEEP names, if it does.
  static void keep(const std::string& path, std::string name) {
    const char* const directory = std::getenv("TIDEGATE_PARQUET_KEEP");
    if (directory == nullptr) return;
    for (char& c : name) {
      if (isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
    }
    auto bytes = read_file(real_effects(), path);
    ASSERT_TRUE(bytes);
    ASSERT_TRUE(write_file(real_effects(), path_join(directory, name + ".parquet"), *bytes));
  }

  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
  std::string directory_;
  uint64_t peak_seen_ = 0;  ///< of held_bytes between appends

 private:
  /// Views rows in the middle of a chunk: data moved on, validity shifted.
  static Status append_piece(ParquetWriter& writer, const batch::ChunkView& view, size_t begin,
                             size_t count) {
    if (begin == 0 && count == view.rows()) return writer.append(view.view());
    std::vector<batch::ColumnView> columns;
    std::vector<std::vector<uint64_t>> bits(view.types().size());
    for (size_t i = 0; i < view.types().size(); ++i) {
      const size_t width = batch::slot_bytes(view.types()[i]);
      batch::ColumnView& column = columns.emplace_back();
      column.data = static_cast<const char*>(view.column(i).data) + begin * width;
      if (view.column(i).validity == nullptr) continue;
      bits[i].assign((count + 63) / 64, 0);
      for (size_t row = 0; row < count; ++row)
        bits[i][row / 64] |= uint64_t{view.column(i).is_valid(begin + row)} << (row % 64);
      column.validity = bits[i].data();
    }
    return writer.append({columns.data(), count});
  }
};

}  // namespace tidegate::sink
