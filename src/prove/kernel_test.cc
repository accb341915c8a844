#include "prove/kernel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.h"
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
  const char* kStages[] = {
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
      "SELECT k, sum(i) AS s, avg(i) AS m, min(x) AS lo, max(d) AS hi, count(v) AS c FROM a GROUP BY k",
      "SELECT k, sum(n) AS s, sum(n * 2) AS t, avg(n) AS m, min(n) AS lo FROM a GROUP BY k",
      "SELECT k, sum(v) AS s, mean(v) AS m, min(v) AS lo, max(v) AS hi FROM a GROUP BY k",
      "SELECT k, sum(k) AS s, count(k) AS c, max(k + 1) AS m FROM a GROUP BY k",
      "SELECT k, count(1) AS n, count('x') AS m, count(NULL::INTEGER) AS z FROM a GROUP BY k",
      "SELECT k, sum(1) AS n, sum(i + 1) AS s, sum(i + 1) AS t FROM a GROUP BY k",
      "SELECT k, count(*) FILTER (WHERE v > 1) AS n, sum(i) FILTER (x = 'a') AS s FROM a GROUP BY k",
      "SELECT k, count_if(v > 1) AS n, countif(x = 'a') AS m FROM a GROUP BY k",
      "SELECT k, count(DISTINCT x) AS dx, sum(DISTINCT i % 4) AS ds, max(DISTINCT x) AS m FROM a GROUP BY k",
      "SELECT k, count(DISTINCT x) FILTER (WHERE i > 9) AS dx FROM a GROUP BY k",
      "SELECT k, bool_and(v > 1) AS ba, bool_or(x = 'a') AS bo, bit_xor(i) AS bx, bit_and(i) AS bb, "
      "bit_or(i) AS b2 FROM a GROUP BY k",
      "SELECT k, first(x ORDER BY i DESC) AS f, last(x ORDER BY i) AS l, any_value(v ORDER BY i) AS w "
      "FROM a GROUP BY k",
      "SELECT k, arbitrary(x) AS f, last(x) AS l, any_value(v) AS w FROM a GROUP BY k",
      "SELECT k, first(x ORDER BY v NULLS FIRST, i DESC NULLS LAST) FILTER (WHERE d IS NOT NULL) AS f "
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
      "SELECT a.k, label, count(*) AS n FROM a LEFT JOIN dim ON a.k = dim.k GROUP BY a.k, dim.label",
      "SELECT k, label, sum(i) AS s FROM a LEFT JOIN dim USING (k) GROUP BY k, label",
      "SELECT label, i % 2 AS p, sum(i) AS s FROM a LEFT JOIN dim USING (k) GROUP BY ALL",
      "SELECT p.x, count(*) AS n FROM a p SEMI JOIN b ON p.k = b.k GROUP BY x",
      "SELECT k, count(*) AS n FROM (SELECT k FROM a UNION ALL SELECT k FROM b) u GROUP BY k",
      "SELECT q, sum(z) AS s FROM a AS t(q, y, z) GROUP BY q",
      "WITH t AS (SELECT k, i FROM a WHERE i > 20) SELECT k, min(i) AS i FROM t GROUP BY k",
      "WITH a AS (SELECT k, i FROM a WHERE i > 20) SELECT k, min(i) AS i FROM a GROUP BY k",
      "WITH t(q) AS (SELECT k FROM a) SELECT q, count(*) AS n FROM t GROUP BY q",
      "WITH t AS (SELECT k, i FROM a) SELECT p.k, count(*) AS n FROM t p JOIN t q USING (k) GROUP BY p.k",
      "SELECT k, g, count(*) AS n FROM a, range(3) r(g) GROUP BY k, g",
      "SELECT e, count(*) AS n FROM odd GROUP BY e",
      "SELECT f, z, count(*) AS n FROM odd GROUP BY f, z",
      "SELECT k, count(*) AS n FROM (SELECT k, i, unnest([1, 2]) AS u FROM a) WHERE u > 1 GROUP BY k",
      // After them.
      "SELECT k, sum(i) AS s FROM a GROUP BY k HAVING count(*) > 3 AND s > 10",
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
      "SELECT q.k, max(q.s) AS m FROM (SELECT k, x, sum(i) AS s FROM a GROUP BY k, x) q GROUP BY q.k",
      "WITH q AS (SELECT k, sum(i) AS s FROM a GROUP BY k) SELECT * FROM q WHERE s > 20",
      "WITH q AS (SELECT k, sum(i) AS s FROM a GROUP BY k), d AS (SELECT * FROM dim) "
      "SELECT q.k, s, label FROM q LEFT JOIN d ON d.k = q.k",
      "SELECT * FROM (SELECT k, count(*) FROM a GROUP BY k)",
      "SELECT k, n FROM (SELECT k, count(*) AS n FROM a GROUP BY k) WHERE n > (SELECT min(f) FROM dim)",
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
      "SELECT x, k + 1 AS k1, upper(x) AS u FROM a QUALIFY 3 > row_number() OVER (PARTITION BY k, x "
      "ORDER BY v NULLS FIRST, i)",
      "SELECT k, i, row_number() OVER (PARTITION BY k ORDER BY i) AS rn FROM a QUALIFY rn = 1",
      "SELECT k AS z, i FROM a QUALIFY row_number() OVER (PARTITION BY z ORDER BY i) = 1",
      "SELECT i % 5 AS p, max(i) OVER () IS NULL AS z FROM a WHERE false",
      "SELECT * EXCLUDE (rn) FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY i DESC) AS rn "
      "FROM a WHERE v > 0) WHERE rn = 1",
      "SELECT k, x FROM (SELECT k, x, i, row_number() OVER (PARTITION BY k ORDER BY v DESC, i) AS rn "
      "FROM a) q WHERE q.rn <= 3 AND i > 10",
      "SELECT *, k + 1 AS k1 FROM (SELECT *, row_number() OVER (PARTITION BY k, x ORDER BY i) AS rn "
      "FROM a) WHERE 1 = rn",
      "SELECT x, count(*) AS n FROM (SELECT x, k, row_number() OVER (PARTITION BY k ORDER BY i) AS rn "
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
      "SELECT list_transform([i], y -> y + k) AS l, k FROM a QUALIFY row_number() OVER (PARTITION BY k "
      "ORDER BY i) = 1",
      "SELECT k, (SELECT max(label) FROM dim WHERE dim.k = a.k) AS l FROM a QUALIFY row_number() OVER "
      "(PARTITION BY k ORDER BY i) = 1",
  };
  Fixture fixture;
  size_t kernels = 0, all = 0;
  for (const char* sql : kStages) {
    ++all;
    KernelChoice choice = choose(fixture, sql);
    if (!choice.kernel) {
      std::printf("refused: %s: %s\n", choice.why.c_str(), sql);
      continue;
    }
    ++kernels;
    EXPECT_EQ(difference(fixture.rows(), sql, stage_as_sql(*choice.kernel)), "")
        << sql << "\n" << shown(choice);
    EXPECT_EQ(reduce::unsupported(choice.kernel->kernel), std::nullopt) << sql;
  }
  std::printf("%zu of %zu have a kernel\n", kernels, all);
}


