#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "journal/database.h"
#include "journal/heads.h"
#include "journal/journal.h"
#include "journal/store.h"

namespace tidegate {

/// The journal of one state directory: a buffer of events in front of one SQLite file.
///
/// Between commits no lock is held: appended events wait in memory. A commit writes them, what they
/// mean for the heads and the mark (where chain and heads stand) in one transaction. The mark also
/// answers the question that a failed commit leaves open: if it stands where the failed commit
/// would have put it, the commit had reached the disk; if where it was before, it had not.
class StoredJournal final : public Journal {
 public:
  StoredJournal(Effects& effects, std::unique_ptr<Database> database, Mode mode)
      : effects_(effects), db_(std::move(database)), mode_(mode), events_(*db_), heads_(*db_) {}

  /// Reads where chain and heads stand, and looks for damage at the end of the chain.
  Status load();
  /// For a journal in memory whose events have gaps: there is no chain to prove rows by.
  void trust_rows() { verify_rows_ = false; }
  /// True if the heads were derived by the rules of this program.
  bool heads_current() const { return committed_.version == Heads::kVersion; }
  void note_damage(std::string what) {
    if (damage_.empty()) damage_ = std::move(what);
  }

  Status append(std::string_view type, std::string_view run, std::string_view data) override;
  void observe(std::function<void(const Event&)> seen) override { seen_ = std::move(seen); }
  Status commit() override;
  int64_t pending_us() const override;
  JournalCost cost() const override;
  const std::string& damage() const override { return damage_; }
  Status verify_chain() override;
  Status rebuild_heads() override;
  uint64_t last_sequence() override;
  int64_t newest_time_us() override;
  Status each_event(uint64_t after, std::string_view run,
                    const std::function<bool(const Event&)>& visit) override;
  Result<std::vector<Event>> events(const EventQuery& query) override;
  Result<std::optional<ResultHead>> result(std::string_view identity) override;
  Result<std::vector<std::optional<ResultHead>>> results(
      const std::vector<std::string>& identities) override;
  Result<std::vector<RunHead>> runs(size_t most) override {
    RunQuery query;
    query.most = most;
    return runs(query);
  }
  Result<std::vector<RunHead>> runs(const RunQuery& query) override;
  Result<std::optional<RunHead>> run(std::string_view run) override;
  Result<std::optional<RunHead>> unfinished_run(std::string_view pipeline) override;
  Result<std::vector<IncidentHead>> incidents(const IncidentQuery& query) override;
  Result<std::vector<QuarantineHead>> quarantine(const QuarantineQuery& query) override;
  Result<std::vector<std::string>> output_names() override;
  Result<std::optional<std::string>> output_record(std::string_view output) override;
  Result<std::vector<std::string>> generation_records(std::string_view output) override;
  Result<std::optional<OutputHead>> output_head(std::string_view output) override;
  Result<std::optional<std::string>> generation_record(std::string_view output,
                                                       std::string_view generation) override;
  Result<std::vector<std::string>> rejected_identities(std::string_view output) override;
  Result<std::unique_ptr<Journal>> as_of(int64_t at_us) override;
  Result<std::optional<std::string>> fact(std::string_view key) override;

 private:
  std::function<void(const Event&)> seen_;
  struct Pending {
    Event event;
    std::string hash;
  };

  /// What a buffered event means for the lookups that must not wait for a commit.
  void overlay(const Event& event);
  Status write_pending();
  Status commit_before_query() { return pending_.empty() ? Status{} : commit(); }
  /// Runs `query` in one read transaction; corruption met there is remembered as damage.
  template <typename Query>
  auto reading(Query query) -> decltype(query());
  Result<std::optional<ResultHead>> stored_result(std::string_view identity);
  Result<RunHead> run_head(const Heads::RunRow& row);
  Result<std::string> data_at(uint64_t sequence);
  /// The events that a row came from are as the chain says; nothing to say if rows are trusted.
  Status prove(uint64_t sequence);

  Effects& effects_;
  std::unique_ptr<Database> db_;
  Mode mode_;
  EventStore events_;
  Heads heads_;
  bool verify_rows_ = true;
  std::string damage_;
  Heads::Mark committed_;  ///< as in the file
  Heads::Mark appended_;   ///< with what is pending
  std::vector<Pending> pending_;
  int64_t pending_since_us_ = 0;
  std::unordered_map<std::string, std::optional<ResultHead>> pending_results_;
  std::unordered_map<std::string, std::string> pending_facts_;
  JournalCost cost_;
};

/// A journal in memory with tables and no events.
Result<std::unique_ptr<StoredJournal>> empty_journal(Effects& effects);

}  // namespace tidegate
