#include <fmt/format.h>

#include "reduce/kernel.h"
#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

using Kind = AggregateKind;

constexpr uint64_t kTight = uint64_t{8} << 20;

/// One key has most of the rows, and what aggregates hold of them does not fit in memory.
class SkewTest : public KernelFixture {
 protected:
  void SetUp() override {
    KernelFixture::SetUp();
    splits_keys_ = true;
  }
  void make_source(const std::string& key, uint64_t rows = 300'000) {
    run(fmt::format(
        "CREATE OR REPLACE TABLE source AS SELECT {} AS k, i::INTEGER AS n, hash(i)::UBIGINT AS "
        "big, CASE WHEN i % 11 = 0 THEN NULL ELSE 'a text of some length ' || (hash(i) % 200000) "
        "END AS name, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN 'nan'::DOUBLE WHEN i % 13 "
        "= 0 THEN -0.0 WHEN i % 17 = 0 THEN 0.0 ELSE (hash(i) % 100000)::DOUBLE / 8 END AS real, "
        "((hash(i) % 1000000) / 100)::DECIMAL(12,2) AS money, (hash(i) % 90000)::HUGEINT * 1000003 "
        "AS huge, DATE '1970-01-01' + (hash(i) % 20000)::INTEGER AS day, i % 3 = 0 AS flag, "
        "(hash(i) % 60000)::INTEGER AS small FROM range({}) r(i)",
        key, rows));
    names_.input = schema_of("SELECT * FROM source");
  }
  uint32_t at(std::string_view name) { return column(names_, name); }

  void expect_same(const std::string& table) {
    EXPECT_EQ(difference("(" + expected_ + ")", table), "0+0") << expected_;
  }
  std::vector<std::pair<Aggregate, std::string>> holding() {
    std::vector<std::pair<Aggregate, std::string>> all;
    const auto add = [&](Kind kind, const char* function, const char* on) {
      all.push_back({{.kind = kind, .arguments = {at(on)}}, fmt::format("{}({})", function, on)});
    };
    for (const char* on : {"big", "name", "real", "huge", "day"})
      all.push_back({{.kind = Kind::kCount, .arguments = {at(on)}, .distinct = true},
                     fmt::format("count(DISTINCT {})", on)});
    all.push_back({{.kind = Kind::kCount, .arguments = {at("name"), at("flag")}, .distinct = true},
                   "count(DISTINCT (name, flag))"});
    all.push_back(
        {{.kind = Kind::kCount, .arguments = {at("big")}, .filter = at("flag"), .distinct = true},
         "count(DISTINCT big) FILTER (WHERE flag)"});
    all.push_back({{.kind = Kind::kSum, .arguments = {at("money")}, .distinct = true},
                   "sum(DISTINCT money)"});
    for (const char* on : {"big", "name", "money", "day", "real"}) add(Kind::kMedian, "median", on);
    all.push_back({{.kind = Kind::kQuantileDisc, .arguments = {at("big")}, .quantile = 0.9},
                   "quantile_disc(big, 0.9)"});
    all.push_back({{.kind = Kind::kQuantileCont, .arguments = {at("money")}, .quantile = 0.123},
                   "quantile_cont(money, 0.123)"});
    for (const char* on : {"big", "name", "real", "small", "day"}) add(Kind::kMode, "mode", on);
    return all;
  }

  KernelSpec names_;
};

TEST_F(SkewTest, EachAggregateOfAHeavyKeyComesOutTheSame) {
  make_source("CASE WHEN i % 10 > 0 THEN 7 ELSE (hash(i) % 5000)::BIGINT END");
  const auto all = holding();
  for (size_t i = 0; i + 1 < all.size(); i += 2) {
    const std::string sql = all[i].second + ", " + all[i + 1].second;
    const KernelSpec spec =
        group_spec("source", 1, {{{Kind::kCountRows}, "count(*)"}, all[i], all[i + 1]});
    const Status status = reduce_buckets(spec, 3, "reduced", kTight);
    ASSERT_TRUE(status) << sql << ": " << status.error().describe();
    EXPECT_LE(counts_->peak_bytes, kTight) << sql;
    expect_same("reduced");
  }
}

