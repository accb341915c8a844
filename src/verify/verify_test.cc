#include "verify/verify.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/effects.h"

namespace tidegate {
namespace {

class Verify : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/tidegate_verify_XXXXXX";
    dir_ = mkdtemp(pattern);
    auto database = sql::Database::open({});
    ASSERT_TRUE(database.has_value()) << database.error().describe();
    database_ = std::move(*database);
    connection_ = std::move(*database_->connect());
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(real_effects(), dir_)); }

  /// Stages the rows of a SELECT as one more Parquet part.
  void stage(const std::string& select) {
    const std::string path = path_join(dir_, "part-" + std::to_string(input_.files.size()));
    const Status done =
        connection_->execute("COPY (" + select + ") TO '" + path + "' (FORMAT parquet)");
    ASSERT_TRUE(done.has_value()) << done.error().describe();
    input_.files.push_back(path);
  }

  /// An output with these items under `checks:`, one a line, as they stand in a pipeline file.
  Output output(const std::vector<std::string>& checks) {
    std::string text =
        "version: 1\npipeline: p\nsources:\n  s:\n    files: x.parquet\nstages:\n  a:\n    sql: "
        "SELECT * FROM s\noutputs:\n  o:\n    from: a\n    publish:\n      - parquet: out\n"
        "    checks:\n";
    for (const std::string& check : checks) text += "      - " + check + "\n";
    Diagnostics found;
    Pipeline pipeline = parse_pipeline("p.yaml", "/", text, found);
    for (const Diagnostic& d : found.sorted())
      if (d.severity == Severity::kError && d.code != "T0212") ADD_FAILURE() << d.code << d.message;
    text_ = text;
    return pipeline.outputs.empty() ? Output{} : pipeline.outputs[0];
  }

  CheckOutcome run(const std::string& check) {
    auto outcomes = run_checks(*connection_, output({check}).checks, input_);
    EXPECT_TRUE(outcomes.has_value()) << (outcomes ? "" : outcomes.error().describe());
    return outcomes && !outcomes->empty() ? outcomes->front() : CheckOutcome{};
  }
  /// "status failing/total".
  std::string brief(const std::string& check) {
    const CheckOutcome outcome = run(check);
    return outcome.status + " " + std::to_string(outcome.failing) + "/" +
           std::to_string(outcome.total);
  }

  /// What check_contract says: "T0706@the text under the caret".
  std::string contract(const std::string& check, const sql::Schema& schema) {
    Diagnostics found;
    check_contract(
        output({check}), schema, *connection_, found,
        [](const std::string& select) {
          return select.find("read_text") == std::string::npos
                     ? Status{}
                     : fail(FailureClass::kDefect, "sql.refused", "read_text is not allowed");
        },
        relations_);
    std::string out;
    for (const Diagnostic& d : found.sorted())
      out += d.code + "@" + text_.substr(d.span.begin, d.span.end - d.span.begin) + " ";
    return out;
  }

  std::string dir_;
  std::string text_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> connection_;
  VerifyInput input_;
  std::map<std::string, sql::Schema> relations_;
};

TEST_F(Verify, NotNull) {
  stage("SELECT * FROM (VALUES (1, 'x'), (2, NULL), (NULL, NULL)) v(a, b)");
  EXPECT_EQ(brief("not_null: [a]"), "fail 1/3");
  EXPECT_EQ(brief("not_null: [a, b]"), "fail 2/3");
  const CheckOutcome outcome = run("not_null: [b]");
  EXPECT_EQ(outcome.message, "2 of 3 rows (66.67%) break not_null(b)");
  EXPECT_EQ(outcome.samples,
            (std::vector<std::string>{R"({"a":2,"b":null})", R"({"a":null,"b":null})"}));
  EXPECT_EQ(run("{not_null: [b], severity: warn}").status, "warn");
}

