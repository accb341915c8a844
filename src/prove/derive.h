#pragma once

#include <expected>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "prove/problem.h"
#include "prove/relation.h"

namespace tidegate::prove {

/// What is known of one input table of a stage before its SQL is looked at.
struct InputProperty {
  bool replicated = false;
  std::vector<std::string> keys;        ///< columns, in key order; empty on a split input: Local
  std::vector<std::string> hash_types;  ///< one for each key
  std::vector<std::vector<std::string>> unique;
};

struct DeriveRequest {
  std::map<std::string, InputProperty> inputs;  ///< by lower-case name
  bool whole = false;      ///< one task sees everything: nothing to prove but repeatability
  bool map_stage = false;  ///< no partition_by: what to offer differs
  std::vector<std::string> key_names;  ///< for messages
  bool clock_and_chance = false;       ///< ad-hoc queries
};

struct DeriveResult {
  Relation top;
  std::vector<std::string> unordered_reasons;
  bool float_sums = false;
  size_t scans = 0;                                           ///< of input tables in the plan
  std::map<std::string, std::set<std::string>> columns_used;  ///< by lower-case input; of GETs
};

/// Derives the properties of a bound plan (json_serialize_plan's text) bottom-up and refuses what
/// is not proven. Function problems are all collected; the first split problem ends the derivation.
std::expected<DeriveResult, std::vector<Problem>> derive(const std::string& serialized_plan,
                                                         const std::string& sql,
                                                         const DeriveRequest& request);

}  // namespace tidegate::prove
