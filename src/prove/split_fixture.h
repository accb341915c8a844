#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "prove/prove.h"

// The tables and the emulated split that the tests of this module share.
namespace tidegate::prove {

/// One stage over the fixture's tables, as a case file states it.
struct SplitCase {
  std::string file;
  int line = 0;
  std::string name;
  std::string partition_by;  ///< "" map, "all", "k", "a: k; b: y"
  std::string broadcast;     ///< "b, c"
  std::string upstream;      ///< "a: k" : input `a` comes from a reduce stage by these keys
  std::string expect;        ///< "accept" or a code
  std::string span;          ///< exact text under the caret, if refused
  std::string result;        ///< "part k v", "local", "one", "unordered"; words, all must hold
  std::string differs;       ///< "yes": running it split must give other rows (refused cases)
  std::string sql;
};

/// Reads a case file: cases start with "case NAME", then "key: value" lines, then "sql:" and lines
/// up to an empty one. Lines that start with # are comments.
std::vector<SplitCase> read_cases(const std::string& path);

/// A pipeline of the fixture's sources and one stage `s`, as prove_pipeline takes it.
Pipeline make_pipeline(const SplitCase& one);

/// What prove_pipeline said.
struct Verdict {
  Diagnostics diagnostics;
  CheckedPipeline checked;
  const CheckedStage* stage() const { return checked.stage("s"); }
  std::string codes() const;  ///< errors only, "T0401, T0402"
  std::string text(const Pipeline& pipeline) const;
};

/// DuckDB with the fixture's rows: NULLs, NaN, -0.0, duplicates, skew, strings, dates, decimals.
class Fixture {
 public:
  Fixture();
  Verdict prove(const Pipeline& pipeline, bool with_kernels = false);
  /// Multiset difference between the whole and the union over `buckets`; "" if equal.
  std::string compare(const CheckedStage& stage, const std::string& sql, int buckets);
  /// The same where check refused: keys and broadcasts as the case declares them.
  std::string compare_refused(const SplitCase& one, int buckets);
  sql::Connection& rows() { return *rows_; }
  static std::map<std::string, sql::Schema> schemas();

 private:
  std::string run_split(const std::vector<StageInput>& inputs, const std::string& sql, int buckets);
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::Connection> rows_;
};

}  // namespace tidegate::prove
