#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "base/effects.h"
#include "batch/chunk_view.h"
#include "sort/external_sort.h"
#include "sql/sql.h"

namespace tidegate::sort {

/// A directory that goes with its test.
class SpillDirectory {
 public:
  SpillDirectory() {
    std::string name = testing::TempDir() + "tidegate-sort-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  SpillDirectory(const SpillDirectory&) = delete;
  SpillDirectory& operator=(const SpillDirectory&) = delete;
  ~SpillDirectory() { (void)remove_tree(real_effects(), path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A DuckDB with one thread.
class SortTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(sql::load_library());
    auto database = sql::Database::open({});
    ASSERT_TRUE(database) << database.error().message;
    database_ = std::move(*database);
    auto connection = database_->connect();
    ASSERT_TRUE(connection);
    connection_ = std::move(*connection);
  }

  /// Calls `take` with the types and rows of each chunk of a SELECT.
  template <typename Take>
  void each_chunk(const std::string& sql, Take take) {
    auto stream = connection_->stream(sql);
    ASSERT_TRUE(stream) << stream.error().message;
    std::unique_ptr<batch::ChunkView> view;
    while (true) {
      auto chunk = (*stream)->next();
      ASSERT_TRUE(chunk) << chunk.error().message;
      if (*chunk == nullptr) return;
      if (!view) {
        auto types = batch::chunk_types(*chunk);
        ASSERT_TRUE(types) << types.error().message;
        view = std::make_unique<batch::ChunkView>(std::move(*types));
      }
      ASSERT_TRUE(view->load(*chunk));
      take(view->types(), view->view());
      sql::destroy_chunk(*chunk);
    }
  }

  std::vector<std::vector<std::string>> table(const std::string& sql) {
    auto found = connection_->query(sql);
    EXPECT_TRUE(found) << sql << ": " << found.error().message;
    std::vector<std::vector<std::string>> rows;
    if (!found) return rows;
    for (const auto& row : found->rows) {
      rows.emplace_back();
      for (const auto& cell : row) rows.back().push_back(cell.null ? "NULL" : cell.text);
    }
    return rows;
  }

  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
};

}  // namespace tidegate::sort
