#include <fmt/format.h>

#include "reduce/join_table.h"
#include "shuffle/map_output_fixture.h"

namespace tidegate::reduce {
namespace {

using Kind = JoinSpec::Kind;
constexpr uint64_t kRoomy = uint64_t{256} << 20;
/// So little that the rows below are kept a part at a time.
constexpr uint64_t kTight = uint64_t{1} << 20;

struct Case {
  const char* name;
  const char* keys;  ///< by commas
  uint32_t left_rows, right_rows;
  uint32_t buckets;
  uint64_t memory_bytes = kRoomy;
  bool other_buckets = false;  ///< the right side lies in one bucket
};

class JoinTest : public MapOutputFixture, public ::testing::WithParamInterface<Case> {
 protected:
  /// Keys of all widths with NULLs and repeated values, and what comes along.
  void make(const std::string& table, uint32_t rows, uint32_t step) {
    run(fmt::format(
        "CREATE TABLE {0} AS SELECT CASE WHEN i % 17 = 0 THEN NULL ELSE (i * {2} % 4001)::INTEGER "
        "END AS k, CASE WHEN i % 13 = 0 THEN NULL ELSE 'key ' || repeat('x', (i % 9)::INTEGER * 3) "
        "|| (i * {2} % 701) END AS t, ([0.0, -0.0, 'nan'::DOUBLE, 1.5, NULL, 'inf'::DOUBLE])[1 + "
        "(i % 6)::INTEGER] AS f, (i * {2} % 97)::HUGEINT * 1000000007 AS h, (i % 2 = 0) AS b, "
        "i::BIGINT AS {0}_n, CASE WHEN i % 5 > 0 THEN repeat('value ', (i % 7)::INTEGER) || i END "
        "AS {0}_v FROM range({1}) r(i)",
        table, rows, step));
  }

  JoinInput input(const std::string& table, const std::vector<std::string>& keys,
                  uint32_t buckets) {
    const auto schema = connection_->describe("SELECT * FROM " + table);
    EXPECT_TRUE(schema);
    MapOutputOptions options{.buckets = buckets, .attempt = "a1"};
    for (const std::string& key : keys)
      for (uint32_t i = 0; i < schema->size(); ++i)
        if ((*schema)[i].name == key) options.keys.push_back({i, (*schema)[i].type});
    const std::string path = file(fmt::format("{}-{}.tgm", table, next_++));
    const auto written = write("SELECT * FROM " + table, path, std::move(options));
    EXPECT_TRUE(written) << written.error().describe();
    return {*schema, {{path, "a1"}}, 0, buckets, uint64_t{4} << 20};
  }

  static JoinSpec::Side side(const std::string& table, const std::vector<std::string>& keys) {
    return {table, "joined " + table, keys, {"k", "t", "f", "h", "b", table + "_n", table + "_v"}};
  }

