#include "journal/stored_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/planted.h"
#include "journal/event_data.h"
#include "journal/events.h"
#include "journal/salvage.h"

namespace tidegate {
namespace {

/// Events that may wait for a commit: a run commits long before.
constexpr size_t kPendingMax = 1'000'000;
constexpr size_t kEventBytesMax = size_t{16} << 20;
constexpr size_t kPageEvents = 1000;

/// An entry of the quarantine by its event and the newest that told of its rows. Fields that are
/// not of their type are as if absent.
QuarantineHead quarantine_head(const Heads::QuarantineRow& row, const std::string& opened_data,
                               const std::string& told_data) {
  using nlohmann::json;
  const auto object = [](const std::string& text) {
    json value = json::parse(text, nullptr, false);
    return value.is_object() ? value : json::object();
  };
  const auto text = [](const json& from, const char* key) {
    const auto at = from.find(key);
    return at != from.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  const auto list = [](const json& from, const char* key) {
    const auto at = from.find(key);
    return at != from.end() && at->is_array() ? *at : json::array();
  };
  const json opened = object(opened_data), told = object(told_data);
  QuarantineHead head{.entry = row.entry,
                      .pipeline = row.pipeline,
                      .source = text(opened, "source"),
                      .file = text(opened, "file"),
                      .identity = text(opened, "identity"),
                      .state = row.state,
                      .opened_us = row.opened_us,
                      .changed_us = row.changed_us,
                      .stage = text(told, "stage")};
  const auto rows = told.find("rows");
  if (rows != told.end() && rows->is_number_unsigned()) head.rows = rows->get<uint64_t>();
  for (const json& task : list(told, "tasks"))
    if (task.is_string()) head.tasks.push_back(task.get<std::string>());
  for (const json& sample : list(told, "samples"))
    head.samples.push_back(sample.dump(-1, ' ', false, json::error_handler_t::replace));
  return head;
}

}  // namespace

template <typename Query>
auto StoredJournal::reading(Query query) -> decltype(query()) {
  if (auto written = commit_before_query(); !written) return std::unexpected(written.error());
  auto transaction = Transaction::begin(*db_, false);
  if (!transaction) return std::unexpected(transaction.error());
  auto answer = query();
  if (!answer && answer.error().code == "journal.corrupt") note_damage(answer.error().message);
  return answer;
}

Status StoredJournal::load() {
  TG_ASSIGN(Transaction transaction, Transaction::begin(*db_, false));
  TG_ASSIGN(committed_, heads_.mark());
  TG_ASSIGN(const EventStore::Tail tail, events_.tail());
  TG_ASSIGN(const std::string wrong, events_.check_tail(kTailEvents));
  if (!wrong.empty()) {
    note_damage(wrong);
  } else if (tail.sequence != committed_.sequence || tail.hash != committed_.hash) {
    note_damage(fmt::format("the events end at {}, but the heads were derived from {}",
                            tail.sequence, committed_.sequence));
  }
  appended_ = committed_;
  return transaction.commit();
}

Status StoredJournal::append(std::string_view type, std::string_view run, std::string_view data) {
  if (mode_ != Mode::kWrite)
    return fail(FailureClass::kDefect, "journal.read_only", "the journal was opened for reading");
  TG_TRY(check_event(type, data));
  TG_TRY(check_applicable(type, data));
  if (data.size() > kEventBytesMax)
    return fail(
        FailureClass::kDefect, "journal.bad_event",
        fmt::format("a {} event is larger than {} bytes: {}", type, kEventBytesMax, data.size()));
  if (pending_.size() >= kPendingMax)
    return fail(FailureClass::kDefect, "journal.full",
                fmt::format("{} events wait for a commit", pending_.size()));
  Event event;
  event.sequence = appended_.sequence + 1;
  event.time_us = effects_.now_us();
  event.type = type;
  event.run = run;
  event.data = data;
  std::string hash = chain_hash(appended_.hash, event);
  appended_.sequence = event.sequence;
  appended_.hash = hash;
  appended_.newest_time_us = std::max(appended_.newest_time_us, event.time_us);
  if (pending_.empty()) pending_since_us_ = effects_.monotonic_us();
  overlay(event);
  pending_.push_back({std::move(event), std::move(hash)});
  if (seen_) seen_(pending_.back().event);
  return {};
}

void StoredJournal::overlay(const Event& event) {
  const bool sets_result = event.type == "task_finished" || event.type == "task_adopted";
  if (!sets_result && event.type != "results_dropped" && event.type != "fact_set") return;
  const nlohmann::json& data = event_data(event.data);
  if (sets_result) {
    std::string identity = data.value("identity", "");
    pending_results_[identity] = ResultHead{identity, data.value("attempt", ""), event.data};
  } else if (event.type == "fact_set") {
    const nlohmann::json value = data.value("value", nlohmann::json());
    const nlohmann::json key = data.value("key", nlohmann::json());
    if (key.is_string())
      pending_facts_[key.get<std::string>()] =
          value.is_string() ? value.get<std::string>()
                            : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  } else {
    for (const nlohmann::json& identity : data.value("identities", nlohmann::json::array()))
      if (identity.is_string()) pending_results_[identity.get<std::string>()] = std::nullopt;
  }
}

Status StoredJournal::commit() {
  if (pending_.empty()) return {};
  const int64_t begin = effects_.monotonic_us();
  const uint64_t fsyncs = db_->vfs().fsyncs();
  const int64_t fsync_us = db_->vfs().fsync_us();
  Status done = write_pending();
  cost_.commit_us += effects_.monotonic_us() - begin;
  cost_.fsyncs += db_->vfs().fsyncs() - fsyncs;
  cost_.fsync_us += db_->vfs().fsync_us() - fsync_us;
  if (!done) return done;
  ++cost_.commits;
  cost_.events += pending_.size();
  committed_ = appended_;
  pending_.clear();
  pending_results_.clear();
  pending_facts_.clear();
  return {};
}

Status StoredJournal::write_pending() {
  TG_ASSIGN(Transaction transaction, Transaction::begin(*db_, true));
  TG_ASSIGN(const Heads::Mark there, heads_.mark());
  // A commit that seemed to fail may be in the file, perhaps all but its last fsync, so that a
  // power cut would take it back: what follows is committed after it, and makes it durable.
  const uint64_t done = there.sequence - committed_.sequence;
  const bool ours = done == 0 ? there.hash == committed_.hash
                              : done <= pending_.size() && pending_[done - 1].hash == there.hash;
  if (!ours && !planted(Mistake::kForeignWriterNotSeen))
    return fail(FailureClass::kDefect, "journal.foreign_writer",
                fmt::format("another process has written to the journal: it ends at event {}, "
                            "not at {}",
                            there.sequence, committed_.sequence));
  for (size_t i = ours ? done : 0; i < pending_.size(); ++i) {
    TG_TRY(events_.insert(pending_[i].event, pending_[i].hash));
    TG_TRY(heads_.apply(pending_[i].event));
  }
  TG_TRY(heads_.set_mark(appended_));
  return transaction.commit();
}

int64_t StoredJournal::pending_us() const {
  return pending_.empty() ? 0 : std::max<int64_t>(1, effects_.monotonic_us() - pending_since_us_);
}

JournalCost StoredJournal::cost() const { return cost_; }

Status StoredJournal::verify_chain() {
  return reading([&]() -> Status {
    TG_TRY(events_.verify());
    TG_ASSIGN(const EventStore::Tail tail, events_.tail());
    TG_ASSIGN(const Heads::Mark mark, heads_.mark());
    if (verify_rows_ && (tail.sequence != mark.sequence || tail.hash != mark.hash))
      return fail(FailureClass::kData, "journal.corrupt",
                  fmt::format("the chain ends at event {}, but the journal's mark says {}",
                              tail.sequence, mark.sequence));
    return {};
  });
}

Status StoredJournal::rebuild_heads() {
  if (mode_ != Mode::kWrite)
    return fail(FailureClass::kDefect, "journal.read_only", "the journal was opened for reading");
  TG_TRY(commit_before_query());
  TG_ASSIGN(Transaction transaction, Transaction::begin(*db_, true));
  TG_TRY(heads_.drop_tables());
  TG_TRY(heads_.create_tables());
  Heads::Mark mark{0, chain_genesis(), 0, Heads::kVersion};
  TG_ASSIGN(const std::string wrong,
            events_.each_proven([&](const Event& event, const std::string& hash) -> Status {
              mark.sequence = event.sequence;
              mark.hash = hash;
              mark.newest_time_us = std::max(mark.newest_time_us, event.time_us);
              return heads_.apply(event);
            }));
  if (!wrong.empty()) {
    note_damage(wrong);
    return fail(FailureClass::kData, "journal.corrupt", wrong);
  }
  TG_TRY(heads_.set_mark(mark));
  TG_TRY(transaction.commit());
  committed_ = appended_ = mark;
  return {};
}

uint64_t StoredJournal::last_sequence() {
  if (mode_ == Mode::kWrite) return appended_.sequence;
  auto mark = reading([&] { return heads_.mark(); });
  return mark ? mark->sequence : committed_.sequence;
}

int64_t StoredJournal::newest_time_us() {
  if (mode_ == Mode::kWrite) return appended_.newest_time_us;
  auto mark = reading([&] { return heads_.mark(); });
  return mark ? mark->newest_time_us : committed_.newest_time_us;
}

Status StoredJournal::each_event(uint64_t after, std::string_view run_name,
                                 const std::function<bool(const Event&)>& visit) {
  uint64_t until = std::numeric_limits<int64_t>::max();
  if (!run_name.empty()) {
    TG_ASSIGN(std::optional<Heads::RunRow> row, reading([&] { return heads_.run(run_name); }));
    if (row) {
      after = std::max(after, row->first - 1);
      until = row->last;
    }
  }
  while (true) {
    TG_ASSIGN(const std::vector<Event> page,
              reading([&] { return events_.page(after, until, run_name, kPageEvents); }));
    for (const Event& event : page) {
      if (!visit(event)) return {};
      after = event.sequence;
    }
    if (page.size() < kPageEvents) return {};
  }
}

Result<std::vector<Event>> StoredJournal::events(const EventQuery& query) {
  return reading([&]() -> Result<std::vector<Event>> {
    EventQuery bounded = query;
    if (!query.run.empty()) {
      TG_ASSIGN(std::optional<Heads::RunRow> row, heads_.run(query.run));
      if (row) {
        bounded.after = std::max(query.after, row->first - 1);
        bounded.before = query.before == 0 ? row->last + 1 : std::min(query.before, row->last + 1);
      }
    }
    return events_.select(bounded);
  });
}

Result<std::optional<ResultHead>> StoredJournal::stored_result(std::string_view identity) {
  TG_ASSIGN(std::optional<Heads::ResultRow> row, heads_.result(identity));
  if (!row) return std::nullopt;
  auto event = events_.read_verified(row->sequence);
  if (!event && event.error().code != "journal.corrupt")
    return std::unexpected(std::move(event).error());
  // A result whose event is damaged is made again: it is not worth a refusal.
  if (!event || !*event) {
    note_damage(fmt::format("event {} of a result is damaged", row->sequence));
    return std::nullopt;
  }
  const nlohmann::json& data = event_data((*event)->data);
  if (!data.is_object() || data.value("identity", "") != identity ||
      data.value("attempt", "") != row->attempt) {
    note_damage(fmt::format("the result {} does not agree with event {}", identity, row->sequence));
    return std::nullopt;
  }
  return ResultHead{std::string(identity), row->attempt, std::move((*event)->data)};
}

Result<std::optional<ResultHead>> StoredJournal::result(std::string_view identity) {
  TG_ASSIGN(auto heads, results({std::string(identity)}));
  return std::move(heads[0]);
}

Result<std::vector<std::optional<ResultHead>>> StoredJournal::results(
    const std::vector<std::string>& identities) {
  TG_ASSIGN(Transaction transaction, Transaction::begin(*db_, false));
  std::vector<std::optional<ResultHead>> answer;
  answer.reserve(identities.size());
  for (const std::string& identity : identities) {
    if (auto it = pending_results_.find(identity); it != pending_results_.end()) {
      answer.push_back(it->second);
      continue;
    }
    TG_ASSIGN(std::optional<ResultHead> head, stored_result(identity));
    answer.push_back(std::move(head));
  }
  return answer;
}

Result<std::string> StoredJournal::data_at(uint64_t sequence) {
  if (sequence == 0) return "";
  TG_ASSIGN(const std::vector<Event> page, events_.page(sequence - 1, sequence, "", 1));
  return page.empty() ? std::string() : page[0].data;
}

Result<RunHead> StoredJournal::run_head(const Heads::RunRow& row) {
  RunHead head;
  head.run = row.run;
  head.pipeline = row.pipeline;
  head.state = row.state;
  head.started_us = row.started_us;
  head.finished_us = row.finished_us;
  head.started_sequence = row.started_sequence;
  TG_ASSIGN(head.started_data, data_at(row.started_sequence));
  TG_ASSIGN(head.finished_data, data_at(row.finished_sequence));
  return head;
}

Result<std::vector<RunHead>> StoredJournal::runs(const RunQuery& query) {
  return reading([&]() -> Result<std::vector<RunHead>> {
    TG_ASSIGN(const std::vector<Heads::RunRow> rows, heads_.runs(query));
    std::vector<RunHead> heads;
    for (const Heads::RunRow& row : rows) {
      TG_ASSIGN(RunHead head, run_head(row));
      heads.push_back(std::move(head));
    }
    return heads;
  });
}

Result<std::optional<RunHead>> StoredJournal::run(std::string_view run) {
  return reading([&]() -> Result<std::optional<RunHead>> {
    TG_ASSIGN(std::optional<Heads::RunRow> row, heads_.run(run));
    if (!row) return std::nullopt;
    TG_ASSIGN(RunHead head, run_head(*row));
    return head;
  });
}

Result<std::optional<RunHead>> StoredJournal::unfinished_run(std::string_view pipeline) {
  RunQuery query;
  query.pipeline = pipeline;
  query.most = 1;
  TG_ASSIGN(std::vector<RunHead> newest, runs(query));
  if (newest.empty() || newest[0].state == "succeeded" || newest[0].state == "refused")
    return std::nullopt;
  return std::move(newest[0]);
}

Result<std::vector<IncidentHead>> StoredJournal::incidents(const IncidentQuery& query) {
  return reading([&]() -> Result<std::vector<IncidentHead>> {
    TG_ASSIGN(const std::vector<Heads::IncidentRow> rows, heads_.incidents(query));
    std::vector<IncidentHead> heads;
    for (const Heads::IncidentRow& row : rows) {
      TG_ASSIGN(std::string data, data_at(row.opened_sequence));
      heads.push_back({row.incident, row.output, row.pipeline, row.opened_us, row.closed_us,
                       row.opened_sequence, row.closed_sequence, std::move(data)});
    }
    return heads;
  });
}

Result<std::vector<QuarantineHead>> StoredJournal::quarantine(const QuarantineQuery& query) {
  return reading([&]() -> Result<std::vector<QuarantineHead>> {
    TG_ASSIGN(const std::vector<Heads::QuarantineRow> rows, heads_.quarantine(query));
    std::vector<QuarantineHead> heads;
    for (const Heads::QuarantineRow& row : rows) {
      TG_ASSIGN(const std::string opened, data_at(row.opened_sequence));
      TG_ASSIGN(const std::string told, data_at(row.told_sequence));
      heads.push_back(quarantine_head(row, opened, told));
    }
    return heads;
  });
}

Result<std::vector<std::string>> StoredJournal::output_names() {
  return reading([&] { return heads_.outputs(); });
}

Status StoredJournal::prove(uint64_t sequence) {
  if (!verify_rows_) return {};
  TG_ASSIGN(std::optional<Event> event, events_.read_verified(sequence));
  if (!event)
    return fail(FailureClass::kData, "journal.corrupt",
                fmt::format("event {} is missing from \"{}\"", sequence, db_->path()));
  return {};
}

Result<std::optional<OutputHead>> StoredJournal::output_head(std::string_view output) {
  return reading([&]() -> Result<std::optional<OutputHead>> {
    TG_ASSIGN(std::optional<Heads::OutputRow> row, heads_.output(output));
    if (!row) return std::nullopt;
    TG_TRY(prove(row->sequence));
    OutputHead head{row->output, "", row->unproven, row->broken};
    TG_ASSIGN(std::optional<Heads::GenerationRow> standing,
              heads_.generation(output, row->current));
    if (!standing) {
      if (!head.unproven.empty() || row->current.empty()) return head;
      return fail(
          FailureClass::kData, "journal.corrupt",
          fmt::format("the standing generation of {} has no record: {}", output, row->current));
    }
    TG_TRY(prove(standing->sequence));
    TG_TRY(prove(standing->changed));
    head.record = std::move(standing->record);
    return head;
  });
}

Result<std::optional<std::string>> StoredJournal::output_record(std::string_view output) {
  TG_ASSIGN(std::optional<OutputHead> head, output_head(output));
  if (!head || head->record.empty()) return std::nullopt;
  return std::move(head->record);
}

Result<std::vector<std::string>> StoredJournal::generation_records(std::string_view output) {
  return reading([&]() -> Result<std::vector<std::string>> {
    TG_ASSIGN(std::vector<Heads::GenerationRow> rows, heads_.generations(output));
    std::vector<std::string> records;
    for (Heads::GenerationRow& row : rows) records.push_back(std::move(row.record));
    return records;
  });
}

Result<std::optional<std::string>> StoredJournal::generation_record(std::string_view output,
                                                                    std::string_view generation) {
  return reading([&]() -> Result<std::optional<std::string>> {
    TG_ASSIGN(std::optional<Heads::GenerationRow> row, heads_.generation(output, generation));
    if (!row) return std::nullopt;
    return std::move(row->record);
  });
}

Result<std::vector<std::string>> StoredJournal::rejected_identities(std::string_view output) {
  return reading([&] { return heads_.rejected(output); });
}

Result<std::optional<std::string>> StoredJournal::fact(std::string_view key) {
  if (auto it = pending_facts_.find(std::string(key)); it != pending_facts_.end())
    return it->second;
  TG_ASSIGN(Transaction transaction, Transaction::begin(*db_, false));
  return heads_.fact(key);
}

/// A journal in memory with tables and no events.
Result<std::unique_ptr<StoredJournal>> empty_journal(Effects& effects) {
  TG_ASSIGN(auto database, Database::open(effects, ":memory:", Database::Mode::kMemory));
  TG_TRY(create_journal_tables(*database));
  auto journal =
      std::make_unique<StoredJournal>(effects, std::move(database), Journal::Mode::kRead);
  TG_TRY(journal->load());
  journal->trust_rows();
  return journal;
}

Result<std::unique_ptr<Journal>> StoredJournal::as_of(int64_t at_us) {
  TG_ASSIGN(auto then, empty_journal(effects_));
  const auto build = [&]() -> Status {
    TG_ASSIGN(const std::vector<uint64_t> sequences, heads_.output_events());
    TG_ASSIGN(Transaction transaction, Transaction::begin(*then->db_, true));
    Heads::Mark mark = then->committed_;
    for (const uint64_t sequence : sequences) {
      TG_ASSIGN(std::optional<Event> event, events_.read_verified(sequence));
      if (!event)
        return fail(FailureClass::kData, "journal.corrupt",
                    fmt::format("event {} is missing from \"{}\"", sequence, db_->path()));
      if (event->time_us > at_us) continue;
      event->run.clear();
      TG_TRY(then->heads_.apply(*event));
      mark.newest_time_us = std::max(mark.newest_time_us, event->time_us);
    }
    TG_TRY(then->heads_.set_mark(mark));
    then->committed_ = then->appended_ = mark;
    return transaction.commit();
  };
  TG_TRY(reading(build));
  then->note_damage(damage_);
  return then;
}

}  // namespace tidegate
