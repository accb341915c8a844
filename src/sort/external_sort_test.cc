#include "sort/external_sort.h"

#include "base/text.h"
#include "sort/merge_tree.h"
#include "sort/sort_fixture.h"
#include "sort/splitters.h"

namespace tidegate::sort {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class ExternalSortTest : public SortTest {
 protected:
  /// Column 0 (BIGINT) of the sorted rows of a SELECT.
  std::vector<int64_t> sorted(const std::string& sql, const SortOrder& order, uint64_t memory_bytes,
                              SortCounts* counts = nullptr) {
    std::unique_ptr<ExternalSort> sort;
    const SpillDirectory spill;
    const auto schema = connection_->describe(sql);
    EXPECT_TRUE(schema);
    each_chunk(sql, [&](const auto& types, const batch::RowsView& rows) {
      if (!sort) {
        auto made = ExternalSort::create(real_effects(), *schema, types, order,
                                         {memory_bytes, spill.path()});
        ASSERT_TRUE(made) << made.error().message;
        sort = std::move(*made);
      }
      const Status status = sort->add(rows);
      ASSERT_TRUE(status) << status.error().message;
    });
    std::vector<int64_t> out;
    if (!sort) return out;
    const Status status = sort->finish();
    EXPECT_TRUE(status) << status.error().message;
    if (!status) return out;
    std::vector<batch::ColumnView> views;
    while (true) {
      const auto rows = sort->next(views);
      EXPECT_TRUE(rows) << rows.error().message;
      if (!rows || *rows == 0) break;
      for (uint32_t i = 0; i < *rows; ++i)
        out.push_back(static_cast<const int64_t*>(views[0].data)[i]);
    }
    if (counts != nullptr) *counts = sort->counts();
    return out;
  }

  std::vector<int64_t> wanted(const std::string& sql) {
    std::vector<int64_t> out;
    for (const auto& row : table(sql)) out.push_back(std::stoll(row[0]));
    return out;
  }
};

TEST_F(ExternalSortTest, GivesNothingForNothing) {
  EXPECT_TRUE(sorted("SELECT 1::BIGINT AS i WHERE false", {{0}}, 8 * kMiB).empty());
}

TEST_F(ExternalSortTest, KeepsTheOrderOfTiesWhateverTheBound) {
  ASSERT_TRUE(
      connection_->execute("CREATE TABLE t AS SELECT r AS i, (hash(r) % 1000)::INTEGER AS k, "
                           "CASE WHEN r % 5 = 0 THEN NULL ELSE 'text ' || hash(r) % 50 END AS t, "
                           "(r % 97) / 7.0 AS d FROM range(300000) q(r)"));
  const std::vector<int64_t> all = wanted("SELECT i FROM t ORDER BY t DESC, k, i");
  SortCounts counts;
  EXPECT_EQ(sorted("FROM t", {{2, true, false}, {1}}, 256 * kMiB, &counts), all);
  EXPECT_EQ(counts.runs, 0u);
  EXPECT_EQ(sorted("FROM t", {{2, true, false}, {1}}, 32 * kMiB, &counts), all);
  EXPECT_GT(counts.runs, 1u);
  EXPECT_EQ(counts.merges, 0u);
  EXPECT_LE(counts.peak_bytes, 32 * kMiB);
  EXPECT_EQ(sorted("FROM t", {{2, true, false}, {1}}, 4 * kMiB, &counts), all);
  EXPECT_GT(counts.runs, 4u);
  EXPECT_GT(counts.merges, 0u);
  EXPECT_EQ(counts.rows, 300000u);
  EXPECT_EQ(sorted("FROM t", {{1}}, 4 * kMiB), wanted("SELECT i FROM t ORDER BY k, i"));
}

TEST_F(ExternalSortTest, SortsOneKeyAlone) {
  const std::string sql = "SELECT r AS i, 7 AS k FROM range(200000) q(r)";
  EXPECT_EQ(sorted(sql, {{1}}, 4 * kMiB), wanted(sql));
}

TEST_F(ExternalSortTest, SortsLongTextsThatDifferAtTheirEnd) {
  ASSERT_TRUE(connection_->execute(
      "CREATE TABLE t AS SELECT r AS i, repeat('p', 100) || (hash(r) % 5000) AS t, "
      "repeat('v', (r % 700)::INTEGER) AS v FROM range(20000) q(r)"));
  const auto all = wanted("SELECT i FROM t ORDER BY t, i");
  EXPECT_EQ(sorted("FROM t", {{1}}, 64 * kMiB), all);
  EXPECT_EQ(sorted("FROM t", {{1}}, 4 * kMiB), all);
}

TEST_F(ExternalSortTest, RefusesARowBeyondItsBound) {
  const SpillDirectory spill;
  const std::string sql = "SELECT 1::BIGINT AS i, repeat('x', 20000000) AS t";
  const auto schema = connection_->describe(sql);
  each_chunk(sql, [&](const auto& types, const batch::RowsView& rows) {
    auto sort =
        ExternalSort::create(real_effects(), *schema, types, {{0}}, {8 * kMiB, spill.path()});
    ASSERT_TRUE(sort);
    const Status status = (*sort)->add(rows);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, "sort.memory");
    EXPECT_EQ(status.error().cls, FailureClass::kMemory);
  });
}

