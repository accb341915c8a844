#include "publish/standing.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "publish/audit.h"

namespace tidegate {

Result<std::optional<Standing>> resolve_current(Effects& effects, const std::string& root) {
  TG_ASSIGN(const auto owner, read_owner(effects, root));
  if (!owner) return std::nullopt;
  Standing standing{.owner = *owner, .site = site_of(root, *owner)};
  TG_ASSIGN(auto newest, CommitLog(effects, standing.site.log()).newest());
  if (!newest) return std::nullopt;
  const CommitMember* member = newest->member(owner->output);
  if (!member) return std::nullopt;
  standing.record = member->record;
  standing.record.publish_root = root;
  standing.directory = generation_directory(root, member->record.generation);
  standing.commit = std::move(*newest);
  return standing;
}

Status check_standing_owner(const Owner& there, const OutputPlace& place,
                            const std::string& state_id) {
  if (there.state_id == state_id && there.output == place.output) return {};
  return fail(
      FailureClass::kDefect, "publish.foreign_owner",
      fmt::format("output {} of pipeline {}{} is published here: \"{}\"{}", there.output,
                  there.pipeline, there.state_id == state_id ? "" : " of another state directory",
                  place.root,
                  there.state_id == state_id
                      ? ""
                      : "; if that was lost, \"tidegate audit DIRECTORY --take-over\" makes "
                        "this one the owner"));
}

Result<Decision> decide(Effects& effects, Journal& journal, const OutputPlace& place,
                        const std::string& identity, const std::string& contract_hash, bool force) {
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (standing && standing->record.identity == identity) {
    for (const GenerationFile& file : standing->record.files) {
      const auto stat = effects.stat(path_join(standing->directory, file.name));
      if (!stat || stat->size != file.bytes) return Decision::kPublish;
    }
    TG_ASSIGN(const auto head, journal.output_head(place.output));
    if (!head || !head->unproven.empty() || !journal.damage().empty()) return Decision::kAuditFirst;
    if (!head->broken.empty()) return Decision::kPublish;
    TG_ASSIGN(const GenerationRecord known, generation_record_from_json(head->record));
    if (known.generation != standing->record.generation) return Decision::kAuditFirst;
    const bool failed = std::ranges::any_of(known.checks, [](const CheckOutcome& check) {
      return check.status == "fail" || check.status == "error";
    });
    return known.contract_hash == contract_hash && !failed ? Decision::kUnchanged
                                                           : Decision::kVerifyAgain;
  }
  if (force) return Decision::kPublish;
  if (standing)
    for (const RejectedGeneration& one : standing->commit.rejected)
      if (one.output == place.output && one.identity == identity) return Decision::kRejected;
  TG_ASSIGN(const auto rejected, journal.rejected_identities(place.output));
  return std::ranges::count(rejected, identity) ? Decision::kRejected : Decision::kPublish;
}

Status confirm_unchanged(Effects& effects, Journal& journal, const OutputPlace& place,
                         const PublishRequest& request,
                         const std::optional<std::vector<CheckOutcome>>& checks,
                         const std::string& run) {
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  TG_ASSIGN(const auto text, journal.output_record(place.output));
  if (!standing || !text)
    return fail(FailureClass::kDefect, "publish.nothing_published",
                fmt::format("nothing stands that could be unchanged: \"{}\"", place.root));
  TG_ASSIGN(GenerationRecord record, generation_record_from_json(*text));
  if (record.generation != standing->record.generation || record.identity != request.identity)
    return fail(FailureClass::kDefect, "publish.lost_race",
                fmt::format("another generation stands by now: \"{}\"", place.root));
  record.publish_root = place.root;
  record.contract_hash = request.contract_hash;
  record.sources = request.sources;
  record.max_age_us = request.max_age_us;
  record.through_us = request.through_us;
  record.completeness = request.completeness;
  if (checks) {
    TG_ASSIGN(const auto broken, find_damage(effects, record));
    if (!broken.empty())
      return fail(
          FailureClass::kLost, "publish.broken",
          fmt::format("the standing generation is not as it was published: {}", broken.front()));
    record.checks = *checks;
    record.hashed_us = effects.now_us();
    TG_TRY(take_stats(effects, record));
  }
  const auto full = nlohmann::json::parse(to_json(record), nullptr, false);
  nlohmann::json data;
  for (const char* key : {"output", "generation", "contract_hash", "checks", "sources",
                          "max_age_us", "through_us", "completeness", "hashed_us", "files"})
    if (full.contains(key)) data[key] = full[key];
  return journal.append("output_unchanged", run,
                        data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace tidegate
