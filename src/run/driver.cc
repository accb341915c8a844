#include "run/driver.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/planted.h"
#include "base/text.h"
#include "base/units.h"
#include "conductor/conductor.h"
#include "respond/verdicts.h"
#include "run/quarantine.h"
#include "run/tally.h"
#include "store/results.h"

namespace tidegate {
namespace {

constexpr int64_t kCommitEveryUs = 500'000;
constexpr int64_t kPollUs = 100'000;

std::vector<Isolation::Place> places_of(const Engine& engine, uint32_t slots) {
  std::vector<Isolation::Place> places(slots);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const WorkerPlace place = engine.place(slot);
    places[slot] = {place.host, place.domain};
  }
  return places;
}

/// Carries out what the conductor asks for and tells it what happened.
class Driver {
 public:
  Driver(Effects& effects, Plan plan, Journal& journal, RunContext context,
         const RunOptions& options, Reporter& reporter, Engine& engine)
      : effects_(effects),
        plan_(std::move(plan)),
        journal_(journal),
        context_(std::move(context)),
        options_(options),
        reporter_(reporter),
        engine_(engine),
        conductor_(plan_.graph,
                   {.slots = plan_.workers,
                    .seed = options.seed ? options.seed : effects.random_u64(),
                    .host_bytes = plan_.host_bytes,
                    .retry_share = plan_.pipeline.retry_share,
                    .attempt_us_max = options.attempt_us_max > 0 ? options.attempt_us_max
                                                                 : Conductor::kAttemptUsMax,
                    .places = places_of(engine, plan_.workers)}),
        outputs_(effects, plan_, journal, context_),
        tally_(plan_.graph) {
    slot_attempt_.resize(plan_.workers);
  }

  Result<RunSummary> run() {
    TG_TRY(record_plan());
    reporter_.begin(plan_.graph);
    TG_TRY(carry_out(conductor_.begin(effects_.monotonic_us())));
    for (uint32_t slot = 0; slot < plan_.workers; ++slot)
      if (!conductor_.finished()) TG_TRY(tell(SlotReady{slot}));
    // The run and its first tasks are made durable while these begin.
    if (!conductor_.finished()) TG_TRY(journal_.commit());
    while (!conductor_.finished()) TG_TRY(step());
    reporter_.end();
    return finish();
  }

 private:
  Status emit(std::string_view type, const std::string& data) {
    return journal_.append(type, context_.run, data);
  }

  Status record_plan() {
    for (const auto& [key, value] : plan_.facts) {
      TG_ASSIGN(const auto before, journal_.fact(key));
      if (before && *before == value) continue;
      TG_TRY(emit("fact_set",
                  fmt::format(R"({{"key":{},"value":{}}})", quote_json(key), quote_json(value))));
    }
    std::map<std::string, uint32_t> reused;
    for (const GraphTask& task : plan_.graph.tasks) {
      if (task.state != TaskState::kReused) continue;
      ++reused[plan_.graph.groups[task.group].name];
      tally_.reused(task.group);
      if (std::find(plan_.adopted.begin(), plan_.adopted.end(), task.identity) ==
          plan_.adopted.end())
        continue;
      TG_ASSIGN(const auto found, find_result(effects_, *plan_.state, task.identity, task.attempt));
      if (!found) continue;
      TG_TRY(emit("task_adopted", finished_data(task, task.identity, task.attempt, found->data)));
      TG_ASSIGN(const TaskReport report, task_report_from_json(found->data));
      TG_TRY(tell_set_aside(task, report));
    }
    for (const auto& [stage, tasks] : reused)
      TG_TRY(emit("stage_reused",
                  fmt::format(R"({{"stage":{},"tasks":{}}})", quote_json(stage), tasks)));
    return {};
  }

  std::string finished_data(const GraphTask& task, const std::string& identity,
                            const std::string& attempt, const std::string& report) const {
    return fmt::format(R"({{"identity":"{}","attempt":"{}","stage":{},"partition":{},{})", identity,
                       attempt, quote_json(plan_.graph.groups[task.group].name), task.unit,
                       report.substr(1));
  }

