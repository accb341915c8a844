#include "sort/sorted_cursor.h"

#include "sort/sort_fixture.h"

namespace tidegate::sort {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class SortedCursorTest : public SortTest {
 protected:
  std::unique_ptr<ExternalSort> sort_for_cursors(const std::string& sql, uint64_t memory_bytes) {
    std::unique_ptr<ExternalSort> sort;
    const auto schema = connection_->describe(sql);
    each_chunk(sql, [&](const auto& types, const batch::RowsView& rows) {
      if (!sort) {
        auto made = ExternalSort::create(real_effects(), *schema, types, {{0}},
                                         {memory_bytes, spill_.path()});
        ASSERT_TRUE(made);
        sort = std::move(*made);
      }
      ASSERT_TRUE(sort->add(rows));
    });
    EXPECT_TRUE(sort->finish_for_cursors());
    return sort;
  }
  /// A BIGINT column, NULL as -1.
  static std::vector<int64_t> column(SortedCursor& cursor, size_t place) {
    std::vector<int64_t> out;
    std::vector<batch::ColumnView> views;
    while (true) {
      const auto rows = cursor.next(views);
      EXPECT_TRUE(rows);
      if (!rows || *rows == 0) return out;
      EXPECT_LE(*rows, SortedCursor::kSliceRows);
      for (uint32_t i = 0; i < *rows; ++i)
        out.push_back(views[place].is_valid(i) ? static_cast<const int64_t*>(views[place].data)[i]
                                               : -1);
    }
  }
  SpillDirectory spill_;
};

TEST_F(SortedCursorTest, EachIsAPassOfItsOwn) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT hash(i)::HUGEINT % 1000000 AS h, i, CASE WHEN i % 5 > 0 THEN i * 3 "
      "END AS n, 'a text to fill memory with, number ' || i AS s FROM range(200000) r(i)"));
  std::vector<int64_t> i, n;
  for (const auto& row : table("SELECT i, coalesce(n, -1) FROM t ORDER BY h, i")) {
    i.push_back(std::stoll(row[0]));
    n.push_back(std::stoll(row[1]));
  }
  for (const uint64_t memory : {256 * kMiB, 12 * kMiB}) {
    const auto sort = sort_for_cursors("FROM t", memory);
    const bool spilled = sort->counts().runs > 0;
    EXPECT_EQ(spilled, memory < 256 * kMiB);
    const auto first = sort->cursor({2, 1}, kMiB), second = sort->cursor({1}, kMiB);
    // One is ahead of the other all the while.
    std::vector<batch::ColumnView> views;
    const auto begun = second->next(views);
    ASSERT_TRUE(begun);
    EXPECT_EQ(column(*first, 0), n);
    const std::vector<int64_t> rest = column(*second, 0);
    EXPECT_EQ(rest, std::vector<int64_t>(i.end() - static_cast<long>(rest.size()), i.end()));
    EXPECT_EQ(rest.size(), i.size() - *begun);
    EXPECT_EQ(column(*sort->cursor({0, 1, 2, 3}, kMiB), 1), i);
    const auto files = real_effects().list(spill_.path());
    ASSERT_TRUE(files);
    EXPECT_EQ(files->size(), spilled ? 1u : 0u);
  }
}

TEST_F(SortedCursorTest, ASortBeginsAnew) {
  ASSERT_TRUE(
      connection_->execute("CREATE TABLE t AS SELECT (hash(i) >> 2)::BIGINT AS h, 'a text to fill "
                           "memory with ' || i AS s "
                           "FROM range(200000) r(i)"));
  std::vector<int64_t> all;
  for (const auto& row : table("SELECT h FROM t ORDER BY h")) all.push_back(std::stoll(row[0]));
  for (const uint64_t memory : {256 * kMiB, 12 * kMiB}) {
    const auto sort = sort_for_cursors("FROM t", memory);
    for (int turn = 0; turn < 3; ++turn) {
      EXPECT_EQ(column(*sort->cursor({0}, kMiB), 0), all);
      EXPECT_EQ(sort->counts().rows, all.size());
      ASSERT_TRUE(sort->reset());
      EXPECT_TRUE(real_effects().list(spill_.path())->empty());
      each_chunk("FROM t",
                 [&](const auto&, const batch::RowsView& rows) { ASSERT_TRUE(sort->add(rows)); });
      EXPECT_LE(sort->counts().peak_bytes, memory);
      ASSERT_TRUE(sort->finish_for_cursors());
    }
    ASSERT_TRUE(sort->reset());
  }
}

}  // namespace
}  // namespace tidegate::sort
