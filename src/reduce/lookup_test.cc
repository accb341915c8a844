#include <fmt/format.h>

#include "reduce/lookup_function.h"
#include "shuffle/map_output_fixture.h"

namespace tidegate::reduce {
namespace {

using Kind = JoinSpec::Kind;

struct LookupCase {
  const char* name;
  const char* keys;  ///< of `a`, by commas
  const char* held;  ///< SQL of `b`
  Kind kind = Kind::kInner;
  const char* columns = "k, t, n, v, d, w";  ///< of `b`, that are read
};

class LookupTest : public MapOutputFixture, public ::testing::WithParamInterface<LookupCase> {
 protected:
  void SetUp() override {
    MapOutputFixture::SetUp();
    run("CREATE TABLE a AS SELECT CASE WHEN i % 17 > 0 THEN (i * 31 % 5000 - 700)::INTEGER END AS "
        "k, CASE WHEN i % 13 > 0 THEN 'key ' || repeat('x', (i % 2)::INTEGER * 12) || i % 701 END "
        "AS t, [0.0, -0.0, 'nan'::DOUBLE, 1.5, NULL][1 + (i % 5)::INTEGER] AS f, i AS a_n FROM "
        "range(20000) r(i)");
  }
  static std::vector<std::string> names(std::string_view list) {
    std::vector<std::string> out;
    while (!list.empty()) {
      const size_t end = std::min(list.find(", "), list.size());
      out.emplace_back(list.substr(0, end));
      list.remove_prefix(std::min(list.size(), end + 2));
    }
    return out;
  }

  /// Rows of `b` in a map output of `buckets` buckets.
  Result<std::shared_ptr<const LookupTable>> hold(const JoinLookup& lookup, uint32_t buckets,
                                                  uint64_t memory_bytes) {
    const sql::Schema schema = *connection_->describe("SELECT * FROM b");
    const auto places = [&](const std::vector<std::string>& columns) {
      std::vector<uint32_t> out;
      for (const std::string& column : columns)
        for (uint32_t i = 0; i < schema.size(); ++i)
          if (schema[i].name == column) out.push_back(i);
      return out;
    };
    const std::string path = file(fmt::format("b-{}.tgm", next_++));
    MapOutputOptions options{.buckets = buckets, .attempt = "a1"};
    if (buckets > 1) options.keys = {{0, schema[0].type}};
    TG_TRY(write("SELECT * FROM b", path, std::move(options)));
    shuffle::BucketTable table;
    table.effects = &real_effects();
    table.schema = schema;
    TG_ASSIGN(table.types, batch::column_types(*connection_, schema));
    table.files = {{path, "a1"}};
    table.bucket_end = buckets;
    table.memory_bytes = uint64_t{4} << 20;
    uint64_t rows = 0;
    const LookupTable::Options how{
        .memory_bytes = memory_bytes,
        .any_row = lookup.kind == Kind::kSemi || lookup.kind == Kind::kAnti,
        .progress = [&](uint64_t more) { rows += more; }};
    TG_ASSIGN(auto made,
              LookupTable::make(table, places(lookup.held_keys), places(lookup.columns), how));
    if (made) {
      EXPECT_LE(made->bytes(), memory_bytes);
    }
    return made;
  }

  JoinLookup lookup_of(const LookupCase& c) {
    JoinLookup out;
    out.kind = c.kind;
    out.input = "a";
    out.keys = out.held_keys = names(c.keys);
    out.held = "b";
    if (c.kind == Kind::kInner || c.kind == Kind::kLeft) out.columns = names(c.columns);
    out.relation = "rows";
    out.partner = "q";
    return out;
  }

