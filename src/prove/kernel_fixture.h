#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "prove/kernel.h"
#include "prove/split_fixture.h"

// What the tests of kernels share.
namespace tidegate::prove {

/// What a stage `s` of that SQL over the fixture's tables gets.
inline KernelChoice choose(Fixture& fixture, const std::string& sql,
                           const std::string& broadcast = "") {
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
inline std::string difference(sql::Connection& rows, const std::string& one,
                              const std::string& other) {
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

inline std::string shown(const KernelChoice& choice) {
  if (!choice.kernel) return "refused: " + choice.why;
  return fmt::format("{}\ninput:  {}\noutput: {}\nas sql: {}", choice.why,
                     choice.kernel->kernel.input_sql, choice.kernel->output_sql,
                     stage_as_sql(*choice.kernel));
}

}  // namespace tidegate::prove
