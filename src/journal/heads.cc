#include "journal/heads.h"

#include <fmt/format.h>

#include <limits>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr const char* kTables = R"sql(
CREATE TABLE heads_mark(one INTEGER PRIMARY KEY CHECK(one=1), sequence INTEGER NOT NULL,
  hash BLOB NOT NULL, newest_time_us INTEGER NOT NULL, version INTEGER NOT NULL);
CREATE TABLE results(identity TEXT PRIMARY KEY, attempt TEXT NOT NULL, sequence INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE runs(run TEXT PRIMARY KEY, pipeline TEXT NOT NULL, state TEXT NOT NULL,
  started_us INTEGER NOT NULL, finished_us INTEGER NOT NULL, started_sequence INTEGER NOT NULL,
  finished_sequence INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX runs_by_start ON runs(started_sequence);
CREATE INDEX runs_by_pipeline ON runs(pipeline, started_sequence);
CREATE TABLE outputs(output TEXT PRIMARY KEY, current TEXT NOT NULL, unproven TEXT NOT NULL,
  broken TEXT NOT NULL, sequence INTEGER NOT NULL, sum TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generations(output TEXT NOT NULL, generation TEXT NOT NULL, number INTEGER NOT NULL,
  state TEXT NOT NULL, identity TEXT NOT NULL, sequence INTEGER NOT NULL, changed INTEGER NOT NULL,
  record TEXT NOT NULL, sum TEXT NOT NULL, UNIQUE(output, generation));
CREATE TABLE rejected(output TEXT NOT NULL, identity TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY(output, identity)) WITHOUT ROWID;
CREATE TABLE output_events(output TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY(output, sequence)) WITHOUT ROWID;
CREATE TABLE incidents(incident INTEGER PRIMARY KEY, output TEXT NOT NULL, pipeline TEXT NOT NULL,
  opened_us INTEGER NOT NULL, closed_us INTEGER NOT NULL, opened_sequence INTEGER NOT NULL,
  closed_sequence INTEGER NOT NULL);
CREATE INDEX incidents_by_output ON incidents(output, closed_us);
CREATE TABLE quarantine(entry INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, state TEXT NOT NULL,
  opened_us INTEGER NOT NULL, changed_us INTEGER NOT NULL, opened_sequence INTEGER NOT NULL,
  told_sequence INTEGER NOT NULL);
CREATE INDEX quarantine_by_state ON quarantine(state, pipeline);
CREATE TABLE facts(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)sql";

constexpr const char* kTableNames[] = {"heads_mark",  "results",  "runs",          "outputs",
                                       "generations", "rejected", "output_events", "incidents",
                                       "quarantine",  "facts"};

/// Most rows that one answer may hold: of outputs, of generations, of rejected identities.
constexpr size_t kRowsMax = 1'000'000;

template <typename... Parts>
std::string checksum(const Parts&... parts) {
  std::string framed;
  auto add = [&](const auto& part) {
    const std::string text = fmt::format("{}", part);
    framed += fmt::format("{}:", text.size());
    framed += text;
  };
  (add(parts), ...);
  return hex64(xxh3_64(framed));
}

std::string sum_of(const Heads::OutputRow& r) {
  return checksum(r.output, r.current, r.unproven, r.broken, r.sequence);
}
std::string sum_of(const Heads::GenerationRow& r) {
  return checksum(r.output, r.generation, r.number, r.state, r.identity, r.sequence, r.changed,
                  r.record);
}

std::unexpected<Failure> damaged(std::string_view table, std::string_view row) {
  return fail(FailureClass::kData, "journal.corrupt",
              fmt::format("a row of the journal's table {} is damaged: {}", table, row));
}

Heads::RunRow read_run(const Statement& s) {
  Heads::RunRow row;
  row.run = s.text(0);
  row.pipeline = s.text(1);
  row.state = s.text(2);
  row.started_us = s.integer(3);
  row.finished_us = s.integer(4);
  row.started_sequence = static_cast<uint64_t>(s.integer(5));
  row.finished_sequence = static_cast<uint64_t>(s.integer(6));
  row.first = static_cast<uint64_t>(s.integer(7));
  row.last = static_cast<uint64_t>(s.integer(8));
  return row;
}

constexpr const char* kGenerationByName =
    "SELECT output, generation, number, state, identity, sequence, changed, record, sum"
    " FROM generations WHERE output=? AND generation=?";
constexpr const char* kGenerationsOf =
    "SELECT output, generation, number, state, identity, sequence, changed, record, sum"
    " FROM generations WHERE output=? ORDER BY number DESC, sequence DESC LIMIT ?";

Result<Heads::GenerationRow> read_generation(const Statement& s) {
  Heads::GenerationRow row;
  row.output = s.text(0);
  row.generation = s.text(1);
  row.number = static_cast<uint64_t>(s.integer(2));
  row.state = s.text(3);
  row.identity = s.text(4);
  row.sequence = static_cast<uint64_t>(s.integer(5));
  row.changed = static_cast<uint64_t>(s.integer(6));
  row.record = s.text(7);
  if (sum_of(row) != s.text(8)) return damaged("generations", row.generation);
  return row;
}

/// What `read` makes of each row of a query, which is free again afterwards.
template <typename Read>
auto rows_of(Statement& s, const Read& read)
    -> Result<std::vector<decltype(read(static_cast<const Statement&>(s)))>> {
  std::vector<decltype(read(static_cast<const Statement&>(s)))> rows;
  while (true) {
    TG_ASSIGN(const bool more, s.step());
    if (!more) break;
    rows.push_back(read(s));
  }
  s.reset();
  return rows;
}

/// A row of the tables that number their entries: incidents, quarantine.
template <typename Row>
Row read_numbered(const Statement& s) {
  return {static_cast<uint64_t>(s.integer(0)),
          s.text(1),
          s.text(2),
          s.integer(3),
          s.integer(4),
          static_cast<uint64_t>(s.integer(5)),
          static_cast<uint64_t>(s.integer(6))};
}

}  // namespace

Status Heads::create_tables() { return db_.execute(kTables); }

Status Heads::drop_tables() {
  statements_.clear();
  for (const char* name : kTableNames)
    TG_TRY(db_.execute(fmt::format("DROP TABLE IF EXISTS {}", name).c_str()));
  return {};
}

Result<Statement*> Heads::use(const char* sql) {
  auto it = statements_.find(sql);
  if (it == statements_.end()) {
    TG_ASSIGN(Statement made, db_.prepare(sql));
    it = statements_.emplace(sql, std::move(made)).first;
  }
  it->second.reset();
  return &it->second;
}

Result<Heads::Mark> Heads::mark() {
  TG_ASSIGN(Statement * s,
            use("SELECT sequence, hash, newest_time_us, version FROM heads_mark WHERE one=1"));
  TG_ASSIGN(const bool found, s->step());
  if (!found) return damaged("heads_mark", "there is none");
  Mark mark{static_cast<uint64_t>(s->integer(0)), s->text(1), s->integer(2), s->integer(3)};
  s->reset();
  return mark;
}

Status Heads::set_mark(const Mark& mark) {
  TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO heads_mark VALUES(1,?,?,?,?)"));
  s->bind(1, mark.sequence).bind_blob(2, mark.hash).bind(3, mark.newest_time_us);
  s->bind(4, mark.version);
  return s->run();
}

Result<std::optional<Heads::ResultRow>> Heads::result(std::string_view identity) {
  TG_ASSIGN(Statement * s, use("SELECT identity, attempt, sequence FROM results WHERE identity=?"));
  s->bind(1, identity);
  TG_ASSIGN(const bool found, s->step());
  std::optional<ResultRow> row;
  if (found) row = ResultRow{s->text(0), s->text(1), static_cast<uint64_t>(s->integer(2))};
  s->reset();
  return row;
}

Result<std::optional<Heads::RunRow>> Heads::run(std::string_view run) {
  TG_ASSIGN(Statement * s, use("SELECT * FROM runs WHERE run=?"));
  s->bind(1, run);
  TG_ASSIGN(const bool found, s->step());
  std::optional<RunRow> row;
  if (found) row = read_run(*s);
  s->reset();
  return row;
}

Result<std::vector<Heads::RunRow>> Heads::runs(const RunQuery& query) {
  const int64_t before =
      query.before == 0 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(query.before);
  Statement* s = nullptr;
  int index = 1;
  if (query.pipeline.empty()) {
    TG_ASSIGN(s, use("SELECT * FROM runs WHERE started_sequence<?"
                     " ORDER BY started_sequence DESC LIMIT ?"));
  } else {
    TG_ASSIGN(s, use("SELECT * FROM runs WHERE pipeline=? AND started_sequence<?"
                     " ORDER BY started_sequence DESC LIMIT ?"));
    s->bind(index++, query.pipeline);
  }
  s->bind(index, before).bind(index + 1, static_cast<int64_t>(std::min(query.most, kRowsMax)));
  return rows_of(*s, read_run);
}

Result<std::vector<Heads::IncidentRow>> Heads::incidents(const IncidentQuery& query) {
  TG_ASSIGN(Statement * s,
            use("SELECT * FROM incidents WHERE (?='' OR output=?) AND (?=0 OR incident=?)"
                " AND (?=0 OR closed_us=0) ORDER BY incident DESC LIMIT ?"));
  s->bind(1, query.output).bind(2, query.output);
  s->bind(3, query.number).bind(4, query.number);
  s->bind(5, int64_t{query.open_only})
      .bind(6, static_cast<int64_t>(std::min(query.most, kRowsMax)));
  return rows_of(*s, read_numbered<IncidentRow>);
}

Result<std::vector<Heads::QuarantineRow>> Heads::quarantine(const QuarantineQuery& query) {
  TG_ASSIGN(Statement * s,
            use("SELECT * FROM quarantine WHERE (?='' OR pipeline=?) AND (?=0 OR entry=?)"
                " AND (?=0 OR state IN ('open','dropped')) ORDER BY entry DESC LIMIT ?"));
  s->bind(1, query.pipeline).bind(2, query.pipeline);
  s->bind(3, query.entry).bind(4, query.entry);
  s->bind(5, int64_t{query.standing_only});
  s->bind(6, static_cast<int64_t>(std::min(query.most, kRowsMax)));
  return rows_of(*s, read_numbered<QuarantineRow>);
}

Result<std::vector<std::string>> Heads::outputs() {
  TG_ASSIGN(Statement * s, use("SELECT output FROM outputs ORDER BY output LIMIT ?"));
  s->bind(1, static_cast<int64_t>(kRowsMax));
  return rows_of(*s, [](const Statement& row) { return row.text(0); });
}

Result<std::optional<Heads::OutputRow>> Heads::output(std::string_view output) {
  TG_ASSIGN(Statement * s, use("SELECT output, current, unproven, broken, sequence, sum"
                               " FROM outputs WHERE output=?"));
  s->bind(1, output);
  TG_ASSIGN(const bool found, s->step());
  if (!found) {
    s->reset();
    return std::nullopt;
  }
  OutputRow row{s->text(0), s->text(1), s->text(2), s->text(3),
                static_cast<uint64_t>(s->integer(4))};
  const std::string sum = s->text(5);
  s->reset();
  if (sum != sum_of(row)) return damaged("outputs", output);
  return row;
}

Result<std::optional<Heads::GenerationRow>> Heads::generation(std::string_view output,
                                                              std::string_view generation) {
  TG_ASSIGN(Statement * s, use(kGenerationByName));
  s->bind(1, output).bind(2, generation);
  TG_ASSIGN(const bool found, s->step());
  if (!found) {
    s->reset();
    return std::nullopt;
  }
  auto row = read_generation(*s);
  s->reset();
  if (!row) return std::unexpected(std::move(row).error());
  return std::move(*row);
}

Result<std::vector<Heads::GenerationRow>> Heads::generations(std::string_view output) {
  TG_ASSIGN(Statement * s, use(kGenerationsOf));
  s->bind(1, output).bind(2, static_cast<int64_t>(kRowsMax));
  std::vector<GenerationRow> rows;
  while (true) {
    TG_ASSIGN(const bool more, s->step());
    if (!more) break;
    auto row = read_generation(*s);
    if (!row) {
      s->reset();
      return std::unexpected(std::move(row).error());
    }
    rows.push_back(std::move(*row));
  }
  s->reset();
  return rows;
}

Result<std::vector<std::string>> Heads::rejected(std::string_view output) {
  TG_ASSIGN(
      Statement * s,
      use("SELECT identity FROM rejected WHERE output=? ORDER BY sequence, identity LIMIT ?"));
  s->bind(1, output).bind(2, static_cast<int64_t>(kRowsMax));
  return rows_of(*s, [](const Statement& row) { return row.text(0); });
}

Result<std::vector<uint64_t>> Heads::output_events() {
  TG_ASSIGN(Statement * s, use("SELECT DISTINCT sequence FROM output_events ORDER BY sequence"));
  return rows_of(*s, [](const Statement& row) { return static_cast<uint64_t>(row.integer(0)); });
}

Result<std::optional<std::string>> Heads::fact(std::string_view key) {
  TG_ASSIGN(Statement * s, use("SELECT value FROM facts WHERE key=?"));
  s->bind(1, key);
  TG_ASSIGN(const bool found, s->step());
  std::optional<std::string> value;
  if (found) value = s->text(0);
  s->reset();
  return value;
}

Status Heads::set_output(const OutputRow& row) {
  TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO outputs"
                               "(output, current, unproven, broken, sequence, sum)"
                               " VALUES(?,?,?,?,?,?)"));
  s->bind(1, row.output).bind(2, row.current).bind(3, row.unproven).bind(4, row.broken);
  s->bind(5, row.sequence).bind(6, sum_of(row));
  return s->run();
}

Status Heads::set_generation(const GenerationRow& row) {
  TG_ASSIGN(Statement * s,
            use("INSERT OR REPLACE INTO generations(output, generation, number, state, identity,"
                " sequence, changed, record, sum) VALUES(?,?,?,?,?,?,?,?,?)"));
  s->bind(1, row.output).bind(2, row.generation).bind(3, row.number).bind(4, row.state);
  s->bind(5, row.identity).bind(6, row.sequence).bind(7, row.changed).bind(8, row.record);
  s->bind(9, sum_of(row));
  return s->run();
}

}  // namespace tidegate
