#include "prove/kernel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "prove/kernel_fixture.h"

namespace tidegate::prove {
namespace {

using reduce::AggregateKind;
using reduce::KernelSpec;

TEST(Kernel, StagesWithAKernelGiveTheSameRows) {
  constexpr const char* kStages[] = {
      // Keys by name, by place, by alias, by expression, ALL; qualified or not, in any case.
      "SELECT k, count(*) AS n FROM a GROUP BY k",
      "SELECT K, COUNT(*) AS n FROM a GROUP BY A.k",
      "SELECT q.k, x, count(*) AS n FROM a q GROUP BY q.x, k",
      "SELECT k, i % 3 AS m, count(*) AS n FROM a GROUP BY ALL",
      "SELECT k, i % 3 AS m, count(*) AS n, 'c' AS c FROM a GROUP BY ALL HAVING n > 2",
      "SELECT i % 3 AS m, k, sum(i) AS s FROM a GROUP BY 2, 1",
      "SELECT i % 3 AS m, sum(i) AS s FROM a GROUP BY m",
      "SELECT i % 3 AS i, count(*) AS n FROM a GROUP BY i % 3",
      "SELECT k + 1 AS k, count(*) AS n FROM a GROUP BY a.k",
      "SELECT upper(x) AS u, k * 2 AS kk, sum(i) AS s FROM a GROUP BY x, k",
      "SELECT count(*) AS n, k FROM a GROUP BY k",
      "SELECT count(*) AS n FROM a GROUP BY k, x",
      "SELECT k, k AS k2, count(*) AS n, count(*) AS n2 FROM a GROUP BY k",
      "SELECT k FROM a GROUP BY k",
      "SELECT v, count(*) AS n FROM a GROUP BY v",
      "SELECT i % 2 AS p, p + 1 AS q, count(*) AS n FROM a GROUP BY ALL",
      "SELECT k, sum(i) AS s, s * 2 AS t, t + k AS u FROM a GROUP BY k",
      "SELECT k, k + i % 2 AS z, count(*) AS n FROM a GROUP BY k, i % 2",
      // Aggregates and what may stand in them.
      "SELECT k, sum(i) AS s, avg(i) AS m, min(x) AS lo, max(d) AS hi, count(v) AS c FROM a GROUP "
      "BY k",
      "SELECT k, sum(n) AS s, sum(n * 2) AS t, avg(n) AS m, min(n) AS lo FROM a GROUP BY k",
      "SELECT k, sum(v) AS s, mean(v) AS m, min(v) AS lo, max(v) AS hi FROM a GROUP BY k",
      "SELECT k, sum(k) AS s, count(k) AS c, max(k + 1) AS m FROM a GROUP BY k",
      "SELECT k, count(1) AS n, count('x') AS m, count(NULL::INTEGER) AS z FROM a GROUP BY k",
      "SELECT k, sum(1) AS n, sum(i + 1) AS s, sum(i + 1) AS t FROM a GROUP BY k",
      "SELECT k, count(*) FILTER (WHERE v > 1) AS n, sum(i) FILTER (x = 'a') AS s FROM a GROUP BY "
      "k",
      "SELECT k, count_if(v > 1) AS n, countif(x = 'a') AS m FROM a GROUP BY k",
      "SELECT k, count(DISTINCT x) AS dx, sum(DISTINCT i % 4) AS ds, max(DISTINCT x) AS m FROM a "
      "GROUP BY k",
      "SELECT k, count(DISTINCT x) FILTER (WHERE i > 9) AS dx FROM a GROUP BY k",
      "SELECT k, round(var_pop(i), 6) AS vp, round(stddev(k + i), 6) AS sd, round(corr(i, "
      "i::DECIMAL(9,2)), 6) AS c, covar_samp(i, i) FILTER (WHERE i > 2) IS NULL AS cs FROM a "
      "GROUP BY k",
      "SELECT k, string_agg(x, '-' ORDER BY i, d) AS s, string_agg(i, '+' ORDER BY i) AS t, "
      "array_agg([i] ORDER BY i) AS l, median(d) AS m, mode(i % 1) AS o FROM a GROUP BY k",
      "SELECT k, list(DISTINCT x ORDER BY x) AS l, array_agg(DISTINCT i % 4 ORDER BY i % 4 DESC) "
      "FILTER (WHERE v > 1) AS m, string_agg(DISTINCT x, '-' ORDER BY A.x DESC) AS s, "
      "string_agg(DISTINCT (i % 12)::VARCHAR ORDER BY (i % 12)::VARCHAR) AS t, "
      "list_sort(array_agg(DISTINCT d), 'DESC') AS u, max(i) FROM a GROUP BY k "
      "HAVING list_sort(list(DISTINCT i % 3))[1] = 0",
      "SELECT k, count(DISTINCT (x, i % 3)) AS n, count(DISTINCT row(x, d)) AS m, count(DISTINCT "
      "{'p': x, 'q': v}) AS o, sum(i > 3) AS s FROM a GROUP BY k",
      "SELECT k, bool_and(v > 1) AS ba, bool_or(x = 'a') AS bo, bit_xor(i) AS bx, bit_and(i) AS "
      "bb, "
      "bit_or(i) AS b2 FROM a GROUP BY k",
      "SELECT k, first(x ORDER BY i DESC) AS f, last(x ORDER BY i) AS l, any_value(v ORDER BY i) "
      "AS w "
      "FROM a GROUP BY k",
      "SELECT k, arbitrary(x) AS f, last(x) AS l, any_value(v) AS w FROM a GROUP BY k",
      "SELECT k, first(x ORDER BY v NULLS FIRST, i DESC NULLS LAST) FILTER (WHERE d IS NOT NULL) "
      "AS f "
      "FROM a GROUP BY k",
      "SELECT k, arg_min(x, i) AS lo, max_by(i, i) AS hi, argmax(x, i) AS hx FROM a GROUP BY k",
      "SELECT k, median(i) AS m, quantile_cont(i, 0.9) AS q, quantile_disc(i, 0.25) AS d, "
      "quantile(i, 1) AS o FROM a GROUP BY k",
      "SELECT k, percentile_cont(0.5) WITHIN GROUP (ORDER BY i) AS q FROM a GROUP BY k",
      "SELECT k, sum(i ORDER BY x) AS s, count(x ORDER BY i) AS n FROM a GROUP BY k",
      "SELECT k, sum(CASE WHEN x = 'a' THEN i ELSE 0 END) / sum(i) AS share FROM a GROUP BY k",
      "SELECT k, sum(v * 1e10) AS s, max(i * 1e-3) AS m FROM a GROUP BY k",
      "SELECT k, max(i) AS m FROM a WHERE v > 1e0 AND true GROUP BY k HAVING max(i) > 1e1",
      "SELECT k, max(list_sum(list_transform([i, 2], y -> y + 1))) AS m FROM a GROUP BY k",
      "SELECT k, max(run_time()) AS t, min(d + INTERVAL 1 DAY) AS e FROM a GROUP BY k",
      // Before the aggregates.
      "SELECT k, i * 2 AS j, max(v) AS m FROM a WHERE j > 20 GROUP BY ALL",
      "SELECT k, count(*) AS n FROM a WHERE x IN ('a', 'b') AND i > 10 GROUP BY k",
      "SELECT k, count(*) AS n FROM a WHERE k IN (SELECT k FROM dim) GROUP BY k",
      "SELECT k, count(*) AS n FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k) GROUP BY k",
      "SELECT a.k, count(*) AS n, max(w) AS w FROM a JOIN b ON a.k = b.k GROUP BY a.k",
      "SELECT a.k, label, count(*) AS n FROM a LEFT JOIN dim ON a.k = dim.k GROUP BY a.k, "
      "dim.label",
      "SELECT k, label, sum(i) AS s FROM a LEFT JOIN dim USING (k) GROUP BY k, label",
      "SELECT label, i % 2 AS p, sum(i) AS s FROM a LEFT JOIN dim USING (k) GROUP BY ALL",
      "SELECT p.x, count(*) AS n FROM a p SEMI JOIN b ON p.k = b.k GROUP BY x",
      "SELECT k, count(*) AS n FROM (SELECT k FROM a UNION ALL SELECT k FROM b) u GROUP BY k",
      "SELECT q, sum(z) AS s FROM a AS t(q, y, z) GROUP BY q",
      "WITH t AS (SELECT k, i FROM a WHERE i > 20) SELECT k, min(i) AS i FROM t GROUP BY k",
      "WITH a AS (SELECT k, i FROM a WHERE i > 20) SELECT k, min(i) AS i FROM a GROUP BY k",
      "WITH t(q) AS (SELECT k FROM a) SELECT q, count(*) AS n FROM t GROUP BY q",
      "WITH t AS (SELECT k, i FROM a) SELECT p.k, count(*) AS n FROM t p JOIN t q USING (k) GROUP "
      "BY p.k",
      "SELECT k, g, count(*) AS n FROM a, range(3) r(g) GROUP BY k, g",
      "SELECT e, count(*) AS n FROM odd GROUP BY e",
      "SELECT f, z, count(*) AS n FROM odd GROUP BY f, z",
      "SELECT iv, count(*) AS n FROM odd GROUP BY iv",
      "SELECT DISTINCT iv, f FROM odd",
      "SELECT k, min(iv) AS lo, max(iv) AS hi FROM odd GROUP BY k",
      "SELECT iv, count(*) OVER (PARTITION BY iv) AS n FROM odd",
      "SELECT k, rank() OVER (PARTITION BY k ORDER BY iv DESC) AS r FROM odd",
      "SELECT k, count(*) AS n FROM (SELECT k, i, unnest([1, 2]) AS u FROM a) WHERE u > 1 GROUP BY "
      "k",
      // After them.
      "SELECT k, sum(i) AS s FROM a GROUP BY k HAVING count(*) > 3 AND s > 10",
      "SELECT i % 3 AS d, sum(i) AS i, count(*) AS k FROM a GROUP BY i % 3 HAVING d > 0 AND k > 3",
      "SELECT DISTINCT count(*) AS n FROM a GROUP BY k",
      "SELECT k, count(*) - count(DISTINCT x) AS alike FROM a GROUP BY k, d",
      "SELECT k, x, sum(i) AS s, sum(sum(i)) OVER (PARTITION BY k) AS t FROM a GROUP BY k, x",
      "SELECT k, x, sum(i) AS s FROM a GROUP BY k, x QUALIFY row_number() OVER (PARTITION BY k "
      "ORDER BY s DESC, x) = 1",
      "SELECT k, count(*) AS n, (SELECT max(label) FROM dim) AS l FROM a GROUP BY k",
      "SELECT k, k IN (SELECT k FROM dim) AS known, count(*) AS n FROM a GROUP BY k",
      "SELECT k, unnest([sum(i), max(i)]) AS u FROM a GROUP BY k",
      "SELECT {'k': k, 'n': count(*)} AS s FROM a GROUP BY k",
      "SELECT count(*) AS n FROM a",
      "SELECT sum(i) / 7.0 AS m, max(x) AS x FROM a WHERE i < 0",
      "SELECT sum(i) AS s FROM a HAVING sum(i) > 3",
      "SELECT k, sum(i) AS s FROM a GROUP BY k ORDER BY s DESC, k LIMIT 3",
      "SELECT k, sum(i) AS s FROM a GROUP BY k ORDER BY sum(i) + 1 DESC, 1 LIMIT 3 OFFSET 1",
      // The aggregates inside.
      "SELECT k, s / 2 AS h FROM (SELECT k, x, sum(i) AS s FROM a GROUP BY k, x) q WHERE s > 20",
      "SELECT k, label, n FROM (SELECT k, count(*) AS n FROM a GROUP BY k) q JOIN dim USING (k)",
      "SELECT q.k, max(q.s) AS m FROM (SELECT k, x, sum(i) AS s FROM a GROUP BY k, x) q GROUP BY "
      "q.k",
      "WITH q AS (SELECT k, sum(i) AS s FROM a GROUP BY k) SELECT * FROM q WHERE s > 20",
      "WITH q AS (SELECT k, sum(i) AS s FROM a GROUP BY k), d AS (SELECT * FROM dim) "
      "SELECT q.k, s, label FROM q LEFT JOIN d ON d.k = q.k",
      "SELECT * FROM (SELECT k, count(*) FROM a GROUP BY k)",
      "SELECT k, n FROM (SELECT k, count(*) AS n FROM a GROUP BY k) WHERE n > (SELECT min(f) FROM "
      "dim)",
      // DISTINCT.
      "SELECT DISTINCT k, x FROM a",
      "SELECT DISTINCT * FROM a",
      "SELECT DISTINCT v, n FROM a WHERE i > 5",
      "SELECT DISTINCT a.k, label FROM a JOIN dim USING (k)",
      "SELECT DISTINCT k, count(*) OVER (PARTITION BY k) AS n FROM a",
      "SELECT DISTINCT k FROM a ORDER BY k DESC LIMIT 3",
      "SELECT x, count(*) AS n FROM (SELECT DISTINCT k, x FROM a) GROUP BY x",
      // The first rows of each key.
      "SELECT * FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY i DESC) = 1",
      "SELECT k, x, i FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY i DESC) = 1",
      "SELECT k, i FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY i DESC) <= 2",
      "SELECT x, k + 1 AS k1, upper(x) AS u FROM a QUALIFY 3 > row_number() OVER (PARTITION BY k, "
      "x "
      "ORDER BY v NULLS FIRST, i)",
      "SELECT k, i, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM a QUALIFY rn = 1",
      "SELECT k AS z, i FROM a QUALIFY row_number() OVER (PARTITION BY z ORDER BY i) = 1",
      "SELECT * EXCLUDE (rn) FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i DESC) AS "
      "rn "
      "FROM a WHERE v > 0) WHERE rn = 1",
      "SELECT k, x FROM (SELECT k, x, i, row_number() OVER (PARTITION BY k ORDER BY v DESC, i) AS "
      "rn "
      "FROM a) q WHERE q.rn <= 3 AND i > 10",
      "SELECT *, k + 1 AS k1 FROM (SELECT *, row_number() OVER (PARTITION BY k, x ORDER BY i) AS "
      "rn "
      "FROM a) WHERE 1 = rn",
      "SELECT x, count(*) AS n FROM (SELECT x, k, row_number() OVER (PARTITION BY k ORDER BY i) AS "
      "rn "
      "FROM a) WHERE rn = 1 GROUP BY x",
      "WITH r AS (SELECT *, row_number() OVER (PARTITION BY k ORDER BY d DESC, i) AS place FROM a) "
      "SELECT r.k, r.x, label FROM r LEFT JOIN dim ON dim.k = r.k WHERE place = 1",
      "WITH r AS (SELECT *, row_number() OVER (PARTITION BY k ORDER BY d DESC, i) AS place FROM a) "
      "SELECT k, x FROM r WHERE place = 1",
      "SELECT DISTINCT ON (k) k, x, i FROM a ORDER BY k, i DESC",
      "SELECT DISTINCT ON (k, x) * FROM a ORDER BY k, x, d DESC, i",
      "SELECT DISTINCT ON (1) i % 4 AS p, -i AS i FROM a ORDER BY 1, i",
      "SELECT DISTINCT ON (p) i % 4 AS p, -i AS i FROM a ORDER BY p, i",
      "SELECT DISTINCT ON (a.k) a.k, a.i, label FROM a JOIN dim ON a.k = dim.k ORDER BY a.k, i",
      "SELECT list_transform([i], y -> y + k) AS l, k FROM a QUALIFY row_number() OVER (PARTITION "
      "BY k "
      "ORDER BY i) = 1",
      "SELECT r.i, label FROM dim JOIN (SELECT k, i, row_number() OVER (PARTITION BY k ORDER BY i) "
      "AS rn "
      "FROM a) r ON r.k = dim.k WHERE r.rn = 1 AND label <> 'l3'",
      "SELECT k, (SELECT max(label) FROM dim WHERE dim.k = a.k) AS l FROM a QUALIFY row_number() "
      "OVER "
      "(PARTITION BY k ORDER BY i) = 1",
  };
  Fixture fixture;
  for (const char* sql : kStages) {
    KernelChoice choice = choose(fixture, sql);
    EXPECT_TRUE(choice.kernel) << sql << "\n" << choice.why;
    if (!choice.kernel) continue;
    EXPECT_EQ(difference(fixture.rows(), sql, stage_as_sql(*choice.kernel)), "") << sql << "\n"
                                                                                 << shown(choice);
    EXPECT_EQ(reduce::unsupported(choice.kernel->kernel), std::nullopt) << sql;
  }
}

TEST(Kernel, SpecSaysWhatTheStageDoes) {
  Fixture fixture;
  auto spec_of = [&](const std::string& sql) {
    KernelChoice choice = choose(fixture, sql);
    EXPECT_TRUE(choice.kernel) << shown(choice);
    return choice.kernel.value_or(reduce::StageKernel{});
  };
  reduce::StageKernel plain =
      spec_of("SELECT k, x, count(*) AS n, sum(v) AS s FROM a GROUP BY x, k");
  EXPECT_EQ(plain.output_sql, "");
  EXPECT_EQ(plain.kernel.name, "s:kernel");
  EXPECT_EQ(plain.kernel.input_table, "a");
  EXPECT_EQ(plain.kernel.input_sql, "SELECT k AS tg_k0, x AS tg_k1, v AS tg_a0 FROM a");
  EXPECT_EQ(plain.kernel.keys, 2u);
  EXPECT_EQ(plain.kernel.output,
            (sql::Schema{{"k", "INTEGER"}, {"x", "VARCHAR"}, {"n", "BIGINT"}, {"s", "DOUBLE"}}));
  ASSERT_EQ(plain.kernel.aggregates.size(), 2u);
  EXPECT_EQ(plain.kernel.aggregates[0].kind, AggregateKind::kCountRows);
  EXPECT_EQ(plain.kernel.aggregates[1].arguments, std::vector<uint32_t>{2});
  EXPECT_EQ(plain.kernel.aggregates[1].type, "DOUBLE");

  reduce::StageKernel shared = spec_of(
      "SELECT k, sum(k) AS s, sum(A.K) AS s2, count(*) FILTER (WHERE v > 1) AS n, quantile_cont(i, "
      "0.25) AS q, first(x ORDER BY i DESC NULLS FIRST) AS f FROM a GROUP BY k");
  ASSERT_EQ(shared.kernel.aggregates.size(), 4u);
  EXPECT_EQ(shared.kernel.aggregates[0].arguments, std::vector<uint32_t>{0});
  EXPECT_EQ(shared.kernel.aggregates[1].filter, 1u);
  EXPECT_EQ(shared.kernel.aggregates[2].quantile, 0.25);
  EXPECT_EQ(shared.kernel.aggregates[3].order, (std::vector<reduce::OrderColumn>{{2, true, true}}));

  reduce::StageKernel after =
      spec_of("SELECT k, sum(i) / 2 AS h FROM a GROUP BY k HAVING count(*) > 1");
  EXPECT_EQ(after.output_sql,
            "SELECT tg_k0 AS k, (tg_g0 / 2) AS h FROM \"s:kernel\" WHERE (tg_g1 > 1)");

  reduce::StageKernel top = spec_of(
      "SELECT * FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY d DESC, k, i) <= 3");
  EXPECT_EQ(top.kernel.kind, KernelSpec::Kind::kTop);
  EXPECT_EQ(top.output_sql, "");
  EXPECT_EQ(top.kernel.limit, 3u);
  EXPECT_EQ(top.kernel.order,
            (std::vector<reduce::OrderColumn>{{3, true, false}, {5, false, false}}));

  // What the outside does not read is not carried along.
  EXPECT_EQ(
      spec_of("SELECT x FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM "
              "a) WHERE rn = 1")
          .kernel.input_sql,
      "SELECT k AS tg_c0, x AS tg_c1, i AS tg_c2 FROM a");

  // Hashed as DuckDB hashes the value; NULL is none.
  reduce::StageKernel approx = spec_of(
      "SELECT k, approx_count_distinct(x) FILTER (WHERE v > 1) AS n, "
      "approx_count_distinct(DISTINCT "
      "A.X) AS m FROM a GROUP BY k");
  EXPECT_EQ(approx.output_sql, "");
  EXPECT_EQ(approx.kernel.input_sql,
            "SELECT k AS tg_k0, CASE  WHEN ((x IS NULL)) THEN (NULL) ELSE hash(x) END AS tg_a0, (v "
            "> 1) AS tg_a1 FROM a");
  ASSERT_EQ(approx.kernel.aggregates.size(), 2u);
  EXPECT_EQ(approx.kernel.aggregates[0].kind, AggregateKind::kApproxCountDistinct);
  EXPECT_EQ(approx.kernel.aggregates[0].filter, 2u);
  EXPECT_EQ(approx.kernel.aggregates[1].arguments, std::vector<uint32_t>{1});
  EXPECT_FALSE(approx.kernel.aggregates[1].distinct);

  EXPECT_EQ(spec_of("SELECT DISTINCT k, x FROM a").output_sql, "");
  EXPECT_EQ(spec_of("SELECT k, count(*) AS n FROM (SELECT * FROM a WHERE i > 3) GROUP BY k")
                .kernel.input_table,
            "a");
  for (const char* sql :
       {"SELECT a.k, count(*) AS n FROM a JOIN b USING (k) GROUP BY a.k",
        "SELECT k, count(*) AS n FROM a WHERE k IN (SELECT k FROM dim) GROUP BY k",
        "SELECT k, count(*) AS n FROM dim GROUP BY k",
        "SELECT n, count(*) AS c FROM (SELECT i, count(*) OVER (PARTITION BY k ORDER BY i ROWS 3 "
        "PRECEDING) AS n FROM a) GROUP BY n"}) {
    EXPECT_EQ(spec_of(sql).kernel.input_table, "") << sql;
  }
}

TEST(Kernel, WhatIsNotCertainIsRefusedWithTheReason) {
  constexpr const char* kRefused[][2] = {
      {"SELECT k, x, count(*) AS n FROM a GROUP BY ROLLUP (k, x)", "grouping sets"},
      {"SELECT k, histogram(x) AS h FROM a GROUP BY k", "histogram"},
      {"SELECT k, geomean(i) AS g FROM a GROUP BY k", "geomean"},
      {"SELECT k, geomean(k) AS g FROM a GROUP BY k", "geomean"},
      {"SELECT k, quantile_cont(i, [0.1, 0.9]) AS q FROM a GROUP BY k",
       "quantile_cont of other than one constant share"},
      {"SELECT k, max(COLUMNS('[iv]')) FROM a GROUP BY k", "COLUMNS(...)"},
      {"SELECT k, max((SELECT max(f) FROM dim WHERE dim.k = a.k)) AS m FROM a GROUP BY k",
       "max over a subquery"},
      {"SELECT k, (SELECT max(f) FROM dim WHERE dim.k = a.k) AS m FROM a GROUP BY k",
       "a correlated subquery over groups"},
      {"SELECT k + 1 AS k, count(*) AS n FROM a GROUP BY a.k HAVING k > 2",
       "a name of two meanings"},
      {"SELECT i % 3 AS d, count(*) AS n FROM a GROUP BY ALL HAVING d IS NOT NULL",
       "GROUP BY ALL with more keys in HAVING"},
      {"SELECT k, list(DISTINCT x) AS l FROM a GROUP BY k",
       "list of DISTINCT values in another order than their own"},
      {"SELECT k, list(DISTINCT i ORDER BY i % 2) AS l FROM a GROUP BY k",
       "list of DISTINCT values in another order than their own"},
      {"SELECT k, string_agg(DISTINCT x) AS l FROM a GROUP BY k",
       "string_agg of DISTINCT values in another order than their own"},
      {"SELECT k, string_agg(DISTINCT x ORDER BY upper(x)) AS l FROM a GROUP BY k",
       "string_agg of DISTINCT values in another order than their own"},
      {"SELECT k, string_agg(DISTINCT i ORDER BY i) AS l FROM a GROUP BY k",
       "string_agg of DISTINCT values that are no texts"},
      {"SELECT k, arg_max(k, iv) AS s FROM odd GROUP BY k", "arg_max of INTEGER"},
      {"SELECT k, count(*) AS n FROM a GROUP BY k UNION ALL SELECT k, j FROM b", "a set operation"},
      {"SELECT a.k, q.n FROM a JOIN (SELECT k, count(*) AS n FROM b GROUP BY k) q USING (k)",
       "an exchanged input beside the kernel"},
      {"SELECT a.k, j FROM a JOIN b USING (k)", "a join"},
      {"SELECT x COLLATE nocase AS y, count(*) AS n FROM a GROUP BY ALL", "COLLATE"},
      {"SELECT DISTINCT x FROM (SELECT x COLLATE nocase AS x FROM a)", "COLLATE"},
  };
  Fixture fixture;
  for (const auto& [sql, why] : kRefused) {
    KernelChoice choice = choose(fixture, sql);
    EXPECT_FALSE(choice.kernel) << sql << "\n" << shown(choice);
    EXPECT_EQ(choice.why, why) << sql;
  }
}

}  // namespace
}  // namespace tidegate::prove
