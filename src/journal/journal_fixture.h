#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "base/effects.h"
#include "journal/database.h"
#include "journal/journal.h"
#include "journal/records.h"

namespace tidegate {

/// A directory of a test's own, removed with it.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/tidegate-journal-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDir() { (void)remove_tree(real_effects(), path_); }
  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return path_join(path_, name); }

 private:
  std::string path_;
};

inline std::unique_ptr<Journal> open_journal(const std::string& dir, Journal::Mode mode,
                                             Effects& effects = real_effects()) {
  auto journal = Journal::open(effects, dir, mode);
  EXPECT_TRUE(journal) << (journal ? "" : journal.error().describe());
  return journal ? std::move(*journal) : nullptr;
}

inline GenerationRecord make_record(const std::string& output, uint64_t number,
                                    const std::string& identity = "") {
  GenerationRecord r;
  r.output = output;
  r.pipeline = "p";
  r.publish_root = "/nowhere/" + output;
  r.number = number;
  r.generation = fmt::format("{:06}-abcd", number);
  r.state = "published";
  r.identity = identity.empty() ? fmt::format("id-{}", number) : identity;
  r.files.push_back({"part-1.parquet", 10, 100, "0123456789abcdef", {}});
  return r;
}

inline std::string task_data(const std::string& identity, const std::string& attempt) {
  return fmt::format(R"({{"identity":"{}","attempt":"{}","stage":"s","partition":3,)"
                     R"("rows_in":100,"rows_out":90,"bytes":{{"read":1000,"written":900}},)"
                     R"("us":1500,"peak_rss":1048576,"digest":"00","files":["out.tgm"]}})",
                     identity, attempt);
}

/// All rows of the tables derived from events, as text.
inline std::string dump_heads(const std::string& dir) {
  auto db = Database::open(real_effects(), path_join(dir, "journal.db"), Database::Mode::kRead);
  EXPECT_TRUE(db);
  std::string text;
  for (const char* table : {"results", "runs", "outputs", "generations", "rejected",
                            "output_events", "quarantine", "facts", "heads_mark"}) {
    auto rows = (*db)->prepare(fmt::format("SELECT * FROM {} ORDER BY 1, 2", table));
    EXPECT_TRUE(rows);
    text += fmt::format("== {}\n", table);
    while (rows->step().value_or(false)) {
      for (int i = 0; i < 9; ++i) text += rows->text(i) + "|";
      text += "\n";
    }
  }
  return text;
}

/// Changes the file behind the journal's back.
inline void edit(const std::string& dir, const char* sql) {
  auto db = Database::open(real_effects(), path_join(dir, "journal.db"), Database::Mode::kWrite);
  ASSERT_TRUE(db);
  auto done = (*db)->execute(sql);
  ASSERT_TRUE(done) << done.error().describe();
}

/// A run with tasks, facts and two generations of one output.
inline void fill(Journal& j, int tasks = 5) {
  const auto add = [&](std::string_view type, std::string_view run, const std::string& data) {
    auto done = j.append(type, run, data);
    ASSERT_TRUE(done) << done.error().describe();
  };
  add("run_started", "r1",
      R"({"pipeline":"p","file":"/p.yaml","run_time_us":5,"workers":2,"memory_bytes":1})");
  for (int i = 0; i < tasks; ++i)
    add("task_finished", "r1", task_data(fmt::format("t{}", i), fmt::format("a{}", i)));
  add("fact_set", "r1", R"({"key":"buckets/s","value":"16"})");
  add("output_published", "r1", to_json(make_record("out", 1)));
  add("output_published", "r1", to_json(make_record("out", 2)));
  add("run_finished", "r1", R"({"state":"succeeded","tasks":{"ran":5}})");
  auto done = j.commit();
  ASSERT_TRUE(done) << done.error().describe();
}

}  // namespace tidegate
