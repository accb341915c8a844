#include "prove/kernel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "base/text.h"
#include "prove/kernel_join_fixture.h"
#include "prove/split_fixture.h"

namespace tidegate::prove {
namespace {

using reduce::AggregateKind;
using reduce::KernelSpec;

KernelChoice choose(Fixture& fixture, const std::string& sql, const std::string& broadcast = "") {
  static const std::map<std::string, sql::Schema> kSchemas = Fixture::schemas();
  std::vector<KernelInput> inputs;
  for (const char* name : {"a", "b", "c", "dim", "odd"}) {
    inputs.push_back({name, kSchemas.at(name), broadcast == name || std::string("dim") == name});
  }
  auto schema = fixture.rows().describe(sql);
  if (!schema) {
    ADD_FAILURE() << sql << "\n" << schema.error().message;
    return {};
  }
  return choose_kernel(fixture.rows(), "s", sql, inputs, *schema);
}

/// "" if both give the same rows.
std::string difference(sql::Connection& rows, const std::string& one, const std::string& other) {
  auto made = rows.execute("CREATE OR REPLACE TEMP TABLE one AS " + one);
  if (!made) return made.error().message;
  made = rows.execute("CREATE OR REPLACE TEMP TABLE other AS " + other);
  if (!made) return made.error().message;
  auto diff = rows.query(
      "SELECT (SELECT count(*) FROM (FROM one EXCEPT ALL FROM other)) || ' missing, ' || "
      "(SELECT count(*) FROM (FROM other EXCEPT ALL FROM one)) || ' too many of ' || "
      "(SELECT count(*) FROM one)");
  if (!diff) return diff.error().message;
  return diff->scalar().starts_with("0 missing, 0 too many of ") ? "" : diff->scalar();
}

std::string shown(const KernelChoice& choice) {
  if (!choice.kernel) return "refused: " + choice.why;
  return fmt::format("{}\ninput:  {}\noutput: {}\nas sql: {}", choice.why,
                     choice.kernel->kernel.input_sql, choice.kernel->output_sql,
                     stage_as_sql(*choice.kernel));
}

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

/// Random stages with names that mean several things, in search of one that gives other rows.
class RandomStage {
 public:
  explicit RandomStage(uint32_t seed) : random_(seed) {}

