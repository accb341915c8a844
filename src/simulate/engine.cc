#include "simulate/engine.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace tidegate {
namespace {

/// A worker that dies while it writes does so within so many calls.
constexpr uint64_t kCallsOfWork = 24;

Failure killed(const std::string& label) {
  return {FailureClass::kLost, "worker.killed",
          fmt::format("the worker of {} was killed from outside (SIGKILL)", label)};
}

Failure stopped(const std::string& why, const std::string& label) {
  if (why == "timeout")
    return {FailureClass::kTimeout, "task.timeout",
            fmt::format("{} took longer than its `timeout`", label)};
  return {FailureClass::kTransient, "task.interrupted", fmt::format("{} was interrupted", label)};
}

}  // namespace

SimulatedEngine::SimulatedEngine(SimulatedMachine& machine, const Plan& plan, uint32_t hosts,
                                 FaultStream& faults, std::function<void(const std::string&)> tell,
                                 std::set<std::string>& refused)
    : machine_(machine),
      plan_(plan),
      hosts_(std::clamp<uint32_t>(hosts, 1, plan.workers)),
      slow_until_us_(hosts_),
      faults_(faults),
      tell_(std::move(tell)),
      refused_(refused),
      workers_(plan.workers),
      deadline_us_(machine.now_us + kRunUsMax) {}

SimulatedEngine::~SimulatedEngine() { shutdown(); }

Status SimulatedEngine::start(uint32_t slots) {
  for (uint32_t slot = 0; slot < std::min<size_t>(slots, workers_.size()); ++slot)
    if (!workers_[slot].process) replace(slot);
  return {};
}

void SimulatedEngine::shutdown() {
  for (Worker& worker : workers_) {
    if (worker.process) worker.process->die();
    worker.attempt.reset();
    worker.process.reset();
  }
  planned_.clear();
}

void SimulatedEngine::replace(uint32_t slot, int64_t after_us) {
  Worker& worker = workers_[slot];
  if (worker.process) worker.process->die();
  worker.attempt.reset();
  worker.process = std::make_unique<SimulatedProcess>(machine_, faults_.random.next());
  worker.ready_us = machine_.now_us + after_us;
  plan(worker.ready_us, {Due::kReady, slot, ++worker.turn, {}});
}

void SimulatedEngine::run(uint32_t slot, const TaskSpec& spec) {
  Worker& worker = workers_[slot];
  TG_ASSERT(!worker.busy);
  if (!worker.process) replace(slot);
  worker.busy = true;
  worker.spec = spec;
  if (worker.ready_us <= machine_.now_us) begin(slot);
}

void SimulatedEngine::begin(uint32_t slot) {
  Worker& worker = workers_[slot];
  const TaskSpec& spec = worker.spec;
  uint64_t rows = 0;
  for (const TaskInput& input : spec.inputs)
    if (input.scan) rows += input.scan->partition.rows;
  const double jitter = 0.5 + faults_.random.share();
  int64_t us =
      static_cast<int64_t>(jitter * static_cast<double>(kTaskUs + static_cast<int64_t>(rows) *
                                                                      kMillionRowsUs / 1'000'000));
  const uint32_t host = place(slot).host;
  if (faults_.hits(FaultKind::kHostSlow)) {
    tell_(fmt::format("host {} is slow", host));
    slow_until_us_[host] = machine_.now_us + kHostSlowUs;
  }
  if (faults_.hits(FaultKind::kWorkerSlow) || machine_.now_us < slow_until_us_[host])
    us *= kSlowTimes;
  const auto soon = [&] {
    return machine_.now_us + static_cast<int64_t>(faults_.random.share() * static_cast<double>(us));
  };
  if (faults_.hits(FaultKind::kHostDies)) plan(soon(), {Due::kHostDeath, slot, 0, {}});
  if (faults_.hits(FaultKind::kHostUnreachable)) plan(soon(), {Due::kHostUnreachable, slot, 0, {}});
  const uint64_t turn = ++worker.turn;
  if (faults_.hits(FaultKind::kWorkerHangs)) {
    tell_(fmt::format("{} hangs", spec.label));
  } else if (faults_.hits(FaultKind::kWorkerDies)) {
    plan(soon(), {Due::kDeath, slot, turn, {}});
  } else {
    plan(machine_.now_us + us, {Due::kEnd, slot, turn, {}});
  }
}

