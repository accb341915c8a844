#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "plan/plan.h"

namespace tidegate {

/// What stands for rows in a simulation: how many there are, and the sum of their hashes. Rows that
/// are lost or there twice change it, and so do others in their place.
struct Tally {
  uint64_t rows = 0;
  uint64_t hash = 0;
  void add(const Tally& other) {
    rows += other.rows;
    hash += other.hash;
  }
  bool operator==(const Tally&) const = default;
};

/// The rows of a partition of a source, by its identity.
Tally tally_of(const Partition& partition);
/// Bucket `bucket` of so many into which a task's rows go. All together are the rows.
Tally bucket_of(const Tally& rows, uint32_t bucket, uint32_t buckets);

/// A file that holds a tally for each bucket: its text ends with its checksum.
std::string to_text(const std::vector<Tally>& buckets);
/// The failure shuffle.torn (class lost, names the path) if it is not what was written.
Result<std::vector<Tally>> tallies_from(const std::string& text, const std::string& path);

/// Whether rows of an input count in what its group makes: those that each of several tasks reads
/// whole do not.
bool counts_rows(const PlanInput& input, uint32_t units);

/// What all tasks of a group make of the plan's sources, in a world without faults.
Tally expected_rows(const Plan& plan, uint32_t group);

}  // namespace tidegate
