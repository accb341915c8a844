// What each event means for the heads: the one place that decides it.

#include <fmt/format.h>

#include "journal/event_data.h"
#include "journal/heads.h"

namespace tidegate {
namespace {

using nlohmann::json;

std::string text_of(const json& data, const char* key) {
  auto it = data.find(key);
  return it != data.end() && it->is_string() ? it->get<std::string>() : "";
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Sets the promise from the event; absent there means: not promised any more.
void replace_field(json& record, const json& data, const char* key) {
  auto it = data.find(key);
  if (it != data.end() && !it->is_null())
    record[key] = *it;
  else
    record.erase(key);
}

void merge_field(json& record, const json& data, const char* key) {
  if (auto it = data.find(key); it != data.end() && !it->is_null()) record[key] = *it;
}

std::unexpected<Failure> unreadable(const Event& event, std::string_view why) {
  return fail(FailureClass::kData, "journal.bad_event",
              fmt::format("event {} ({}) cannot be applied: {}", event.sequence, event.type, why));
}

bool is_output_event(std::string_view type) {
  return type == "output_published" || type == "output_unchanged" || type == "output_rolled_back" ||
         type == "generation_rejected" || type == "output_reaudited" ||
         type == "generations_dropped";
}

constexpr const char* kMergedFields[] = {"contract_hash", "checks", "sources", "hashed_us",
                                         "files"};
constexpr const char* kPromiseFields[] = {"max_age_us", "through_us", "completeness"};

}  // namespace

Status check_applicable(std::string_view type, std::string_view data_text) {
  if (type == "output_published") {
    auto record = generation_record_from_json(std::string(data_text));
    if (!record) return std::unexpected(std::move(record).error());
    if (record->output.empty() || record->generation.empty())
      return fail(FailureClass::kDefect, "journal.bad_event",
                  "an output_published event names no output or no generation");
    return {};
  }
  const bool changes_output = is_output_event(type);
  if (!changes_output && type != "task_finished" && type != "task_adopted") return {};
  const json& data = event_data(data_text);
  auto named = [&](const char* key) { return !text_of(data, key).empty(); };
  if (!changes_output) {
    if (named("identity") && named("attempt")) return {};
    return fail(FailureClass::kDefect, "journal.bad_event",
                fmt::format("a {} event needs its identity and attempt as texts", type));
  }
  if (!named("output"))
    return fail(FailureClass::kDefect, "journal.bad_event",
                fmt::format("a {} event names no output", type));
  json record = {{"output", ""}, {"publish_root", ""}, {"generation", ""},
                 {"number", 0},  {"state", ""},        {"files", json::array()}};
  for (const char* key : kMergedFields) merge_field(record, data, key);
  for (const char* key : kPromiseFields) merge_field(record, data, key);
  if (data.contains("record") && data["record"].is_object()) {
    record = data["record"];
    if (text_of(record, "output") != text_of(data, "output"))
      return fail(FailureClass::kDefect, "journal.bad_event",
                  fmt::format("the record in a {} event is another output's", type));
  }
  auto read = generation_record_from_json(dump(record));
  if (!read) return std::unexpected(std::move(read).error());
  return {};
}

Status Heads::apply(const Event& event) {
  if (!event.run.empty()) TG_TRY(touch_run(event));
  const std::string& type = event.type;
  if (type == "run_started" || type == "run_finished" || type == "run_interrupted")
    return apply_run(event);
  if (is_output_event(type)) return apply_output(event);
  if (type.starts_with("incident_")) return apply_incident(event);
  if (type.starts_with("quarantine_")) return apply_quarantine(event);
  if (type == "journal_recovered")
    return unprove_all(event, "the journal was recovered after damage, and no audit came since");
  if (type == "state_imported")
    return unprove_all(event, "the state was imported, and no audit came since");
  const bool sets_result = type == "task_finished" || type == "task_adopted";
  if (!sets_result && type != "results_dropped" && type != "fact_set" && type != "output_refused" &&
      type != "output_audited")
    return {};

  const json& data = event_data(event.data);
  if (!data.is_object()) return unreadable(event, "its data is no JSON object");
  if (sets_result) return apply_task(event, text_of(data, "identity"), text_of(data, "attempt"));
  if (type == "results_dropped") {
    for (const json& identity : data.value("identities", json::array())) {
      if (!identity.is_string()) return unreadable(event, "an identity is no text");
      TG_ASSIGN(Statement * s, use("DELETE FROM results WHERE identity=?"));
      s->bind(1, identity.get_ref<const std::string&>());
      TG_TRY(s->run());
    }
    return {};
  }
  if (type == "fact_set") {
    const json value = data.value("value", json());
    TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO facts VALUES(?,?)"));
    s->bind(1, text_of(data, "key"));
    s->bind(2, value.is_string() ? value.get<std::string>() : dump(value));
    return s->run();
  }
  // Refused and audited change no output, but belong to its history.
  return note_output_event(text_of(data, "output"), event.sequence);
}

Status Heads::apply_task(const Event& event, std::string_view identity, std::string_view attempt) {
  TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO results VALUES(?,?,?)"));
  s->bind(1, identity).bind(2, attempt).bind(3, event.sequence);
  return s->run();
}

Status Heads::touch_run(const Event& event) {
  TG_ASSIGN(Statement * s, use("UPDATE runs SET last=? WHERE run=?"));
  s->bind(1, event.sequence).bind(2, event.run);
  return s->run();
}

Status Heads::apply_run(const Event& event) {
  const json& data = event_data(event.data);
  if (!data.is_object()) return unreadable(event, "its data is no JSON object");
  if (event.type == "run_started") {
    TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO runs VALUES(?,?,'running',?,0,?,0,?,?)"));
    s->bind(1, event.run).bind(2, text_of(data, "pipeline")).bind(3, event.time_us);
    s->bind(4, event.sequence).bind(5, event.sequence).bind(6, event.sequence);
    return s->run();
  }
  TG_ASSIGN(Statement * s,
            use("UPDATE runs SET state=?, finished_us=?, finished_sequence=? WHERE run=?"));
  s->bind(1, event.type == "run_finished" ? text_of(data, "state") : "interrupted");
  s->bind(2, event.time_us).bind(3, event.sequence).bind(4, event.run);
  return s->run();
}

Status Heads::apply_incident(const Event& event) {
  const json& data = event_data(event.data);
  if (!data.is_object() || !data.value("incident", json()).is_number_unsigned())
    return unreadable(event, "it names no incident");
  const auto incident = data["incident"].get<uint64_t>();
  TG_TRY(note_output_event(text_of(data, "output"), event.sequence));
  if (event.type == "incident_opened") {
    TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO incidents VALUES(?,?,?,?,0,?,0)"));
    s->bind(1, incident).bind(2, text_of(data, "output")).bind(3, text_of(data, "pipeline"));
    s->bind(4, event.time_us).bind(5, event.sequence);
    return s->run();
  }
  if (event.type != "incident_closed") return {};
  TG_ASSIGN(Statement * s,
            use("UPDATE incidents SET closed_us=?, closed_sequence=? WHERE incident=?"));
  s->bind(1, std::max<int64_t>(event.time_us, 1)).bind(2, event.sequence).bind(3, incident);
  return s->run();
}

Status Heads::apply_quarantine(const Event& event) {
  const json data = json::parse(event.data, nullptr, false);
  if (!data.is_object() || !data.value("entry", json()).is_number_unsigned())
    return unreadable(event, "it names no entry of the quarantine");
  const auto entry = data["entry"].get<uint64_t>();
  if (event.type == "quarantine_opened") {
    TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO quarantine VALUES(?,?,'open',?,?,?,?)"));
    s->bind(1, entry).bind(2, text_of(data, "pipeline"));
    s->bind(3, event.time_us).bind(4, event.time_us);
    s->bind(5, event.sequence).bind(6, event.sequence);
    return s->run();
  }
  if (event.type == "quarantine_changed") {
    TG_ASSIGN(Statement * s, use("UPDATE quarantine SET told_sequence=? WHERE entry=?"));
    s->bind(1, event.sequence).bind(2, entry);
    return s->run();
  }
  // quarantine_dropped, _released, _closed: the state is called like the event.
  TG_ASSIGN(Statement * s, use("UPDATE quarantine SET state=?, changed_us=? WHERE entry=?"));
  s->bind(1, std::string_view(event.type).substr(std::string_view("quarantine_").size()));
  s->bind(2, event.time_us).bind(3, entry);
  return s->run();
}

Status Heads::note_output_event(std::string_view output, uint64_t sequence) {
  TG_ASSIGN(Statement * s, use("INSERT OR IGNORE INTO output_events VALUES(?,?)"));
  s->bind(1, output).bind(2, sequence);
  return s->run();
}

Status Heads::reject(std::string_view output, std::string_view identity, uint64_t sequence) {
  if (identity.empty()) return {};
  TG_ASSIGN(Statement * s, use("INSERT OR REPLACE INTO rejected VALUES(?,?,?)"));
  s->bind(1, output).bind(2, identity).bind(3, sequence);
  return s->run();
}

Status Heads::unreject(std::string_view output, std::string_view identity) {
  TG_ASSIGN(Statement * s, use("DELETE FROM rejected WHERE output=? AND identity=?"));
  s->bind(1, output).bind(2, identity);
  return s->run();
}

Status Heads::set_state(GenerationRow row, std::string_view state, uint64_t changed) {
  json record = json::parse(row.record, nullptr, false);
  if (!record.is_object()) return {};
  record["state"] = state;
  row.state = state;
  row.record = dump(record);
  row.changed = changed;
  return set_generation(row);
}

Status Heads::unprove_all(const Event& event, const std::string& why) {
  TG_TRY(note_output_event("", event.sequence));
  TG_ASSIGN(const std::vector<std::string> names, outputs());
  for (const std::string& name : names) {
    TG_ASSIGN(std::optional<OutputRow> row, output(name));
    if (!row) continue;
    row->unproven = why;
    row->sequence = event.sequence;
    TG_TRY(set_output(*row));
  }
  return {};
}

Status Heads::publish(const Event& event, OutputRow& row, GenerationRecord record) {
  record.state = "published";
  GenerationRow made;
  made.output = record.output;
  made.generation = record.generation;
  made.number = record.number;
  made.state = record.state;
  made.identity = record.identity;
  made.sequence = made.changed = event.sequence;
  made.record = to_json(record);
  TG_TRY(set_generation(made));
  TG_TRY(unreject(record.output, record.identity));
  row.current = record.generation;
  row.unproven.clear();
  row.broken.clear();
  return {};
}

Status Heads::roll_back(const Event& event, OutputRow& row, std::string_view from,
                        std::string_view to, bool damaged) {
  TG_ASSIGN(std::optional<GenerationRow> newer, generation(row.output, from));
  TG_ASSIGN(std::optional<GenerationRow> older, generation(row.output, to));
  if (!older) {
    row.unproven = fmt::format("rolled back to generation {}, of which there is no record", to);
    row.current = to;
    return {};
  }
  if (newer && newer->number > older->number) {
    // Damaged files say nothing against the rows, which may be published again.
    if (!damaged) TG_TRY(reject(row.output, newer->identity, event.sequence));
    TG_TRY(set_state(*newer, "rejected", event.sequence));
  }
  // Going forward again takes a rejection back.
  TG_TRY(unreject(row.output, older->identity));
  TG_TRY(set_state(*older, "published", event.sequence));
  row.current = to;
  row.broken.clear();
  return {};
}

Status Heads::apply_output(const Event& event) {
  const json& data = event_data(event.data);
  const std::string name = data.is_object() ? text_of(data, "output") : "";
  if (name.empty()) return unreadable(event, "it names no output");
  TG_TRY(note_output_event(name, event.sequence));

  TG_ASSIGN(std::optional<OutputRow> known, output(name));
  OutputRow row = known.value_or(OutputRow{name, "", "", "", 0});
  row.sequence = event.sequence;
  const std::string generation_name = text_of(data, "generation");

  if (event.type == "output_published") {
    TG_ASSIGN(GenerationRecord record, generation_record_from_json(event.data));
    TG_TRY(publish(event, row, std::move(record)));
    return set_output(row);
  }
  if (event.type == "output_reaudited" && data.contains("record") && data["record"].is_object()) {
    // An audit found on disk what the journal had lost: the generation stands again.
    TG_ASSIGN(GenerationRecord record, generation_record_from_json(dump(data["record"])));
    if (record.output != name) return unreadable(event, "its record is another output's");
    TG_TRY(publish(event, row, std::move(record)));
    row.broken = text_of(data, "broken");
    return set_output(row);
  }
  if (!known) return {};

  if (event.type == "output_rolled_back") {
    TG_TRY(roll_back(event, row, text_of(data, "from"), text_of(data, "to"),
                     data.contains("damaged") && data["damaged"] == true));
    return set_output(row);
  }
  if (event.type == "generations_dropped") {
    for (const json& dropped : data.value("generations", json::array())) {
      if (!dropped.is_string() || dropped == row.current) continue;
      TG_ASSIGN(Statement * s, use("DELETE FROM generations WHERE output=? AND generation=?"));
      s->bind(1, name).bind(2, dropped.get_ref<const std::string&>());
      TG_TRY(s->run());
    }
    return set_output(row);
  }

  TG_ASSIGN(std::optional<GenerationRow> found, generation(name, generation_name));
  if (event.type == "generation_rejected") {
    TG_TRY(reject(name, text_of(data, "identity"), event.sequence));
    if (found) TG_TRY(set_state(*found, "rejected", event.sequence));
    return set_output(row);
  }
  if (!found) return {};
  json record = json::parse(found->record, nullptr, false);
  if (!record.is_object()) return unreadable(event, "the record it changes cannot be read");
  if (event.type == "output_unchanged") {
    for (const char* key : kMergedFields) merge_field(record, data, key);
    for (const char* key : kPromiseFields) replace_field(record, data, key);
  } else {  // output_reaudited
    for (const char* key : {"hashed_us", "files"}) merge_field(record, data, key);
  }
  // The changed record must be as readable as a published one.
  TG_ASSIGN(GenerationRecord checked, generation_record_from_json(dump(record)));
  found->record = to_json(checked);
  found->changed = event.sequence;
  TG_TRY(set_generation(*found));
  if (generation_name == row.current && event.type == "output_reaudited") {
    row.broken = text_of(data, "broken");
    row.unproven.clear();
  }
  return set_output(row);
}

}  // namespace tidegate
