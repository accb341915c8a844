// How news leaves this process: a command of the contract, or curl. What is secret goes to curl's
// standard input, so that it stands neither in the list of processes nor in a file.

#include <fmt/format.h>

#include <charconv>

#include "base/run_command.h"
#include "base/text.h"
#include "base/units.h"
#include "contract/secret.h"
#include "respond/notify.h"
#include "source/scan.h"

namespace tidegate {
namespace {

constexpr int kCurlTimedOut = 28;

Status ended_well(const CommandEnd& end, std::string_view name) {
  if (end.timed_out)
    return fail(FailureClass::kTimeout, "notify.timeout",
                fmt::format("the command \"{}\" took longer than {}", name,
                            format_duration_us(kNotifyTryUsMax)));
  if (!end.status.signalled && end.status.code == 0) return {};
  return fail(FailureClass::kDependency, "notify.command",
              fmt::format("the command \"{}\" ended with {} {}: {}", name,
                          end.status.signalled ? "signal" : "exit code", end.status.code,
                          first_line(end.output)));
}

Status send_to_command(const Pipeline& contract, const NotifyTarget& target,
                       const Notification& news) {
  Command command{{}, contract.directory, news.body + "\n", kNotifyTryUsMax};
  for (const auto& argument : target.command) command.arguments.push_back(argument.value);
  const auto end = run_command(command);
  if (!end)
    return fail_because(end.error(), "notify.command",
                        fmt::format("the command \"{}\" cannot be run", command.arguments.front()));
  return ended_well(*end, command.arguments.front());
}

/// The URL with its secrets. resolve_secrets writes values into SQL literals: quotes are doubled.
Result<std::string> url_of(Effects& effects, const Pipeline& contract, const std::string& written) {
  std::string url;
  size_t done = 0;
  for (const SecretReference& reference : find_secret_references(written)) {
    url += written.substr(done, reference.begin - done);
    done = reference.end;
    TG_ASSIGN(
        const std::string value,
        resolve_secrets(effects, written.substr(reference.begin, reference.end - reference.begin),
                        contract.directory));
    for (size_t i = 0; i < value.size(); ++i) {
      url += value[i];
      if (value[i] == '\'') ++i;
    }
  }
  return url + written.substr(done);
}

/// A value of curl's configuration in quotes.
std::string curl_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n' || c == '\r' || c == '\0') continue;
    quoted += c;
  }
  return quoted + '"';
}

Status send_to_webhook(Effects& effects, const Pipeline& contract, const NotifyTarget& target,
                       const Notification& news) {
  const std::string& written = target.webhook->value;
  TG_ASSIGN(const std::string url, url_of(effects, contract, written));
  const double seconds = static_cast<double>(kNotifyTryUsMax) / 1e6;
  const std::string settings = fmt::format(
      "url = {}\nheader = \"Content-Type: application/json\"\nheader = {}\ndata-raw = {}\n"
      "max-time = {}\nproto = \"=http,https\"\ngloboff\nsilent\noutput = \"/dev/null\"\n"
      "write-out = \"%{{http_code}}\"\n",
      curl_quoted(url), curl_quoted("Idempotency-Key: " + news.key), curl_quoted(news.body),
      seconds);
  const auto end =
      run_command({{"curl", "-q", "--config", "-"}, "", settings, kNotifyTryUsMax + 1'000'000});
  if (!end)
    return fail_because(end.error(), "notify.no_curl", "webhooks need curl, which cannot be run");
  // A webhook without secrets may be named.
  const std::string to = url == written ? fmt::format("the webhook \"{}\"", url) : "the webhook";
  if (end->timed_out || (!end->status.signalled && end->status.code == kCurlTimedOut))
    return fail(
        FailureClass::kTimeout, "notify.timeout",
        fmt::format("{} did not answer within {}", to, format_duration_us(kNotifyTryUsMax)));
  if (end->status.signalled || end->status.code != 0)
    return fail(FailureClass::kDependency, "notify.refused",
                fmt::format("{} cannot be reached: curl ended with {} {}", to,
                            end->status.signalled ? "signal" : "exit code", end->status.code));
  const uint64_t answer = to_u64(end->output);
  if (answer >= 200 && answer < 300) return {};
  return fail(FailureClass::kDependency, "notify.refused",
              fmt::format("{} answered {}", to, answer));
}

}  // namespace

Send send_by_process(Effects& effects, const Pipeline& contract) {
  return [&effects, &contract](const NotifyTarget& target, const Notification& news) {
    return target.webhook ? send_to_webhook(effects, contract, target, news)
                          : send_to_command(contract, target, news);
  };
}

}  // namespace tidegate
