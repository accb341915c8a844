#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "prove/kernel_fixture.h"
#include "prove/kernel_join_fixture.h"

namespace tidegate::prove {
namespace {

using reduce::AggregateKind;

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
