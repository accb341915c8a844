#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "prove/split_fixture.h"

namespace tidegate::prove {
namespace {

/// Fails the test on a failure; tests have no other way out.
void must(const Status& status, const std::string& what) {
  if (!status) ADD_FAILURE() << what << ": " << status.error().message;
}

std::string trim(const std::string& text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!trim(part).empty()) out.push_back(trim(part));
  }
  return out;
}

constexpr const char* kTables[][2] = {
    {"a", "k INTEGER, x VARCHAR, v DOUBLE, d DATE, n DECIMAL(9,2), i INTEGER"},
    {"b", "k BIGINT, x VARCHAR, w DOUBLE, ts TIMESTAMP, n DECIMAL(12,4), j INTEGER"},
    {"c", "k INTEGER, x VARCHAR, v DOUBLE, d DATE, n DECIMAL(9,2), i INTEGER"},
    {"dim", "k INTEGER, label VARCHAR, f DOUBLE"},
    {"odd",
     "e ENUM('p','q','r'), t TEXT, l INTEGER[], f DOUBLE, z TIMESTAMPTZ, iv INTERVAL, k INTEGER"},
};

}  // namespace

std::vector<SplitCase> read_cases(const std::string& path) {
  std::vector<SplitCase> out;
  std::ifstream in(path);
  if (!in) ADD_FAILURE() << "cannot read " << path;
  std::string line;
  bool in_sql = false;
  for (int number = 1; std::getline(in, line); ++number) {
    if (in_sql) {
      if (trim(line).empty()) {
        in_sql = false;
      } else {
        out.back().sql += (out.back().sql.empty() ? "" : "\n") + line;
      }
      continue;
    }
    if (trim(line).empty() || line[0] == '#') continue;
    if (line.starts_with("case ")) {
      out.push_back({path, number, trim(line.substr(5))});
      continue;
    }
    size_t colon = line.find(':');
    if (colon == std::string::npos || out.empty()) {
      ADD_FAILURE() << path << ":" << number << ": not understood: " << line;
      continue;
    }
    std::string key = trim(line.substr(0, colon)), value = trim(line.substr(colon + 1));
    SplitCase& one = out.back();
    std::map<std::string, std::string*> fields = {{"partition_by", &one.partition_by},
                                                  {"broadcast", &one.broadcast},
                                                  {"upstream", &one.upstream},
                                                  {"expect", &one.expect},
                                                  {"span", &one.span},
                                                  {"result", &one.result},
                                                  {"differs", &one.differs}};
    if (key == "sql") {
      in_sql = true;
      one.sql = value;
    } else if (fields.contains(key)) {
      *fields[key] = value;
    } else {
      ADD_FAILURE() << path << ":" << number << ": unknown key " << key;
    }
  }
  return out;
}

Pipeline make_pipeline(const SplitCase& one) {
  Pipeline out;
  std::string text = "sql: |\n";
  auto add_sql = [&](Stage& stage, const std::string& sql) {
    stage.sql.text = sql;
    uint32_t base = static_cast<uint32_t>(text.size());
    text += sql + "\n";
    for (uint32_t i = 0; i <= sql.size(); ++i) stage.sql.offsets.push_back(base + i);
    stage.sql.span = {base, static_cast<uint32_t>(base + sql.size())};
  };
  out.name.value = "p";
  std::map<std::string, std::string> upstream;
  for (const std::string& entry : split(one.upstream, ';')) {
    upstream[trim(entry.substr(0, entry.find(':')))] = trim(entry.substr(entry.find(':') + 1));
  }
  for (const auto& table : kTables) {
    Source source;
    source.name.value = table[0];
    auto it = upstream.find(source.name.value);
    if (it != upstream.end()) {
      // The stage takes the table's name, its source hides behind another.
      source.name.value = std::string("raw_") + table[0];
      Stage stage;
      stage.name.value = table[0];
      stage.partition_by.emplace();
      for (const std::string& key : split(it->second, ',')) {
        stage.partition_by->columns.push_back({key, {}});
      }
      add_sql(stage, "SELECT * FROM " + source.name.value);
      out.stages.push_back(std::move(stage));
    }
    out.sources.push_back(std::move(source));
  }
  Stage stage;
  stage.name.value = "s";
  add_sql(stage, one.sql);
  if (!one.partition_by.empty()) {
    PartitionBy by;
    by.all = one.partition_by == "all";
    if (!by.all && one.partition_by.find(':') == std::string::npos) {
      for (const std::string& key : split(one.partition_by, ',')) by.columns.push_back({key, {}});
    } else if (!by.all) {
      for (const std::string& entry : split(one.partition_by, ';')) {
        KeysOf keys;
        keys.input.value = trim(entry.substr(0, entry.find(':')));
        for (const std::string& key : split(entry.substr(entry.find(':') + 1), ',')) {
          keys.columns.push_back({key, {}});
        }
        by.per_input.push_back(std::move(keys));
      }
    }
    stage.partition_by = std::move(by);
  }
  for (const std::string& name : split(one.broadcast, ',')) stage.broadcast.push_back({name, {}});
  out.stages.push_back(std::move(stage));
  Output output;
  output.name.value = "s";
  output.from.value = "s";
  out.outputs.push_back(std::move(output));
  out.text = std::make_shared<SourceText>("case", text);
  return out;
}

