#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "prove/kernel_join.h"
#include "prove/split_fixture.h"

namespace tidegate::prove {
namespace {

using reduce::JoinLookup;
using Kind = reduce::JoinSpec::Kind;

JoinChoice choose(Fixture& fixture, const std::string& sql) {
  static const std::map<std::string, sql::Schema> kSchemas = Fixture::schemas();
  std::vector<JoinCandidate> inputs;
  for (const char* name : {"a", "b", "c"}) inputs.push_back({name, kSchemas.at(name), {"k"}});
  auto schema = fixture.rows().describe(sql);
  if (!schema) {
    ADD_FAILURE() << sql << "\n" << schema.error().message;
    return {};
  }
  return choose_join(fixture.rows(), "s", sql, inputs, *schema);
}

/// Makes the relation of a lookup by DuckDB's own join, over tables with rows that may share keys:
/// then each row has several partners, as a join has it.
Status make_rows(sql::Connection& rows, const JoinLookup& lookup) {
  std::vector<std::string> on, fields;
  for (size_t i = 0; i < lookup.keys.size(); ++i)
    on.push_back(fmt::format("l.{} = r.{}", quote_identifier(lookup.keys[i]),
                             quote_identifier(lookup.held_keys[i])));
  for (const std::string& column : lookup.columns)
    fields.push_back(fmt::format("{0} := r.{0}", quote_identifier(column)));
  // A row without partner has none, rather than one of NULLs.
  const std::string partner =
      fields.empty() ? ""
                     : fmt::format(", CASE WHEN r.{} IS NOT NULL THEN struct_pack({}) END AS {}",
                                   quote_identifier(lookup.held_keys[0]),
                                   tidegate::join(fields, ", "), quote_identifier(lookup.partner));
  return rows.execute(fmt::format(
      "CREATE OR REPLACE TEMP TABLE {} AS SELECT l.*{} FROM {} l {} JOIN {} r ON {}",
      quote_identifier(lookup.relation), partner, quote_identifier(lookup.input),
      reduce::to_string(lookup.kind), quote_identifier(lookup.held), tidegate::join(on, " AND ")));
}

std::string difference(sql::Connection& rows, const std::string& one, const std::string& other) {
  for (const auto& [name, sql] : {std::pair("one", one), std::pair("other", other)})
    if (auto made = rows.execute(fmt::format("CREATE OR REPLACE TEMP TABLE {} AS {}", name, sql));
        !made)
      return made.error().message;
  auto diff = rows.query(
      "SELECT (SELECT count(*) FROM (FROM one EXCEPT ALL FROM other)) || ' missing, ' || "
      "(SELECT count(*) FROM (FROM other EXCEPT ALL FROM one)) || ' too many'");
  if (!diff) return diff.error().message;
  return diff->scalar() == "0 missing, 0 too many" ? "" : diff->scalar();
}

struct Written {
  const char* sql;
  size_t lookups;
};

TEST(KernelLookup, StagesOverRowsWithTheirPartnersGiveTheSameRows) {
  Fixture fixture;
  for (const auto& [sql, lookups] : std::initializer_list<Written>{
           {"SELECT a.k, a.i, c.i AS j FROM a JOIN c ON a.k = c.k", 2},
           {"SELECT q.x FROM a p JOIN c q ON q.k = p.k AND p.i > q.i", 2},
           {"SELECT p.k + q.i AS s, q.k AS other FROM a AS p LEFT JOIN c AS q ON p.k = q.k", 1},
           {"SELECT p.i, q.k FROM a p RIGHT JOIN c q ON p.k = q.k WHERE p.i IS NULL OR p.i > 3", 1},
           {"SELECT k, a.i, c.i AS j FROM a JOIN c USING (k)", 2},
           {"SELECT k, a.i, c.i AS j FROM a LEFT JOIN c USING (k, x)", 1},
           {"SELECT k, a.i, c.i AS j FROM a RIGHT JOIN c USING (k, x)", 1},
           {"SELECT a.k, a.i FROM a SEMI JOIN c ON a.k = c.k", 1},
           {"SELECT i FROM a ANTI JOIN c USING (k)", 1},
           {"SELECT a.i FROM a JOIN c ON a.k = c.k", 2},
           {"SELECT a.i FROM a WHERE EXISTS (SELECT 1 FROM c WHERE c.k = a.k)", 1},
           {"SELECT p.k, j, p.i FROM a p JOIN b q ON p.k = q.k WHERE j > 0 ORDER BY j", 2},
           {"SELECT a.k AS key, j + 1 AS j1 FROM a JOIN b ON a.k = b.k", 2},
           {"SELECT l.k, b.j FROM a l JOIN c r ON l.k = r.k LEFT JOIN b ON b.k = l.k", 2},
           {"SELECT q.k, q.j FROM (SELECT a.k, c.i AS j FROM a JOIN c ON a.k = c.k) q WHERE j > 1",
            2},
           {"WITH w AS (SELECT a.k, c.i AS j FROM a JOIN c ON a.k = c.k) SELECT k, j FROM w", 2},
           {"SELECT l.k, r.i FROM a l JOIN a r ON l.k = r.k", 2},
       }) {
    SCOPED_TRACE(sql);
    const JoinChoice choice = choose(fixture, sql);
    ASSERT_TRUE(choice.join) << choice.why;
    EXPECT_EQ(choice.lookups.size(), lookups);
    for (const JoinLookup& lookup : choice.lookups) {
      const Status made = make_rows(fixture.rows(), lookup);
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_EQ(difference(fixture.rows(), sql, lookup.sql), "") << lookup.sql;
    }
  }
}

TEST(KernelLookup, OnlyColumnsThatAreReadAreHeld) {
  Fixture fixture;
  const JoinChoice choice = choose(fixture, "SELECT l.i, r.i AS j FROM a l JOIN c r ON l.k = r.k");
  ASSERT_EQ(choice.lookups.size(), 2U);
  EXPECT_EQ(choice.lookups[0].input, "a");
  EXPECT_EQ(choice.lookups[0].held, "c");
  EXPECT_EQ(choice.lookups[0].columns, std::vector<std::string>{"i"});
  EXPECT_EQ(choice.lookups[0].partner, "r");
  EXPECT_EQ(choice.lookups[1].input, "c");
}

TEST(KernelLookup, WhereANameMightMeanSomethingElseThereIsNone) {
  Fixture fixture;
  for (const char* sql : {
           "SELECT * FROM a JOIN c ON a.k = c.k",                     // other columns
           "SELECT l.i AS i FROM a l FULL JOIN c ON l.k = c.k",       // both sides stay
           "SELECT i.x FROM a JOIN c AS i ON a.k = i.k",              // a has a column i
           "SELECT a.i AS j FROM a JOIN b ON a.k = b.k WHERE j > 0",  // b's column, not the alias
           "SELECT a.i FROM a JOIN c ON a.k = c.k WHERE a.i IN (SELECT j FROM b)",
       }) {
    SCOPED_TRACE(sql);
    const JoinChoice choice = choose(fixture, sql);
    for (const JoinLookup& lookup : choice.lookups) {
      EXPECT_NE(lookup.input, "a") << lookup.sql;
      const Status made = make_rows(fixture.rows(), lookup);
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_EQ(difference(fixture.rows(), sql, lookup.sql), "") << lookup.sql;
    }
  }
}

}  // namespace
}  // namespace tidegate::prove
