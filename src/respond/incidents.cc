#include "respond/incidents.h"

#include <fmt/format.h>

#include "base/text.h"

namespace tidegate {

Status record_incident(Journal& journal, const OutputEnd& end) {
  TG_ASSIGN(const auto open, journal.incidents({.output = end.output, .open_only = true}));
  const std::string output = quote_json(end.output);
  if (end.healed) {
    for (const IncidentHead& one : open)
      TG_TRY(journal.append(
          "incident_closed", end.run,
          fmt::format(R"({{"incident":{},"output":{},"why":{}}})", one.incident, output,
                      quote_json("generation " + end.generation + " stands"))));
    return {};
  }
  if (!end.failure) return {};
  const std::string what = fmt::format(R"("output":{},"class":"{}","code":{},"message":{})", output,
                                       to_string(end.failure->cls), quote_json(end.failure->code),
                                       quote_json(end.failure->message));
  if (!open.empty())
    return journal.append("incident_added", end.run,
                          fmt::format(R"({{"incident":{},{}}})", open.front().incident, what));
  TG_ASSIGN(const auto newest, journal.incidents({.most = 1}));
  const uint64_t number = newest.empty() ? 1 : newest.front().incident + 1;
  return journal.append(
      "incident_opened", end.run,
      fmt::format(R"({{"incident":{},"pipeline":{},{}{}}})", number, quote_json(end.pipeline), what,
                  end.failed_us > 0 ? fmt::format(R"(,"failed_us":{})", end.failed_us) : ""));
}

Result<uint64_t> first_event_of(Journal& journal, const IncidentHead& incident) {
  const uint64_t before = incident.opened_sequence - 1;
  TG_ASSIGN(const auto opened,
            journal.events({.after = before, .before = incident.opened_sequence + 1}));
  if (opened.empty() || opened.front().run.empty()) return before;
  TG_ASSIGN(const auto run, journal.run(opened.front().run));
  return run ? run->started_sequence - 1 : before;
}

}  // namespace tidegate