  Status step() {
    TG_ASSIGN(auto events, engine_.poll(wait_us(), options_.interrupt_fd));
    TG_TRY(see_interrupts());
    for (const EngineEvent& event : events)
      TG_TRY(std::visit([&](const auto& one) { return on(one); }, event));
    const int64_t now = effects_.monotonic_us();
    if (wake_us_ != 0 && now >= wake_us_) {
      wake_us_ = 0;
      TG_TRY(tell(Tick{}));
    }
    if (journal_.pending_us() > kCommitEveryUs) TG_TRY(journal_.commit());
    reporter_.tick(conductor_.graph());
    return {};
  }

  int64_t wait_us() {
    if (wake_us_ == 0) return kPollUs;
    return std::clamp<int64_t>(wake_us_ - effects_.monotonic_us(), 0, kPollUs);
  }

  Status see_interrupts() {
    if (options_.interrupt_fd < 0) return {};
    char byte;
    while (::read(options_.interrupt_fd, &byte, 1) == 1) {
      if (++interrupts_ == 1) {
        reporter_.say(
            "stopping: what is finished stays, the same command goes on from there "
            "(Ctrl-C again stops at once)");
        TG_TRY(tell(CancelAsked{}));
      } else {
        engine_.shutdown();
        (void)journal_.commit();
        ::_exit(130);
      }
    }
    return {};
  }

  Status tell(const ConductorInput& input) {
    return carry_out(conductor_.handle(input, effects_.monotonic_us()));
  }

  Status carry_out(const std::vector<Action>& actions) {
    for (const Action& action : actions)
      TG_TRY(std::visit([&](const auto& one) { return act(one); }, action));
    return {};
  }

  void end_attempt(const std::string& attempt) {
    const auto found = attempts_.find(attempt);
    if (found == attempts_.end()) return;
    if (found->second.shown)
      reporter_.task_ended(conductor_.graph(), found->second.index, false, 0, 0, 0, 0);
    attempts_.erase(found);
  }

  // What the engine says.

  Status on(const WorkerReady& event) {
    return emit("worker_started",
                fmt::format(R"({{"worker":{},"pid":{}}})", event.slot, event.pid));
  }

  Status on(const WorkerGone& event) {
    TG_TRY(emit("worker_ended", fmt::format(R"({{"worker":{},"reason":{}}})", event.slot,
                                            quote_json(event.failure.message))));
    end_attempt(std::exchange(slot_attempt_[event.slot], ""));
    TG_TRY(tell(SlotLost{event.slot, event.failure}));
    // The engine replaces the worker and holds a task for it meanwhile.
    return tell(SlotReady{event.slot});
  }

  Status on(const AttemptProgress& event) {
    const auto started = attempts_.find(event.attempt);
    if (started == attempts_.end() || started->second.checks) return {};
    const uint32_t task = started->second.index;
    if (started->second.shown) reporter_.task_progress(task, event.progress.rows, event.rss_bytes);
    return tell(TaskProgressed{task, event.attempt, event.progress.rows});
  }

  Status on(const AttemptDone& event) {
    const auto found = attempts_.find(event.attempt);
    if (found == attempts_.end()) {  // said twice
      if (planted(Mistake::kCompletionTwice))
        for (uint32_t task = 0; task < conductor_.graph().tasks.size(); ++task)
          if (conductor_.graph().tasks[task].attempt == event.attempt)
            return tell(TaskFinished{task, event.attempt, event.report.digest});
      return {};
    }
    const Started started = found->second;
    if (started.checks) {
      end_attempt(event.attempt);
      if (!conductor_.awaits_checks(started.index, event.attempt)) return {};
      tally_.saw_worker(event.report.peak_rss);
      TG_ASSIGN(const bool passed,
                outputs_.verified(started.index, event.report.checks,
                                  [&](std::string_view type, const std::string& data) {
                                    return emit(type, data);
                                  }));
      return tell(OutputVerified{started.index, event.attempt, passed});
    }
    const uint32_t index = started.index;
    // Another attempt was first: its result stands for the task, in the journal as well.
    if (!conductor_.awaits(index, event.attempt)) {
      end_attempt(event.attempt);
      return tell(TaskFinished{index, event.attempt, event.report.digest});
    }
    for (auto& [attempt, other] : attempts_)
      if (!other.checks && other.index == index) other.shown = false;
    attempts_.erase(event.attempt);
    const GraphTask& task = conductor_.graph().tasks[index];
    const TaskReport& report = event.report;
    TG_TRY(
        emit("task_finished", finished_data(task, task.identity, event.attempt, to_json(report))));
    TG_TRY(tell_set_aside(task, report));
    tally_.ran(task.group, report);
    reporter_.task_ended(conductor_.graph(), index, true, report.rows_in, report.bytes_read,
                         report.bytes_spilled, report.us);
    return tell(TaskFinished{index, event.attempt, report.digest, bucket_names(report)});
  }

