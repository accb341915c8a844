#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "base/text.h"
#include "prove/kernel.h"
#include "prove/split_fixture.h"

namespace tidegate::prove {
namespace {

using reduce::KernelSpec;
using reduce::WindowKind;

class KernelWindowTest : public ::testing::Test {
 protected:
  KernelChoice choose(const std::string& sql) {
    std::vector<KernelInput> inputs;
    for (const char* name : {"a", "b", "c", "dim"})
      inputs.push_back({name, schemas_.at(name), std::string("dim") == name});
    auto schema = fixture_.rows().describe(sql);
    if (!schema) return {{}, schema.error().message};
    return choose_kernel(fixture_.rows(), "s", sql, inputs, *schema);
  }
  /// "" if the stage taken apart gives the rows of its SQL.
  std::string difference(const std::string& sql, const KernelChoice& choice) {
    sql::Connection& rows = fixture_.rows();
    auto made = rows.execute("CREATE OR REPLACE TEMP TABLE one AS " + sql);
    if (!made) return made.error().message;
    made = rows.execute("CREATE OR REPLACE TEMP TABLE other AS " + stage_as_sql(*choice.kernel));
    if (!made) return made.error().message;
    auto diff = rows.query(
        "SELECT (SELECT count(*) FROM (FROM one EXCEPT ALL FROM other)) + (SELECT count(*) FROM "
        "(FROM other EXCEPT ALL FROM one))");
    if (!diff) return diff.error().message;
    return diff->scalar() == "0" ? "" : diff->scalar() + " rows differ";
  }
  static std::string shown(const KernelChoice& choice) {
    if (!choice.kernel) return "refused: " + choice.why;
    return fmt::format("{}\ninput:  {}\noutput: {}\nas sql: {}", choice.why,
                       choice.kernel->kernel.input_sql, choice.kernel->output_sql,
                       stage_as_sql(*choice.kernel));
  }

