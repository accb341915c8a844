#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "task/spec.h"

namespace tidegate {

/// How a group reads another group's results.
struct GraphInput {
  enum class Mode : uint8_t {
    kWhole,  ///< every task reads of every task of the producer (a shuffle, a broadcast)
    kUnit,   ///< task i reads task i alone (aligned buckets, a map over stored results)
  };
  uint32_t producer = 0;  ///< index of the group
  Mode mode = Mode::kWhole;
  /// kUnit: which unit of this group reads unit 0 of the producer, and how many it has.
  uint32_t unit_begin = 0;
  /// kWhole, if given: task i reads this many buckets of that file of every task, from bucket i x
  /// this, and is named by what they hold instead of by the names of all.
  std::string bucket_file = {};
  uint32_t buckets_a_unit = 1;
};

/// What lies in the buckets of a result's files: file -> kBucketNameDigits digits a bucket.
using BucketNames = std::map<std::string, std::string>;

/// What is known of a task's result before the run.
enum class TaskState : uint8_t {
  kUnneeded,  ///< nothing that runs reads it
  kReused,    ///< a finished result stands under its identity
  kWaiting,   ///< its inputs are not there yet, or its identity is not known yet
  kReady,
  kRunning,
  kBackoff,  ///< waits for its next attempt
  kDone,
  kFailed,
  kBlocked,  ///< something it needs has failed
};

struct GraphTask {
  uint32_t group = 0;
  uint32_t unit = 0;          ///< within the group
  std::string unit_identity;  ///< of the partition, or the bucket's number
  std::string identity;       ///< "" while it depends on content that is not made yet
  TaskState state = TaskState::kWaiting;
  std::string attempt;  ///< kReused: the attempt that counts
  std::string digest;   ///< kReused: of its content
  BucketNames buckets;  ///< kReused: of files that readers are named by
  std::string why;      ///< kWaiting: why it is not reused, for a person
  uint64_t bytes = 0;   ///< expected input, for order and display
  uint64_t rows = 0;
  std::string label;
};

/// A chain of stages that run in one task, once for each unit.
struct GraphGroup {
  std::string name;            ///< of its last stage, or of the source it shuffles
  std::string recipe;          ///< hash of all that determines bytes but for unit and inputs
  bool unordered = false;      ///< consumers go by the content's digest
  bool names_buckets = false;  ///< some consumers go by the content of buckets
  uint64_t memory_bytes = 0;
  Retry retry;
  std::optional<int64_t> timeout_us;
  /// `skew: split`, and what a task reads can be parted by its keys: one that crosses its bound
  /// runs again in parts.
  bool can_split = false;
  std::vector<GraphInput> inputs;
  std::vector<uint32_t> tasks;  ///< by unit
};

struct GraphOutput {
  std::string name;
  uint32_t group = 0;
  /// Groups that must be done, too: what its checks read (`references`), and upstream of it those
  /// that count what a source sets aside, for that is part of its promises.
  std::vector<uint32_t> after;
};

/// The tasks of a run and what each needs. Groups are in topological order.
struct Graph {
  std::vector<GraphGroup> groups;
  std::vector<GraphTask> tasks;
  std::vector<GraphOutput> outputs;
  bool publish_together = false;
};

/// What consumers of a finished task call its result: its identity, or its digest if the order of
/// its rows, or which of several equal answers it gives, may differ from attempt to attempt.
std::string result_name(const Graph& graph, uint32_t task);

/// What a task's report says of its buckets.
BucketNames bucket_names(const TaskReport& report);

/// The identity of a task, or nothing while an input's name is not known.
std::optional<std::string> task_identity(const Graph& graph, uint32_t task);

/// Sets identities in topological order as far as they are known. Names of whole producers are
/// hashed once for each group, so that this is O(tasks + edges between groups).
void compute_identities(Graph& graph);

/// Marks what is needed: an output's tasks, and the producers of every needed task that has no
/// result. The others become kUnneeded.
void mark_needed(Graph& graph);

}  // namespace tidegate