  /// Rows that were set aside: told, and counted once where every task of a group reads the whole
  /// source.
  Status tell_set_aside(const GraphTask& task, const TaskReport& report) {
    for (const TaskSourceCount& count : report.sources) {
      if (count.set_aside == 0) continue;
      for (const PlanInput& input : plan_.groups[task.group].inputs) {
        const bool part = input.kind == PlanInput::Kind::kPartition;
        if ((!part && input.kind != PlanInput::Kind::kSourceWhole) ||
            plan_.sources[input.index].source != count.source)
          continue;
        if (!part && task.unit != 0) continue;
        if (part &&
            (task.unit < input.unit_begin || task.unit - input.unit_begin >= input.unit_count))
          continue;
        summary_.rows_quarantined += count.set_aside;
        TG_TRY(emit(
            "rows_quarantined",
            fmt::format(
                R"({{"source":{},"file":{},"rows":{},"share":{:.6g},"samples":[{}]}})",
                quote_json(count.source),
                quote_json(part ? partitions_of(plan_, input)[task.unit - input.unit_begin].label
                                : std::string("all of it")),
                count.set_aside,
                static_cast<double>(count.set_aside) / static_cast<double>(count.rows),
                join(count.samples, ","))));
        break;
      }
    }
    return {};
  }

  Status on(const AttemptFailed& event) {
    const auto found = attempts_.find(event.attempt);
    if (found == attempts_.end()) return {};
    const Started started = found->second;
    end_attempt(event.attempt);
    if (started.checks) {
      reporter_.say(fmt::format("checks of {} could not run: {}",
                                plan_.pipeline.outputs[started.index].name.value,
                                event.failure.message));
      return tell(VerifyBroke{started.index, event.attempt, event.failure});
    }
    const uint32_t index = started.index;
    std::optional<uint32_t> producer;
    if (event.failure.cls == FailureClass::kLost)
      producer = task_of_path(conductor_.graph(), event.failure.message);
    return tell(TaskBroke{index, event.attempt, event.failure, producer});
  }

  // What the conductor wants.

  Status act(const StartTask& action) {
    const GraphTask& task = conductor_.graph().tasks[action.task];
    TG_ASSIGN(TaskSpec spec,
              make_task_spec(plan_, conductor_.graph(), action.task, action.attempt, action.parts));
    spec.memory_bytes = action.memory_bytes;
    TG_TRY(emit(
        "task_started",
        fmt::format(R"({{"identity":"{}","attempt":"{}","stage":{},"partition":{},"worker":{}{}}})",
                    action.identity, action.attempt, quote_json(spec.stage), task.unit, action.slot,
                    action.backup ? R"(,"backup":true)" : "")));
    if (action.backup)
      reporter_.say(
          fmt::format("{}: late against its siblings, a second attempt begins", task.label));
    attempts_[action.attempt] = {action.task, false, !action.backup};
    slot_attempt_[action.slot] = action.attempt;
    if (!action.backup) reporter_.task_started(conductor_.graph(), action.task);
    engine_.run(action.slot, spec);
    return {};
  }

  Status act(const StopSlot& action) {
    engine_.stop(action.slot, action.why);
    return {};
  }

  Status act(const LookUp& action) {
    LookedUp answer{action.task, false, "", ""};
    TG_ASSIGN(const auto head, journal_.result(action.identity));
    if (head) {
      TG_ASSIGN(const bool stands,
                has_result(effects_, *plan_.state, action.identity, head->attempt));
      if (stands) {
        TG_ASSIGN(const TaskReport report, task_report_from_json(head->data));
        answer = {action.task, true, head->attempt, report.digest, bucket_names(report)};
      }
    } else {
      TG_ASSIGN(const auto found, adopt_result(effects_, *plan_.state, action.identity));
      if (found) {
        TG_ASSIGN(const TaskReport report, task_report_from_json(found->data));
        answer = {action.task, true, found->attempt, report.digest, bucket_names(report)};
        const GraphTask& task = conductor_.graph().tasks[action.task];
        TG_TRY(emit("task_adopted",
                    finished_data(task, action.identity, found->attempt, found->data)));
        TG_TRY(tell_set_aside(task, report));
      }
    }
    if (answer.found) tally_.reused(conductor_.graph().tasks[action.task].group);
    return tell(answer);
  }