  Fixture fixture_;
  std::map<std::string, sql::Schema> schemas_ = Fixture::schemas();
};

/// In the fixture's `a` all columns together make an order total but for equal rows.
constexpr const char* kTotal = "PARTITION BY k ORDER BY i, d, x, v, n";

TEST_F(KernelWindowTest, StagesWithAKernelGiveTheSameRows) {
  const std::vector<std::string> stages = {
      "SELECT k, i, sum(i) OVER (PARTITION BY k) AS s FROM a",
      "SELECT k, count_if(i > 1) OVER (PARTITION BY k) AS s FROM a",
      "SELECT k, i, rank() OVER (PARTITION BY k ORDER BY i DESC) AS r FROM a",
      "SELECT K, a.i, rank() OVER (PARTITION BY a.K ORDER BY I NULLS FIRST) AS r FROM a",
      "SELECT k, i FROM a QUALIFY rank() OVER (PARTITION BY k ORDER BY i) = 1",
      "SELECT k, i, rank() OVER (PARTITION BY k ORDER BY i) AS rn FROM a QUALIFY rn <= 2",
      ("SELECT k, i, rank() OVER w AS r, dense_rank() OVER w AS e, percent_rank() OVER w AS p, "
       "cume_dist() OVER w AS c, count(*) OVER w AS n, max(x) OVER w AS m FROM a WINDOW w AS "
       "(PARTITION BY k ORDER BY i)"),
      // One order begins the other; none is the whole partition.
      ("SELECT k, rank() OVER (PARTITION BY k ORDER BY i) AS r, rank() OVER (PARTITION BY k ORDER "
       "BY i, d) AS s, count(*) OVER (PARTITION BY k) AS n, min(d) OVER (PARTITION BY k ORDER BY i "
       "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS lo FROM a"),
      // Keys in another order, by expression, twice, and in the order.
      "SELECT count(*) OVER (PARTITION BY k, x) AS n, sum(i) OVER (PARTITION BY x, k) AS s FROM a",
      "SELECT k % 2 AS p, sum(i) OVER (PARTITION BY k % 2, k) AS s FROM a",
      "SELECT k, rank() OVER (PARTITION BY k ORDER BY k, i, k DESC, i DESC) AS r FROM a",
      "SELECT k, rank() OVER (PARTITION BY k ORDER BY k) AS r FROM a",
      "SELECT k, rank() OVER (PARTITION BY k ORDER BY upper(x), i % 3 DESC) AS r FROM a",
      // Several partitions and orders.
      "SELECT k, sum(i) OVER (PARTITION BY k) AS s, sum(i) OVER (PARTITION BY k, x) AS t FROM a",
      ("SELECT k, rank() OVER (PARTITION BY k ORDER BY i) AS s, rank() OVER (PARTITION BY k ORDER "
       "BY i DESC) AS t, dense_rank() OVER (PARTITION BY x, k ORDER BY d, i) AS e, count(*) OVER "
       "(PARTITION BY k, x ORDER BY d) AS n FROM a"),
      ("SELECT *, min(d) OVER (PARTITION BY i % 2, k ORDER BY x, d) AS lo, max(x) FILTER (WHERE i "
       "> "
       "2) OVER (PARTITION BY k) AS hi FROM a QUALIFY rank() OVER (PARTITION BY k, d ORDER BY i) < "
       "3"),
      fmt::format("SELECT k, lag(i, 1, -1) OVER ({0}) AS l, lead(x, 2, d) OVER (PARTITION BY k, x "
                  "ORDER BY i DESC, d, v, n) AS e, first_value(n) OVER (PARTITION BY k ORDER BY d "
                  "DESC, i, x, v, n) AS f FROM a",
                  kTotal),
      // Before and after.
      ("SELECT k, i * 2 AS j, sum(i * 2 + 1) FILTER (WHERE i > 3) OVER (PARTITION BY k) + k AS s, "
       "1 AS one FROM a WHERE x IS NOT NULL"),
      "SELECT k, 100.0 * i / sum(i) OVER (PARTITION BY k) AS share FROM a WHERE i IS NOT NULL",
      ("SELECT k, CASE WHEN count(*) OVER (PARTITION BY k) > 3 THEN max(i) OVER (PARTITION BY k) "
       "ELSE i END AS m FROM a"),
      "SELECT k, i + 1 AS j, j * 2 AS jj, rank() OVER (PARTITION BY k ORDER BY j) AS r FROM a",
      "SELECT *, count(*) OVER (PARTITION BY k) AS c FROM a",
      "SELECT * EXCLUDE (v), count(*) OVER (PARTITION BY k) AS c FROM a q",
      "SELECT DISTINCT k, count(*) OVER (PARTITION BY k) AS n FROM a",
      ("SELECT k, list_transform([i, 1], lambda e: e + 1) AS l, count(*) OVER (PARTITION BY k) AS "
       "n "
       "FROM a"),
      "SELECT k, (SELECT count(*) FROM dim) + count(*) OVER (PARTITION BY k) AS n FROM a",
      "SELECT k, count(*) OVER (PARTITION BY k) AS n FROM a WHERE k IN (SELECT k FROM dim)",
      "SELECT a.k, dim.f, count(*) OVER (PARTITION BY a.k) AS n FROM a JOIN dim ON a.k = dim.k",
      ("SELECT r.*, dim.f FROM (SELECT k, max(i) OVER (PARTITION BY k) AS m FROM a) r JOIN dim ON "
       "r.k = dim.k"),
      "SELECT k, sum(m) AS t FROM (SELECT k, max(i) OVER (PARTITION BY k) AS m FROM a) GROUP BY k",
      ("WITH w AS (SELECT k, max(i) OVER (PARTITION BY k) AS m FROM a) SELECT k, m + 1 AS m FROM w "
       "WHERE m > 3"),
      "SELECT a AS whole, count(*) OVER (PARTITION BY k) AS n FROM a",
      // A name of a column and of an item.
      "SELECT k AS x, x AS k, count(*) OVER (PARTITION BY k) AS n FROM a",
      "SELECT i AS j, max(j) OVER (PARTITION BY k) AS n FROM a",
      "SELECT count(*) OVER (PARTITION BY k) AS i, i AS j FROM a",
      // Over all rows.
      "SELECT k, rank() OVER (ORDER BY i) AS r FROM a",
      // Defaults of other types than the value's.
      fmt::format("SELECT k, lag(i, 2, -1) OVER ({0}) AS l, lag(x, 1, k) OVER ({0}) AS m, lead(d, "
                  "1, DATE '2020-01-01') OVER ({0}) AS e, lead(i, 1, i + 1) OVER ({0}) AS g, i + 1 "
                  "AS h FROM a",
                  kTotal),
      fmt::format("SELECT k, sum(i) OVER ({0} ROWS UNBOUNDED PRECEDING) AS s, avg(i) OVER ({0} "
                  "ROWS UNBOUNDED PRECEDING) AS m, first_value(x) OVER ({0}) AS f, last_value(x "
                  "IGNORE NULLS) OVER ({0} ROWS UNBOUNDED PRECEDING) AS l, nth_value(i, 2) OVER "
                  "({0}) AS t, ntile(4) OVER ({0}) AS q FROM a",
                  kTotal),
      fmt::format("SELECT * FROM (SELECT *, row_number() OVER ({}) AS rn FROM a) WHERE rn BETWEEN "
                  "2 AND 3",
                  kTotal),
      fmt::format("SELECT * FROM (SELECT *, row_number() OVER ({}) AS rn FROM a) WHERE rn <= 2",
                  kTotal),
  };
  for (const std::string& sql : stages) {
    const KernelChoice choice = choose(sql);
    ASSERT_TRUE(choice.kernel) << sql << "\n" << choice.why;
    EXPECT_EQ(choice.kernel->kernel.kind, KernelSpec::Kind::kWindow) << sql;
    EXPECT_EQ(difference(sql, choice), "") << sql << "\n" << shown(choice);
    EXPECT_EQ(reduce::unsupported(choice.kernel->kernel), std::nullopt) << sql;
  }
}

TEST_F(KernelWindowTest, FirstRowsStayFirstRows) {
  for (const char* sql :
       {"SELECT k, i FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY i) = 1",
        "SELECT k, i FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM a) "
        "WHERE rn <= 2"}) {
    const KernelChoice choice = choose(sql);
    ASSERT_TRUE(choice.kernel) << choice.why;
    EXPECT_EQ(choice.kernel->kernel.kind, KernelSpec::Kind::kTop) << sql;
  }
}

TEST_F(KernelWindowTest, SpecSaysWhatTheStageDoes) {
  const KernelChoice choice = choose(
      "SELECT k, i, sum(i) OVER (PARTITION BY k ORDER BY d DESC, x ROWS UNBOUNDED PRECEDING) AS s, "
      "rank() OVER (PARTITION BY k ORDER BY d DESC) AS r, count(v) OVER (PARTITION BY k) AS n FROM "
      "a");
  ASSERT_TRUE(choice.kernel) << choice.why;
  EXPECT_EQ(choice.why, "window by 1 key: count, rank, sum");
  const KernelSpec& spec = choice.kernel->kernel;
  EXPECT_EQ(spec.input_table, "a");
  EXPECT_EQ(spec.input_sql,
            "SELECT k AS tg_c0, d AS tg_c1, x AS tg_c2, i AS tg_c3, v AS tg_c4 FROM a");
  EXPECT_EQ(spec.order, (std::vector<reduce::OrderColumn>{{1, true, false}, {2, false, false}}));
  ASSERT_EQ(spec.windows.size(), 3u);
  EXPECT_TRUE(spec.windows[0].by_row);
  EXPECT_EQ(spec.windows[0].aggregate.type, "HUGEINT");
  EXPECT_EQ(spec.windows[1].kind, WindowKind::kRank);
  EXPECT_EQ(spec.windows[1].peers, 1u);
  EXPECT_EQ(spec.windows[2].peers, 0u);
  EXPECT_EQ(choice.kernel->output_sql,
            "SELECT tg_c0 AS k, tg_c3 AS i, tg_w0 AS s, tg_w1 AS r, tg_w2 AS n FROM \"s:kernel\"");
}

TEST_F(KernelWindowTest, WindowsOfOnePartitionAndOrderShareASort) {
  const KernelChoice choice = choose(
      "SELECT k, row_number() OVER (PARTITION BY k ORDER BY d, i) AS r, sum(i) OVER (PARTITION BY "
      "x, "
      "k ORDER BY v DESC, k) AS s, rank() OVER (PARTITION BY k ORDER BY d) AS t, count(*) OVER "
      "(PARTITION BY k, x) AS n, max(v) OVER (PARTITION BY k ORDER BY i) AS m FROM a");
  ASSERT_TRUE(choice.kernel) << choice.why;
  EXPECT_EQ(choice.why, "windows by 3 partitions and orders: count, max, rank, row_number, sum");
  const KernelSpec& spec = choice.kernel->kernel;
  EXPECT_EQ(spec.input_sql,
            "SELECT k AS tg_c0, d AS tg_c1, i AS tg_c2, x AS tg_c3, v AS tg_c4 FROM a");
  EXPECT_EQ(spec.keys, 1u);
  EXPECT_EQ(spec.order, (std::vector<reduce::OrderColumn>{{1}, {2}}));
  ASSERT_EQ(spec.sorts.size(), 2u);
  EXPECT_EQ(spec.sorts[0].keys, (std::vector<uint32_t>{0, 3}));
  EXPECT_EQ(spec.sorts[0].order, (std::vector<reduce::OrderColumn>{{4, true}}));
  EXPECT_EQ(spec.sorts[1].keys, (std::vector<uint32_t>{0}));
  EXPECT_EQ(spec.sorts[1].order, (std::vector<reduce::OrderColumn>{{2}}));
  std::vector<std::pair<uint32_t, uint32_t>> where;
  for (const reduce::WindowFunction& window : spec.windows)
    where.emplace_back(window.sort, window.peers);
  EXPECT_EQ(where,
            (std::vector<std::pair<uint32_t, uint32_t>>{{0, 2}, {1, 1}, {0, 1}, {1, 0}, {2, 1}}));
}

TEST_F(KernelWindowTest, WhatIsNotCertainIsRefusedWithTheReason) {
  constexpr const char* kRefused[][2] = {
      {"SELECT rank() OVER (PARTITION BY k ORDER BY i) AS a, rank() OVER (PARTITION BY k ORDER BY "
       "d) AS b, count(*) OVER (PARTITION BY k, x) AS c, rank() OVER (PARTITION BY k ORDER BY n) "
       "AS "
       "d, rank() OVER (PARTITION BY k ORDER BY i DESC) AS e FROM a",
       "windows over more than 4 partitions and orders"},
      {"SELECT k, count(*) OVER () AS n, count(*) OVER (PARTITION BY k) AS m FROM a",
       "windows over all rows in no order"},
      {"SELECT sum(i) OVER (PARTITION BY k ORDER BY d, i ROWS 3 PRECEDING) AS s FROM a",
       "a frame of another form"},
      {"SELECT sum(i) OVER (PARTITION BY k ORDER BY d ROWS BETWEEN CURRENT ROW AND UNBOUNDED "
       "FOLLOWING) AS s FROM a",
       "a frame of another form"},
      {"SELECT sum(i) OVER (PARTITION BY k ORDER BY i RANGE 3 PRECEDING) AS s FROM a",
       "a frame of another form"},
      {"SELECT sum(i) OVER (PARTITION BY k ORDER BY i ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT "
       "ROW) AS s FROM a",
       "a frame of another form"},
      {"SELECT lag(i, k) OVER (PARTITION BY k ORDER BY i) AS s FROM a",
       "lag of other than a constant number"},
      {"SELECT lag(i, -1) OVER (PARTITION BY k ORDER BY i) AS s FROM a",
       "lag of other than a constant number"},
      {"SELECT lag(i IGNORE NULLS) OVER (PARTITION BY k ORDER BY i) AS s FROM a",
       "lag with IGNORE NULLS"},
      {"SELECT sum(DISTINCT i) OVER (PARTITION BY k) AS s FROM a",
       "sum of DISTINCT values over a window"},
      {"SELECT median(i) OVER (PARTITION BY k) AS s FROM a", "median over a window"},
      {"SELECT bit_or(i) OVER (PARTITION BY k) AS s FROM a", "bit_or over a window"},
      {"SELECT histogram(i) OVER (PARTITION BY k) AS s FROM a", "histogram over a window"},
      {"SELECT first_value(i ORDER BY d) OVER (PARTITION BY k ORDER BY i) AS s FROM a",
       "first_value with an order of its own over a window"},
      {"SELECT k, count(*) OVER () AS n FROM a", "windows over all rows in no order"},
      {"SELECT k, i, count(*) OVER (PARTITION BY k) AS n FROM a ORDER BY i",
       "ORDER BY or LIMIT beside window functions"},
      {"SELECT max(x COLLATE nocase) OVER (PARTITION BY k) AS n FROM a", "COLLATE"},
      {"SELECT max((SELECT max(f) FROM dim WHERE dim.k = a.k)) OVER (PARTITION BY k) AS n FROM a",
       "a window function of a subquery"},
      {"SELECT list_transform([1], lambda e: e + count(*) OVER (PARTITION BY k)) AS n FROM a",
       "a subquery with a window function"},
      {"SELECT unnest([1, 2]) AS u, count(*) OVER (PARTITION BY k) AS n FROM a", "unnest"},
      {"SELECT rank() OVER (PARTITION BY k ORDER BY [i]) AS n FROM a", "an order by INTEGER[]"},
  };
  for (const auto& [sql, why] : kRefused) {
    const KernelChoice choice = choose(sql);
    EXPECT_FALSE(choice.kernel) << sql << "\n" << shown(choice);
    EXPECT_EQ(choice.why, why) << sql;
  }
}

/// Random windows with names that mean several things.
class RandomWindows {
 public:
  explicit RandomWindows(uint32_t seed) : random_(seed) {}

