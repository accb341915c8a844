#include "prove/kernel_join.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "prove/kernel_join_fixture.h"
#include "prove/split_fixture.h"

namespace tidegate::prove {
namespace {

JoinChoice choose(Fixture& fixture, const std::string& sql,
                  const std::vector<std::string>& keys = {"k"}) {
  static const std::map<std::string, sql::Schema> kSchemas = Fixture::schemas();
  std::vector<JoinCandidate> inputs;
  for (const char* name : {"a", "b", "c"}) inputs.push_back({name, kSchemas.at(name), keys});
  auto schema = fixture.rows().describe(sql);
  if (!schema) {
    ADD_FAILURE() << sql << "\n" << schema.error().message;
    return {};
  }
  return choose_join(fixture.rows(), "s", sql, inputs, *schema);
}

std::string difference(sql::Connection& rows, const std::string& one, const std::string& other) {
  auto made = rows.execute("CREATE OR REPLACE TEMP TABLE one AS " + one);
  if (!made) return made.error().message;
  made = rows.execute("CREATE OR REPLACE TEMP TABLE other AS " + other);
  if (!made) return made.error().message;
  auto diff = rows.query(
      "SELECT (SELECT count(*) FROM (FROM one EXCEPT ALL FROM other)) || ' missing, ' || "
      "(SELECT count(*) FROM (FROM other EXCEPT ALL FROM one)) || ' too many'");
  if (!diff) return diff.error().message;
  return diff->scalar() == "0 missing, 0 too many" ? "" : diff->scalar();
}

TEST(KernelJoin, StagesWithAJoinGiveTheSameRows) {
  Fixture fixture;
  for (const char* sql : {
           "SELECT a.k, a.i, c.i AS j FROM a JOIN c ON a.k = c.k",
           "SELECT p.k, q.x FROM a p JOIN c q ON q.k = p.k AND p.i > q.i",
           "SELECT p.k, q.x FROM a AS p LEFT JOIN c AS q ON p.k = q.k",
           "SELECT p.k, q.k AS other, q.x FROM a p FULL JOIN c q ON p.k = q.k AND p.x = q.x",
           "SELECT p.i, q.k FROM a p RIGHT JOIN c q ON p.k = q.k WHERE p.i IS NULL OR p.i > 3",
           "SELECT k, a.i, c.i AS j FROM a JOIN c USING (k)",
           "SELECT * FROM (SELECT k, x, i AS one FROM a) l, (SELECT 1 AS z) r WHERE one > z",
           "SELECT k, a.i, c.i AS j FROM a FULL JOIN c USING (k)",
           "SELECT k, a.i, c.i AS j FROM a RIGHT JOIN c USING (k, x)",
           "SELECT * FROM a SEMI JOIN c ON a.k = c.k",
           "SELECT i FROM a ANTI JOIN c USING (k)",
           "SELECT a.k, count(*) AS n, sum(c.i) AS s FROM a JOIN c ON a.k = c.k GROUP BY a.k",
           "SELECT a.k, count(*) AS n FROM a JOIN c ON a.k = c.k GROUP BY a.k",
           "SELECT a.i FROM a JOIN c ON a.k = c.k",
           "SELECT c.i FROM a LEFT JOIN c ON a.k = c.k",
           "SELECT l.k, b.j FROM a l JOIN c r ON l.k = r.k LEFT JOIN b ON b.k = l.k",
           "SELECT q.k, q.j FROM (SELECT a.k, c.i AS j FROM a JOIN c ON a.k = c.k) q WHERE j > 1",
           "WITH w AS (SELECT a.k, c.i AS j FROM a JOIN c ON a.k = c.k) SELECT k, j FROM w",
           "SELECT l.k, r.i FROM a l JOIN a r ON l.k = r.k",
           "SELECT a.k, (SELECT count(*) FROM b WHERE b.k = a.k) AS n FROM a JOIN c ON a.k = c.k",
       }) {
    SCOPED_TRACE(sql);
    const JoinChoice choice = choose(fixture, sql);
    if (std::string_view(sql).find(" JOIN ") == std::string_view::npos) {
      EXPECT_FALSE(choice.join);
      continue;
    }
    ASSERT_TRUE(choice.join) << choice.why;
    const Status made = make_relations(fixture.rows(), *choice.join);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(difference(fixture.rows(), sql, choice.sql), "") << choice.sql;
  }
}

TEST(KernelJoin, AHalfThatNothingIsReadOfIsLeftOut) {
  Fixture fixture;
  const auto halves = [&](const char* sql) {
    const JoinChoice choice = choose(fixture, sql);
    if (!choice.join) return choice.why;
    return choice.join->left.relation + "|" + choice.join->right.relation;
  };
  EXPECT_EQ(halves("SELECT a.i FROM a JOIN c ON a.k = c.k"), "s:left|");
  EXPECT_EQ(halves("SELECT c.d FROM a LEFT JOIN c ON a.k = c.k"), "|s:right");
  EXPECT_EQ(halves("SELECT a.d, c.d AS e FROM a JOIN c ON a.k = c.k"), "s:left|s:right");
  EXPECT_EQ(halves("SELECT a.k FROM a SEMI JOIN c ON a.k = c.k"), "s:left|");
  // `d` means b's column, and without it would be the alias.
  EXPECT_EQ(halves("SELECT l.i AS v, r.k AS z, v + 1 AS w FROM (SELECT k, i FROM a) l JOIN c r ON "
                   "l.k = r.k"),
            "");
}

TEST(KernelJoin, WhatIsNotCertainIsRefused) {
  Fixture fixture;
  for (const char* sql : {
           "SELECT a.k, c.i FROM a LEFT JOIN c ON a.k = c.k AND a.i > c.i",
           "SELECT a.k, c.i FROM a JOIN c ON a.x = c.x",
           "SELECT a.k, c.i FROM a JOIN c ON a.k + 1 = c.k + 1",
           "SELECT a.k AS z, c.i FROM a FULL JOIN c USING (k)",
           "SELECT a.k, c.i FROM a ASOF JOIN c ON a.k = c.k AND a.i >= c.i",
           "SELECT a.k, c.i FROM a JOIN c ON a.k = c.k AND EXISTS (FROM b WHERE b.k = a.k)",
       }) {
    const JoinChoice choice = choose(fixture, sql);
    EXPECT_FALSE(choice.join) << sql << "\n" << choice.sql;
    EXPECT_NE(choice.why, "") << sql;
  }
}

}  // namespace
}  // namespace tidegate::prove