TEST_F(Verify, ToleranceIsInclusiveAndExact) {
  stage("SELECT CASE WHEN i >= 3 THEN i END AS a FROM range(300) t(i)");
  EXPECT_EQ(brief("{not_null: [a], tolerance: 1%}"), "pass 3/300");
  EXPECT_EQ(brief("{not_null: [a], tolerance: 0.999%}"), "fail 3/300");
  EXPECT_TRUE(run("{not_null: [a], tolerance: 1%}").samples.empty());
  EXPECT_EQ(run("{not_null: [a], tolerance: 0.5%}").message,
            "3 of 300 rows (1%) break not_null(a); tolerated are 0.5%");
}

TEST_F(Verify, Accepted) {
  stage("SELECT * FROM (VALUES ('new', 1), ('it''s', 2), (NULL, 3), ('odd', 4)) v(s, n)");
  EXPECT_EQ(brief("accepted: {column: s, values: [new, \"it's\"]}"), "fail 1/4");
  EXPECT_EQ(brief("accepted: {column: s, values: [new, \"it's\", odd]}"), "pass 0/4");
  EXPECT_EQ(brief("accepted: {column: n, values: [1, 2, 3]}"), "fail 1/4");
}

TEST_F(Verify, RangeOverNumbersDatesAndNan) {
  stage(
      "SELECT * FROM (VALUES (1.5::DECIMAL(6,2), DATE '2001-01-01', 1::DOUBLE, -0.0::DOUBLE), "
      "(2.25, DATE '2001-12-31', 'nan'::DOUBLE, 0.0), (NULL, NULL, 'inf'::DOUBLE, 0.0)) "
      "v(d, t, f, z)");
  EXPECT_EQ(brief("range: {column: d, min: 1.5, max: 2.25}"), "pass 0/3");
  EXPECT_EQ(brief("range: {column: d, min: 1.51}"), "fail 1/3");
  EXPECT_EQ(brief("range: {column: t, min: '2001-01-01', max: '2001-06-30'}"), "fail 1/3");
  EXPECT_EQ(brief("range: {column: f, min: 0}"), "fail 1/3");   // NaN is in no range
  EXPECT_EQ(brief("range: {column: f, max: 10}"), "fail 2/3");  // NaN and infinity
  EXPECT_EQ(brief("range: {column: z, min: 0, max: 0}"), "pass 0/3");
}

TEST_F(Verify, TimestampsWithAndWithoutZone) {
  stage("SELECT TIMESTAMP '2001-01-01 12:00:00' AS t, TIMESTAMPTZ '2001-01-01 12:00:00+02' AS z");
  EXPECT_EQ(brief("range: {column: t, min: '2001-01-01 12:00:00'}"), "pass 0/1");
  EXPECT_EQ(brief("range: {column: z, max: '2001-01-01 10:00:00+00'}"), "pass 0/1");
  EXPECT_EQ(brief("range: {column: z, max: '2001-01-01 09:59:59+00'}"), "fail 1/1");
}

TEST_F(Verify, RegexMatchesTheWholeValue) {
  stage("SELECT * FROM (VALUES ('ABC'), ('ABCD'), (NULL), ('')) v(s)");
  EXPECT_EQ(brief("regex: {column: s, pattern: '[A-Z]{3}'}"), "fail 2/4");
  EXPECT_EQ(brief("regex: {column: s, pattern: '[A-Z]*'}"), "pass 0/4");
}

TEST_F(Verify, ExpectPassesOnNull) {
  stage("SELECT * FROM (VALUES (1, 2), (3, 2), (NULL, 1)) v(a, b)");
  EXPECT_EQ(brief("expect: a < b"), "fail 1/3");
  EXPECT_EQ(brief("expect: a < b OR a > 2"), "pass 0/3");
  EXPECT_EQ(brief("expect: \"a < b -- a comment\""), "fail 1/3");
  EXPECT_EQ(run("expect: a < b").name, "expect(a < b)");
}