  std::string sql() {
    for (size_t i = 1 + below(2); i > 0; --i) keys_.push_back(expression());
    for (size_t i = 1 + below(2); i > 0; --i)
      orders_.push_back(expression() + one_of({"", " DESC", " NULLS FIRST", " DESC NULLS LAST"}));
    for (size_t i = below(3); i > 0; --i) item(one_of({"*", "p.*", expression(), "i", "x"}));
    for (size_t i = 1 + below(4); i > 0; --i) item(window());
    std::string out = "SELECT " + std::string(chance(8) ? "DISTINCT " : "") + join(items_, ", ") +
                      " FROM " +
                      one_of({"a p", "a p", "(SELECT * FROM a WHERE i > 7) p",
                              "a p JOIN dim q ON p.k = q.k", "(SELECT *, i AS z FROM a) p"});
    if (chance(30)) out += " WHERE " + name_or("p.i") + " IS NOT NULL";
    if (chance(25)) out += " QUALIFY " + name_or(window()) + " IS NOT NULL";
    if (chance(20)) out = "SELECT * FROM (" + out + ") r WHERE " + alias() + " IS NOT NULL";
    return out;
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  bool chance(size_t percent) { return below(100) < percent; }
  std::string one_of(const std::vector<std::string>& all) { return all[below(all.size())]; }
  std::string alias() { return one_of({"k", "x", "i", "n", "z", "w", "d"}); }
  std::string column() { return one_of({"", "p."}) + one_of({"k", "x", "i", "d", "n", "K"}); }
  std::string expression() {
    return one_of({column(), column(), "p.i % 3", "upper(p.x)", "p.k + 1", "i IS NULL"});
  }
  std::string name_or(const std::string& other) {
    return chance(50) && !aliases_.empty() ? one_of(aliases_) : other;
  }
  void item(std::string text) {
    if (chance(20) && text.find('*') == std::string::npos) text += " IS NOT NULL";
    if (chance(70) && text != "*" && text != "p.*") {
      aliases_.push_back(alias());
      text += " AS " + aliases_.back();
    }
    items_.push_back(std::move(text));
  }
  /// Of one value whatever the order of ties.
  std::string window() {
    const size_t depth = below(orders_.size() + 1);
    const std::vector<std::string> order(orders_.begin(),
                                         orders_.begin() + static_cast<long>(depth));
    std::string over = "(PARTITION BY " + join(keys_, ", ");
    if (chance(15)) over += ", " + expression();
    if (depth > 0) over += " ORDER BY " + join(order, ", ");
    if (depth > 0 && chance(15)) over += ", " + expression() + one_of({"", " DESC"});
    if (depth > 0 && chance(15))
      over += " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING";
    const std::string of = chance(10) ? name_or("p.i") : one_of({"i", "p.i", "p.k", "n"});
    return one_of({"rank()", "dense_rank()", "percent_rank()", "cume_dist()", "count(*)",
                   "count(" + of + ")", "sum(" + of + ")", "min(" + of + ")", "max(" + of + ")",
                   "sum(" + of + ") FILTER (WHERE k > 1)"}) +
           " OVER " + over + ")";
  }

  std::mt19937 random_;
  std::vector<std::string> keys_, orders_, items_, aliases_;
};

TEST_F(KernelWindowTest, RandomWindowsGiveTheSameRows) {
  uint32_t bound = 0, kernels = 0;
  std::map<std::string, int> reasons;
  for (uint32_t seed = 1; bound < 150 && seed < 3000; ++seed) {
    const std::string sql = RandomWindows(seed).sql();
    auto schema = fixture_.rows().describe(sql);
    std::set<std::string> names;
    bool distinct = schema.has_value();
    for (size_t i = 0; distinct && i < schema->size(); ++i)
      distinct = names.insert(to_lower_ascii((*schema)[i].name)).second;
    if (!distinct) continue;
    ++bound;
    const KernelChoice choice = choose(sql);
    if (!choice.kernel) {
      ++reasons[choice.why];
      continue;
    }
    ++kernels;
    EXPECT_EQ(difference(sql, choice), "") << "seed " << seed << "\n"
                                           << sql << "\n"
                                           << shown(choice);
  }
  for (const auto& [why, count] : reasons) std::printf("%d: %s\n", count, why.c_str());
  EXPECT_GE(kernels * 10, bound * 7) << kernels << " of " << bound << " have a kernel";
}

}  // namespace
}  // namespace tidegate::prove
