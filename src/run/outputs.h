#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "conductor/conductor.h"
#include "journal/journal.h"
#include "plan/plan.h"
#include "publish/publication.h"
#include "publish/standing.h"
#include "run/run.h"

namespace tidegate {

/// What all parts of one run share.
struct RunContext {
  std::string run;
  std::string state_id;
  uint64_t fence = 0;
  bool force = false;
  int64_t started_us = 0;
};

/// The directory that an output is published to.
OutputPlace output_place(const Pipeline& pipeline, const Output& output);

/// Refuses before anything runs what staging would refuse in the end: an output's directory that is
/// another's (publish.foreign_owner, publish.foreign_directory, publish.newer). What cannot be read
/// is left to the staging, which may do better by then. `state_id`: "" if there is no state
/// directory yet, to which nothing can belong.
Status check_output_places(Effects& effects, const Pipeline& pipeline, const std::string& state_id);

/// Takes the outputs of a run through their verbs: stage, audit, fence, swap, read back.
class Outputs {
 public:
  using Emit = std::function<Status(std::string_view type, const std::string& data)>;

  Outputs(Effects& effects, const Plan& plan, Journal& journal, const RunContext& context);

  /// Decides what an output needs and stages it, if it needs a new generation.
  Result<OutputStaged> stage(uint32_t output, const Graph& graph, const Emit& emit);
  /// The task that runs its checks, on exactly the staged (or the standing) bytes.
  Result<TaskSpec> verify_spec(uint32_t output, const Graph& graph, const std::string& attempt);
  /// Takes the checks' outcome; false if one that counts failed.
  Result<bool> verified(uint32_t output, std::vector<CheckOutcome> checks, const Emit& emit);
  std::vector<OutputCommitted> commit(const std::vector<uint32_t>& outputs, const Emit& emit);
  /// It is not published; `why` if it has no reason of its own.
  Status drop(uint32_t output, std::string_view why, const Emit& emit);
  OutputSummary summary(uint32_t output, OutputState state,
                        const std::optional<Failure>& failure) const;

 private:
  struct Item {
    bool staged = false;   ///< its files lie in a generation that is not committed
    bool reaudit = false;  ///< the standing bytes fulfil it, if the checks say so
    PublishRequest request;
    std::vector<std::string> files;      ///< that the checks read
    std::vector<CheckOutcome> promises;  ///< completeness and quarantine, known without reading
    std::vector<CheckOutcome> checks;
    std::string generation;
    uint64_t rows = 0;
    uint64_t files_shared = 0;         ///< with the generation before
    std::vector<std::string> reasons;  ///< of a refusal
  };

  /// Identity, promises and arrivals: all but the files.
  Result<PublishRequest> request_of(uint32_t output, const Graph& graph);
  Result<std::vector<StagedFile>> files_of(uint32_t output, const Graph& graph);
  Result<Publication*> publication(uint32_t output);
  uint64_t files_of_source(const std::string& name) const;
  Status add_promises(uint32_t output, const Graph& graph, Item& item);
  Status add_empty_stages(uint32_t output, const Graph& graph, Item& item);
  OutputPlace place(uint32_t output) const;
  std::optional<Failure> commit_one(uint32_t output, const Emit& emit);
  std::optional<Failure> commit_group(const std::vector<uint32_t>& outputs, const Emit& emit);
  Status after_publish(uint32_t output);

  Effects& effects_;
  const Plan& plan_;
  Journal& journal_;
  const RunContext& context_;
  std::vector<Item> items_;
  std::vector<std::unique_ptr<Publication>> publications_;  ///< by output; [0] alone if together
};

}  // namespace tidegate
