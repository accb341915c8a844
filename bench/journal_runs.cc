// Appends the events of N finished runs to a state directory's journal: bench/run's `trust` needs a
// journal with 10,000 runs, and making them for real would take a day.
#include <fmt/format.h>

#include <cstdlib>

#include "base/effects.h"
#include "base/hash.h"
#include "journal/journal.h"

int main(int argc, char** argv) {
  using namespace tidegate;
  if (argc != 3) {
    fmt::print(stderr, "usage: journal_runs STATE_DIR N\n");
    return 2;
  }
  auto journal = Journal::open(real_effects(), argv[1], Journal::Mode::kWrite);
  if (!journal) {
    fmt::print(stderr, "{}\n", journal.error().describe());
    return 1;
  }
  const auto add = [&](const char* type, const std::string& run, const std::string& data) {
    if (const Status status = (*journal)->append(type, run, data); !status) {
      fmt::print(stderr, "{}\n", status.error().describe());
      std::exit(1);
    }
  };
  constexpr int kTasks = 5, kRunsACommit = 500;
  const int runs = std::atoi(argv[2]);
  for (int n = 0; n < runs; ++n) {
    const std::string run = fmt::format("history-{:06}", n);
    add("run_started", run,
        R"({"pipeline":"history","file":"h.yaml","run_time_us":1,"workers":2,"memory_bytes":1})");
    for (int task = 0; task < kTasks; ++task) {
      const std::string identity = IdentityHash().add(run).add(static_cast<uint64_t>(task)).hex();
      add("task_started", run,
          fmt::format(R"({{"identity":"{}","attempt":"a","stage":"s","partition":{}}})", identity,
                      task));
      add("task_finished", run,
          fmt::format(R"({{"identity":"{}","attempt":"a","stage":"s","partition":{},"us":1000}})",
                      identity, task));
    }
    add("run_finished", run, R"({"state":"succeeded","tasks":{"ran":5,"reused":0,"retried":0}})");
    if (n % kRunsACommit == kRunsACommit - 1)
      if (const Status status = (*journal)->commit(); !status) return 1;
  }
  return (*journal)->commit() ? 0 : 1;
}
