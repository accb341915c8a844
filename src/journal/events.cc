#include "journal/events.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "journal/event_data.h"

namespace tidegate {
namespace {

using Names = std::string_view;

constexpr Names kRunStarted[] = {"pipeline",     "file",  "run_time_us",  "workers",
                                 "memory_bytes", "plan?", "resumed_from?"};
constexpr Names kRunInterrupted[] = {"reason?"};
constexpr Names kRunFinished[] = {"state", "tasks?", "rows?", "bytes?", "seconds?", "peak_rss?"};
constexpr Names kWorkerStarted[] = {"worker", "pid"};
constexpr Names kWorkerEnded[] = {"worker", "reason"};
constexpr Names kSourceRead[] = {"source",
                                 "known_by",
                                 "complete_to_us?",
                                 "expected",
                                 "arrived",
                                 "rows_read",
                                 "rows_quarantined",
                                 "missing",
                                 "rows_dropped?",
                                 "files_quarantined?",
                                 "identity",
                                 "upstream_output?",
                                 "upstream_generation?",
                                 "every_us?",
                                 "arrives_from_us?",
                                 "arrives_to_us?"};
constexpr Names kRowsQuarantined[] = {"source", "file", "rows", "share?", "samples?"};
constexpr Names kQuarantineOpened[] = {"entry", "pipeline", "source", "file",    "identity",
                                       "rows",  "stage",    "tasks",  "samples?"};
constexpr Names kQuarantineChanged[] = {"entry", "rows", "stage", "tasks", "samples?"};
constexpr Names kQuarantineDropped[] = {"entry", "why?"};
constexpr Names kQuarantineReleased[] = {"entry"};
constexpr Names kQuarantineClosed[] = {"entry", "why"};
constexpr Names kTaskStarted[] = {"identity",  "attempt", "stage",
                                  "partition", "worker?", "backup?"};
constexpr Names kTaskFinished[] = {"identity",  "attempt",  "stage?", "partition?", "rows_in?",
                                   "rows_out?", "bytes?",   "us?",    "peak_rss?",  "digest?",
                                   "files?",    "sources?", "checks?"};
constexpr Names kStageReused[] = {"stage", "tasks"};
constexpr Names kTaskFailed[] = {"identity", "attempt", "stage?", "partition?",
                                 "class",    "code",    "message"};
constexpr Names kTaskRetried[] = {"identity", "delay_us", "number",       "class?",
                                  "tokens?",  "parts?",   "memory_bytes?"};
constexpr Names kIsolated[] = {"rung", "index", "for_us", "reason"};
constexpr Names kIncidentOpened[] = {"incident", "output",     "pipeline", "class",   "code",
                                     "message",  "failed_us?", "stands?",  "command?"};
constexpr Names kIncidentAdded[] = {"incident", "output", "class", "code", "message", "command?"};
constexpr Names kIncidentMitigated[] = {"incident", "output", "generation", "why"};
constexpr Names kIncidentClosed[] = {"incident", "output", "why"};
constexpr Names kNotificationSent[] = {"incident", "about", "to", "key", "tries"};
constexpr Names kNotificationFailed[] = {"incident", "about", "to",   "key",
                                         "tries",    "class", "code", "message"};
constexpr Names kFactSet[] = {"key", "value"};
constexpr Names kCheckFinished[] = {"output", "name",       "kind",     "status",  "failing?",
                                    "total?", "tolerance?", "message?", "samples?"};
constexpr Names kOutputRefused[] = {"output", "generation?", "reasons"};
constexpr Names kOutputAudited[] = {"output", "generation", "identity", "number?",
                                    "rows?",  "bytes?",     "checks?"};
constexpr Names kOutputPublished[] = {
    "output",         "pipeline?",     "pipeline_file?", "publish_root", "number",
    "generation",     "state",         "run?",           "fence?",       "identity?",
    "contract_hash?", "published_us?", "hashed_us?",     "rows?",        "bytes?",
    "schema?",        "files",         "checks?",        "sources?",     "max_age_us?",
    "through_us?",    "completeness?", "manifest_xxh3?"};
constexpr Names kOutputUnchanged[] = {"output",     "generation",  "contract_hash", "checks",
                                      "sources",    "max_age_us?", "through_us?",   "completeness?",
                                      "hashed_us?", "files?"};
constexpr Names kOutputRolledBack[] = {"output", "from", "to", "damaged?"};
constexpr Names kGenerationRejected[] = {"output", "generation", "identity"};
constexpr Names kOutputReaudited[] = {"output", "generation", "hashed_us",
                                      "files",  "broken?",    "record?"};
constexpr Names kResultsDropped[] = {"identities"};
constexpr Names kGenerationsDropped[] = {"output", "generations"};
constexpr Names kJournalRecovered[] = {"lost", "kept_events", "damaged_file?"};
constexpr Names kStateImported[] = {"from"};

constexpr EventType kTypes[] = {
    {"run_started", kRunStarted},
    {"run_interrupted", kRunInterrupted},
    {"run_finished", kRunFinished},
    {"worker_started", kWorkerStarted},
    {"worker_ended", kWorkerEnded},
    {"source_read", kSourceRead},
    {"rows_quarantined", kRowsQuarantined},
    {"quarantine_opened", kQuarantineOpened},
    {"quarantine_changed", kQuarantineChanged},
    {"quarantine_dropped", kQuarantineDropped},
    {"quarantine_released", kQuarantineReleased},
    {"quarantine_closed", kQuarantineClosed},
    {"task_started", kTaskStarted},
    {"task_finished", kTaskFinished},
    {"stage_reused", kStageReused},
    {"task_adopted", kTaskFinished},
    {"task_failed", kTaskFailed},
    {"task_retried", kTaskRetried},
    {"isolated", kIsolated},
    {"incident_opened", kIncidentOpened},
    {"incident_added", kIncidentAdded},
    {"incident_mitigated", kIncidentMitigated},
    {"incident_closed", kIncidentClosed},
    {"notification_sent", kNotificationSent},
    {"notification_failed", kNotificationFailed},
    {"fact_set", kFactSet},
    {"check_finished", kCheckFinished},
    {"output_refused", kOutputRefused},
    {"output_audited", kOutputAudited},
    {"output_published", kOutputPublished},
    {"output_unchanged", kOutputUnchanged},
    {"output_rolled_back", kOutputRolledBack},
    {"generation_rejected", kGenerationRejected},
    {"output_reaudited", kOutputReaudited},
    {"results_dropped", kResultsDropped},
    {"generations_dropped", kGenerationsDropped},
    {"journal_recovered", kJournalRecovered},
    {"state_imported", kStateImported},
};

const EventType* find_type(std::string_view name) {
  for (const EventType& type : kTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace

std::span<const EventType> event_types() { return kTypes; }

Status check_event(std::string_view type, std::string_view data) {
  const EventType* known = find_type(type);
  if (!known)
    return fail(FailureClass::kDefect, "journal.bad_event",
                fmt::format("no such type of event: {}", type));
  const nlohmann::json& json = event_data(data);
  if (!json.is_object())
    return fail(FailureClass::kDefect, "journal.bad_event",
                fmt::format("the data of a {} event is no JSON object", type));
  for (std::string_view field : known->fields) {
    if (field.ends_with('?')) continue;
    if (!json.contains(field))
      return fail(FailureClass::kDefect, "journal.bad_event",
                  fmt::format("a {} event lacks its field: {}", type, field));
  }
  return {};
}

}  // namespace tidegate