void SimulatedEngine::stop(uint32_t slot, const std::string& why) {
  if (workers_[slot].busy) lose(slot, stopped(why, workers_[slot].spec.label));
}

/// Its worker is gone; another takes the slot.
void SimulatedEngine::lose(uint32_t slot, Failure failure, int64_t after_us) {
  Worker& worker = workers_[slot];
  worker.busy = false;
  failure.where.attempt = worker.spec.attempt;
  replace(slot, after_us);
  events_.push_back(WorkerGone{slot, std::move(failure)});
}

/// All workers of a host are gone: dead, or out of reach. The latter finish what they had, and that
/// is told when others have it.
void SimulatedEngine::lose_host(uint32_t host, bool dies) {
  tell_(fmt::format("host {} {}", host, dies ? "dies" : "is out of reach"));
  for (uint32_t slot = 0; slot < workers_.size(); ++slot) {
    Worker& worker = workers_[slot];
    if (place(slot).host != host || !worker.process) continue;
    const bool works = worker.busy && worker.ready_us <= machine_.now_us;
    if (!dies && works) {
      const auto report = worker.spec.verify ? verify(worker) : work(worker);
      if (report)
        plan(machine_.now_us + static_cast<int64_t>(faults_.random.below(2 * kUnreachableUs)),
             {Due::kEvent, slot, 0, AttemptDone{slot, worker.spec.attempt, *report}});
    }
    const int64_t after_us = dies ? kHostDownUs : kUnreachableUs;
    if (worker.busy)
      lose(slot, killed(worker.spec.label), after_us);
    else
      replace(slot, after_us);
  }
}

Result<std::vector<EngineEvent>> SimulatedEngine::poll(int64_t timeout_us, int) {
  const int64_t until = machine_.now_us + std::max<int64_t>(timeout_us, 0);
  while (events_.empty() && !planned_.empty() && planned_.begin()->first <= until) {
    machine_.now_us = std::max(machine_.now_us, planned_.begin()->first);
    const Planned what = std::move(planned_.begin()->second);
    planned_.erase(planned_.begin());
    happen(what);
  }
  if (events_.empty()) machine_.now_us = std::max(machine_.now_us, until);
  if (machine_.now_us > deadline_us_)
    return fail(FailureClass::kTimeout, "simulate.stuck",
                "the run does not end: nothing has happened that would end it");
  return std::exchange(events_, {});
}

void SimulatedEngine::happen(const Planned& what) {
  if (what.due == Due::kEvent) {
    events_.push_back(*what.event);
    return;
  }
  if (what.due == Due::kHostDeath || what.due == Due::kHostUnreachable)
    return lose_host(place(what.slot).host, what.due == Due::kHostDeath);
  Worker& worker = workers_[what.slot];
  if (worker.turn != what.turn) return;
  switch (what.due) {
    case Due::kReady:
      events_.push_back(WorkerReady{what.slot, static_cast<int64_t>(worker.turn)});
      if (worker.busy) begin(what.slot);
      break;
    case Due::kDeath:
      tell_(fmt::format("the worker of {} dies", worker.spec.label));
      // Half of them while they write.
      if (!worker.spec.verify && faults_.random.below(2) == 0) {
        const uint64_t last = worker.process->calls() + faults_.random.below(kCallsOfWork);
        worker.process->fault = [&worker, last](SimulatedProcess::Call, std::string_view, bool) {
          return worker.process->calls() > last ? SimulatedProcess::kDies : 0;
        };
        (void)work(worker);
      }
      lose(what.slot, killed(worker.spec.label));
      break;
    case Due::kEnd:
      end(what.slot);
      break;
    case Due::kHostDeath:
    case Due::kHostUnreachable:
    case Due::kEvent:
      break;
  }
}

