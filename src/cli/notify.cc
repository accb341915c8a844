#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "respond/notify.h"
#include "store/state_dir.h"

namespace tidegate::cli {
namespace {

using nlohmann::json;

/// The lock is asked for so often, with this pause. What cannot be written down is sent once more.
constexpr int kLockTriesMax = 20;
constexpr int64_t kLockPauseUs = 100'000;

Status write_down(Effects& effects, const StateDir& state,
                  const std::vector<Delivered>& delivered) {
  auto lock = ConductorLock::take(effects, state, "notify");
  for (int tries = 1; !lock && lock.error().code == "state.locked" && tries < kLockTriesMax;
       ++tries) {
    effects.sleep_us(kLockPauseUs);
    lock = ConductorLock::take(effects, state, "notify");
  }
  if (!lock) return std::unexpected(lock.error());
  TG_ASSIGN(const auto journal, Journal::open(effects, state.path(), Journal::Mode::kWrite));
  TG_TRY(record_delivered(*journal, delivered));
  return journal->commit();
}

struct Delivery {
  std::vector<Delivered> delivered;
  size_t given_up = 0;
};

/// The lock is held for the writing down only: a run may begin meanwhile.
Result<Delivery> deliver_due(Effects& effects, const std::string& state_path,
                             const Pipeline& contract) {
  Delivery delivery;
  if (contract.notify.empty()) return delivery;
  TG_ASSIGN(const StateDir existing, StateDir::open(effects, state_path, StateDir::Mode::kRead));
  Outbox outbox;
  {
    TG_ASSIGN(const auto journal, Journal::open(effects, existing.path(), Journal::Mode::kRead));
    TG_ASSIGN(outbox, read_outbox(*journal, contract, existing.id(), effects.now_us()));
  }
  delivery.given_up = outbox.given_up;
  if (outbox.due.empty()) return delivery;
  delivery.delivered = deliver(effects, contract, outbox, send_by_process(effects, contract));
  TG_ASSIGN(const StateDir state, StateDir::open(effects, state_path, StateDir::Mode::kWrite));
  TG_TRY(write_down(effects, state, delivery.delivered));
  return delivery;
}

}  // namespace

void notify_after(Effects& effects, const Common& common, const std::string& state_path,
                  const std::string& file, const Pipeline& contract) {
  const auto delivery = deliver_due(effects, state_path, contract);
  if (common.quiet) return;
  const std::string again = fmt::format("; `tidegate notify {}` tries again", file);
  if (!delivery) return err(fmt::format("notify: {}{}\n", delivery.error().describe(), again));
  for (const Delivered& one : delivery->delivered)
    if (!one.result && one.tries > 0)
      err(fmt::format("notify: {}: {}{}\n", one.news.to, one.result.error().describe(), again));
}

int command_notify(Effects& effects, const Common& common, const std::string& file) {
  const auto contract = read_contract(effects, common, file);
  if (!contract) return kExitUsage;
  const auto delivery =
      deliver_due(effects, state_directory(common, path_dirname(file)), *contract);
  if (!delivery)
    return tell_failure(common, delivery.error(),
                        delivery.error().code.starts_with("state.") ? kExitUsage : kExitFailed);
  json sent = json::array(), failed = json::array();
  bool all = true;
  for (const Delivered& one : delivery->delivered) {
    json news = {{"incident", one.news.incident},
                 {"about", one.news.about},
                 {"to", one.news.to},
                 {"key", one.news.key},
                 {"tries", one.tries}};
    all &= one.result.has_value();
    if (!common.json)
      out(one.result
              ? fmt::format("{}: incident {} {}\n", one.news.to, one.news.incident, one.news.about)
              : fmt::format("{}: incident {} {}: not sent: {}\n", one.news.to, one.news.incident,
                            one.news.about, one.result.error().describe()));
    if (!one.result) {
      news["code"] = one.result.error().code;
      news["message"] = one.result.error().describe();
    }
    (one.result ? sent : failed).push_back(std::move(news));
  }
  if (common.json)
    out(json({{"sent", sent}, {"failed", failed}, {"given_up", delivery->given_up}})
            .dump(-1, ' ', false, json::error_handler_t::replace) +
        "\n");
  else if (delivery->delivered.empty() && !common.quiet)
    out(contract->notify.empty() ? "the contract names nobody to notify\n" : "nothing is due\n");
  if (!common.json && delivery->given_up > 0)
    out(fmt::format("{} given up, after {} failures each\n", delivery->given_up,
                    kNotifyFailuresMax));
  return all ? kExitDone : kExitFailed;
}

}  // namespace tidegate::cli