  Status act(const StageOutput& action) {
    TG_ASSIGN(OutputStaged staged,
              outputs_.stage(action.output, conductor_.graph(),
                             [&](std::string_view type, const std::string& data) {
                               return emit(type, data);
                             }));
    if (staged.failure && staged.failure->cls == FailureClass::kLost)
      staged.lost_producer = task_of_path(conductor_.graph(), staged.failure->message);
    if (staged.failure)
      reporter_.say(fmt::format("{}: {} ({}, {})", plan_.pipeline.outputs[action.output].name.value,
                                staged.failure->message, staged.failure->code,
                                to_string(staged.failure->cls)));
    return tell(staged);
  }

  Status act(const VerifyOutput& action) {
    TG_ASSIGN(TaskSpec spec,
              outputs_.verify_spec(action.output, conductor_.graph(), action.attempt));
    attempts_[action.attempt] = {action.output, true, false};
    slot_attempt_[action.slot] = action.attempt;
    engine_.run(action.slot, spec);
    return {};
  }

  Status act(const CommitOutputs& action) {
    const auto emit_event = [&](std::string_view type, const std::string& data) {
      return emit(type, data);
    };
    for (const OutputCommitted& committed : outputs_.commit(action.outputs, emit_event)) {
      const std::string& name = plan_.pipeline.outputs[committed.output].name.value;
      if (!committed.failure)
        reporter_.say(fmt::format("published {}", name));
      else
        TG_TRY(emit("output_refused",
                    fmt::format(R"({{"output":{},"reasons":[{}]}})", quote_json(name),
                                quote_json(committed.failure->message))));
      TG_TRY(tell(committed));
    }
    return {};
  }

  Status act(const DropStaged& action) {
    const auto& failure = conductor_.output_failure(action.output);
    const std::string why = failure           ? failure->message
                            : interrupts_ > 0 ? "the run was interrupted"
                                              : "another output of the set was refused";
    return outputs_.drop(action.output, why, [&](std::string_view type, const std::string& data) {
      return emit(type, data);
    });
  }

  Status act(const WakeAt& action) {
    if (wake_us_ == 0 || action.us < wake_us_) wake_us_ = std::max<int64_t>(action.us, 1);
    return {};
  }

  Status act(const RecordFailure& action) {
    const GraphTask& task = conductor_.graph().tasks[action.task];
    summary_.failures.push_back(action.failure);
    if (failed_us_ == 0) failed_us_ = effects_.now_us();
    reporter_.say(fmt::format("{}: {} ({}, {})", task.label, action.failure.message,
                              action.failure.code, to_string(action.failure.cls)));
    return emit(
        "task_failed",
        fmt::format(
            R"({{"identity":"{}","attempt":"{}","stage":{},"partition":{},"class":"{}","code":{},)"
            R"("message":{}}})",
            task.identity, action.attempt, quote_json(plan_.graph.groups[task.group].name),
            task.unit, to_string(action.failure.cls), quote_json(action.failure.code),
            quote_json(action.failure.describe())));
  }

  Status act(const RecordRetry& action) {
    const GraphTask& task = conductor_.graph().tasks[action.task];
    const bool larger = action.failure.cls == FailureClass::kMemory && action.memory_bytes > 0;
    const bool split = action.failure.cls == FailureClass::kMemory && !larger;
    reporter_.say(
        split    ? fmt::format("{}: again in {} parts", task.label, action.parts)
        : larger ? fmt::format("{}: again with {}, declare that as its `memory`", task.label,
                               format_size(action.memory_bytes))
                 : fmt::format("{}: again in {}", task.label, format_duration_us(action.delay_us)));
    return emit(
        "task_retried",
        fmt::format(R"({{"identity":"{}","delay_us":{},"number":{},"class":"{}","tokens":{}{}{}}})",
                    task.identity, action.delay_us, action.number, to_string(action.failure.cls),
                    action.tokens,
                    action.parts > 1 ? fmt::format(R"(,"parts":{})", action.parts) : "",
                    larger ? fmt::format(R"(,"memory_bytes":{})", action.memory_bytes) : ""));
  }

