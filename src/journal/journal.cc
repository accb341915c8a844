#include "journal/journal.h"

#include <fmt/format.h>

#include "base/text.h"
#include "journal/salvage.h"
#include "journal/stored_journal.h"

namespace tidegate {
namespace {

using Mode = Journal::Mode;

/// What an existing file is, before anything is believed of it.
enum class FileKind : uint8_t { kEmpty, kJournal };

Result<FileKind> look(Database& database) {
  TG_ASSIGN(const int64_t version, database.number("PRAGMA user_version"));
  TG_ASSIGN(const int64_t application, database.number("PRAGMA application_id"));
  TG_ASSIGN(const int64_t tables, database.number("SELECT count(*) FROM sqlite_schema"));
  if (version == 0 && application == 0 && tables == 0) return FileKind::kEmpty;
  if (application != kJournalApplicationId)
    return fail(
        FailureClass::kData, "journal.foreign",
        fmt::format("this SQLite file is not a journal of tidegate: \"{}\"", database.path()));
  if (version > kJournalVersion)
    return fail(FailureClass::kDependency, "journal.newer",
                fmt::format("the journal was written by a newer tidegate (its version is {}, this "
                            "program knows {}): \"{}\"",
                            version, kJournalVersion, database.path()));
  return FileKind::kJournal;
}

/// Results in the state directory say that there was a journal once.
bool had_journal(Effects& effects, const std::string& state_dir) {
  auto names = effects.list(path_join(state_dir, "results"));
  return names && !names->empty();
}

bool is_corrupt(const Failure& failure) { return failure.code == "journal.corrupt"; }

/// The journal in that file; null if the file holds nothing yet.
Result<std::unique_ptr<StoredJournal>> open_file(Effects& effects, const std::string& path,
                                                 Mode mode) {
  const auto database_mode = mode == Mode::kWrite ? Database::Mode::kWrite : Database::Mode::kRead;
  TG_ASSIGN(auto database, Database::open(effects, path, database_mode));
  TG_ASSIGN(const FileKind kind, look(*database));
  if (kind == FileKind::kEmpty) return nullptr;
  auto journal = std::make_unique<StoredJournal>(effects, std::move(database), mode);
  TG_TRY(journal->load());
  return journal;
}

/// A journal in memory with the proven events of the file, and why not all ("" if all).
Result<std::unique_ptr<StoredJournal>> load_into_memory(Effects& effects, const std::string& path,
                                                        std::string& lost) {
  TG_ASSIGN(auto from, Database::open(effects, path, Database::Mode::kSalvage));
  TG_ASSIGN(auto target, Database::open(effects, path, Database::Mode::kMemory));
  TG_ASSIGN(Transaction transaction, Transaction::begin(*target, true));
  TG_TRY(create_journal_tables(*target));
  TG_ASSIGN(ProvenCopy copied, copy_proven_events(*from, *target));
  TG_TRY(transaction.commit());
  auto journal = std::make_unique<StoredJournal>(effects, std::move(target), Mode::kRead);
  TG_TRY(journal->load());
  lost = copied.wrong;
  return journal;
}

std::unexpected<Failure> nothing_readable(const Failure& cause, const std::string& path) {
  return fail_because(cause, "journal.corrupt",
                      fmt::format("nothing can be read from the journal: move it away and run "
                                  "\"tidegate audit\" for each output: \"{}\"",
                                  path));
}

Result<std::unique_ptr<Journal>> open_reader(Effects& effects, const std::string& path) {
  auto missing = [&](const std::string& why) -> Result<std::unique_ptr<Journal>> {
    TG_ASSIGN(auto journal, empty_journal(effects));
    journal->note_damage(why);
    return journal;
  };
  if (!exists(effects, path)) return missing(fmt::format("there is no journal: \"{}\"", path));
  auto opened = open_file(effects, path, Mode::kRead);
  if (!opened && !is_corrupt(opened.error())) return std::unexpected(opened.error());
  if (opened && !*opened) return missing(fmt::format("the journal is empty: \"{}\"", path));
  if (opened && (*opened)->heads_current()) return std::move(*opened);
  // Damaged, or with heads derived by the rules of another version: derive them in memory.
  std::string lost;
  auto copy = load_into_memory(effects, path, lost);
  if (!copy) {
    if (is_corrupt(copy.error())) return nothing_readable(copy.error(), path);
    return std::unexpected(copy.error());
  }
  if (opened) {
    if (!lost.empty()) (*copy)->note_damage(lost);
    return std::move(*copy);
  }
  if ((*copy)->last_sequence() == 0) return nothing_readable(opened.error(), path);
  (*copy)->note_damage(lost.empty() ? opened.error().message : lost);
  return std::move(*copy);
}

Result<bool> has_tables(Database& database) {
  TG_ASSIGN(Statement s, database.prepare("SELECT count(*) FROM sqlite_master"));
  TG_ASSIGN(const bool row, s.step());
  return row && s.integer(0) > 0;
}

/// A new journal; if there are results of an older one, it says that the events are lost. One that
/// slept since it found none may find that another has made it.
Result<std::unique_ptr<Journal>> create_journal(Effects& effects, const std::string& state_dir,
                                                const std::string& path) {
  bool made_by_another = false;
  {
    TG_ASSIGN(auto database, Database::open(effects, path, Database::Mode::kWrite));
    TG_ASSIGN(Transaction transaction, Transaction::begin(*database, true));
    TG_ASSIGN(made_by_another, has_tables(*database));
    if (!made_by_another) TG_TRY(create_journal_tables(*database));
    TG_TRY(transaction.commit());
  }
  TG_ASSIGN(auto journal, open_file(effects, path, Mode::kWrite));
  TG_ASSERT(journal != nullptr);
  if (!made_by_another && had_journal(effects, state_dir)) {
    const std::string lost = "all events: results are there, but the journal was gone";
    TG_TRY(journal->append("journal_recovered", "",
                           fmt::format(R"({{"lost":{},"kept_events":0}})", quote_json(lost))));
    TG_TRY(journal->commit());
    journal->note_damage(lost);
  }
  return journal;
}

/// Reads what verdicts rest on, wherever in the chain it stands: a writer that goes on with a
/// broken record could never prove it again.
void prove_outputs(StoredJournal& journal) {
  const auto names = journal.output_names();
  if (!names) return;
  for (const std::string& name : *names)
    if (auto head = journal.output_head(name); !head) return;  // noted as damage
}

Result<std::unique_ptr<Journal>> open_writer(Effects& effects, const std::string& state_dir,
                                             const std::string& path) {
  if (!exists(effects, state_dir)) {
    TG_TRY(make_directories(effects, state_dir));
    TG_TRY(fsync_parents(effects, state_dir));
  }
  auto opened = open_file(effects, path, Mode::kWrite);
  if (!opened && !is_corrupt(opened.error())) return std::unexpected(opened.error());
  if (opened && !*opened) return create_journal(effects, state_dir, path);
  if (opened && (*opened)->heads_current()) prove_outputs(**opened);
  if (opened && (*opened)->damage().empty()) {
    if (!(*opened)->heads_current()) TG_TRY((*opened)->rebuild_heads());
    return std::move(*opened);
  }
  if (opened) opened->reset();
  TG_ASSIGN(const Salvage salvage, salvage_journal(effects, path));
  TG_ASSIGN(auto journal, open_file(effects, path, Mode::kWrite));
  TG_ASSERT(journal != nullptr);
  journal->note_damage(fmt::format("{}; {} events were kept, the damaged file is \"{}\"",
                                   salvage.lost, salvage.kept_events, salvage.damaged_file));
  return journal;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(Effects& effects, const std::string& state_dir,
                                               Mode mode) {
  const std::string path = path_join(state_dir, "journal.db");
  return mode == Mode::kRead ? open_reader(effects, path) : open_writer(effects, state_dir, path);
}

}  // namespace tidegate