void SimulatedEngine::end(uint32_t slot) {
  Worker& worker = workers_[slot];
  const std::string attempt = worker.spec.attempt;
  const auto failed = [&](Failure failure) {
    failure.where.attempt = attempt;
    worker.busy = false;
    replace(slot);
    events_.push_back(AttemptFailed{slot, attempt, std::move(failure)});
  };
  if (faults_.hits(FaultKind::kTransient)) {
    tell_(worker.spec.label + " fails for a moment");
    return failed({FailureClass::kTransient, "file.too_many_open", "a device says: try again"});
  }
  if (!worker.spec.verify && faults_.hits(FaultKind::kMemory)) {
    tell_(worker.spec.label + " crosses its bound");
    return failed(
        {FailureClass::kMemory, "memory.bound", worker.spec.label + " crossed its bound"});
  }
  auto report = worker.spec.verify ? verify(worker) : work(worker);
  if (!report) return failed(report.error());
  if (!worker.spec.verify) spoil(worker);
  if (faults_.hits(FaultKind::kAnswerLost)) {
    tell_(fmt::format("the worker of {} dies before it says that it is done", worker.spec.label));
    return lose(slot, killed(worker.spec.label));
  }
  worker.busy = false;
  worker.attempt.reset();
  const AttemptDone done{slot, attempt, std::move(*report)};
  if (faults_.hits(FaultKind::kAnswerTwice))
    plan(machine_.now_us + static_cast<int64_t>(faults_.random.below(kTaskUs * 10)),
         {Due::kEvent, slot, 0, done});
  events_.push_back(done);
}

Result<Tally> SimulatedEngine::read_rows(Worker& worker) {
  const TaskSpec& spec = worker.spec;
  uint32_t group = 0;
  while (plan_.graph.groups[group].name != spec.stage ||
         plan_.groups[group].inputs.size() != spec.inputs.size()) {
    ++group;
    TG_ASSERT(group < plan_.groups.size());
  }
  const auto& inputs = plan_.groups[group].inputs;
  const auto units = static_cast<uint32_t>(plan_.graph.groups[group].tasks.size());
  Tally rows;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const TaskInput& input = spec.inputs[i];
    const bool counts = counts_rows(inputs[i], units);
    if (input.scan) {
      if (!counts) continue;
      if (inputs[i].kind == PlanInput::Kind::kPartition)
        rows.add(tally_of(input.scan->partition));
      else
        for (const Partition& partition : plan_.sources[inputs[i].index].partitions)
          rows.add(tally_of(partition));
      continue;
    }
    for (const MapOutputRef& file : input.map_outputs) {
      const auto text = read_file(*worker.process, file.path);
      if (!text) {
        if (!is_not_found(text.error())) return std::unexpected(text.error());
        return fail(FailureClass::kLost, "shuffle.missing",
                    fmt::format("a stored result is missing: \"{}\"", file.path));
      }
      TG_ASSIGN(const auto buckets, tallies_from(*text, file.path));
      for (uint32_t b = input.bucket_begin; b < std::min<size_t>(input.bucket_end, buckets.size());
           ++b)
        if (counts) rows.add(buckets[b]);
    }
  }
  return rows;
}