  int next_ = 0;
};

TEST_P(JoinTest, GivesTheRowsThatDuckdbGives) {
  const Case& c = GetParam();
  make("a", c.left_rows, 1);
  make("b", c.right_rows, 3);
  std::vector<std::string> keys;
  for (std::string_view rest = c.keys; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    keys.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  std::string on;
  for (const std::string& key : keys)
    on += fmt::format("{0}a.{1} = b.{1}", on.empty() ? "" : " AND ", key);
  for (const Kind kind :
       {Kind::kInner, Kind::kLeft, Kind::kRight, Kind::kFull, Kind::kSemi, Kind::kAnti}) {
    SCOPED_TRACE(to_string(kind));
    JoinSpec spec;
    spec.kind = kind;
    spec.left = side("a", keys);
    spec.right = side("b", keys);
    const bool left_only = kind == Kind::kSemi || kind == Kind::kAnti;
    if (left_only) spec.right.relation.clear();
    const auto counts = std::make_shared<JoinCounts>();
    const auto made = register_join(*connection_, real_effects(), spec, input("a", keys, c.buckets),
                                    input("b", keys, c.other_buckets ? 1 : c.buckets),
                                    {.memory_bytes = c.memory_bytes}, counts);
    ASSERT_TRUE(made) << made.error().describe();
    const std::string rows =
        left_only ? "SELECT a.* FROM \"joined a\" a"
                  : "SELECT a.*, b.* FROM \"joined a\" a POSITIONAL JOIN \"joined b\" b";
    run("CREATE OR REPLACE TABLE got AS " + rows);
    run(fmt::format("CREATE OR REPLACE TABLE wanted AS SELECT {} FROM a {} JOIN b ON {}",
                    left_only ? "a.*" : "a.*, b.*", to_string(kind), on));
    EXPECT_EQ(difference("got", "wanted"), "0+0");
    // Again, and of one half only what its last column is.
    if (!left_only) {
      run("CREATE OR REPLACE TABLE few AS SELECT a_v, b_n FROM \"joined a\" a POSITIONAL JOIN "
          "\"joined b\" b");
      run("CREATE OR REPLACE TABLE few_wanted AS SELECT a_v, b_n FROM wanted");
      EXPECT_EQ(difference("few", "few_wanted"), "0+0");
    }
    if (c.memory_bytes == kTight && c.buckets == 1) {
      EXPECT_GT(counts->turns, 0U);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, JoinTest,
    ::testing::Values(Case{"integers", "k", 9'000, 6'000, 7}, Case{"texts", "t", 3'000, 4'000, 3},
                      Case{"doubles", "f", 300, 200, 2}, Case{"hugeints", "h", 900, 1'100, 4},
                      Case{"a_bit_and_a_number", "b,k", 5'000, 5'000, 4},
                      Case{"numbers_and_texts", "k,t", 20'000, 9'000, 5},
                      Case{"no_left_rows", "k", 0, 500, 3}, Case{"no_right_rows", "k", 500, 0, 3},
                      Case{"no_rows", "k", 0, 0, 1},
                      Case{"kept_in_turns", "k", 24'000, 21'000, 1, kTight},
                      Case{"texts_kept_in_turns", "t", 30'000, 25'000, 1, kTight},
                      Case{"buckets_that_differ", "k", 5'000, 4'000, 8, kRoomy, true}),
    [](const auto& info) { return info.param.name; });

TEST_F(JoinTest, UsingGivesTheKeyOfTheRowThatIsThere) {
  make("a", 900, 1);
  make("b", 1'500, 3);
  for (const auto& [kind, sql] : {std::pair(Kind::kFull, "FULL"), {Kind::kRight, "RIGHT"}}) {
    JoinSpec spec;
    spec.kind = kind;
    spec.merged = true;
    spec.left = side("a", {"k", "b"});
    spec.right = side("b", {"k", "b"});
    spec.right.columns = {"b_n"};
    const auto made = register_join(*connection_, real_effects(), spec, input("a", {"k"}, 3),
                                    input("b", {"k"}, 3), {.memory_bytes = kRoomy},
                                    std::make_shared<JoinCounts>());
    ASSERT_TRUE(made) << made.error().describe();
    run("CREATE OR REPLACE TABLE got AS SELECT k, b, a_n, b_n FROM \"joined a\" a POSITIONAL JOIN "
        "\"joined b\" b");
    run(
        fmt::format("CREATE OR REPLACE TABLE wanted AS SELECT k, b, a_n, b_n FROM a {} JOIN b "
                    "USING (k, b)",
                    sql));
    EXPECT_EQ(difference("got", "wanted"), "0+0");
  }
}

TEST_F(JoinTest, HalvesThatAreNotReadSideBySideAreADefect) {
  make("a", 9'000, 1);
  make("b", 9'000, 3);
  JoinSpec spec;
  spec.left = side("a", {"k"});
  spec.right = side("b", {"k"});
  const auto made =
      register_join(*connection_, real_effects(), spec, input("a", {"k"}, 3), input("b", {"k"}, 3),
                    {.memory_bytes = kRoomy}, std::make_shared<JoinCounts>());
  ASSERT_TRUE(made) << made.error().describe();
  const Status apart = connection_->execute(
      "CREATE TABLE got AS SELECT count(*) FROM (SELECT a_n FROM \"joined a\" a POSITIONAL JOIN "
      "\"joined b\" b) JOIN (SELECT b_n FROM \"joined b\") ON a_n = b_n");
  ASSERT_FALSE(apart);
  EXPECT_EQ(map_output_failure(apart.error()).code, "reduce.join_order");
}

}  // namespace
}  // namespace tidegate::reduce
