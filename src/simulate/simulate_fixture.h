#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "contract/contract.h"
#include "plan/plan.h"
#include "simulate/simulation.h"
#include "sql/sql.h"

namespace tidegate {

/// A plan over real files, made once: `files` of them, a partition each, into two reduce stages of
/// `buckets` and two outputs.
inline Plan make_simulated_plan(int files, int buckets, bool together = false) {
  char name[] = "/tmp/tidegate-simulate-XXXXXX";
  const std::string place = ::mkdtemp(name);
  auto database = sql::Database::open({});
  auto connection = (*database)->connect();
  for (int i = 0; i < files; ++i) {
    const auto made =
        (*connection)
            ->execute("COPY (SELECT (hash(r) % 50)::INTEGER AS k, r AS v FROM range(" +
                      std::to_string(1000 + i) + ") t(r)) TO '" + place + "/f" +
                      std::to_string(100 + i) + ".parquet'");
    EXPECT_TRUE(made) << made.error().describe();
  }
  const std::string n = std::to_string(buckets);
  const std::string text =
      "version: 1\npipeline: simulated\nowner: o@example.com\n"
      "sources:\n  facts: {files: '*.parquet', partition: 1KiB}\n"
      "stages:\n"
      "  totals:\n    partition_by: [k]\n    buckets: " +
      n +
      "\n    sql: SELECT k, count(*) AS n, sum(v) AS v FROM facts GROUP BY k\n"
      "  sizes:\n    partition_by: [n]\n    buckets: " +
      n + "\n    sql: SELECT n, count(*) AS m FROM totals GROUP BY n\n" +
      (together ? "publish_together: true\n" : "") +
      "outputs:\n"
      "  totals: {from: totals, checks: [{rows: {min: 1}}], publish: {parquet: published/totals}}\n"
      "  sizes: {from: sizes, checks: [{rows: {min: 1}}], publish: {parquet: published/sizes}}\n";
  Diagnostics diagnostics;
  Pipeline pipeline = parse_pipeline(place + "/p.yaml", place, text, diagnostics);
  auto plan = make_plan(real_effects(), std::move(pipeline), nullptr, nullptr,
                        {.now_us = 1,
                         .run_time_us = SimulationOptions::kBeginUs,
                         .workers = 4,
                         .memory_bytes = SimulationOptions::kHostBytes},
                        diagnostics);
  EXPECT_TRUE(plan) << plan.error().describe();
  for (const Diagnostic& found : diagnostics.sorted())
    EXPECT_NE(found.severity, Severity::kError) << found.message;
  EXPECT_TRUE(remove_tree(real_effects(), place));
  return std::move(*plan);
}

}  // namespace tidegate
