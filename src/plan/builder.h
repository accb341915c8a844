#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "plan/estimate.h"
#include "plan/plan.h"
#include "reduce/combine.h"

namespace tidegate {

/// Bytes of a row as it is thought to lie in memory.
uint64_t row_bytes(const sql::Schema& schema);

/// What build_groups works with: its steps in build.cc, what concerns kernels in build_kernels.cc,
/// sorting in build_sort.cc, outputs in build_publish.cc, the last steps in build_finish.cc.
class Builder {
 public:
  Builder(Effects& effects, Plan& plan, Journal* journal, sql::Connection& scratch)
      : effects_(effects), plan_(plan), journal_(journal), scratch_(scratch) {}

  Status build();

 private:
  GraphGroup& graph_group(uint32_t g) { return plan_.graph.groups[g]; }
  PlanGroup& plan_group(uint32_t g) { return plan_.groups[g]; }
  uint32_t source_index(const std::string& name) const;
  uint32_t new_group(const std::string& name);
  uint64_t memory_of(const Stage* stage) const;

  /// The sink of `producer` with these keys; made if it has none. One file serves all who want it.
  std::string want_sink(uint32_t producer, const std::vector<HashKey>& keys, uint32_t buckets);

  // build_kernels.cc
  static bool is_joined(const CheckedStage& stage, const StageInput& input);
  /// Whether both inputs of the stage's join are shuffled into buckets of its own.
  bool joins_by_bucket(const CheckedStage& stage, uint32_t buckets);
  /// Into how many buckets a kernel's rows are put in all.
  static uint32_t kernel_buckets(const CheckedStage& stage, uint64_t bytes);
  std::vector<HashKey> keys_of(const CheckedStage& stage, const StageInput& input,
                               const sql::Schema& schema) const;
  /// The group that scans a source for shuffles, with all columns that its consumers read; a stage
  /// whose kernel reads what a scan of its own made is none of them.
  uint32_t scan_group(const std::string& name);
  /// The scan whose tasks run this stage's kernel's SQL.
  uint32_t kernel_scan(const CheckedStage& stage, const StageInput& input);
  uint32_t make_scan(uint32_t s, const std::vector<const StageInput*>& readers);
  void estimate_source(uint32_t s, const sql::Schema& schema, uint64_t& rows,
                       uint64_t& bytes) const;
  /// Estimated rows and bytes of an input as the stage reads it.
  void estimate_input(const StageInput& input, uint64_t& rows, uint64_t& bytes);
  uint32_t units_of(const std::string& stage) { return units_.at(plan_.stage_group.at(stage)); }
  /// True where a stage can run at the end of its producer's tasks.
  bool can_fuse(const CheckedStage& stage, const StageInput*& base) const;
  /// The input whose rows the stage's kernel reads as they come from the shuffle, if the tasks that
  /// make them can run the kernel's own SQL: nobody else wants them.
  const StageInput* rows_made_for(const CheckedStage& stage) const;
  uint32_t producer_of(const CheckedStage& stage, const StageInput& input);
  /// Makes the producer of `input` run the kernel's SQL over its rows, and aggregate them already
  /// where that is worth it.
  Status make_kernel_rows(const CheckedStage& stage, const StageInput& input);
  Status choose_combine(const CheckedStage& stage, const StageInput& input, uint32_t producer);
  /// The table that looks rows up at the least cost, if that is less than their shuffle.
  struct CombineWay {
    uint64_t table = 0;   ///< its bytes; 0: rows are not combined
    double cost = 0;      ///< of a row, with what reads it
    double share = 1;     ///< states to a row
    double groups = 0;    ///< of a task
    bool in_sql = false;  ///< DuckDB's own table
  };
  CombineWay combine_way(const reduce::KernelSpec& kernel, const reduce::CombinedKernel& combined,
                         const KeySample& keys, uint32_t producer, double task_rows);
  /// Larger partitions for tasks that combine rows, if their one source can be cut so, and its
  /// owner wants neither partitions of a size nor changes of one value to be cheap.
  std::optional<std::vector<Partition>> combined_partitions(const CheckedStage& stage,
                                                            uint32_t producer) const;
  void read_partitions(uint32_t g, std::vector<Partition> partitions);
  void combine_rows(const CheckedStage& stage, PlanGroup& group, reduce::CombinedKernel& combined,
                    double share, uint64_t bytes);
  /// About how many groups a stage has, as remembered or by a sample of its partition keys. A
  /// choice that was made stays: another would make every result anew.
  Result<KeySample> estimated_groups(const CheckedStage& stage, const StageInput& input,
                                     uint32_t producer);
  /// Where the keys are columns of one source, its rows tell. Else rows are taken to share groups:
  /// the combiner stops by itself where they do not.
  Result<KeySample> sampled_groups(const StageInput& input, uint32_t producer);
  Status add_stage(const CheckedStage& stage);
  /// What is the same for all stages, once the group has its steps and inputs.
  void finish_stage(uint32_t g, const CheckedStage& stage, const Stage& written);
  /// An upper guess: a stage gives no more rows than its largest input.
  void estimate_stage(uint32_t g, const CheckedStage& stage);
  /// How many tasks, and why; sets the group's strategy.
  uint32_t count_units(uint32_t g, const CheckedStage& stage, const Stage& written);
  /// A count that stays what it was while the data is of about that size.
  uint32_t remembered(const char* what, const std::string& stage, uint32_t buckets);
  Status add_input(uint32_t g, const CheckedStage& stage, const StageInput& input, uint32_t units);
  // build_lookup.cc
  /// Whether something downstream of a stage reads its rows in the buckets that it was put into.
  bool needs_buckets(const std::string& stage) const;
  /// The side of a stage's join that every worker can hold, so that the other one is read where it
  /// lies.
  Result<std::optional<reduce::JoinLookup>> choose_lookup(const CheckedStage& stage,
                                                          const Stage& written);
  Result<bool> holds_table(const CheckedStage& stage, const reduce::JoinLookup& lookup,
                           uint64_t held_rows, uint64_t most);
  Result<double> held_row_bytes(const reduce::JoinLookup& lookup, uint64_t held_rows);
  Status add_lookup(const CheckedStage& stage, const Stage& written, reduce::JoinLookup lookup);
  // build_publish.cc
  Status add_outputs();
  /// The group that publishes a stage's rows in a file for each value: they are shuffled by these
  /// values, so that the rows of each meet in one task.
  uint32_t add_value_group(uint32_t producer, const Output& output);
  /// Whether one of these stages is published `by` columns.
  bool is_published_by_value(const std::set<std::string>& stages) const;
  /// A stage and all that its rows come to.
  std::set<std::string> with_readers(const std::string& stage) const;
  /// A stage that is published by its keys is cut into as many tasks, so that a change of one value
  /// makes a small share of them again.
  uint32_t least_buckets(const std::string& stage, uint64_t bytes) const;
  /// Has tasks on the way to an output `by` columns named by what their buckets hold, not by what
  /// made it: where an input changed, those whose rows came out the same need not run.
  void name_by_content();
  /// Makes an output wait for the groups upstream of it that count what a source sets aside.
  void wait_for_counts(GraphOutput& output);