TEST_F(Verify, WhatCannotBeEvaluatedIsAnErrorOfThatCheckAlone) {
  stage("SELECT * FROM (VALUES ('1'), ('x')) v(s)");
  const auto outcomes = run_checks(
      *connection_, output({"expect: CAST(s AS INTEGER) > 0", "not_null: [s]"}).checks, input_);
  ASSERT_TRUE(outcomes.has_value());
  EXPECT_EQ((*outcomes)[0].status, "error");
  EXPECT_NE((*outcomes)[0].message.find("Could not convert"), std::string::npos);
  EXPECT_EQ((*outcomes)[1].status, "pass");
  EXPECT_EQ(run("{expect: CAST(s AS INTEGER) > 0, severity: warn}").status, "error");
}

TEST_F(Verify, Unique) {
  stage("SELECT * FROM (VALUES (1, 'x'), (1, 'x'), (1, 'y'), (NULL, 'x'), (NULL, 'x')) v(a, b)");
  stage("SELECT 1 AS a, 'x' AS b");
  EXPECT_EQ(brief("unique: [a, b]"), "fail 2/6");  // across parts; NULL keys are not compared
  EXPECT_EQ(brief("unique: [a]"), "fail 3/6");
  EXPECT_EQ(run("unique: [a, b]").samples,
            std::vector<std::string>{R"({"a":1,"b":"x","rows with this key":3})"});
  EXPECT_EQ(brief("{unique: [a, b], tolerance: 34%}"), "pass 2/6");
}

TEST_F(Verify, UniqueOverNanZeroAndDecimals) {
  stage(
      "SELECT * FROM (VALUES ('nan'::DOUBLE, -0.0::DOUBLE, 1.10::DECIMAL(4,2)), "
      "('nan'::DOUBLE, 0.0::DOUBLE, 1.1::DECIMAL(4,2))) v(n, z, d)");
  EXPECT_EQ(brief("unique: [n]"), "fail 1/2");
  EXPECT_EQ(brief("unique: [z]"), "fail 1/2");
  EXPECT_EQ(brief("unique: [d]"), "fail 1/2");
  EXPECT_EQ(run("unique: [n]").samples[0], R"({"n":"nan","rows with this key":2})");
}

TEST_F(Verify, UniqueOfManyKeysInPasses) {
  stage("SELECT i FROM range(4100000) t(i)");
  EXPECT_EQ(brief("unique: [i]"), "pass 0/4100000");
  stage("SELECT 77 AS i FROM range(3)");
  EXPECT_EQ(brief("unique: [i]"), "fail 3/4100003");
}

TEST_F(Verify, References) {
  stage("SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL), (NULL, 'z')) v(k, l)");
  input_.relations["r"] =
      "SELECT * FROM (VALUES (1, 'a'), (1, 'a'), (3, 'c'), (NULL, 'q')) v(x, y)";
  EXPECT_EQ(brief("references: {columns: [k], to: r, to_columns: [x]}"), "fail 1/4");
  EXPECT_EQ(brief("references: {columns: [k, l], to: r, to_columns: [x, y]}"), "fail 1/4");
  EXPECT_EQ(run("references: {columns: [k], to: r, to_columns: [x]}").samples,
            std::vector<std::string>{R"({"k":2,"l":"b"})"});
  EXPECT_EQ(brief("{references: {columns: [k], to: r, to_columns: [x]}, tolerance: 25%}"),
            "pass 1/4");
  EXPECT_EQ(run("references: {columns: [k], to: nobody, to_columns: [x]}").status, "error");
}

TEST_F(Verify, RowCounts) {
  stage("SELECT i FROM range(130) t(i)");
  EXPECT_EQ(run("rows: {min: 130, max: 130}").status, "pass");
  EXPECT_EQ(run("rows: {min: 131}").message, "130 rows: at least 131 were promised");
  EXPECT_EQ(run("rows: {max: 129}").status, "fail");
  EXPECT_EQ(run("{rows: {max: 129}, severity: warn}").status, "warn");
  EXPECT_EQ(run("rows: {change: 30%}").status, "baseline");
  EXPECT_EQ(run("rows: {min: 131, change: 30%}").status, "fail");
  input_.rows_before = 100;
  EXPECT_EQ(run("rows: {change: 30%}").status, "pass");
  EXPECT_EQ(run("rows: {change: 29.9%}").status, "fail");
  input_.rows_before = 186;  // 130 is 30.1% less
  EXPECT_EQ(run("rows: {change: 30%}").status, "fail");
  input_.rows_before = 0;
  EXPECT_EQ(run("rows: {change: 30%}").status, "baseline");
}