const char* kTpch[][2] = {
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
     "o_orderdate DATE, o_orderpriority VARCHAR, o_clerk VARCHAR, o_shippriority INTEGER, o_comment "
     "VARCHAR"},
    {"lineitem",
     "l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber BIGINT, l_quantity "
     "DECIMAL(15,2), l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), "
     "l_returnflag VARCHAR, l_linestatus VARCHAR, l_shipdate DATE, l_commitdate DATE, l_receiptdate "
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

/// Stages that group, make distinct or take first rows, and those of them that have a kernel.
struct Share {
  int kernels = 0, wanted = 0;
  void add(const std::string& where, const CheckedStage& stage) {
    const std::string& sql = stage.sql;
    bool groups = false;
    for (const char* word : {"GROUP BY", "DISTINCT", "row_number() OVER (PARTITION BY k ORDER BY i "
                             "DESC) <="}) {
      groups = groups || sql.find(word) != std::string::npos;
    }
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
  std::printf("%d of %d stages have a kernel; %zu stages: %.1f ms each with, %.1f without\n",
              share.kernels, share.wanted, stages, 1e3 * seconds / static_cast<double>(stages),
              1e3 * without / static_cast<double>(stages));
  EXPECT_GE(share.kernels * 10, share.wanted * 9);
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
    ASSERT_TRUE((*rows)->execute(
        "CREATE MACRO run_time() AS TIMESTAMPTZ '2001-01-01 00:00:00+00'"));
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
      if (stage.kernel) {
        EXPECT_EQ(difference(**rows, stage.sql, stage_as_sql(*stage.kernel)), "")
            << file << " " << stage.name << "\n"
            << shown({stage.kernel, stage.kernel_why});
      }
      auto made = (*rows)->execute(
          fmt::format("CREATE OR REPLACE TABLE {} AS {}", quote_identifier(stage.name), stage.sql));
      EXPECT_TRUE(made) << file << " " << stage.name << ": " << made.error().message;
    }
  }
  std::printf("%d of %d stages have a kernel\n", share.kernels, share.wanted);
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
    if (!stage.kernel) continue;
    EXPECT_EQ(difference(fixture.rows(), one.sql, stage_as_sql(*stage.kernel)), "")
        << one.sql << "\n"
        << shown({stage.kernel, stage.kernel_why});
  }
  std::printf("%d of %d stages have a kernel\n", share.kernels, share.wanted);
}

}  // namespace
}  // namespace tidegate::prove
