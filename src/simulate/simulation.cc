#include "simulate/simulation.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "base/hash.h"
#include "base/units.h"
#include "publish/standing.h"
#include "run/driver.h"
#include "run/start.h"
#include "simulate/contents.h"
#include "simulate/engine.h"
#include "trust/trust.h"

namespace tidegate {
namespace {

constexpr const char* kPlace = "/pipeline";
constexpr const char* kState = "/pipeline/.tidegate";
constexpr std::string_view kPublished = "/pipeline/published";
constexpr int64_t kDayUs = int64_t{86'400} * 1'000'000;
constexpr size_t kTraceMax = 20'000;
/// So long an attempt takes at most here, whatever its contract says: what hangs is waited for.
constexpr int64_t kAttemptUsMax = int64_t{120} * 1'000'000;
/// Moments are drawn from at least so many.
constexpr uint64_t kCallsMin = 8;

using Loss = SimulatedDisk::Loss;

/// A conductor's death at one change of the disk on the second day.
struct CrashPoint {
  uint64_t change = 0;
  Loss loss = Loss::kNothing;
};

/// One seed's world: a machine, and all that happens on it.
class World {
 public:
  World(const Plan& plan, const SimulationOptions& options, const FaultProfile& profile,
        uint64_t seed, UsualCalls usual, std::optional<CrashPoint> crash = {})
      : base_(plan),
        options_(options),
        faults_(profile, seed),
        seeds_(seed ^ 0x7e3a'11ce),
        usual_(usual),
        crash_(crash) {
    result_.seed = seed;
    machine_.wall_us = SimulationOptions::kBeginUs;
    SimulatedProcess maker(machine_, 0);
    (void)make_directories(maker, kPlace);
    machine_.disk.settle();
  }

  SimulationResult run() {
    for (day_ = 0; day_ < options_.days; ++day_) {
      renew_inputs();
      bool done = false;
      for (uint32_t attempt = 0; attempt < options_.tries && !done; ++attempt) {
        const bool last = attempt + 1 == options_.tries;
        faults_.be_quiet(last);
        done = live(last);
        check(done);
        if (last && !done)
          violate("a day's last run, in which nothing went wrong, did not succeed");
        if (!result_.violations.empty()) break;
      }
      if (!result_.violations.empty()) break;
      machine_.now_us += kDayUs;
    }
    result_.virtual_us = machine_.now_us;
    for (size_t kind = 0; kind < kFaultKinds; ++kind)
      result_.faults[kind] = faults_.count(static_cast<FaultKind>(kind));
    return std::move(result_);
  }

  uint64_t changes() const { return changes_; }
  uint64_t publishing() const { return publishing_; }

 private:
  void tell(const std::string& what) {
    if (!options_.trace || result_.trace.size() >= kTraceMax) return;
    result_.trace.push_back(
        fmt::format("{:10.3f} s  {}", static_cast<double>(machine_.now_us) / 1e6, what));
  }
  void violate(const std::string& what) {
    tell("VIOLATION: " + what);
    result_.violations.push_back(fmt::format("day {}: {}", day_ + 1, what));
  }

  /// The day's inputs: some partitions are new. Their versions decide what the outputs must hold.
  void renew_inputs() {
    plan_.emplace(base_);
    for (SourceSnapshot& source : plan_->sources) {
      auto& versions = versions_[source.source];
      versions.resize(source.partitions.size(), 0);
      if (day_ > 0 && !versions.empty())
        for (uint32_t i = 0; i < options_.changed; ++i)
          versions[seeds_.below(versions.size())] = day_;
      for (size_t i = 0; i < versions.size(); ++i)
        source.partitions[i].identity += fmt::format("-v{}", versions[i]);
    }
    for (uint32_t g = 0; g < plan_->groups.size(); ++g) {
      for (PlanInput& input : plan_->groups[g].inputs) {
        renew_partitions(input);
        if (input.kind == PlanInput::Kind::kSourceWhole)
          for (const Partition& partition : plan_->sources[input.index].partitions)
            plan_->graph.groups[g].recipe =
                IdentityHash().add(plan_->graph.groups[g].recipe).add(partition.identity).hex();
        if (input.kind != PlanInput::Kind::kPartition) continue;
        for (uint32_t i = 0; i < input.unit_count; ++i) {
          const uint32_t task = plan_->graph.groups[g].tasks[input.unit_begin + i];
          plan_->graph.tasks[task].unit_identity = partitions_of(*plan_, input)[i].identity;
        }
      }
    }
    for (GraphTask& task : plan_->graph.tasks) {
      task.identity.clear();
      task.attempt.clear();
      task.digest.clear();
      task.buckets.clear();
      task.state = TaskState::kWaiting;
    }
    std::map<std::string, Tally> truth;
    for (const GraphOutput& output : plan_->graph.outputs)
      truth[output.name] = expected_rows(*plan_, output.group);
    truths_.push_back(std::move(truth));
  }

  /// Partitions that were cut for one input are as new as those of its source that they overlap.
  void renew_partitions(PlanInput& input) {
    if (input.partitions.empty()) return;
    const SourceSnapshot& source = plan_->sources[input.index];
    for (Partition& partition : input.partitions) {
      for (size_t i = 0; i < source.partitions.size(); ++i) {
        const uint32_t file = source.partitions[i].slices.front().file;
        if (std::ranges::any_of(partition.slices,
                                [&](const FileSlice& slice) { return slice.file == file; }))
          partition.identity += fmt::format("-v{}", versions_[source.source][i]);
      }
    }
  }

  /// One conductor, from its start to its end or death. True if the run succeeded.
  bool live(bool quiet) {
    ++result_.runs;
    SimulatedProcess process(machine_, seeds_.next());
    bool power_cut = false;
    const auto crash = day_ == 1 ? std::exchange(crash_, std::nullopt) : std::nullopt;
    if (crash) {
      process.fault = [&process, at = crash->change](SimulatedProcess::Call, std::string_view,
                                                     bool) {
        return process.changes() > at ? SimulatedProcess::kDies : 0;
      };
    } else if (!quiet) {
      arrange(process, power_cut);
    }
    const auto summary = run_once(process, seeds_.next());
    const bool dead = process.dead();
    result_.calls += process.calls();
    changes_ = process.changes();
    process.fault = {};
    process.die();
    machine_.disk.bytes_max = UINT64_MAX;
    if (crash) machine_.disk.crash(crash->loss, seeds_.next());
    if (power_cut && dead) {
      const Loss loss = faults_.random.below(4) == 0 ? Loss::kAllUnsynced : Loss::kSomeUnsynced;
      machine_.locks.clear();
      machine_.byte_locks.clear();
      machine_.disk.crash(loss, faults_.random.next());
      tell("the power comes back");
    }
    if (!summary) {
      tell("the run ends: " + summary.error().describe());
      if (summary.error().code == "simulate.stuck") violate(summary.error().message);
      // Who wakes up after another one has written or published finds that out, and ends.
      const std::string& code = summary.error().code;
      const bool expected =
          rivals_ > 0 && (code == "journal.foreign_writer" || code == "publish.lost_race" ||
                          code == "publish.fenced");
      if (!dead && !expected && summary.error().cls == FailureClass::kDefect)
        violate("a defect: " + summary.error().describe());
      return false;
    }
    tell("the run has " + summary->state);
    for (const Failure& failure : summary->failures)
      ++result_.failures[static_cast<size_t>(failure.cls)];
    return summary->state == "succeeded";
  }

  /// A moment of a conductor's life at which something goes wrong: a call to the disk, or one of
  /// the few in which it publishes.
  struct Moment {
    uint64_t call = UINT64_MAX;
    bool publishing = false;
  };
  Moment any_moment() {
    const bool publishing = faults_.random.below(2) == 0;
    const uint64_t calls = publishing ? usual_.publishing : usual_.all;
    return {faults_.random.below(std::max<uint64_t>(calls, kCallsMin)), publishing};
  }

  /// What is to go wrong with one conductor.
  struct Fate {
    Moment dies, rival, error, sync, full;
    bool answer_lost = false;
    uint64_t publishing = 0;  ///< calls so far in which it published
  };

  /// Decides what goes wrong with a conductor.
  void arrange(SimulatedProcess& process, bool& power_cut) {
    const auto fate = std::make_shared<Fate>();
    power_cut = faults_.hits(FaultKind::kPowerCut);
    if (power_cut || faults_.hits(FaultKind::kConductorDies)) fate->dies = any_moment();
    if (faults_.hits(FaultKind::kOtherConductor)) fate->rival = any_moment();
    if (faults_.hits(FaultKind::kDiskError)) fate->error = any_moment();
    if (faults_.hits(FaultKind::kSyncFails)) fate->sync = any_moment();
    if (faults_.hits(FaultKind::kDiskFull)) fate->full = any_moment();
    fate->answer_lost = faults_.hits(FaultKind::kSwapAnswerLost);
    if (faults_.hits(FaultKind::kClockJumps)) {
      const int64_t hours = static_cast<int64_t>(faults_.random.below(96)) - 48;
      tell(fmt::format("the clock is set by {} hours", hours));
      machine_.wall_us += hours * 3'600 * 1'000'000;
    }
    process.fault = [this, &process, fate](SimulatedProcess::Call call, std::string_view path,
                                           bool changes) {
      return befalls(*fate, process, call, path, changes);
    };
  }

  /// What befalls a call, as SimulatedProcess::Fault says it.
  int befalls(Fate& fate, SimulatedProcess& process, SimulatedProcess::Call call,
              std::string_view path, bool changes) {
    using Call = SimulatedProcess::Call;
    const bool publishes = path.starts_with(kPublished);
    fate.publishing += publishes;
    publishing_ += publishes;
    const auto has_come = [&](Moment& moment) {
      if ((moment.publishing ? fate.publishing : process.calls()) < moment.call) return false;
      moment = {};
      return true;
    };
    if (has_come(fate.dies)) {
      tell(fmt::format("the conductor dies at call {} ({})", process.calls(), path));
      return SimulatedProcess::kDies;
    }
    if (has_come(fate.rival)) run_rival();
    if (has_come(fate.error)) {
      tell(fmt::format("a call fails with EIO ({})", path));
      return EIO;
    }
    if (call == Call::kSync && has_come(fate.sync)) {
      tell(fmt::format("a sync fails, and what it should have written is lost ({})", path));
      return EIO;
    }
    if (has_come(fate.full)) {
      tell("the disk is full");
      machine_.disk.bytes_max = machine_.disk.bytes() + 200;
    }
    const bool swap = call == Call::kLink ||
                      (call == Call::kRename && path.ends_with("/current")) ||
                      (call == Call::kSync && path.ends_with("/log"));
    if (fate.answer_lost && changes && swap && faults_.random.below(3) == 0) {
      fate.answer_lost = false;
      tell(fmt::format("the answer to a call is lost ({})", path));
      return SimulatedProcess::kAnswerLost;
    }
    return 0;
  }

  Result<RunSummary> run_once(SimulatedProcess& process, uint64_t seed) {
    Plan plan = *plan_;
    RunOptions options;
    options.state_dir = kState;
    options.command = "simulated run";
    options.workers = plan.workers;
    options.seed = seed | 1;
    options.attempt_us_max = kAttemptUsMax;
    TG_ASSIGN(RunStart start, begin_run(process, plan.pipeline, options));
    plan.state = start.state;
    TG_ASSIGN(const auto before, interrupted_run(*start.journal, plan.pipeline.name.value));
    TG_TRY(look_up_results(process, plan, start.journal.get()));
    TG_TRY(check_output_places(process, plan.pipeline, start.state.id()));
    Reporter reporter(process, TalkMode::kQuiet, false);
    start.journal->observe([&](const Event& event) {
      ++result_.events;
      if (options_.trace) tell(fmt::format("{} {}", event.type, event.data.substr(0, 200)));
    });
    TG_TRY(record_start(*start.journal, start.context, plan, before));
    // The engine's workers share the plan that stays here; the driver has its own.
    SimulatedEngine engine(
        machine_, plan, options_.hosts, faults_, [this](const std::string& what) { tell(what); },
        refused_);
    return drive(process, Plan(plan), *start.journal, start.context, options, reporter, engine);
  }

  /// While a conductor sleeps its lease is given to another one, which does all of its work.
  void run_rival() {
    tell("the conductor sleeps; its lease is gone, another one begins");
    FileStat lock;
    if (machine_.disk.stat(path_join(kState, "lock"), true, lock) == 0)
      machine_.locks.erase(lock.inode);
    ++result_.runs;
    ++rivals_;
    SimulatedProcess rival(machine_, seeds_.next());
    const auto summary = run_once(rival, seeds_.next());
    result_.calls += rival.calls();
    tell(summary ? "the other one has " + summary->state
                 : "the other one ends: " + summary.error().describe());
    rival.die();
    check(summary && summary->state == "succeeded");
    tell("the first one wakes up");
  }

  /// What a reader sees, beside the truth. `done`: this day's run has just succeeded.
  void check(bool done) {
    SimulatedProcess reader(machine_, 1);
    for (uint32_t o = 0; o < plan_->graph.outputs.size(); ++o) {
      const std::string& name = plan_->graph.outputs[o].name;
      const OutputPlace place = output_place(plan_->pipeline, plan_->pipeline.outputs[o]);
      const auto standing = resolve_current(reader, place.root);
      if (!standing) {
        violate(fmt::format("{}: a reader gets {}", name, standing.error().describe()));
        continue;
      }
      if (!*standing) {
        if (done || seen_.contains(name)) violate(name + ": nothing is published");
        continue;
      }
      if (refused_.contains((*standing)->directory))
        violate(fmt::format("{}: {} is published, and a check of it failed", name,
                            (*standing)->record.generation));
      Tally rows;
      const std::string broken = read_generation(reader, **standing, rows);
      if (!broken.empty()) violate(fmt::format("{}: {}", name, broken));
      size_t version = truths_.size();
      while (version > 0 && !(truths_[version - 1].at(name) == rows)) --version;
      if (broken.empty() && version == 0)
        violate(fmt::format("{}: {} rows are published that are of no day", name, rows.rows));
      if (done && broken.empty() && version != truths_.size())
        violate(fmt::format("{}: the run succeeded, and what stands is of day {}", name, version));
      if (seen_.contains(name) && version < seen_[name])
        violate(
            fmt::format("{}: day {} stands where day {} had stood", name, version, seen_[name]));
      // What is committed and not yet shown may be taken back by a power cut.
      if (is_shown(reader, place.root, **standing))
        seen_[name] = std::max(seen_[name], version);
      else if (done)
        violate(name + ": the run succeeded, and `current` does not show what stands");
    }
    check_verdicts(reader, done);
  }

  /// True if readers who follow `current` get it.
  static bool is_shown(SimulatedProcess& reader, const std::string& root,
                       const Standing& standing) {
    const auto shown = reader.stat(path_join(root, "current"));
    const auto stands = reader.stat(standing.directory);
    return shown && stands && shown->inode == stands->inode;
  }

  static std::string read_generation(SimulatedProcess& reader, const Standing& standing,
                                     Tally& rows) {
    for (const GenerationFile& file : standing.record.files) {
      const std::string path = path_join(standing.directory, file.name);
      const auto text = read_file(reader, path);
      if (!text) return text.error().message;
      const auto tallies = tallies_from(*text, path);
      if (!tallies) return tallies.error().message;
      for (const Tally& tally : *tallies) rows.add(tally);
    }
    return "";
  }

  /// What `trust` says must be true.
  void check_verdicts(SimulatedProcess& reader, bool done) {
    auto journal = Journal::open(reader, kState, Journal::Mode::kRead);
    if (!journal) {
      if (done) violate("the journal cannot be read: " + journal.error().describe());
      return;
    }
    if (done && !(*journal)->damage().empty()) violate("the journal: " + (*journal)->damage());
    for (uint32_t o = 0; o < plan_->graph.outputs.size(); ++o) {
      const std::string& name = plan_->graph.outputs[o].name;
      const auto answers = judge(reader, **journal, {name}, {});
      if (!answers) continue;
      const TrustAnswer& answer = answers->front();
      const OutputPlace place = output_place(plan_->pipeline, plan_->pipeline.outputs[o]);
      const auto standing = resolve_current(reader, place.root);
      const bool stands = standing && *standing;
      if (answer.verdict == Verdict::kTrusted &&
          (!stands || (*standing)->record.generation != answer.generation))
        violate(fmt::format("{}: {} is TRUSTED and does not stand", name, answer.generation));
      if (done && stands && answer.generation != (*standing)->record.generation)
        violate(fmt::format("{}: the journal has {}, on the disk stands {}", name,
                            answer.generation, (*standing)->record.generation));
    }
  }

  const Plan& base_;
  const SimulationOptions& options_;
  SimulatedMachine machine_;
  FaultStream faults_;
  Random seeds_;
  const UsualCalls usual_;
  uint64_t publishing_ = 0;  ///< calls in which a conductor published, where nothing went wrong
  std::optional<CrashPoint> crash_;
  uint64_t changes_ = 0;  ///< of the disk, by the newest conductor
  SimulationResult result_;
  std::optional<Plan> plan_;  ///< of the day
  uint32_t day_ = 0;
  uint32_t rivals_ = 0;
  std::map<std::string, std::vector<uint32_t>> versions_;  ///< by source: of its partitions
  std::vector<std::map<std::string, Tally>> truths_;       ///< by day and output
  std::set<std::string> refused_;  ///< directories of generations that did not pass their checks
  std::map<std::string, size_t> seen_;  ///< the newest day that stood
};

}  // namespace

Simulation::Simulation(Plan plan, SimulationOptions options)
    : plan_([&] {
        plan.pipeline.directory = kPlace;
        for (Output& output : plan.pipeline.outputs)
          output.parquet_path.value = "published/" + output.name.value;
        // One of them keeps no old generation: what stands must survive that cleaning.
        if (!plan.pipeline.outputs.empty()) plan.pipeline.outputs.front().keep = 0;
        plan.workers = options.workers;
        for (GraphGroup& group : plan.graph.groups)
          group.timeout_us = std::min(group.timeout_us.value_or(kAttemptUsMax), kAttemptUsMax);
        return std::move(plan);
      }()),
      options_(options) {
  SimulationOptions one = options_;
  one.days = 2;
  one.trace = false;
  World world(plan_, one, FaultProfile{}, 0, {});
  usual_.all = world.run().calls / 2;
  usual_.publishing = world.publishing() / 2;
  changes_ = world.changes();
}

SimulationResult Simulation::run_killed(uint64_t change, Loss loss, uint64_t seed) const {
  SimulationOptions two = options_;
  two.days = 2;
  return World(plan_, two, FaultProfile{}, seed, usual_, CrashPoint{change, loss}).run();
}

SimulationResult Simulation::run(const FaultProfile& profile, uint64_t seed) const {
  return World(plan_, options_, profile, seed, usual_).run();
}

}  // namespace tidegate