TEST_F(Verify, SchemaOfTheStagedBytes) {
  stage("SELECT 1::BIGINT AS a, 'x' AS b, 1.5::DECIMAL(4,2) AS c");
  EXPECT_EQ(run("schema: {a: BIGINT, b: VARCHAR, c: 'DECIMAL(4,2)'}").status, "pass");
  EXPECT_EQ(run("schema: {a: int8, b: text, c: 'numeric(4,2)'}").status, "pass");
  EXPECT_EQ(run("schema: {a: BIGINT, b: VARCHAR}").message,
            "column \"c\" (DECIMAL(4,2)) was not promised");
  EXPECT_EQ(run("{schema: {a: BIGINT, b: VARCHAR}, evolution: add}").status, "pass");
  EXPECT_EQ(run("{schema: {a: BIGINT, z: VARCHAR}, evolution: add}").status, "fail");
  EXPECT_EQ(run("schema: {b: VARCHAR, a: BIGINT, c: 'DECIMAL(4,2)'}").message,
            "column 1 is \"a\", promised was \"b\"");
  EXPECT_EQ(run("schema: {a: INTEGER, b: VARCHAR, c: 'DECIMAL(4,2)'}").status, "fail");
}

TEST_F(Verify, NothingStagedOrNoRows) {
  input_.schema = {{"a", "INTEGER"}, {"s", "VARCHAR"}};
  for (int parts = 0; parts < 2; ++parts) {
    EXPECT_EQ(brief("not_null: [a]"), "pass 0/0");
    EXPECT_EQ(brief("unique: [a, s]"), "pass 0/0");
    EXPECT_EQ(brief("expect: a > 0"), "pass 0/0");
    EXPECT_EQ(run("rows: {min: 1}").status, "fail");
    EXPECT_EQ(run("schema: {a: INTEGER, s: VARCHAR}").status, "pass");
    if (parts == 0) stage("SELECT 1 AS a, '' AS s WHERE false");
  }
}

TEST_F(Verify, OddColumnNames) {
  stage("SELECT 1 AS \"a b\", 2 AS \"q\"\"q\", 3 AS \"select\", 4 AS \"näïve\"");
  for (const char* name : {"a b", "'q\"q'", "select", "näïve"}) {
    EXPECT_EQ(brief("not_null: [" + std::string(name) + "]"), "pass 0/1");
    EXPECT_EQ(brief("unique: [" + std::string(name) + "]"), "pass 0/1");
    EXPECT_EQ(brief("range: {column: " + std::string(name) + ", min: 5}"), "fail 1/1");
  }
  EXPECT_EQ(run("range: {column: select, min: 5}").samples[0],
            R"({"a b":1,"q\"q":2,"select":3,"näïve":4})");
}

TEST_F(Verify, NestedValuesInSamples) {
  stage("SELECT 1 AS a, [1, 2] AS l, {'x': 'y'} AS s, NULL::INTEGER AS n, true AS t");
  EXPECT_EQ(run("not_null: [n]").samples[0],
            R"({"a":1,"l":"[1, 2]","s":"{'x': y}","n":null,"t":true})");
}

TEST_F(Verify, AtMostTenSamples) {
  stage("SELECT NULL::INTEGER AS a FROM range(50)");
  EXPECT_EQ(run("not_null: [a]").samples.size(), kSamplesMax);
}

TEST_F(Verify, MissingFileIsAFailureNotAnOutcome) {
  input_.files = {path_join(dir_, "gone.parquet")};
  EXPECT_FALSE(run_checks(*connection_, output({"not_null: [a]"}).checks, input_).has_value());
}

TEST_F(Verify, RowWiseChecksAreOneScan) {
  stage("SELECT 1 AS a");
  input_.schema = {{"a", "INTEGER"}};
  const auto sql = checks_sql(
      output({"not_null: [a]", "expect: a > 0", "range: {column: a, max: 3}", "unique: [a]"})
          .checks,
      input_);
  ASSERT_EQ(sql.size(), 2u);
  for (const std::string& one : sql) EXPECT_TRUE(connection_->query(one).has_value()) << one;
}

