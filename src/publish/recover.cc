#include "publish/recover.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "publish/audit.h"
#include "publish/keep.h"
#include "publish/rollback.h"
#include "publish/standing.h"

namespace tidegate {
namespace {

Status remove_prefixed(Effects& effects, const std::string& directory, std::string_view prefix) {
  const auto names = effects.list(directory);
  if (!names && (is_not_found(names.error()) || names.error().code == "file.not_directory"))
    return {};
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names)
    if (name.starts_with(prefix)) TG_TRY(remove_tree(effects, path_join(directory, name)));
  return {};
}

/// Takes `number` in the log with an entry that changes nothing.
Status take_number(Effects& effects, CommitLog& log, const Site& site, const std::string& root,
                   uint64_t number, uint64_t fence, const std::string& run) {
  TG_ASSIGN(auto newest, log.newest());
  if (newest && newest->number >= number) return {};
  TG_TRY(lay_out(effects, root, site));
  if (newest && newest->fence > fence)
    return fail(FailureClass::kDefect, "publish.fenced",
                fmt::format("a newer conductor has published here: \"{}\"", site.directory));
  Commit commit;
  if (newest) commit = std::move(*newest);
  commit.previous = commit.number;
  commit.number = number;
  commit.kind = CommitKind::kAbandon;
  commit.run = run;
  commit.fence = fence;
  commit.committed_us = effects.now_us();
  commit.rollback_output.clear();
  commit.rollback_from.clear();
  TG_ASSIGN(const bool won, log.append(commit));
  if (!won)
    return fail(FailureClass::kDefect, "publish.lost_race",
                fmt::format("another conductor works here: \"{}\"", site.directory));
  return {};
}

Status remove_uncommitted(Effects& effects, CommitLog& log, const Site& site,
                          const OutputPlace& place, uint64_t fence, const std::string& run,
                          RecoverReport& report) {
  const std::string directory = path_join(place.root, "gen");
  TG_ASSIGN(const auto pending, uncommitted_generations(effects, log, place));
  for (const std::string& name : pending) {
    TG_TRY(take_number(effects, log, site, place.root, generation_number(name), fence, run));
    TG_TRY(discard(effects, directory, name));
    report.removed.push_back(name);
  }
  return {};
}

/// Who died between a commit's link and its fsync left an entry that a power cut would take back:
/// it is to last before readers are shown it.
Status make_last(Effects& effects, const OutputPlace& place, const Site& site) {
  TG_ASSIGN(const auto committed, resolve_current(effects, place.root));
  if (!committed) return {};
  const auto shown = effects.stat(path_join(place.root, "current"));
  const auto stands = effects.stat(committed->directory);
  if (shown && stands && shown->inode == stands->inode) return {};
  return fsync_path(effects, site.log());
}

Result<bool> was_audited(Journal& journal, const GenerationRecord& record) {
  bool found = false;
  TG_TRY(journal.each_event(0, record.run, [&](const Event& event) {
    if (event.type != "output_audited") return true;
    const auto data = nlohmann::json::parse(event.data, nullptr, false);
    found = data.is_object() && data.value("output", "") == record.output &&
            data.value("generation", "") == record.generation;
    return !found;
  }));
  return found;
}

Status roll_forward(Effects& effects, Journal& journal, const Standing& standing,
                    const std::string& run, RecoverReport& report) {
  GenerationRecord record = standing.record;
  TG_ASSIGN(const auto head, journal.output_record(record.output));
  std::string known;
  if (head) {
    TG_ASSIGN(const GenerationRecord newest, generation_record_from_json(*head));
    known = newest.generation;
  }
  if (known == record.generation) return {};
  // What the journal is about to vouch for must be durable first.
  TG_TRY(fsync_path(effects, path_join(record.publish_root, "gen")));
  TG_TRY(fsync_path(effects, standing.site.log()));
  TG_TRY(fsync_path(effects, standing.site.directory));
  TG_TRY(fsync_path(effects, record.publish_root));
  TG_ASSIGN(const auto recorded, journal.generation_record(record.output, record.generation));
  if (recorded) {
    const bool damaged =
        std::ranges::any_of(standing.commit.rejected, [&](const RejectedGeneration& one) {
          return one.output == record.output && one.generation == known && one.identity.empty();
        });
    TG_TRY(append_rolled_back(journal, record.output, known, record.generation, damaged, run));
    report.rolled_forward = record.generation;
    return journal.commit();
  }
  TG_ASSIGN(const bool audited, was_audited(journal, record));
  if (!audited) {
    report.unproven = true;
    return {};
  }
  TG_ASSIGN(report.broken, find_damage(effects, record));
  if (!report.broken.empty()) {
    report.unproven = true;
    return {};
  }
  record.hashed_us = effects.now_us();
  TG_TRY(take_stats(effects, record));
  TG_TRY(journal.append("output_published", record.run, to_json(record)));
  report.rolled_forward = record.generation;
  return journal.commit();
}

}  // namespace

Result<RecoverReport> recover_output(Effects& effects, Journal& journal, const OutputPlace& place,
                                     const std::string& state_id, uint64_t fence,
                                     const std::string& run) {
  RecoverReport report;
  TG_ASSIGN(const auto owner, read_owner(effects, place.root));
  if (!owner) {
    TG_TRY(remove_prefixed(effects, place.root, ".owner-"));
    return report;
  }
  TG_TRY(check_standing_owner(*owner, place, state_id));
  const Site site = site_of(place.root, *owner);
  CommitLog log(effects, site.log());
  TG_TRY(log.remove_leftovers());
  TG_TRY(remove_prefixed(effects, path_join(place.root, "gen"), kTrashPrefix));
  TG_TRY(remove_prefixed(effects, place.root, ".current-"));
  TG_TRY(remove_prefixed(effects, place.root, ".owner-"));
  TG_TRY(remove_uncommitted(effects, log, site, place, fence, run, report));
  if (site.is_set) {
    TG_TRY(remove_prefixed(effects, site.directory, ".current-"));
    TG_TRY(remove_prefixed(effects, site.generations(), kTrashPrefix));
    TG_TRY(drop_set_directories(effects, site));
  }
  TG_TRY(make_last(effects, place, site));
  TG_ASSIGN(report.current_repaired, settle_newest(effects, site));
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (standing) TG_TRY(roll_forward(effects, journal, *standing, run, report));
  // Links that an interrupted publication made or removed have moved ctimes.
  TG_TRY(refresh_stats(effects, journal, place, run));
  return report;
}

}  // namespace tidegate
