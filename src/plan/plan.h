#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "contract/contract.h"
#include "journal/journal.h"
#include "plan/graph.h"
#include "prove/prove.h"
#include "source/source.h"
#include "store/state_dir.h"
#include "task/spec.h"

namespace tidegate {

/// One relation of a group's tasks and where a unit finds its rows.
struct PlanInput {
  enum class Kind : uint8_t {
    kPartition,    ///< partition (unit - unit_begin) of a source
    kSourceWhole,  ///< all of a source
    kBucket,       ///< bucket `unit` of every task of a group
    kUnit,         ///< the result of task (unit - unit_begin) of a group
    kGroupWhole,   ///< all results of a group, in order
  };
  Kind kind = Kind::kPartition;
  std::string name;             ///< as the SQL calls it
  uint32_t index = 0;           ///< of the source or the group
  std::string sink_file;        ///< of the producer, for results
  uint32_t buckets = 1;         ///< of that file
  uint32_t buckets_a_unit = 1;  ///< kBucket: unit u reads buckets [u x this, (u + 1) x this)
  uint32_t unit_begin = 0;
  uint32_t unit_count = 0;           ///< units that have rows of it; the others see it empty
  std::vector<std::string> columns;  ///< of a source; empty: all
  sql::Schema schema;
  std::vector<Partition> partitions = {};  ///< of a source, cut for this input; empty: as it is cut
  /// The stage's partition keys among `schema`, where its rows lie in buckets of them: rows of one
  /// unit may be parted further by these.
  std::vector<HashKey> split_keys = {};
};

/// What stands beside graph.groups[i]: how its tasks are made.
struct PlanGroup {
  std::vector<TaskStep> steps;
  std::vector<PlanInput> inputs;
  std::optional<reduce::KernelSpec> combine;  ///< of the rows that go into the shuffle
  uint64_t combine_bytes = 0;                 ///< the table that does it
  bool combine_in_sql = false;                ///< DuckDB does it
  std::vector<TaskSink> sinks;
  sql::Schema schema;    ///< of the last step, or of what `combine` makes of it
  std::string strategy;  ///< "map over 8 partitions", ...
  std::string why;
  std::string kernel;  ///< how the last step runs: the kernel and what was recognised, or why not
  OnEmpty on_empty = OnEmpty::kAllow;  ///< of the last step
  bool splits_skew = false;            ///< `skew: split` at one of the stages
  uint64_t estimated_bytes = 0;
  uint64_t estimated_rows = 0;
};

struct PlanOptions {
  int64_t now_us = 0;
  int64_t run_time_us = 0;    ///< of this run, or adopted from the one it resumes
  uint32_t workers = 0;       ///< 0: as many as there are processors
  uint64_t memory_bytes = 0;  ///< of the whole host; 0: what the host has
  bool kernels = true;        ///< look for each stage's kernel; not needed to find mistakes
  /// Called once, early, when a source has files that are new: there will be work.
  std::function<void()> new_files = {};
};

/// A run that has been thought out: what `plan` shows and `run` does.
struct Plan {
  Pipeline pipeline;
  CheckedPipeline checked;
  std::vector<SourceSnapshot> sources;  ///< as pipeline.sources
  Graph graph;
  std::vector<PlanGroup> groups;                      ///< as graph.groups
  std::map<std::string, uint32_t> stage_group;        ///< stage -> group whose last step it is
  std::vector<std::vector<uint32_t>> output_sources;  ///< by output: sources upstream of it
  std::vector<std::string> contract_hashes;           ///< by output: of checks, freshness, schema
  std::vector<std::pair<std::string, std::string>> facts;  ///< to be remembered by the run
  std::vector<std::string> adopted;  ///< identities found on disk, their event lost
  std::optional<StateDir> state;
  int64_t run_time_us = 0;
  uint32_t workers = 1;
  uint64_t host_bytes = 0;
  std::string digest;  ///< of all that decides what the run does
};

/// The most workers that a plan may have.
uint32_t workers_wanted(const PlanOptions& options);

/// Reads the sources' metadata, binds and proves the stages, chooses strategies and bucket counts,
/// names the tasks and looks up which of them have results. Mistakes of the contract go to
/// `diagnostics` (the plan is then of no use); failures are the machine's.
/// `journal` and `state` may be null: nothing is reused then, nothing is sticky.
Result<Plan> make_plan(Effects& effects, Pipeline pipeline, const StateDir* state, Journal* journal,
                       const PlanOptions& options, Diagnostics& diagnostics);

/// Looks up which of the plan's tasks have results by now, and which of the others are needed: once
/// more for a plan that was made before. `journal` may be null: nothing is reused then.
Status look_up_results(Effects& effects, Plan& plan, Journal* journal);

/// The partitions that an input's tasks read, one each: its own, or else its source's.
const std::vector<Partition>& partitions_of(const Plan& plan, const PlanInput& input);

/// What a worker needs for an attempt of a task, once its inputs are there. `attempts` gives the
/// attempt that counts of each task; `parts` as in TaskSpec.
Result<TaskSpec> make_task_spec(const Plan& plan, const Graph& graph, uint32_t task,
                                const std::string& attempt, uint32_t parts = 1);

/// All of a source, with these columns.
TaskScan whole_scan(const SourceSnapshot& snapshot, const std::vector<std::string>& columns);

/// The task whose finished result lies in (or is) that path, if it is one of this plan.
std::optional<uint32_t> task_of_path(const Graph& graph, std::string_view path);

/// Hash of an output's promises: its checks, freshness and schema. Comments, key order and names of
/// people are not in it.
std::string contract_hash(const Output& output);

/// For people, and as one JSON document.
std::string render_plan(const Plan& plan, bool colour);
std::string render_plan_json(const Plan& plan);

}  // namespace tidegate