TEST_F(SkewTest, HalfOfTheRowsAndAllNullAndNoKey) {
  const std::vector<std::string> keys = {
      "CASE WHEN i % 2 > 0 THEN 7 ELSE (hash(i) % 50000)::BIGINT END", "NULL::BIGINT"};
  for (const std::string& key : keys) {
    make_source(key);
    for (const uint32_t count : {1U, 0U}) {
      const KernelSpec spec =
          group_spec("source", count,
                     {{{.kind = Kind::kCount, .arguments = {at("big")}, .distinct = true},
                       "count(DISTINCT big)"},
                      {{.kind = Kind::kSum, .arguments = {at("real")}, .filter = at("flag")},
                       "sum(real) FILTER (WHERE flag)"},
                      {{.kind = Kind::kMode, .arguments = {at("small")}}, "mode(small)"}});
      Status status = reduce_stream(spec, "streamed", kTight);
      ASSERT_TRUE(status) << key << ": " << status.error().describe();
      EXPECT_GT(counts_->heavy_keys, 0U);
      EXPECT_LE(counts_->peak_bytes, kTight);
      expect_same("streamed");
      if (count == 0) continue;
      status = reduce_buckets(spec, 3, "bucketed", kTight);
      ASSERT_TRUE(status) << key << ": " << status.error().describe();
      EXPECT_GT(counts_->heavy_keys, 0U);
      expect_same("bucketed");
    }
  }
}

// Pairs wait to be looked up; one that comes again and again must not wait as often.
TEST_F(SkewTest, OneValueManyTimesIsKeptOnce) {
  make_source("7::BIGINT");
  ASSERT_TRUE(connection_->execute(
      "CREATE OR REPLACE TABLE source AS SELECT * REPLACE (CASE WHEN n % 10 > 0 THEN 5 ELSE n END "
      "AS n) FROM source"));
  const KernelSpec spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kCount, .arguments = {at("n")}, .distinct = true}, "count(DISTINCT n)"}});
  const Status status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_EQ(counts_->heavy_keys + counts_->splits, 0U);
  EXPECT_LE(counts_->peak_bytes, uint64_t{2} << 20);
  expect_same("reduced");
}

TEST_F(SkewTest, AnOrderedTextOfAHeavyKey) {
  make_source("CASE WHEN i % 10 > 0 THEN 7 ELSE i END", 120'000);
  const KernelSpec spec =
      group_spec("source", 1,
                 {{{.kind = Kind::kStringAgg,
                    .arguments = {at("name")},
                    .order = {{at("small"), true, true}, {at("n")}},
                    .separator = ", "},
                   "string_agg(name, ', ' ORDER BY small DESC NULLS FIRST, n)"}});
  const Status status = reduce_buckets(spec, 2, "reduced", kTight);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_GT(counts_->heavy_keys, 0U);
  expect_same("reduced");
}

// The first rows of a key, and what keeps one value, hold nothing more the more rows there are.
TEST_F(SkewTest, FirstRowsOfAHeavyKeyNeedNoSplit) {
  make_source("7::BIGINT");
  KernelSpec spec;
  spec.kind = KernelSpec::Kind::kTop;
  spec.name = "kernel_result";
  spec.input_sql = "SELECT * FROM source";
  spec.input = spec.output = names_.input;
  spec.keys = 1;
  spec.limit = 3;
  // Ever longer texts replace each other.
  spec.order = {{at("n"), true, false}};
  Status status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_EQ(counts_->splits, 0U);
  EXPECT_EQ(scalar("SELECT string_agg(n, ' ' ORDER BY n) FROM reduced"), "299997 299998 299999");
  spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kMax, .arguments = {at("name")}}, "max(name)"},
       {{.kind = Kind::kArgMax, .arguments = {at("name"), at("n")}}, "arg_max(name, n)"}});
  status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_EQ(counts_->splits, 0U);
  expect_same("reduced");
}