std::string Verdict::codes() const {
  std::vector<std::string> out;
  for (const Diagnostic& one : diagnostics.sorted()) {
    if (one.severity == Severity::kError) out.push_back(one.code);
  }
  return join(out, ", ");
}

std::string Verdict::text(const Pipeline& pipeline) const {
  return render_all(diagnostics, *pipeline.text, false);
}

std::map<std::string, sql::Schema> Fixture::schemas() {
  std::map<std::string, sql::Schema> out;
  auto database = sql::Database::open({});
  if (!database) return out;
  auto connection = (*database)->connect();
  if (!connection) return out;
  for (const auto& table : kTables) {
    must((*connection)->execute(fmt::format("CREATE TABLE {} ({})", table[0], table[1])), table[0]);
    auto schema = (*connection)->describe(fmt::format("SELECT * FROM {}", table[0]));
    if (!schema) continue;
    out[table[0]] = *schema;
    out[std::string("raw_") + table[0]] = *schema;
  }
  return out;
}

Fixture::Fixture() {
  auto database = sql::Database::open({});
  if (!database) {
    ADD_FAILURE() << database.error().message;
    return;
  }
  database_ = std::move(*database);
  rows_ = std::move(*database_->connect());
  must(rows_->execute("CREATE MACRO run_time() AS TIMESTAMPTZ '2001-01-01 00:00:00+00'"), "macro");
  for (const auto& table : kTables) {
    must(rows_->execute(fmt::format("CREATE TABLE {} ({})", table[0], table[1])), table[0]);
  }
  // Small integers as doubles, so that sums are exact; every third key heavy; NULL, NaN, -0.0.
  const char* ac =
      "SELECT CASE WHEN r % 9 = 0 THEN NULL WHEN r % 3 = 0 THEN 1 ELSE r % {0} END, "
      "CASE WHEN r % 7 = 0 THEN NULL ELSE chr(97 + (r % 4)::INTEGER) END, "
      "CASE WHEN r % 11 = 0 THEN NULL WHEN r % 13 = 0 THEN 'NaN'::DOUBLE WHEN r % 17 = 0 THEN "
      "-0.0::DOUBLE ELSE r % 6 END, DATE '2001-01-01' + (r % 5)::INTEGER, "
      "CASE WHEN r % 5 = 0 THEN NULL ELSE (r % 8) / 4 END, r FROM range({1}) t(r)";
  must(rows_->execute(fmt::format(fmt::runtime("INSERT INTO a " + std::string(ac)), 12, 90)), "a");
  must(rows_->execute(fmt::format(fmt::runtime("INSERT INTO c " + std::string(ac)), 8, 40)), "c");
  must(
      rows_->execute(
          "INSERT INTO b SELECT CASE WHEN r % 8 = 0 THEN NULL ELSE r % 15 END, CASE WHEN r % 6 = 0 "
          "THEN NULL ELSE chr(97 + (r % 5)::INTEGER) END, CASE WHEN r % 10 = 0 THEN NULL ELSE r % "
          "4 "
          "END, TIMESTAMP '2001-01-01' + INTERVAL (r % 6) DAY, (r % 8) / 4, r FROM range(60) t(r)"),
      "b");
  must(
      rows_->execute("INSERT INTO dim SELECT CASE WHEN r = 0 THEN NULL ELSE r END, 'l' || r, r % 3 "
                     "FROM range(10) t(r)"),
      "dim");
  must(rows_->execute(
           "INSERT INTO odd SELECT (['p','q','r',NULL])[1 + r % 4], (['p','q','s'])[1 + r % 3], "
           "[r % 3], (['NaN'::DOUBLE, 0.0::DOUBLE, -0.0::DOUBLE, 1.5, NULL])[1 + r % 5], "
           "TIMESTAMPTZ '2001-01-01 00:00:00+00' + INTERVAL (r % 3) HOUR, "
           "CASE WHEN r % 2 = 0 THEN INTERVAL '1 month' ELSE INTERVAL '30 days' END, r % 5 "
           "FROM range(40) t(r)"),
       "odd");
}

Verdict Fixture::prove(const Pipeline& pipeline, bool with_kernels) {
  Verdict out;
  auto database = sql::Database::open({});
  if (!database) {
    ADD_FAILURE() << database.error().message;
    return out;
  }
  auto scratch = (*database)->connect();
  static const std::map<std::string, sql::Schema> kSchemas = schemas();
  out.checked = prove_pipeline(pipeline, kSchemas, **scratch, out.diagnostics, with_kernels);
  return out;
}