  Status act(const RecordIsolation& action) {
    constexpr std::string_view kRungs[] = {"worker", "host", "domain"};
    const std::string_view rung = kRungs[static_cast<size_t>(action.closed.rung)];
    const int64_t for_us = action.closed.until_us - effects_.monotonic_us();
    reporter_.say(fmt::format("{} {} gets no work for {}: {}", rung, action.closed.index,
                              format_duration_us(for_us), action.failure.message));
    return emit("isolated",
                fmt::format(R"({{"rung":"{}","index":{},"for_us":{},"reason":{}}})", rung,
                            action.closed.index, for_us, quote_json(action.failure.message)));
  }

  Status act(const Finish& action) {
    summary_.state = action.state;
    return {};
  }

  Result<RunSummary> finish() {
    engine_.shutdown();
    // What killed workers had spilled may be much, and the next run may be far.
    (void)clean_spill(effects_, *plan_.state);
    RunSummary& summary = summary_;
    summary.run = context_.run;
    summary.us = effects_.monotonic_us() - context_.started_us;
    summary.tasks_ran = conductor_.tasks_run();
    summary.tasks_retried = conductor_.tasks_retried();
    summary.workers = plan_.workers;
    summary.peak_worker_bytes = engine_.peak_worker_bytes();
    tally_.tell(summary);
    summary.peak_total_bytes = engine_.peak_total_bytes();
    for (const GraphGroup& group : plan_.graph.groups)
      summary.bound_bytes = std::max(summary.bound_bytes, group.memory_bytes);
    for (uint32_t o = 0; o < plan_.pipeline.outputs.size(); ++o)
      summary.outputs.push_back(
          outputs_.summary(o, conductor_.output_state(o), conductor_.output_failure(o)));
    if (summary.state == "interrupted") {
      TG_TRY(emit("run_interrupted", "{}"));
    } else {
      TG_TRY(record_incidents());
      TG_TRY(record_quarantine(effects_, plan_, conductor_.graph(), journal_, context_.run));
      TG_TRY(emit("run_finished", run_finished_data(summary)));
    }
    TG_TRY(journal_.commit());
    summary.journal = journal_.cost();
    return summary;
  }

  Status record_incidents() {
    Responder by{effects_, journal_, context_.state_id, context_.fence, context_.run};
    for (uint32_t o = 0; o < plan_.pipeline.outputs.size(); ++o) {
      const OutputState state = conductor_.output_state(o);
      const OutputSummary& said = summary_.outputs[o];
      const Output& output = plan_.pipeline.outputs[o];
      OutputEnd end{.output = said.output,
                    .pipeline = plan_.pipeline.name.value,
                    .run = context_.run,
                    .healed = state == OutputState::kPublished || state == OutputState::kUnchanged,
                    .failed_us = failed_us_,
                    .generation = said.generation};
      if (state == OutputState::kRefused || state == OutputState::kFailed)
        end.failure = conductor_.output_failure(o).value_or(
            Failure{FailureClass::kData, "check.failed", said.reason});
      TG_ASSIGN(const Response done,
                respond_to_run(by, output, output_place(plan_.pipeline, output).root, end));
      if (!done.said.empty()) reporter_.say(fmt::format("{}: {}", said.output, done.said));
    }
    return {};
  }

  Effects& effects_;
  Plan plan_;
  Journal& journal_;
  RunContext context_;
  const RunOptions& options_;
  Reporter& reporter_;
  Engine& engine_;
  Conductor conductor_;
  Outputs outputs_;
  RunSummary summary_;
  RunTally tally_;
  struct Started {
    uint32_t index;  ///< of the task, or of the output whose checks run
    bool checks;
    bool shown;  ///< among what runs
  };
  std::map<std::string, Started> attempts_;  ///< that have not ended
  std::vector<std::string> slot_attempt_;    ///< "": none
  int64_t wake_us_ = 0;
  int64_t failed_us_ = 0;  ///< the first failure, on the wall clock
  int interrupts_ = 0;
};

}  // namespace

Result<RunSummary> drive(Effects& effects, Plan plan, Journal& journal, RunContext context,
                         const RunOptions& options, Reporter& reporter, Engine& engine) {
  return Driver(effects, std::move(plan), journal, std::move(context), options, reporter, engine)
      .run();
}

}  // namespace tidegate