TEST_F(SkewTest, WithoutItTheFailureNamesBucketShareAndWayOut) {
  splits_keys_ = false;
  make_source("CASE WHEN i % 10 > 0 THEN 7 ELSE i END");
  const KernelSpec spec =
      group_spec("source", 1, {{{.kind = Kind::kMedian, .arguments = {at("big")}}, "median(big)"}});
  const Status status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_FALSE(status);
  const Failure failure = map_output_failure(status.error());
  EXPECT_EQ(failure.cls, FailureClass::kMemory);
  EXPECT_EQ(failure.code, "reduce.memory");
  EXPECT_EQ(
      failure.message,
      "the rows of one key do not fit in 8.00 MiB of kernel memory (270000 of the 300000 rows of "
      "bucket 0, 90.0%); give the stage `skew: split`, or raise its `memory`");
}

// What is made of a key is small beside its rows.
TEST_F(SkewTest, ListsOfAHeavyKeysValues) {
  make_source("CASE WHEN i % 10 > 0 THEN 7 ELSE (hash(i) % 5000)::BIGINT END");
  run("CREATE OR REPLACE TABLE source AS SELECT *, (hash(i) % 4)::VARCHAR || 'th' AS four, "
      "{'a': i, 'b': name} AS pair FROM (SELECT *, n AS i FROM source)");
  names_.input = schema_of("SELECT * FROM source");
  const auto list = [&](const char* on, const char* sql, bool distinct,
                        std::vector<OrderColumn> order) {
    return std::pair<Aggregate, std::string>{{.kind = Kind::kList,
                                              .arguments = {at(on)},
                                              .distinct = distinct,
                                              .order = std::move(order)},
                                             sql};
  };
  const auto text = [&](const char* sql, bool descending, bool nulls_first) {
    return std::pair<Aggregate, std::string>{{.kind = Kind::kStringAgg,
                                              .arguments = {at("name")},
                                              .distinct = true,
                                              .order = {{at("name"), descending, nulls_first}},
                                              .separator = ","},
                                             sql};
  };
  std::vector<std::pair<Aggregate, std::string>> all = {
      list("big", "list(DISTINCT big ORDER BY big)", true, {{at("big")}}),
      list("real", "list(DISTINCT real ORDER BY real DESC)", true, {{at("real"), true, false}}),
      list("day", "list(DISTINCT day ORDER BY day DESC NULLS FIRST)", true,
           {{at("day"), true, true}}),
      list("huge", "list(DISTINCT huge ORDER BY huge)", true, {{at("huge")}}),
      list("flag", "list(DISTINCT flag ORDER BY flag)", true, {{at("flag")}}),
      list("four", "list(DISTINCT four ORDER BY four)", true, {{at("four")}}),
      list("big", "list(big ORDER BY n DESC)", false, {{at("n"), true, false}}),
      list("small", "list(small ORDER BY small, n)", false, {{at("small")}, {at("n")}}),
      text("string_agg(DISTINCT name, ',' ORDER BY name)", false, false),
      text("string_agg(DISTINCT name, ',' ORDER BY name DESC)", true, false),
  };
  all[4].first.filter = at("flag");
  all[4].second += " FILTER (WHERE flag)";
  // Beside a list that would fit there is what does not.
  const std::pair<Aggregate, std::string> median{{.kind = Kind::kMedian, .arguments = {at("big")}},
                                                 "median(big)"};
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<std::pair<Aggregate, std::string>> aggregates{all[i]};
    if (i >= 2 && i <= 5) aggregates.push_back(median);
    const KernelSpec spec = group_spec("source", 1, std::move(aggregates));
    const Status status = reduce_buckets(spec, 3, "reduced", kTight);
    ASSERT_TRUE(status) << all[i].second << ": " << map_output_failure(status.error()).message;
    EXPECT_LE(counts_->peak_bytes, kTight) << all[i].second;
    EXPECT_EQ(counts_->heavy_keys, 1U) << all[i].second;
    expect_same("reduced");
  }
}

