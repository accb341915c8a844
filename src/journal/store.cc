#include "journal/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr const char* kColumns = "sequence, time_us, type, run, data, hash";

std::string broken_at(uint64_t sequence) {
  return fmt::format("the hash chain is broken at event {}", sequence);
}

}  // namespace

std::string chain_genesis() { return std::string(32, '\0'); }

std::string chain_hash(std::string_view before, const Event& event) {
  IdentityHash hash;
  hash.add("tidegate-journal-1")
      .add(before)
      .add(event.sequence)
      .add(static_cast<uint64_t>(event.time_us))
      .add(event.type)
      .add(event.run)
      .add(event.data);
  return hash.bytes();
}

Status EventStore::create_table() {
  return db_.execute(
      "CREATE TABLE events(sequence INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,"
      " type TEXT NOT NULL, run TEXT NOT NULL, data TEXT NOT NULL, hash BLOB NOT NULL)");
}

Status EventStore::insert(const Event& event, std::string_view hash) {
  if (!insert_) {
    TG_ASSIGN(Statement made,
              db_.prepare(fmt::format("INSERT INTO events({}) VALUES(?,?,?,?,?,?)", kColumns)));
    insert_.emplace(std::move(made));
  }
  insert_->bind(1, event.sequence).bind(2, event.time_us).bind(3, event.type);
  insert_->bind(4, event.run).bind(5, event.data).bind_blob(6, hash);
  return insert_->run();
}

EventStore::Row EventStore::read_row(Statement& s) {
  Row row;
  row.event.sequence = static_cast<uint64_t>(s.integer(0));
  row.event.time_us = s.integer(1);
  row.event.type = s.text(2);
  row.event.run = s.text(3);
  row.event.data = s.text(4);
  row.hash = s.text(5);
  return row;
}

Result<std::optional<EventStore::Row>> EventStore::row(uint64_t sequence) {
  if (!row_) {
    TG_ASSIGN(Statement made,
              db_.prepare(fmt::format("SELECT {} FROM events WHERE sequence=?", kColumns)));
    row_.emplace(std::move(made));
  }
  row_->bind(1, sequence);
  TG_ASSIGN(const bool found, row_->step());
  std::optional<Row> result;
  if (found) result = read_row(*row_);
  row_->reset();
  return result;
}

Result<EventStore::Tail> EventStore::tail() {
  TG_ASSIGN(Statement s,
            db_.prepare("SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1"));
  TG_ASSIGN(const bool found, s.step());
  Tail tail;
  if (found) {
    tail.sequence = static_cast<uint64_t>(s.integer(0));
    tail.hash = s.text(1);
  }
  return tail;
}

Result<std::string> EventStore::check_tail(size_t most) {
  TG_ASSIGN(Statement s, db_.prepare(fmt::format(
                             "SELECT {} FROM events ORDER BY sequence DESC LIMIT ?", kColumns)));
  s.bind(1, static_cast<int64_t>(most) + 1);
  std::optional<Row> later;
  uint64_t seen = 0;
  while (true) {
    auto more = s.step();
    if (!more) return std::unexpected(std::move(more).error());
    if (!*more) break;
    Row row = read_row(s);
    ++seen;
    if (later && (later->event.sequence != row.event.sequence + 1 ||
                  chain_hash(row.hash, later->event) != later->hash))
      return broken_at(later->event.sequence);
    later = std::move(row);
  }
  if (later && seen <= most &&
      (later->event.sequence != 1 || chain_hash(chain_genesis(), later->event) != later->hash))
    return broken_at(later->event.sequence);
  return "";
}

Result<std::string> EventStore::each_proven(
    const std::function<Status(const Event&, const std::string&)>& visit) {
  TG_ASSIGN(Statement s,
            db_.prepare(fmt::format("SELECT {} FROM events ORDER BY sequence", kColumns)));
  std::string before = chain_genesis();
  for (uint64_t expected = 1;; ++expected) {
    auto more = s.step();
    if (!more) return fmt::format("event {} cannot be read: {}", expected, more.error().message);
    if (!*more) return "";
    Row row = read_row(s);
    if (row.event.sequence != expected || chain_hash(before, row.event) != row.hash)
      return broken_at(expected);
    TG_TRY(visit(row.event, row.hash));
    before = std::move(row.hash);
  }
}

Status EventStore::verify() {
  TG_ASSIGN(const std::string wrong,
            each_proven([](const Event&, const std::string&) -> Status { return {}; }));
  if (!wrong.empty())
    return fail(FailureClass::kData, "journal.corrupt",
                fmt::format("{} in \"{}\"", wrong, db_.path()));
  return {};
}

Result<std::optional<Event>> EventStore::read_verified(uint64_t sequence) {
  TG_ASSIGN(std::optional<Row> found, row(sequence));
  if (!found) return std::nullopt;
  auto corrupt = [&](uint64_t at) {
    return fail(FailureClass::kData, "journal.corrupt",
                fmt::format("{} in \"{}\"", broken_at(at), db_.path()));
  };
  std::string before = chain_genesis();
  if (sequence > 1) {
    TG_ASSIGN(std::optional<Row> earlier, row(sequence - 1));
    if (!earlier) return corrupt(sequence - 1);
    before = earlier->hash;
  }
  if (chain_hash(before, found->event) != found->hash) return corrupt(sequence);
  TG_ASSIGN(std::optional<Row> later, row(sequence + 1));
  if (later && chain_hash(found->hash, later->event) != later->hash) return corrupt(sequence + 1);
  return std::move(found->event);
}

Result<std::vector<Event>> EventStore::page(uint64_t after, uint64_t until, std::string_view run,
                                            size_t most) {
  TG_ASSIGN(Statement s,
            db_.prepare(fmt::format("SELECT {} FROM events WHERE sequence>? AND sequence<=?"
                                    " AND (?='' OR run=?) ORDER BY sequence LIMIT ?",
                                    kColumns)));
  s.bind(1, after).bind(2, until).bind(3, run).bind(4, run).bind(5, static_cast<int64_t>(most));
  std::vector<Event> events;
  while (true) {
    auto more = s.step();
    if (!more) return std::unexpected(std::move(more).error());
    if (!*more) return events;
    events.push_back(read_row(s).event);
  }
}

Result<std::vector<Event>> EventStore::select(const EventQuery& query) {
  std::string sql = fmt::format("SELECT {} FROM events WHERE sequence>? AND sequence<?", kColumns);
  if (!query.run.empty()) sql += " AND run=?";
  if (!query.types.empty()) {
    sql += " AND type IN (";
    for (size_t i = 0; i < query.types.size(); ++i) sql += i ? ",?" : "?";
    sql += ")";
  }
  if (!query.output.empty())
    sql += " AND sequence IN (SELECT sequence FROM output_events WHERE output=?)";
  sql += query.newest_first ? " ORDER BY sequence DESC LIMIT ?" : " ORDER BY sequence LIMIT ?";
  TG_ASSIGN(Statement s, db_.prepare(sql));
  const int64_t before =
      query.before == 0 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(query.before);
  int index = 3;
  s.bind(1, query.after).bind(2, before);
  if (!query.run.empty()) s.bind(index++, query.run);
  for (const std::string& type : query.types) s.bind(index++, type);
  if (!query.output.empty()) s.bind(index++, query.output);
  s.bind(index, static_cast<int64_t>(std::min(query.most, EventQuery::kMostMax)));
  std::vector<Event> events;
  while (true) {
    auto more = s.step();
    if (!more) return std::unexpected(std::move(more).error());
    if (!*more) return events;
    events.push_back(read_row(s).event);
  }
}

}  // namespace tidegate
