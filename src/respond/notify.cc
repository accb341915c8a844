#include "respond/notify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/failure_codes.h"
#include "base/hash.h"
#include "base/secrets.h"
#include "base/text.h"
#include "base/units.h"

namespace tidegate {
namespace {

using nlohmann::json;

constexpr int64_t kPauseUs = 200'000;  ///< after the first failed try; doubled after each
constexpr size_t kMessageBytesMax = 4096;

std::string name_of(const NotifyTarget& target) {
  std::string text;
  for (const auto& argument : target.command) text += argument.value + '\0';
  if (target.webhook) text = target.webhook->value;
  return fmt::format("{}-{}", target.webhook ? "webhook" : "command",
                     hex64(xxh3_64(text)).substr(0, 8));
}

json json_object(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_object() ? value : json::object();
}

std::string body_of(const IncidentHead& incident, const std::string& about,
                    const std::string& key) {
  const json opened = json_object(incident.opened_data);
  std::string message = opened.value("message", "");
  if (message.size() > kMessageBytesMax) message.resize(kMessageBytesMax);
  const std::string code = opened.value("code", "");
  nlohmann::ordered_json body;
  body["key"] = key;
  body["about"] = about;
  body["incident"] = incident.incident;
  body["pipeline"] = incident.pipeline;
  body["output"] = incident.output;
  body["class"] = opened.value("class", "");
  body["code"] = code;
  body["message"] = without_secrets(std::move(message));
  body["opened"] = format_timestamp_us(incident.opened_us);
  if (about == "closed") {
    body["closed"] = format_timestamp_us(incident.closed_us);
  } else {
    body["advice"] = advice_for(code);
    for (const char* field : {"stands", "command"})
      if (opened.contains(field)) body[field] = opened[field];
  }
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// What the journal says was sent, and how often what was not has failed: by key and target.
struct Tried {
  std::set<std::pair<std::string, std::string>> sent;
  std::map<std::pair<std::string, std::string>, uint32_t> failed;
};

Result<Tried> tried_since(Journal& journal, uint64_t after) {
  TG_ASSIGN(const auto events,
            journal.events({.after = after,
                            .types = {"notification_sent", "notification_failed"},
                            .newest_first = true,
                            .most = EventQuery::kMostMax}));
  Tried tried;
  for (const Event& event : events) {
    const json data = json_object(event.data);
    const std::pair news{data.value("key", ""), data.value("to", "")};
    if (event.type == "notification_sent")
      tried.sent.insert(news);
    else
      ++tried.failed[news];
  }
  return tried;
}

}  // namespace

Result<Outbox> read_outbox(Journal& journal, const Pipeline& contract, const std::string& state_id,
                           int64_t now_us) {
  Outbox outbox;
  if (contract.notify.empty()) return outbox;
  TG_ASSIGN(auto incidents, journal.incidents({.most = kNotifyIncidentsMax}));
  std::erase_if(incidents, [&](const IncidentHead& one) {
    return one.pipeline != contract.name.value ||
           std::max(one.opened_us, one.closed_us) < now_us - kNotifyAgeUsMax;
  });
  if (incidents.empty()) return outbox;
  std::ranges::sort(incidents, {}, &IncidentHead::incident);
  TG_ASSIGN(const Tried tried, tried_since(journal, incidents.front().opened_sequence - 1));
  for (const IncidentHead& incident : incidents) {
    for (const std::string about : {"opened", "closed"}) {
      const int64_t at_us = about == "opened" ? incident.opened_us : incident.closed_us;
      if (at_us == 0 || at_us < now_us - kNotifyAgeUsMax) continue;
      for (size_t target = 0; target < contract.notify.size(); ++target) {
        Notification news{.incident = incident.incident,
                          .about = about,
                          .target = target,
                          .to = name_of(contract.notify[target]),
                          .key = fmt::format("{}-{}-{}", state_id, incident.incident, about),
                          .body = {}};
        if (tried.sent.contains({news.key, news.to})) continue;
        const auto failed = tried.failed.find({news.key, news.to});
        if (failed != tried.failed.end() && failed->second >= kNotifyFailuresMax) {
          ++outbox.given_up;
          continue;
        }
        if (outbox.due.size() >= kNotifyDueMax) return outbox;
        news.body = body_of(incident, about, news.key);
        outbox.due.push_back(std::move(news));
      }
    }
  }
  return outbox;
}

std::vector<Delivered> deliver(Effects& effects, const Pipeline& contract, const Outbox& outbox,
                               const Send& send) {
  const int64_t end_us = effects.monotonic_us() + kNotifyUsMax;
  std::vector<Delivered> delivered;
  std::map<std::string, Failure> silent;  ///< targets that have failed, and how
  for (const Notification& news : outbox.due) {
    Delivered one{news, 0, {}};
    if (const auto failed = silent.find(news.to); failed != silent.end()) {
      one.result = std::unexpected(failed->second);
    } else if (effects.monotonic_us() >= end_us) {
      one.result = fail(FailureClass::kTimeout, "notify.timeout",
                        fmt::format("no time was left for it: a delivery takes {} at most",
                                    format_duration_us(kNotifyUsMax)));
    } else {
      int64_t pause_us = kPauseUs;
      do {
        if (one.tries > 0) effects.sleep_us(std::exchange(pause_us, 2 * pause_us));
        ++one.tries;
        one.result = send(contract.notify.at(news.target), news);
      } while (!one.result && one.tries < kNotifyTriesMax && effects.monotonic_us() < end_us);
      if (!one.result) silent.emplace(news.to, one.result.error());
    }
    delivered.push_back(std::move(one));
  }
  return delivered;
}

Status record_delivered(Journal& journal, const std::vector<Delivered>& delivered) {
  for (const Delivered& one : delivered) {
    if (one.tries == 0) continue;
    const std::string what = fmt::format(
        R"("incident":{},"about":"{}","to":"{}","key":{},"tries":{})", one.news.incident,
        one.news.about, one.news.to, quote_json(one.news.key), one.tries);
    if (one.result) {
      TG_TRY(journal.append("notification_sent", "", fmt::format("{{{}}}", what)));
      continue;
    }
    const Failure& failure = one.result.error();
    TG_TRY(journal.append(
        "notification_failed", "",
        fmt::format(R"({{{},"class":"{}","code":{},"message":{}}})", what, to_string(failure.cls),
                    quote_json(failure.code), quote_json(without_secrets(failure.describe())))));
  }
  return {};
}

}  // namespace tidegate