// Most values of a DISTINCT list are there again and again: its own size counts, not the rows'.
TEST_F(SkewTest, ADistinctListNeedsRoomForItsValuesOnly) {
  make_source("7::BIGINT", 60'000);
  const std::string list = "list(DISTINCT name ORDER BY name)";
  run("CREATE OR REPLACE TABLE source AS SELECT * REPLACE (repeat('x', 500) || (n % 4000) AS name) "
      "FROM source");
  const KernelSpec spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kList, .arguments = {at("name")}, .distinct = true, .order = {{at("name")}}},
        list}});
  const Status status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_TRUE(status) << map_output_failure(status.error()).message;
  EXPECT_GT(counts_->heavy_keys, 0U);
  EXPECT_LE(counts_->peak_bytes, kTight);
  expect_same("reduced");
}

// Lists of many keys are not all made at once.
TEST_F(SkewTest, ResultsOfManyKeysComeSomeAtATime) {
  make_source("i % 1000", 200'000);
  const KernelSpec spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kList, .arguments = {at("name")}, .order = {{at("n")}}}, "list(name)"}});
  auto types = batch::column_types(*connection_, spec.input);
  ASSERT_TRUE(types);
  const SpillSpace space{&real_effects(), directory_, kTight / 4};
  const auto kernel = Kernel::create(spec, *types, kTight, &space);
  auto stream = connection_->stream(spec.input_sql);
  ASSERT_TRUE(stream);
  batch::ChunkView view(*types);
  while (true) {
    auto chunk = (*stream)->next();
    ASSERT_TRUE(chunk);
    if (*chunk == nullptr) break;
    ASSERT_TRUE(view.load(*chunk));
    const auto fits = kernel->consume(view.view());
    EXPECT_TRUE(fits && *fits);
    sql::destroy_chunk(*chunk);
  }
  ASSERT_EQ(kernel->finish(), 1000U);
  // 200 rows a key: a slot of 16 bytes each, and a text of up to 28 bytes for ten of eleven.
  const uint32_t some = kernel->emit_max(0, 1000);
  EXPECT_GT(some, 100U);
  EXPECT_LT(some, 140U);
  EXPECT_EQ(kernel->emit_max(0, 50), 50U);
  EXPECT_EQ(kernel->emit_max(999, 1), 1U);
}

TEST_F(SkewTest, AListThatDoesNotFitSaysWhatItNeeds) {
  make_source("7::BIGINT", 500'000);
  stage_memory_ = [](uint64_t bytes, uint64_t value) {
    return ((bytes >> 20) * 3 + (value >> 20)) << 20;
  };
  const std::vector<OrderColumn> by_n = {{at("n")}};
  KernelSpec spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kList, .arguments = {at("big")}, .order = by_n}, "list(big ORDER BY n)"}});
  Status status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_FALSE(status);
  Failure failure = map_output_failure(status.error());
  EXPECT_EQ(failure.cls, FailureClass::kMemory);
  EXPECT_EQ(failure.code, "reduce.memory");
  EXPECT_EQ(failure.message,
            "the list of one key takes 3.81 MiB, and there is room for 3.00 MiB of it; give the "
            "stage `memory: 33MiB`");
  stage_memory_ = nullptr;
  spec = group_spec(
      "source", 1,
      {{{.kind = Kind::kStringAgg, .arguments = {at("name")}, .order = by_n, .separator = ", "},
        "string_agg(name, ', ' ORDER BY n)"}});
  status = reduce_buckets(spec, 1, "reduced", kTight);
  ASSERT_FALSE(status);
  failure = map_output_failure(status.error());
  EXPECT_EQ(failure.cls, FailureClass::kMemory);
  EXPECT_EQ(failure.message.substr(0, failure.message.find("takes")), "the text of one key ");
  EXPECT_TRUE(failure.message.ends_with("; raise `memory` of the stage")) << failure.message;
}

}  // namespace
}  // namespace tidegate::reduce
