#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/failure.h"
#include "journal/database.h"
#include "journal/journal.h"
#include "journal/records.h"

namespace tidegate {

/// Refuses (journal.bad_event, journal.bad_record) an event that apply could not take in, so that
/// no such event reaches the file.
Status check_applicable(std::string_view type, std::string_view data);

/// The tables that are derived from the events: results, runs, outputs with their generations,
/// facts. `apply` is the only way they change, so that making them again gives the same rows.
///
/// Rows that a verdict rests on (outputs, generations) carry a checksum over their columns: SQLite
/// has none of its own, and a flipped bit must not become a verdict.
class Heads {
 public:
  explicit Heads(Database& database) : db_(database) {}

  /// Version of the tables' layout and of apply's rules; another one means: make them again.
  static constexpr int64_t kVersion = 3;

  Status create_tables();
  Status drop_tables();
  /// Inside the caller's transaction. Events of unknown type change nothing.
  Status apply(const Event& event);

  /// Where the chain ended when the heads were last changed.
  struct Mark {
    uint64_t sequence = 0;
    std::string hash;
    int64_t newest_time_us = 0;
    int64_t version = 0;
  };
  Result<Mark> mark();
  Status set_mark(const Mark& mark);

  struct ResultRow {
    std::string identity, attempt;
    uint64_t sequence = 0;
  };
  Result<std::optional<ResultRow>> result(std::string_view identity);

  struct RunRow {
    std::string run, pipeline, state;
    int64_t started_us = 0, finished_us = 0;
    uint64_t started_sequence = 0, finished_sequence = 0, first = 0, last = 0;
  };
  Result<std::optional<RunRow>> run(std::string_view run);
  Result<std::vector<RunRow>> runs(const RunQuery& query);

  struct IncidentRow {
    uint64_t incident = 0;
    std::string output, pipeline;
    int64_t opened_us = 0, closed_us = 0;
    uint64_t opened_sequence = 0, closed_sequence = 0;
  };
  Result<std::vector<IncidentRow>> incidents(const IncidentQuery& query);

  struct QuarantineRow {
    uint64_t entry = 0;
    std::string pipeline, state;
    int64_t opened_us = 0, changed_us = 0;
    uint64_t opened_sequence = 0, told_sequence = 0;
  };
  Result<std::vector<QuarantineRow>> quarantine(const QuarantineQuery& query);

  /// An output's row. `sequence` is the newest event that changed it.
  struct OutputRow {
    std::string output, current, unproven, broken;
    uint64_t sequence = 0;
  };
  /// One generation's row. `sequence` is its publishing event, `changed` the newest that altered
  /// it.
  struct GenerationRow {
    std::string output, generation, state, identity, record;
    uint64_t number = 0, sequence = 0, changed = 0;
  };
  Result<std::vector<std::string>> outputs();
  Result<std::optional<OutputRow>> output(std::string_view output);
  Result<std::optional<GenerationRow>> generation(std::string_view output,
                                                  std::string_view generation);
  /// Newest first.
  Result<std::vector<GenerationRow>> generations(std::string_view output);
  Result<std::vector<std::string>> rejected(std::string_view output);
  /// Sequences of the events that changed any output, in order.
  Result<std::vector<uint64_t>> output_events();
  Result<std::optional<std::string>> fact(std::string_view key);

 private:
  /// The statement of that text, prepared once and ready for binding.
  Result<Statement*> use(const char* sql);

  Status apply_task(const Event& event, std::string_view identity, std::string_view attempt);
  Status apply_run(const Event& event);
  Status apply_output(const Event& event);
  Status apply_incident(const Event& event);
  Status apply_quarantine(const Event& event);
  Status publish(const Event& event, OutputRow& row, GenerationRecord record);
  Status roll_back(const Event& event, OutputRow& row, std::string_view from, std::string_view to,
                   bool damaged);
  Status touch_run(const Event& event);
  Status set_output(const OutputRow& row);
  Status set_generation(const GenerationRow& row);
  Status set_state(GenerationRow row, std::string_view state, uint64_t changed);
  Status reject(std::string_view output, std::string_view identity, uint64_t sequence);
  Status unreject(std::string_view output, std::string_view identity);
  Status note_output_event(std::string_view output, uint64_t sequence);
  Status unprove_all(const Event& event, const std::string& why);

  Database& db_;
  std::unordered_map<const char*, Statement> statements_;
};

}  // namespace tidegate