Result<TaskReport> SimulatedEngine::work(Worker& worker) {
  const TaskSpec& spec = worker.spec;
  TG_ASSIGN(worker.attempt,
            Attempt::begin(*worker.process, *plan_.state, spec.identity, spec.attempt));
  TG_ASSIGN(const Tally rows, read_rows(worker));
  TaskReport report;
  report.rows_in = report.rows_out = rows.rows;
  report.us = kTaskUs;
  IdentityHash digest;
  std::vector<ResultFile> files;
  for (const TaskSink& sink : spec.sinks) {
    std::vector<Tally> buckets;
    const uint32_t count =
        sink.kind == TaskSink::Kind::kMapOutput || sink.kind == TaskSink::Kind::kRanges
            ? sink.buckets
            : 1;
    for (uint32_t b = 0; b < count; ++b) buckets.push_back(bucket_of(rows, b, count));
    const std::string text = to_text(buckets);
    const std::string name =
        sink.by.empty() ? sink.file : fmt::format("value-{}.parquet", spec.partition);
    TG_TRY(write_file(*worker.process, path_join(worker.attempt->directory(), name), text));
    TaskOutputFile file{name, text.size(), rows.rows, hex64(xxh3_64(text))};
    if (!sink.by.empty()) file.label = fmt::format("value={}", spec.partition);
    if (sink.names_buckets)
      for (const Tally& bucket : buckets)
        file.buckets += bucket.rows == 0 ? std::string(kBucketNameDigits, '0') : hex64(bucket.hash);
    digest.add(file.xxh3);
    files.push_back({name, rows.rows, text.size(), file.xxh3});
    report.bytes_written += text.size();
    report.files.push_back(std::move(file));
  }
  report.digest = digest.hex();
  TG_TRY(worker.attempt->seal(std::move(files), rows.rows, to_json(report)));
  return report;
}

Result<TaskReport> SimulatedEngine::verify(Worker& worker) {
  const VerifyWork& work = *worker.spec.verify;
  TaskReport report;
  Tally rows;
  for (const std::string& path : work.files) {
    TG_ASSIGN(const std::string text, read_file(*worker.process, path));
    TG_ASSIGN(const auto tallies, tallies_from(text, path));
    for (const Tally& tally : tallies) rows.add(tally);
  }
  report.rows_in = rows.rows;
  CheckOutcome check;
  check.name = check.kind = "rows";
  check.status = "pass";
  check.total = rows.rows;
  // The same rows fail the same check each time, also where the first answer was lost.
  const bool known = std::ranges::any_of(
      work.files, [&](const std::string& path) { return refused_.contains(path_dirname(path)); });
  if (known || faults_.hits(FaultKind::kCheckFails)) {
    tell_("a check fails");
    for (const std::string& path : work.files) refused_.insert(path_dirname(path));
    check.status = "fail";
    check.failing = 1;
  }
  check.message = fmt::format("{} rows", rows.rows);
  report.checks.push_back(check);
  return report;
}

/// What may happen to a finished result.
void SimulatedEngine::spoil(const Worker& worker) {
  const TaskSpec& spec = worker.spec;
  const std::string directory = result_directory(*plan_.state, spec.identity, spec.attempt);
  SimulatedProcess nature(machine_, 0);
  const auto names = nature.list(directory);
  if (!names || names->empty()) return;
  const std::string& name = (*names)[faults_.random.below(names->size())];
  const std::string path = path_join(directory, name);
  if (faults_.hits(FaultKind::kResultGone)) {
    tell_("a result goes: " + path);
    (void)remove_tree(nature, directory);
  } else if (faults_.hits(FaultKind::kResultCorrupt) || faults_.hits(FaultKind::kResultTruncated)) {
    const bool cut = faults_.random.below(2) == 0;
    tell_(fmt::format("a result is {}: {}", cut ? "cut" : "changed", path));
    (void)nature.chmod(path, 0644);
    const auto raw = nature.open(path, O_RDWR, 0644);
    if (!raw) return;
    const uint64_t size = nature.fstat(*raw)->size;
    const uint64_t at = faults_.random.below(std::max<uint64_t>(size, 1));
    std::byte byte{0};
    (void)nature.pread(*raw, {&byte, 1}, at);
    byte ^= std::byte{0x55};
    if (cut)
      (void)nature.truncate(*raw, at);
    else
      (void)nature.pwrite(*raw, {&byte, 1}, at);
    nature.close(*raw);
    (void)nature.chmod(path, 0444);
  }
}

}  // namespace tidegate