  int next_ = 0;
};

TEST_P(LookupTest, GivesTheRowsThatDuckdbGives) {
  const LookupCase& c = GetParam();
  run(fmt::format("CREATE TABLE b AS {}", c.held));
  const JoinLookup lookup = lookup_of(c);
  std::string on, fields;
  for (const std::string& key : lookup.keys)
    on += fmt::format("{}a.{} = b.{}", on.empty() ? "" : " AND ", key, key);
  std::string ours = "SELECT * FROM rows";
  if (!lookup.columns.empty()) {
    ours = "SELECT * EXCLUDE (q)";
    for (const std::string& column : lookup.columns) {
      fields += fmt::format(", b.{0} AS b_{0}", column);
      ours += fmt::format(", q.{0} AS b_{0}", column);
    }
    ours += " FROM rows";
  }
  run(fmt::format("CREATE TABLE expected AS SELECT a.*{} FROM a {} JOIN b ON {}", fields,
                  to_string(c.kind), on));
  for (const uint32_t buckets : {1U, 7U}) {
    const auto table = hold(lookup, buckets, uint64_t{64} << 20);
    ASSERT_TRUE(table) << table.error().describe();
    ASSERT_NE(*table, nullptr);
    const auto registered =
        register_lookup(*connection_, lookup, *connection_->describe("SELECT * FROM a"),
                        *connection_->describe("SELECT * FROM b"), *table);
    ASSERT_TRUE(registered) << registered.error().describe();
    run("CREATE OR REPLACE TABLE ours AS " + ours);
    EXPECT_EQ(difference("expected", "ours"), "0+0") << buckets;
    EXPECT_NE(scalar("SELECT count(*) FROM ours"), "0");
  }
}

// Keys close together, with holes below, between and above; a and b meet in some.
constexpr const char* kDenseRows =
    "SELECT i::INTEGER AS k, 'key ' || repeat('x', (i % 2)::INTEGER * 12) || i AS t, "
    "CASE WHEN i % 3 > 0 THEN (i * 7)::SMALLINT END AS n, CASE WHEN i % 5 > 0 THEN repeat('v', "
    "(i % 20)::INTEGER) END AS v, (-i)::BIGINT * 1000000000000 AS d, i::DECIMAL(30,2) AS w FROM "
    "range(-300, 3000) r(i) WHERE i % 4 > 0";
constexpr const char* kThinRows =
    "SELECT (i * 1013)::INTEGER AS k, 'key ' || repeat('x', (i % 2)::INTEGER * 12) || i AS t, "
    "i::SMALLINT AS n, repeat('v', (i % 20)::INTEGER) AS v, i AS d, i::DECIMAL(30,2) AS w FROM "
    "range(0, 700) r(i) UNION ALL SELECT NULL, NULL, 1, '', 2, 3 UNION ALL SELECT NULL, 't', 1, "
    "'', "
    "2, 3";
constexpr const char* kDoubles =
    "SELECT unnest([0.0, 'nan'::DOUBLE, 2.5, NULL]) AS f, 1::INTEGER AS k, 't' AS t, 1 AS n, 'v' "
    "AS v, 2 AS d, 3 AS w";

INSTANTIATE_TEST_SUITE_P(
    All, LookupTest,
    ::testing::Values(
        LookupCase{"dense", "k", kDenseRows},
        LookupCase{"dense_left", "k", kDenseRows, Kind::kLeft},
        LookupCase{"dense_semi", "k", kDenseRows, Kind::kSemi},
        LookupCase{"dense_anti", "k", kDenseRows, Kind::kAnti},
        LookupCase{"dense_key_alone", "k", kDenseRows, Kind::kInner, ""},
        LookupCase{"dense_left_alone", "k", kDenseRows, Kind::kLeft, ""},
        LookupCase{"narrower", "k",
                   "SELECT i::TINYINT AS k, i AS t, i AS n, i AS v, i AS d, i AS w FROM "
                   "range(-100, 100) r(i)"},
        LookupCase{"wider", "k",
                   "SELECT i::BIGINT AS k, i AS t, i AS n, i AS v, i AS d, i AS w FROM range(9) "
                   "r(i)"},
        LookupCase{"thin", "k", kThinRows}, LookupCase{"thin_left", "k", kThinRows, Kind::kLeft},
        LookupCase{"texts", "t", kDenseRows},
        LookupCase{"texts_null", "t",
                   "SELECT * FROM (VALUES ('key 5', 1, 2, 3, 4, 5), (NULL, 1, 2, 3, 4, 5), (NULL, "
                   "1, 2, 3, 4, 5)) b(t, k, n, v, d, w)",
                   Kind::kLeft},
        LookupCase{"two_keys", "k, t",
                   "SELECT DISTINCT k, t, 1 AS n, 'v' AS v, 2 AS d, 3 AS w FROM a WHERE k > 100"},
        LookupCase{"two_keys_anti", "k, t",
                   "SELECT k, t, 1 AS n, 'v' AS v, 2 AS d, 3 AS w FROM a WHERE k > 100",
                   Kind::kAnti},
        LookupCase{"doubles", "f", kDoubles},
        LookupCase{"doubles_anti", "f", kDoubles, Kind::kAnti},
        LookupCase{"repeated_semi", "k", "SELECT (i % 50)::INTEGER AS k FROM range(1000) r(i)",
                   Kind::kSemi}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(LookupTest, HoldsNothingWhereTwoRowsShareAKey) {
  run("CREATE TABLE b AS SELECT * FROM (VALUES (1, 'x'), (2, 'y'), (1, 'z')) b(k, v)");
  const auto dense = hold(lookup_of({"", "k", "", Kind::kInner, "v"}), 1, uint64_t{1} << 26);
  ASSERT_TRUE(dense);
  EXPECT_EQ(*dense, nullptr);
  run("CREATE OR REPLACE TABLE b AS SELECT 't' || i % 99 AS t FROM range(100) r(i)");
  const auto hashed = hold(lookup_of({"", "t", "", Kind::kLeft, ""}), 1, uint64_t{1} << 26);
  ASSERT_TRUE(hashed);
  EXPECT_EQ(*hashed, nullptr);
}

TEST_F(LookupTest, HoldsNothingThatDoesNotFit) {
  run("CREATE TABLE b AS SELECT i::INTEGER AS k, i || repeat(' long', 9) AS v FROM range(100000) "
      "r(i)");
  for (const uint64_t bytes : {uint64_t{1} << 20, uint64_t{4} << 20}) {
    const auto made = hold(lookup_of({"", "k", "", Kind::kInner, "v"}), 1, bytes);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(*made, nullptr) << bytes;
  }
  const auto fits = hold(lookup_of({"", "k", "", Kind::kInner, "v"}), 1, uint64_t{32} << 20);
  ASSERT_TRUE(fits);
  EXPECT_NE(*fits, nullptr);
}

TEST_F(LookupTest, ValuesTakeAsFewBytesAsTheyNeed) {
  run("CREATE TABLE b AS SELECT i AS k, (i % 200)::BIGINT + 5000000000 AS v FROM range(4000000) "
      "r(i)");
  const auto made = hold(lookup_of({"", "k", "", Kind::kInner, "v"}), 1, uint64_t{64} << 20);
  ASSERT_TRUE(made);
  ASSERT_NE(*made, nullptr);
  EXPECT_LT((*made)->bytes(), uint64_t{6'500'000});
}

}  // namespace
}  // namespace tidegate::reduce