TEST_F(Verify, ContractBindsColumnsAndValues) {
  const sql::Schema schema = {{"flights", "BIGINT"}, {"carrier", "VARCHAR"}, {"day", "DATE"}};
  EXPECT_EQ(contract("not_null: [flihgts]", schema), "T0706@flihgts ");
  EXPECT_EQ(contract("unique: [carrier, Day]", schema), "");
  EXPECT_EQ(contract("regex: {column: flights, pattern: 'x'}", schema), "T0707@flights ");
  EXPECT_EQ(contract("regex: {column: carrier, pattern: '[A-Z'}", schema).substr(0, 6), "T0712@");
  EXPECT_EQ(contract("accepted: {column: flights, values: [1, abc]}", schema), "T0723@abc ");
  EXPECT_EQ(contract("range: {column: day, min: '2001-01-01'}", schema), "");
  EXPECT_EQ(contract("range: {column: day, min: '2001-13-01'}", schema).substr(0, 6), "T0723@");
  EXPECT_EQ(
      contract("range: {column: day, min: '2001-02-01', max: '2001-01-01'}", schema).substr(0, 6),
      "T0118@");
  EXPECT_EQ(contract("accepted: {column: carrier, values: [1]}", schema), "T0723@1 ");
}

TEST_F(Verify, ContractBindsExpect) {
  const sql::Schema schema = {{"flights", "BIGINT"}, {"odd name", "VARCHAR"}};
  EXPECT_EQ(contract("expect: flights > 0 AND \"odd name\" <> ''", schema), "");
  EXPECT_EQ(contract("expect: flihgts > 0", schema), "T0724@flihgts ");
  EXPECT_EQ(contract("expect: flights", schema), "T0717@flights ");
  EXPECT_EQ(contract("expect: sum(flights) > 0", schema).substr(0, 5), "T0724");
  EXPECT_EQ(contract("expect: row_number() OVER () > 0", schema).substr(0, 5), "T0724");
  EXPECT_EQ(contract("expect: flights > (SELECT 1)", schema).substr(0, 5), "T0724");
  EXPECT_EQ(contract("expect: flights >", schema).substr(0, 5), "T0724");
  EXPECT_EQ(contract("expect: true) UNION SELECT (true", schema).substr(0, 5), "T0724");
  EXPECT_EQ(contract("\"expect\": \"true; DROP TABLE t\"", schema).substr(0, 5), "T0724");
  EXPECT_EQ(contract("expect: \"'read_text' = 'x'\"", schema).substr(0, 5),
            "T0724");  // is_safe said no
  EXPECT_EQ(contract("expect: \"flights > 0 -- a comment\"", schema), "");
}

TEST_F(Verify, ContractBindsReferencesAndSchema) {
  const sql::Schema schema = {{"k", "BIGINT"}, {"s", "VARCHAR"}};
  relations_["r"] = {{"id", "INTEGER"}, {"name", "VARCHAR"}};
  EXPECT_EQ(contract("references: {columns: [k], to: r, to_columns: [id]}", schema), "");
  EXPECT_EQ(contract("references: {columns: [k], to: r, to_columns: [di]}", schema), "T0706@di ");
  EXPECT_EQ(contract("references: {columns: [k], to: r, to_columns: [name]}", schema),
            "T0707@name ");
  EXPECT_EQ(contract("schema: {k: BIGINT, s: VARCHAR}", schema), "");
  EXPECT_EQ(contract("schema: {k: INTEGER, s: VARCHAR}", schema), "T0713@INTEGER ");
  EXPECT_EQ(contract("schema: {k: BIGINT, z: VARCHAR}", schema), "T0713@z ");
  EXPECT_EQ(contract("schema: {k: BIGNIT, s: VARCHAR}", schema), "T0635@BIGNIT ");
}

}  // namespace
}  // namespace tidegate
