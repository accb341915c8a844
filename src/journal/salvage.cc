#include "journal/salvage.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "journal/database.h"
#include "journal/heads.h"
#include "journal/store.h"

namespace tidegate {
namespace {

constexpr int kDamagedNamesMax = 1000;

/// A free name for the damaged file, taken by link(2) so that two never share one.
Result<std::string> keep_aside(Effects& effects, const std::string& path) {
  for (int i = 1; i <= kDamagedNamesMax; ++i) {
    std::string name = fmt::format("{}.damaged-{}", path, i);
    auto linked = effects.link(path, name);
    if (linked) return name;
    if (!is_exists(linked.error())) return std::unexpected(linked.error());
  }
  return fail(FailureClass::kDisk, "journal.corrupt",
              fmt::format("{} damaged journals lie beside \"{}\" already: remove some",
                          kDamagedNamesMax, path));
}

Status unlink_if_there(Effects& effects, const std::string& path) {
  auto done = effects.unlink(path);
  if (!done && !is_not_found(done.error())) return done;
  return {};
}

/// The proven events of `from` in a new journal at `to`, and the event that says so.
Result<ProvenCopy> write_recovered(Effects& effects, Database& from, const std::string& to,
                                   const std::string& damaged_name) {
  TG_ASSIGN(auto target, Database::open(effects, to, Database::Mode::kWrite));
  TG_ASSIGN(Transaction transaction, Transaction::begin(*target, true));
  TG_TRY(create_journal_tables(*target));
  TG_ASSIGN(ProvenCopy copied, copy_proven_events(from, *target));
  if (copied.wrong.empty()) copied.wrong = "no event, but the tables derived from them";
  Event recovered;
  recovered.sequence = copied.events + 1;
  recovered.time_us = effects.now_us();
  recovered.type = "journal_recovered";
  recovered.data = fmt::format(R"({{"lost":{},"kept_events":{},"damaged_file":{}}})",
                               quote_json(copied.wrong), copied.events, quote_json(damaged_name));
  const std::string hash = chain_hash(copied.hash, recovered);
  EventStore events(*target);
  Heads heads(*target);
  TG_TRY(events.insert(recovered, hash));
  TG_TRY(heads.apply(recovered));
  TG_TRY(heads.set_mark({recovered.sequence, hash,
                         std::max(copied.newest_time_us, recovered.time_us), Heads::kVersion}));
  TG_TRY(transaction.commit());
  return copied;
}

}  // namespace

Result<ProvenCopy> copy_proven_events(Database& from, Database& to) {
  EventStore source(from);
  EventStore events(to);
  Heads heads(to);
  ProvenCopy copied;
  copied.hash = chain_genesis();
  const auto copy = [&](const Event& event, const std::string& hash) -> Status {
    TG_TRY(events.insert(event, hash));
    TG_TRY(heads.apply(event));
    copied.events = event.sequence;
    copied.hash = hash;
    copied.newest_time_us = std::max(copied.newest_time_us, event.time_us);
    return {};
  };
  TG_ASSIGN(copied.wrong, source.each_proven(copy));
  TG_TRY(heads.set_mark({copied.events, copied.hash, copied.newest_time_us, Heads::kVersion}));
  return copied;
}

Status create_journal_tables(Database& database) {
  EventStore events(database);
  Heads heads(database);
  TG_TRY(events.create_table());
  TG_TRY(heads.create_tables());
  TG_TRY(heads.set_mark({0, chain_genesis(), 0, Heads::kVersion}));
  return database.execute(fmt::format("PRAGMA user_version={}; PRAGMA application_id={}",
                                      kJournalVersion, kJournalApplicationId)
                              .c_str());
}

Result<Salvage> salvage_journal(Effects& effects, const std::string& path) {
  auto hopeless = [&](Failure cause) {
    return fail_because(std::move(cause), "journal.corrupt",
                        fmt::format("nothing can be read from the journal: move it away and run "
                                    "\"tidegate audit\" for each output: \"{}\"",
                                    path));
  };
  auto damaged = Database::open(effects, path, Database::Mode::kSalvage);
  if (!damaged) return hopeless(damaged.error());
  auto readable = (*damaged)->number("SELECT sequence FROM events ORDER BY sequence LIMIT 1");
  if (!readable) return hopeless(readable.error());

  const std::string fresh = fmt::format("{}.new-{}", path, hex64(effects.random_u64()));
  TG_ASSIGN(const std::string aside, keep_aside(effects, path));
  auto copied = write_recovered(effects, **damaged, fresh, path_basename(aside));
  damaged->reset();
  if (!copied) {
    (void)unlink_if_there(effects, fresh);
    (void)unlink_if_there(effects, fresh + "-journal");
    (void)unlink_if_there(effects, aside);
    return std::unexpected(copied.error());
  }
  TG_TRY(unlink_if_there(effects, fresh + "-journal"));
  // A rollback journal left here belongs to the damaged file and would be played into the new one.
  TG_TRY(unlink_if_there(effects, path + "-journal"));
  TG_TRY(fsync_path(effects, path_dirname(path)));
  TG_TRY(effects.rename(fresh, path));
  TG_TRY(fsync_path(effects, path_dirname(path)));
  Salvage salvage;
  salvage.kept_events = copied->events;
  salvage.lost = copied->wrong;
  salvage.damaged_file = aside;
  return salvage;
}

}  // namespace tidegate
