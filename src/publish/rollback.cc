#include "publish/rollback.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "publish/audit.h"
#include "publish/publication.h"
#include "publish/standing.h"

namespace tidegate {
namespace {

std::string dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_rejected(const Commit& commit, const std::string& output, const std::string& generation) {
  return std::ranges::any_of(commit.rejected, [&](const RejectedGeneration& one) {
    return one.output == output && one.generation == generation;
  });
}

Result<GenerationRecord> find_target(Effects& effects, CommitLog& log, const Standing& standing,
                                     const std::string& output, const std::string& to) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(to.data(), to.data() + to.size(), number);
  const bool by_number = error == std::errc() && end == to.data() + to.size();
  std::optional<GenerationRecord> target;
  TG_TRY(log.each([&](const Commit& commit) {
    const CommitMember* member = commit.member(output);
    if (!member) return true;
    const GenerationRecord& record = member->record;
    if (record.generation == standing.record.generation) return true;
    const bool meant = to.empty() ? record.number < standing.record.number &&
                                        !is_rejected(standing.commit, output, record.generation)
                       : by_number ? record.number == number
                                   : record.generation == to;
    if (!meant) return true;
    const auto directory = generation_directory(standing.record.publish_root, record.generation);
    if (!exists(effects, directory)) return true;
    target = record;
    return false;
  }));
  if (!target)
    return fail(FailureClass::kDependency, "publish.rollback_none",
                fmt::format("output {} has no earlier generation {}on disk to go back to", output,
                            to.empty() ? "" : fmt::format("\"{}\" ", to)));
  target->publish_root = standing.record.publish_root;
  return *target;
}

Status journal_rollback(Effects& effects, Journal& journal, const GenerationRecord& from,
                        GenerationRecord target, bool damaged, const std::string& run) {
  const std::string& output = target.output;
  if (from.number > target.number && !damaged)
    TG_TRY(journal.append(
        "generation_rejected", run,
        dump({{"output", output}, {"generation", from.generation}, {"identity", from.identity}})));
  TG_TRY(append_rolled_back(journal, output, from.generation, target.generation, damaged, run));
  TG_ASSIGN(const auto known, journal.generation_record(output, target.generation));
  TG_TRY(take_stats(effects, target));
  const auto full = nlohmann::json::parse(to_json(target), nullptr, false);
  nlohmann::json data = {{"output", output},
                         {"generation", target.generation},
                         {"hashed_us", target.hashed_us},
                         {"files", full.at("files")}};
  if (!known) data["record"] = full;
  TG_TRY(journal.append("output_reaudited", run, dump(data)));
  return journal.commit();
}

}  // namespace

Status append_rolled_back(Journal& journal, const std::string& output, const std::string& from,
                          const std::string& to, bool damaged, const std::string& run) {
  nlohmann::json data = {{"output", output}, {"from", from}, {"to", to}};
  if (damaged) data["damaged"] = true;
  return journal.append("output_rolled_back", run, dump(data));
}

Result<RollbackReport> rollback_output(Effects& effects, Journal& journal, const OutputPlace& place,
                                       const std::string& state_id, uint64_t fence,
                                       const std::string& run, const std::string& to) {
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (!standing)
    return fail(FailureClass::kDependency, "publish.nothing_published",
                fmt::format("nothing is published yet: \"{}\"", place.root));
  TG_TRY(check_standing_owner(standing->owner, place, state_id));
  if (standing->commit.fence > fence)
    return fail(FailureClass::kDefect, "publish.fenced",
                fmt::format("a newer conductor has published here: \"{}\"", place.root));
  CommitLog log(effects, standing->site.log());
  TG_ASSIGN(GenerationRecord target, find_target(effects, log, *standing, place.output, to));
  TG_ASSIGN(const auto broken, find_damage(effects, target));
  if (!broken.empty())
    return fail(FailureClass::kLost, "publish.broken",
                fmt::format("generation {} is not as it was published: {}", target.generation,
                            broken.front()));
  target.hashed_us = effects.now_us();
  const GenerationRecord& left = standing->record;
  bool damaged = false;
  if (left.number > target.number) {
    const auto found = find_damage(effects, left);
    damaged = !found || !found->empty();
  }

  Commit commit = standing->commit;
  commit.previous = standing->commit.number;
  TG_ASSIGN(commit.number, next_commit_number(effects, journal, standing->site, {place.output}));
  commit.kind = CommitKind::kRollback;
  commit.run = run;
  commit.fence = fence;
  commit.committed_us = effects.now_us();
  commit.rollback_output = place.output;
  commit.rollback_from = left.generation;
  for (CommitMember& member : commit.members)
    if (member.output == place.output) member.record = target;
  std::erase_if(commit.rejected, [&](const RejectedGeneration& one) {
    return one.output == place.output &&
           (one.identity == target.identity || one.generation == target.generation);
  });
  if (left.number > target.number)
    commit.rejected.push_back({place.output, left.generation, damaged ? "" : left.identity});
  if (commit.rejected.size() > CommitLog::kRejectedMax)
    commit.rejected.erase(commit.rejected.begin());
  if (standing->site.is_set) {
    commit.set_directory = generation_name(commit.number, effects.random_u64());
    TG_TRY(make_set_directory(effects, standing->site, commit));
  }
  TG_ASSIGN(const bool won, log.append(commit));
  if (!won)
    return fail(FailureClass::kDefect, "publish.lost_race",
                fmt::format("another conductor published first: \"{}\"", place.root));
  const auto after = [&]() -> Status {
    TG_ASSIGN(const bool changed, settle_newest(effects, standing->site));
    (void)changed;
    return journal_rollback(effects, journal, left, target, damaged, run);
  };
  if (Status done = after(); !done) {
    Failure failure = fail_because(std::move(done).error(), "publish.uncertain",
                                   fmt::format("the rollback was made, what follows it was not: "
                                               "\"{}\"",
                                               place.root))
                          .error();
    failure.cls = FailureClass::kUncertain;
    return std::unexpected(std::move(failure));
  }
  return RollbackReport{left.generation, target.generation, damaged};
}

}  // namespace tidegate
