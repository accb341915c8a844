#include <fmt/core.h>

#include "contract/codes.h"
#include "contract/parse_parts.h"
#include "contract/secret.h"

namespace tidegate {
namespace {

constexpr std::string_view kRollbackExample =
    "rollback: {when: check_failed_after_publish, to: previous}";
constexpr std::string_view kNotifyExample =
    "notify: [{webhook: \"https://alerts.example.com/tidegate\"}]";

/// One criterion of `when`: a word, or `{verdict: UNTRUSTED}`.
void parse_criterion(const YamlNode& node, RollbackRule& rule, Fields& fields) {
  if (node.kind == YamlKind::kMapping) {
    fields.check_keys(node, "`when`", {"verdict"});
    const YamlNode* verdict = node.find("verdict");
    if (verdict == nullptr) {
      fields.error(codes::kMissingKey, node.span, "`when` has no `verdict`", "",
                   "write `when: {verdict: UNTRUSTED}`");
    } else if (fields.word(*verdict, "verdict", {"UNTRUSTED"})) {
      rule.on_untrusted = true;
    }
    return;
  }
  if (fields.word(node, "when", {"check_failed_after_publish"})) rule.on_check_failed = true;
}

/// True for a URL that curl may be given, or that a secret holds.
bool is_webhook(const Spanned<std::string>& url, Fields& fields) {
  const auto references = find_secret_references(url.value);
  for (const SecretReference& reference : references) {
    if (reference.kind != SecretReference::Kind::kBroken) continue;
    fields.error(codes::kSecretSyntax, url.span, "a secret reference that names nothing", "",
                 "write `${env:NAME}` or `${file:PATH}`");
    return false;
  }
  if (!references.empty() && references.front().begin == 0) return true;
  const std::string_view text = url.value;
  const size_t host = text.starts_with("http://") ? 7 : text.starts_with("https://") ? 8 : 0;
  const std::string_view authority = text.substr(host, text.find_first_of("/?#", host) - host);
  if (host == 0 || authority.empty() || text.find_first_of(" \t\r\n") != std::string_view::npos) {
    fields.error(codes::kNotifyTarget, url.span, "this is no URL of a webhook",
                 "it begins with http:// or https://", fmt::format("write `{}`", kNotifyExample));
    return false;
  }
  const size_t at = authority.rfind('@');
  if (at != std::string_view::npos && find_secret_references(authority.substr(0, at)).empty()) {
    fields.error(codes::kSecretInClear, url.span, "a URL with a credential in clear",
                 "whoever reads this file reads the secret",
                 "put the whole URL into a secret: `webhook: ${env:ALERT_URL}`");
    return false;
  }
  return true;
}

std::optional<NotifyTarget> parse_notify_target(const YamlNode& node, Fields& fields) {
  if (!fields.is_mapping(node, "notify", kNotifyExample)) return std::nullopt;
  fields.check_keys(node, "an item of `notify`", {"command", "webhook"});
  NotifyTarget target;
  target.span = node.span;
  const YamlNode* command = node.find("command");
  const YamlNode* webhook = node.find("webhook");
  if ((command == nullptr) == (webhook == nullptr)) {
    fields.error(command ? codes::kConflictingKeys : codes::kNotifyTarget, node.span,
                 "an item of `notify` is a `command` or a `webhook`",
                 command ? "both are given" : "neither is given", "make each an item of its own");
    return std::nullopt;
  }
  if (webhook) {
    auto url = fields.text(*webhook, "webhook");
    if (!url || !is_webhook(*url, fields)) return std::nullopt;
    target.webhook = std::move(*url);
    return target;
  }
  if (!fields.is_list(*command, "command", "command: [./tell.sh, --team, data]"))
    return std::nullopt;
  for (const auto& item : command->items) {
    auto argument = fields.text(*item, "command");
    if (!argument) return std::nullopt;
    target.command.push_back(std::move(*argument));
  }
  if (target.command.empty() || target.command.size() > kNotifyArgumentsMax) {
    fields.error(
        codes::kNotifyTarget, command->span,
        fmt::format("`command` takes a program and up to {} arguments", kNotifyArgumentsMax - 1),
        "", "write `command: [./tell.sh, --team, data]`");
    return std::nullopt;
  }
  return target;
}

}  // namespace

std::optional<RollbackRule> parse_rollback(const YamlNode& node, Fields& fields) {
  if (!fields.is_mapping(node, "rollback", kRollbackExample)) return std::nullopt;
  fields.check_keys(node, "`rollback`", {"when", "to", "mode"});
  RollbackRule rule;
  rule.span = node.span;
  const YamlNode* when = node.find("when");
  if (when == nullptr) {
    fields.error(codes::kMissingKey, node.span, "`rollback` has no `when`", "",
                 fmt::format("write `{}`", kRollbackExample));
  } else if (when->kind == YamlKind::kSequence) {
    for (const auto& item : when->items) parse_criterion(*item, rule, fields);
  } else {
    parse_criterion(*when, rule, fields);
  }
  if (const YamlNode* to = node.find("to")) (void)fields.word(*to, "to", {"previous"});
  if (const YamlNode* mode = node.find("mode"))
    rule.automatic = fields.word(*mode, "mode", {"automatic", "manual"}).value_or(0) == 0;
  if (!rule.on_check_failed && !rule.on_untrusted) return std::nullopt;
  return rule;
}

std::vector<NotifyTarget> parse_notify(const YamlNode& node, Fields& fields) {
  std::vector<NotifyTarget> targets;
  if (!fields.is_list(node, "notify", kNotifyExample)) return targets;
  if (node.items.size() > kNotifyTargetsMax) {
    fields.error(codes::kNotifyTarget, node.span,
                 fmt::format("`notify` has at most {} items", kNotifyTargetsMax),
                 fmt::format("{} items", node.items.size()), "tell one that tells the others");
    return targets;
  }
  for (const auto& item : node.items)
    if (auto target = parse_notify_target(*item, fields)) targets.push_back(std::move(*target));
  return targets;
}

}  // namespace tidegate