  // build_sort.cc
  /// Makes the groups that sort what the group `rows` gives.
  void add_sort(const CheckedStage& stage, const Stage& written, uint32_t rows);
  /// Whether it costs less to make a group's rows again than to store them.
  bool makes_rows_twice(uint32_t g) const;
  /// Makes the group that puts rows into ranges, and samples in the group that makes them. Without
  /// `rows_file` their rows are not stored: it makes them again.
  uint32_t add_ranges(const CheckedStage& stage, const Stage& written, uint32_t rows,
                      const std::string& rows_file, uint32_t ranges);
  uint32_t new_sort_group(const CheckedStage& stage, const Stage& written, uint32_t rows,
                          const char* what);

  // build_finish.cc
  /// Fusing may put a group before one that it broadcasts: order them by what they read.
  void sort_groups();
  /// Sinks were made in the order in which stages are written, which must decide no byte of a
  /// result.
  void settle_sinks();
  void name_recipes();
  void add_tasks(uint32_t g);

  Effects& effects_;
  Plan& plan_;
  Journal* journal_;
  sql::Connection& scratch_;
  std::map<std::string, reduce::StageKernel> merges_;  ///< by stage whose rows are combined
  std::map<std::string, uint32_t> consumers_;
  std::set<std::string> published_;
  std::map<uint32_t, uint32_t> scan_groups_;      ///< source -> group
  std::map<std::string, uint32_t> kernel_scans_;  ///< stage -> group
  std::map<uint32_t, uint32_t> held_sources_;     ///< group -> source that its lookup holds
  std::map<uint32_t, uint32_t> units_;            ///< group -> tasks
  std::map<uint32_t, uint32_t>
      next_partition_;  ///< group -> first unit of its next partitioned input
  std::map<uint32_t, bool> uses_run_time_;
  std::map<uint32_t, uint32_t> buckets_a_unit_;  ///< group -> of its kernel's rows
  /// producer, compression, columns -> group that publishes by them
  std::map<std::tuple<uint32_t, std::string, std::vector<uint32_t>>, uint32_t> value_groups_;
};

}  // namespace tidegate