std::string Fixture::run_split(const std::vector<StageInput>& inputs, const std::string& sql,
                               int buckets) {
  // A whole that fails (a scalar subquery that finds two rows) compares with nothing.
  if (!rows_->execute("CREATE OR REPLACE TEMP TABLE whole AS " + sql)) return "";
  must(rows_->execute("CREATE OR REPLACE TEMP TABLE split AS SELECT * FROM whole LIMIT 0"),
       "split");
  must(rows_->execute("CREATE SCHEMA part"), "schema");
  int ordinal = 0;
  for (const StageInput& input : inputs) {
    // Views over the rows of the bucket that the variable says.
    std::string where = "true";
    if (input.mode == InputMode::kPartition && input.key_columns.empty()) {
      // By place; with several inputs each partition holds rows of one of them.
      auto count = static_cast<int>(inputs.size());
      int each = std::max(1, buckets / count);
      where = buckets < count ? "getvariable('bucket') = 0"
                              : fmt::format("getvariable('bucket') = (rowid % {}) * {} + {}", each,
                                            count, ordinal++);
    } else if (!input.key_columns.empty()) {
      std::vector<std::string> keys;
      for (size_t j = 0; j < input.key_columns.size(); ++j) {
        std::string key = fmt::format("CAST({} AS {})", quote_identifier(input.key_columns[j]),
                                      input.hash_types[j]);
        if (input.hash_types[j] == "DOUBLE" || input.hash_types[j] == "FLOAT") key += " + 0.0";
        if (input.hash_types[j] == "INTERVAL") key = fmt::format("normalized_interval({})", key);
        keys.push_back(fmt::format("coalesce(({})::VARCHAR, '~')", key));
      }
      where =
          fmt::format("hash({}) % {} = getvariable('bucket')", join(keys, " || '/' || "), buckets);
    }
    must(rows_->execute(fmt::format(
             "CREATE VIEW part.{0} AS SELECT * FROM memory.main.{0} WHERE {1}", input.name, where)),
         where);
  }
  must(rows_->execute("SET search_path = 'part,main'"), "search_path");
  Status done;
  for (int bucket = 0; bucket < buckets && done; ++bucket) {
    must(rows_->execute(fmt::format("SET VARIABLE bucket = {}", bucket)), "bucket");
    done = rows_->execute("INSERT INTO temp.main.split " + sql);
  }
  must(rows_->execute("SET search_path = 'main'"), "search_path");
  must(rows_->execute("DROP SCHEMA part CASCADE"), "drop");
  if (!done) return done.error().message;
  auto diff = rows_->query(
      "SELECT (SELECT count(*) FROM (FROM whole EXCEPT ALL FROM split)) || ' missing, ' || "
      "(SELECT count(*) FROM (FROM split EXCEPT ALL FROM whole)) || ' too many'");
  if (!diff) return diff.error().message;
  return diff->scalar() == "0 missing, 0 too many" ? "" : diff->scalar();
}

std::string Fixture::compare(const CheckedStage& stage, const std::string& sql, int buckets) {
  if (stage.one_task) return "";
  return run_split(stage.inputs, sql, buckets);
}

std::string Fixture::compare_refused(const SplitCase& one, int buckets) {
  Pipeline pipeline = make_pipeline(one);
  const Stage& stage = pipeline.stages.back();
  std::vector<StageInput> inputs;
  for (const auto& table : kTables) {
    StageInput input{table[0]};
    input.mode = stage.partition_by ? InputMode::kShuffle : InputMode::kPartition;
    for (const auto& name : stage.broadcast) {
      if (name.value == input.name) input.mode = InputMode::kBroadcast;
    }
    if (input.mode == InputMode::kShuffle) {
      std::vector<Spanned<std::string>> keys = stage.partition_by->columns;
      for (const KeysOf& of : stage.partition_by->per_input) {
        if (of.input.value == input.name) keys = of.columns;
      }
      for (const auto& key : keys) {
        input.key_columns.push_back(key.value);
        bool integer = key.value == "k" || key.value == "i" || key.value == "j";
        input.hash_types.push_back(integer ? "BIGINT" : "VARCHAR");
      }
    }
    // Only tables that the SQL names matter; the others may lack the key columns.
    if ((" " + one.sql).find(fmt::format(" {}", input.name)) == std::string::npos) continue;
    if (std::string(table[1]).find(input.key_columns.empty() ? "" : input.key_columns[0] + " ") ==
        std::string::npos) {
      continue;
    }
    inputs.push_back(std::move(input));
  }
  return run_split(inputs, one.sql, buckets);
}

}  // namespace tidegate::prove