TEST(MergeTree, GivesTheLeastOfAnyNumberOfInputs) {
  for (uint32_t inputs = 1; inputs <= 9; ++inputs) {
    std::vector<std::vector<int>> rows(inputs);
    std::vector<int> all, out;
    for (int i = 0; i < 100; ++i) {
      rows[static_cast<size_t>(i * 7 % 100) % inputs].push_back(i);
      all.push_back(i);
    }
    std::vector<size_t> at(inputs, 0);
    const auto before = [&](uint32_t a, uint32_t b) {
      const bool a_ended = at[a] == rows[a].size(), b_ended = at[b] == rows[b].size();
      if (a_ended || b_ended) return !a_ended || (b_ended && a < b);
      return rows[a][at[a]] < rows[b][at[b]];
    };
    MergeTree tree(inputs);
    tree.build(before);
    while (at[tree.winner()] < rows[tree.winner()].size()) {
      out.push_back(rows[tree.winner()][at[tree.winner()]++]);
      tree.replay(tree.winner(), before);
    }
    EXPECT_EQ(out, all) << inputs;
  }
}

KeyBatch batch_of(const std::vector<std::string>& keys) {
  KeyBatch batch;
  batch.begins.push_back(0);
  for (const std::string& key : keys) {
    batch.bytes.insert(batch.bytes.end(), key.begin(), key.end());
    batch.begins.push_back(static_cast<uint32_t>(batch.bytes.size()));
  }
  return batch;
}

TEST(Splitters, CutEqualWeightsAndSplitAHeavyKeyByUnit) {
  std::vector<SampledRow> sample;
  for (uint32_t unit = 0; unit < 8; ++unit) {
    sample.push_back({{"heavy", unit}, 90});
    sample.push_back({{"a" + std::to_string(unit), unit}, 5});
    sample.push_back({{"z" + std::to_string(unit), unit}, 5});
  }
  const auto splitters = choose_splitters(sample, 4);
  ASSERT_EQ(splitters.size(), 3u);
  for (const Splitter& splitter : splitters) EXPECT_EQ(splitter.key, "heavy");
  EXPECT_LT(splitters[0].unit, splitters[1].unit);
  EXPECT_LT(splitters[1].unit, splitters[2].unit);
  const Ranges ranges(splitters);
  const KeyBatch keys = batch_of({"a", "heavy", "heavz", "heavx", ""});
  uint32_t found[5];
  ranges.find(keys, splitters[1].unit, found);
  EXPECT_THAT(found, testing::ElementsAre(0, 2, 3, 0, 0));
  ranges.find(keys, 7, found);
  EXPECT_THAT(found, testing::ElementsAre(0, 3, 3, 0, 0));
  ranges.find(keys, 0, found);
  EXPECT_THAT(found, testing::ElementsAre(0, 0, 3, 0, 0));
}

TEST(Splitters, OfOneValueAreNoneOrOne) {
  EXPECT_TRUE(choose_splitters({}, 8).empty());
  EXPECT_LE(choose_splitters({{{"k", 3}, 1}, {{"k", 3}, 1}, {{"k", 3}, 1}}, 8).size(), 1u);
}

/// Close together, all over, or with most in one place.
class SplittersOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Keys, SplittersOf, testing::Values(0, 1, 2));

TEST_P(SplittersOf, FindsWhatAComparisonFinds) {
  std::vector<SampledRow> sample;
  uint64_t seed = 1;
  const auto next = [&] { return seed = seed * 6364136223846793005ULL + 1442695040888963407ULL; };
  std::vector<std::string> keys;
  for (int i = 0; i < 2000; ++i) {
    const bool close = GetParam() == 0 || (GetParam() == 2 && i % 8 != 0);
    std::string key = close ? "common" : "";
    for (uint64_t n = close ? next() >> 61 : 9; n > 0; --n)
      key += static_cast<char>(next() >> (close ? 62 : 56));
    keys.push_back(key);
    sample.push_back({{key, static_cast<uint32_t>(next() >> 62)}, 1});
  }
  const auto splitters = choose_splitters(sample, 50);
  ASSERT_GT(splitters.size(), 20u);
  keys.insert(keys.end(), {"", "c", "commom", "commoo", "zzz"});
  for (uint32_t unit = 0; unit < 4; ++unit) {
    std::vector<uint32_t> found(keys.size());
    Ranges(splitters).find(batch_of(keys), unit, found.data());
    for (size_t i = 0; i < keys.size(); ++i) {
      uint32_t range = 0;
      for (const Splitter& splitter : splitters)
        range += std::pair(splitter.key, splitter.unit) <= std::pair(keys[i], unit);
      ASSERT_EQ(found[i], range) << i;
    }
  }
}

class SampleTest : public SortTest {};

TEST_F(SampleTest, IsBoundedAndWrittenAndReadBack) {
  std::optional<RowSampler> sampler;
  each_chunk("SELECT r AS i, 'key ' || r AS k FROM range(100000) q(r)",
             [&](const auto& types, const batch::RowsView& rows) {
               if (!sampler) sampler.emplace(*KeyMaker::create(types, {{1}}), 5, 1000);
               sampler->add(rows);
             });
  const auto rows = sampler->take();
  EXPECT_LE(rows.size(), 1000u);
  EXPECT_GT(rows.size(), 350u);
  const SpillDirectory directory;
  const std::string path = directory.path() + "/sample.tgm";
  ASSERT_TRUE(write_sample(real_effects(), path, "one", rows));
  const auto read = read_samples(real_effects(), {{path, "one"}});
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ((*read)[i].place, rows[i].place);
    EXPECT_EQ((*read)[i].weight, rows[i].weight);
  }
}

}  // namespace
}  // namespace tidegate::sort