  std::string sql() {
    join_ = chance(25);
    return chance(65) ? grouped() : first_rows();
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  bool chance(size_t percent) { return below(100) < percent; }
  std::string one_of(const std::vector<std::string>& all) { return all[below(all.size())]; }

  std::string column() {
    std::string name = one_of({"k", "x", "i", "d", "n", "K"});
    if (join_) return one_of({"p.", "q.", "p."}) + name;
    return chance(25) ? "p." + name : name;
  }
  std::string number() { return one_of({"i", "p.i", "k", "p.k"}); }
  std::string expression() {
    switch (below(7)) {
      case 0:
        return (join_ ? "p.i" : "i") + std::string(" % 3");
      case 1:
        return (join_ ? "p.k" : number()) + " + 1";
      case 2:
        return "upper(" + std::string(join_ ? "p." : "") + "x)";
      default:
        return column();
    }
  }
  std::string alias() { return one_of({"k", "x", "i", "n", "z", "w", "d"}); }
  std::string from() {
    if (join_) return one_of({"a p JOIN c q ON p.k = q.k", "a p LEFT JOIN c q ON p.i = q.i"});
    return one_of({"a p", "a p", "(SELECT * FROM a WHERE i > 7) p",
                   "(SELECT k, x, i, d, n FROM a UNION ALL SELECT k, x, i, d, n FROM c) p"});
  }
  std::string argument() { return join_ ? "p.i" : one_of({"i", "p.i", "k", "i + k", "n"}); }
  std::string aggregate() {
    switch (below(8)) {
      case 0:
        return "count(*)";
      case 1:
        return "count(DISTINCT " + std::string(join_ ? "p.x" : "x") + ")";
      case 2:
        return "sum(" + argument() + ") FILTER (WHERE " + (join_ ? "p.k" : "k") + " > 1)";
      case 3:
        return "first(" + std::string(join_ ? "p.x ORDER BY p.i, q.i" : "x ORDER BY i, d, x") + ")";
      default:
        return one_of({"sum", "min", "max", "count"}) + "(" + argument() + ")";
    }
  }
  std::string name_or(const std::string& other) {
    return chance(50) && !aliases_.empty() ? one_of(aliases_) : other;
  }

  std::string grouped() {
    const size_t keys = 1 + below(3);
    std::vector<std::string> items, groups;
    aliases_.clear();
    const bool all = chance(25);
    for (size_t i = 0; i < keys; ++i) {
      std::string key = expression(), name = alias();
      std::string item = key;
      if (chance(15)) item += " IS NULL";
      if (chance(10) && !aliases_.empty()) item = one_of(aliases_);
      if (chance(60)) {
        item += " AS " + name;
        aliases_.push_back(name);
      }
      if (chance(85)) items.push_back(item);
      groups.push_back(chance(20) ? std::to_string(1 + below(keys)) : chance(25) ? name : key);
    }
    for (size_t i = below(4); i > 0; --i) {
      std::string item = aggregate();
      if (chance(25)) item += " + " + one_of({"1", "count(*)", "max(p.i)", name_or("2")});
      std::string name = alias();
      items.insert(items.begin() + static_cast<long>(below(items.size() + 1)),
                   fmt::format("{} AS {}", item, name));
      aliases_.push_back(name);
    }
    if (items.empty()) items.push_back("count(*)");
    std::string out = "SELECT " + std::string(chance(10) ? "DISTINCT " : "") + join(items, ", ") +
                      " FROM " + from();
    if (chance(30)) out += " WHERE " + name_or("p.i") + " IS NOT NULL";
    out += " GROUP BY " + (all ? "ALL" : join(groups, ", "));
    if (chance(35)) out += " HAVING " + name_or(aggregate()) + " IS NOT NULL";
    if (chance(20)) {
      out = "SELECT * FROM (" + out + ") r" +
            (chance(50) ? " WHERE " + alias() + " IS NOT NULL" : "");
    }
    return out;
  }

  std::string first_rows() {
    std::vector<std::string> items;
    aliases_.clear();
    for (size_t i = 1 + below(4); i > 0; --i) {
      std::string item = chance(20) && !join_ ? "*" : expression(), name = alias();
      if (item != "*" && chance(50)) {
        item += " AS " + name;
        aliases_.push_back(name);
      }
      items.push_back(item);
    }
    const std::string order = join_ ? "p.i, q.i, q.k" : "p.i, p.k, p.d, p.x";
    std::string by = name_or(expression()) + (chance(30) ? ", " + expression() : "");
    std::string by_order =
        (chance(30) ? name_or(expression()) + " DESC NULLS FIRST, " : "") + order;
    const std::string number =
        "row_number() OVER (PARTITION BY " + by + " ORDER BY " + by_order + ")";
    const std::string limit = one_of({" = 1", " <= 1", " <= 2", " < 3"});
    const std::string where = chance(25) ? " WHERE " + name_or("p.i") + " IS NOT NULL" : "";
    switch (below(3)) {
      case 0:
        return "SELECT " + join(items, ", ") + " FROM " + from() + where + " QUALIFY " + number +
               limit;
      case 1:
        return "SELECT " + one_of({"* EXCLUDE (rn)", "*", alias(), "r." + alias() + ", 1 AS one"}) +
               " FROM (SELECT " + join(items, ", ") + ", " + number + " AS rn FROM " + from() +
               where + ") r WHERE " + one_of({"", "r."}) + "rn" + limit +
               (chance(30) ? " AND " + alias() + " IS NOT NULL" : "");
      default:
        return "SELECT DISTINCT ON (" + by + ") " + join(items, ", ") + " FROM " + from() + where +
               " ORDER BY " + by + ", " + by_order;
    }
  }

  std::mt19937 random_;
  bool join_ = false;
  std::vector<std::string> aliases_;
};

TEST(Kernel, RandomStagesGiveTheSameRows) {
  Fixture fixture;
  const char* given = std::getenv("TIDEGATE_RANDOM_STAGES");
  const char* seed_given = std::getenv("TIDEGATE_SEED");
  const uint32_t first = seed_given ? static_cast<uint32_t>(std::stoul(seed_given)) : 1;
  const uint32_t wanted = given ? static_cast<uint32_t>(std::stoul(given)) : 150;
  uint32_t bound = 0, kernels = 0;
  std::map<std::string, int> reasons;
  for (uint32_t seed = first; bound < wanted && seed < first + 20 * wanted; ++seed) {
    const std::string sql = RandomStage(seed).sql();
    auto schema = fixture.rows().describe(sql);
    std::set<std::string> names;
    bool distinct = schema.has_value();
    for (size_t i = 0; distinct && i < schema->size(); ++i) {
      distinct = names.insert(to_lower_ascii((*schema)[i].name)).second;
    }
    if (!distinct) continue;
    ++bound;
    KernelChoice choice = choose(fixture, sql);
    if (!choice.kernel) {
      ++reasons[choice.why];
      if (given) std::printf("%s: %s\n", choice.why.c_str(), sql.c_str());
      continue;
    }
    ++kernels;
    EXPECT_EQ(difference(fixture.rows(), sql, stage_as_sql(*choice.kernel)), "")
        << "seed " << seed << "\n"
        << sql << "\n"
        << shown(choice);
  }
  for (const auto& [why, count] : reasons) std::printf("%d: %s\n", count, why.c_str());
  std::printf("%u of %u have a kernel\n", kernels, bound);
  if (!given) {
    EXPECT_GE(kernels * 10, bound * 7);
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
      {"SELECT k, sum(iv) AS s FROM odd GROUP BY k", "sum of INTERVAL"},
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

constexpr const char* kTpch[][2] = {
    {"region", "r_regionkey INTEGER, r_name VARCHAR, r_comment VARCHAR"},
    {"nation", "n_nationkey INTEGER, n_name VARCHAR, n_regionkey INTEGER, n_comment VARCHAR"},
    {"supplier",
     "s_suppkey BIGINT, s_name VARCHAR, s_address VARCHAR, s_nationkey INTEGER, s_phone VARCHAR, "
     "s_acctbal DECIMAL(15,2), s_comment VARCHAR"},
    {"customer",
     "c_custkey BIGINT, c_name VARCHAR, c_address VARCHAR, c_nationkey INTEGER, c_phone VARCHAR, "
     "c_acctbal DECIMAL(15,2), c_mktsegment VARCHAR, c_comment VARCHAR"},
    {"part",
     "p_partkey BIGINT, p_name VARCHAR, p_mfgr VARCHAR, p_brand VARCHAR, p_type VARCHAR, p_size "
     "INTEGER, p_container VARCHAR, p_retailprice DECIMAL(15,2), p_comment VARCHAR"},
    {"partsupp",
     "ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty BIGINT, ps_supplycost DECIMAL(15,2), "
     "ps_comment VARCHAR"},
    {"orders",
     "o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus VARCHAR, o_totalprice DECIMAL(15,2), "
     "o_orderdate DATE, o_orderpriority VARCHAR, o_clerk VARCHAR, o_shippriority INTEGER, "
     "o_comment "
     "VARCHAR"},
    {"lineitem",
     "l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber BIGINT, l_quantity "
     "DECIMAL(15,2), l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), "
     "l_returnflag VARCHAR, l_linestatus VARCHAR, l_shipdate DATE, l_commitdate DATE, "
     "l_receiptdate "
     "DATE, l_shipinstruct VARCHAR, l_shipmode VARCHAR, l_comment VARCHAR"},
    {"flights",
     "date TIMESTAMP, delay BIGINT, distance BIGINT, origin VARCHAR, destination VARCHAR"},
    {"airports",
     "iata VARCHAR, name VARCHAR, city VARCHAR, state VARCHAR, country VARCHAR, latitude DOUBLE, "
     "longitude DOUBLE"},
};

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> files_in(const std::string& directory, const char* extension) {
  std::vector<std::filesystem::path> out;
  const std::string root = std::string(TIDEGATE_SOURCE_DIR) + "/" + directory;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (entry.path().extension() == extension) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// Stages that group, make distinct or take first rows, and those of them that have a kernel; and
/// stages over several exchanged inputs, and those of them that have a join.
struct Share {
  int kernels = 0, wanted = 0, joins = 0, joins_wanted = 0;
  void add(const std::string& where, const CheckedStage& stage) {
    const auto exchanged =
        std::count_if(stage.inputs.begin(), stage.inputs.end(), [](const StageInput& input) {
          return input.mode == InputMode::kShuffle || input.mode == InputMode::kAligned;
        });
    if (exchanged > 1 && !stage.one_task && stage.sql.find("UNION") == std::string::npos) {
      ++joins_wanted;
      joins += stage.join ? 1 : 0;
      if (!stage.join) {
        std::printf("no join: %s %s: %s: %s\n", where.c_str(), stage.name.c_str(),
                    stage.kernel_why.c_str(), stage.sql.substr(0, 250).c_str());
      }
    }
    auto has = [&](const char* word) { return stage.sql.find(word) != std::string::npos; };
    bool groups = has("GROUP BY") || has("SELECT DISTINCT") || has("QUALIFY row_number()");
    if (!groups && !stage.kernel) return;
    ++wanted;
    kernels += stage.kernel ? 1 : 0;
    if (!stage.kernel) {
      std::printf("no kernel: %s %s: %s: %s\n", where.c_str(), stage.name.c_str(),
                  stage.kernel_why.c_str(), stage.sql.substr(0, 150).c_str());
    }
  }
};

TEST(Kernel, StagesOfTpchAndTheExampleHaveOne) {
  std::map<std::string, sql::Schema> schemas;
  auto database = sql::Database::open({});
  ASSERT_TRUE(database);
  auto tables = (*database)->connect();
  for (const auto& table : kTpch) {
    ASSERT_TRUE((*tables)->execute(fmt::format("CREATE TABLE {} ({})", table[0], table[1])));
    schemas[table[0]] = *(*tables)->describe(fmt::format("SELECT * FROM {}", table[0]));
  }
  std::vector<std::filesystem::path> files = files_in("tests/tpch", ".yaml");
  files.push_back(std::string(TIDEGATE_SOURCE_DIR) + "/examples/flights/pipeline.yaml");
  Share share;
  double seconds = 0, without = 0;
  size_t stages = 0;
  for (const auto& file : files) {
    Diagnostics diagnostics;
    Pipeline pipeline = parse_pipeline(file, file.parent_path(), text_of_file(file), diagnostics);
    for (bool with : {false, true}) {
      auto scratch_database = sql::Database::open({});
      auto scratch = (*scratch_database)->connect();
      auto begin = std::chrono::steady_clock::now();
      CheckedPipeline checked = prove_pipeline(pipeline, schemas, **scratch, diagnostics, with);
      std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      (with ? seconds : without) += took.count();
      if (!with) continue;
      stages += checked.stages.size();
      for (const CheckedStage& stage : checked.stages) share.add(file.filename(), stage);
    }
    EXPECT_EQ(diagnostics.error_count(), 0u) << file;
  }
  std::printf(
      "%d of %d stages have a kernel, %d of %d a join; %zu stages: %.1f ms each with, %.1f "
      "without\n",
      share.kernels, share.wanted, share.joins, share.joins_wanted, stages,
      1e3 * seconds / static_cast<double>(stages), 1e3 * without / static_cast<double>(stages));
  EXPECT_GE(share.kernels * 10, share.wanted * 9);
  EXPECT_GE(share.joins * 10, share.joins_wanted * 9);
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) out.push_back(quote_identifier(name));
  return join(out, ", ");
}

/// "" if the stage's kernel binds over inputs that have the columns in use and no other, as tasks
/// read them.
std::string binding_problem(const CheckedStage& stage,
                            const std::map<std::string, sql::Schema>& schemas) {
  auto database = sql::Database::open({});
  auto scratch = (*database)->connect();
  auto done =
      (*scratch)->execute("CREATE MACRO run_time() AS TIMESTAMPTZ '2001-01-01 00:00:00+00'");
  for (const StageInput& input : stage.inputs) {
    std::vector<std::string> columns;
    for (const sql::Column& column : schemas.at(input.name)) {
      for (const std::string& used : input.columns_used) {
        if (used == column.name) {
          columns.push_back(quote_identifier(column.name) + " " + column.type);
        }
      }
    }
    done = (*scratch)->execute(
        fmt::format("CREATE TABLE {} ({})", quote_identifier(input.name), join(columns, ", ")));
    if (!done) return done.error().message;
  }
  if (stage.join) {
    for (const reduce::JoinSpec::Side* side : {&stage.join->left, &stage.join->right}) {
      if (side->relation.empty()) continue;
      done = (*scratch)->execute(
          fmt::format("CREATE TABLE {} AS SELECT {} FROM {}", quote_identifier(side->relation),
                      quoted_list(side->columns), quote_identifier(side->input)));
      if (!done) return done.error().message;
    }
  }
  auto schema = (*scratch)->describe(stage_as_sql(*stage.kernel));
  if (!schema) return schema.error().message;
  return *schema == stage.schema ? "" : "another schema";
}

/// Whether the kernel's SQL has other numbers than the kernel.
bool counts_hashes(const reduce::StageKernel& stage) {
  return std::ranges::any_of(stage.kernel.aggregates, [](const reduce::Aggregate& one) {
    return one.kind == AggregateKind::kApproxCountDistinct;
  });
}

/// The sections of a case of tests/cases/results.
std::map<std::string, std::string> sections(const std::string& text) {
  std::map<std::string, std::string> out;
  std::stringstream lines(text);
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("--- ")) {
      name = line.substr(4);
    } else {
      out[name] += (name == "stages" ? "  " : "") + line + "\n";
    }
  }
  return out;
}

TEST(Kernel, StagesOfTheResultCasesGiveTheSameRows) {
  Share share;
  for (const auto& file : files_in("tests/cases/results", ".case")) {
    auto parts = sections(text_of_file(file));
    if (parts.contains("sources") || file.stem() == "million_rows") continue;
    auto database = sql::Database::open({});
    auto rows = (*database)->connect();
    ASSERT_TRUE(
        (*rows)->execute("CREATE MACRO run_time() AS TIMESTAMPTZ '2001-01-01 00:00:00+00'"));
    ASSERT_TRUE((*rows)->execute(parts["input"])) << file;
    auto tables = (*rows)->query("SELECT table_name FROM duckdb_tables()");
    std::string yaml = "version: 1\npipeline: p\nsources:\n";
    std::map<std::string, sql::Schema> schemas;
    for (const auto& row : tables->rows) {
      const std::string& table = row[0].text;
      yaml += fmt::format("  {}: {{files: {}/*.parquet}}\n", table, table);
      schemas[table] = *(*rows)->describe("SELECT * FROM " + quote_identifier(table));
    }
    Diagnostics diagnostics;
    Pipeline pipeline =
        parse_pipeline(file, file.parent_path(), yaml + "stages:\n" + parts["stages"], diagnostics);
    auto scratch_database = sql::Database::open({});
    auto scratch = (*scratch_database)->connect();
    CheckedPipeline checked = prove_pipeline(pipeline, schemas, **scratch, diagnostics, true);
    for (const CheckedStage& stage : checked.stages) {
      share.add(file.filename(), stage);
      schemas[stage.name] = stage.schema;
      if (stage.join) {
        const Status related = make_relations(**rows, *stage.join);
        ASSERT_TRUE(related) << file << " " << stage.name << ": " << related.error().message;
        EXPECT_EQ(difference(**rows, stage.sql, stage.join_sql), "")
            << file << " " << stage.name << "\n"
            << stage.join_sql;
      }
      if (stage.kernel) {
        EXPECT_EQ(binding_problem(stage, schemas), "") << file << " " << stage.name << "\n"
                                                       << shown({stage.kernel, stage.kernel_why});
        if (!counts_hashes(*stage.kernel)) {
          EXPECT_EQ(difference(**rows, stage.sql, stage_as_sql(*stage.kernel)), "")
              << file << " " << stage.name << "\n"
              << shown({stage.kernel, stage.kernel_why});
        }
      }
      auto made = (*rows)->execute(
          fmt::format("CREATE OR REPLACE TABLE {} AS {}", quote_identifier(stage.name), stage.sql));
      EXPECT_TRUE(made) << file << " " << stage.name << ": " << made.error().message;
    }
  }
  std::printf("%d of %d stages have a kernel, %d of %d a join\n", share.kernels, share.wanted,
              share.joins, share.joins_wanted);
}

TEST(Kernel, InputsNeedOnlyTheColumnsInUse) {
  Fixture fixture;
  for (const char* sql : {"SELECT k, x FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY "
                          "i) AS rn FROM a) WHERE "
                          "rn = 1",
                          "SELECT * EXCLUDE (rn, v) FROM (SELECT *, row_number() OVER (PARTITION "
                          "BY k ORDER BY i) AS rn "
                          "FROM a) WHERE rn <= 2",
                          "SELECT k, x FROM (SELECT * FROM a) QUALIFY row_number() OVER (PARTITION "
                          "BY k ORDER BY i) = 1",
                          "SELECT k, count(*) AS n FROM (SELECT * FROM a) GROUP BY k",
                          "SELECT k, m FROM (SELECT k, max(i) AS m, min(v) AS unused FROM (SELECT "
                          "* FROM a) GROUP BY k)",
                          "SELECT DISTINCT k FROM (SELECT * FROM a)",
                          "SELECT DISTINCT ON (k) k, i FROM (SELECT * FROM a) ORDER BY k, d, i",
                          "SELECT k, count(*) AS n FROM a GROUP BY k"}) {
    SplitCase one;
    one.partition_by = "k";
    one.sql = sql;
    Verdict verdict = fixture.prove(make_pipeline(one), true);
    ASSERT_NE(verdict.stage(), nullptr) << sql << verdict.codes();
    ASSERT_TRUE(verdict.stage()->kernel) << sql << ": " << verdict.stage()->kernel_why;
    EXPECT_EQ(binding_problem(*verdict.stage(), Fixture::schemas()), "")
        << sql << "\n"
        << shown({verdict.stage()->kernel, ""});
  }
}

TEST(Kernel, StagesOfTheSplitRulesGiveTheSameRows) {
  Fixture fixture;
  Share share;
  for (const SplitCase& one :
       read_cases(std::string(TIDEGATE_SOURCE_DIR) + "/tests/split/rules.case")) {
    if (one.expect != "accept") continue;
    Verdict verdict = fixture.prove(make_pipeline(one), true);
    if (!verdict.stage()) continue;
    const CheckedStage& stage = *verdict.stage();
    share.add(one.name, stage);
    if (stage.join) {
      ASSERT_TRUE(make_relations(fixture.rows(), *stage.join)) << one.sql;
      EXPECT_EQ(difference(fixture.rows(), one.sql, stage.join_sql), "") << one.sql;
    }
    if (!stage.kernel) continue;
    EXPECT_EQ(binding_problem(stage, Fixture::schemas()), "")
        << one.sql << "\n"
        << shown({stage.kernel, stage.kernel_why});
    EXPECT_EQ(difference(fixture.rows(), one.sql, stage_as_sql(*stage.kernel)), "")
        << one.sql << "\n"
        << shown({stage.kernel, stage.kernel_why});
  }
  std::printf("%d of %d stages have a kernel, %d of %d a join\n", share.kernels, share.wanted,
              share.joins, share.joins_wanted);
}

}  // namespace
}  // namespace tidegate::prove
