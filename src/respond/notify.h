#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "contract/contract.h"
#include "journal/journal.h"

namespace tidegate {

/// Who is told of incidents, how, and when it is given up. The journal is the outbox: what no
/// notification_sent event tells is due, whatever process died at whatever moment. So news may come
/// twice, and never under another key.

/// News of an incident that one target has not taken yet.
struct Notification {
  uint64_t incident = 0;
  std::string about;  ///< "opened", "closed"
  size_t target = 0;  ///< index into Pipeline::notify
  std::string to;     ///< names the target in the journal: "webhook-1f9c03aa"
  std::string key;    ///< the same whenever this is sent again
  std::string body;   ///< a JSON object, one line: docs/contract.md has its fields
};

/// News older than this is given up, and so is what failed this often.
inline constexpr int64_t kNotifyAgeUsMax = int64_t{7} * 86'400 * 1'000'000;
inline constexpr uint32_t kNotifyFailuresMax = 20;
/// Incidents that are looked at, newest first, and news that one delivery has at most.
inline constexpr size_t kNotifyIncidentsMax = 500;
inline constexpr size_t kNotifyDueMax = 100;
/// One delivery: tries of one piece of news, time of a try, time of all.
inline constexpr uint32_t kNotifyTriesMax = 3;
inline constexpr int64_t kNotifyTryUsMax = 5'000'000;
inline constexpr int64_t kNotifyUsMax = 30'000'000;

/// What is due, oldest first.
struct Outbox {
  std::vector<Notification> due;
  size_t given_up = 0;  ///< news that failed kNotifyFailuresMax times
};
Result<Outbox> read_outbox(Journal& journal, const Pipeline& contract, const std::string& state_id,
                           int64_t now_us);

/// What became of a notification.
struct Delivered {
  Notification news;
  uint32_t tries = 0;  ///< 0: its target had failed before in this delivery, or time was up
  Status result;
};

/// Sends one piece of news within kNotifyTryUsMax. Failures: notify.command, notify.refused,
/// notify.timeout, notify.no_curl, source.secret.
using Send = std::function<Status(const NotifyTarget& target, const Notification& news)>;
/// By command or curl, as the target says.
Send send_by_process(Effects& effects, const Pipeline& contract);

/// Sends what is due. A target that fails kNotifyTriesMax times is left alone until the next
/// delivery. Takes kNotifyUsMax and one try at most. Nothing is journaled.
std::vector<Delivered> deliver(Effects& effects, const Pipeline& contract, const Outbox& outbox,
                               const Send& send);

/// Journals what was sent and what failed. Not committed.
Status record_delivered(Journal& journal, const std::vector<Delivered>& delivered);

}  // namespace tidegate
