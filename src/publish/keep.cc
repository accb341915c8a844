#include "publish/keep.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/planted.h"
#include "publish/audit.h"
#include "publish/share.h"
#include "publish/standing.h"

namespace tidegate {
namespace {

Result<std::set<std::string>> generations_on_disk(Effects& effects, const std::string& directory) {
  std::set<std::string> out;
  const auto names = effects.list(directory);
  if (!names) {
    if (is_not_found(names.error())) return out;
    return std::unexpected(names.error());
  }
  for (const std::string& name : *names)
    if (is_generation_name(name)) out.insert(name);
  return out;
}

/// The output's generations that the log names and the disk has, newest commit first. Reads no more
/// of the log than it takes to find them all.
Result<std::vector<std::string>> committed_on_disk(CommitLog& log, const std::string& output,
                                                   std::set<std::string> wanted) {
  std::vector<std::string> out;
  if (wanted.empty()) return out;
  TG_TRY(log.each([&](const Commit& commit) {
    if (const CommitMember* member = commit.member(output))
      if (wanted.erase(member->record.generation)) out.push_back(member->record.generation);
    return !wanted.empty();
  }));
  return out;
}

}  // namespace

Status discard(Effects& effects, const std::string& directory, const std::string& name) {
  const std::string trash = path_join(directory, std::string(kTrashPrefix) + name);
  TG_TRY(remove_tree(effects, trash));
  TG_TRY(effects.rename(path_join(directory, name), trash));
  return remove_tree(effects, trash);
}

Result<std::vector<std::string>> uncommitted_generations(Effects& effects, CommitLog& log,
                                                         const OutputPlace& place) {
  TG_ASSIGN(auto on_disk, generations_on_disk(effects, path_join(place.root, "gen")));
  TG_ASSIGN(const auto committed, committed_on_disk(log, place.output, on_disk));
  for (const std::string& name : committed) on_disk.erase(name);
  return std::vector<std::string>(on_disk.begin(), on_disk.end());
}

Status drop_set_directories(Effects& effects, const Site& site) {
  TG_ASSERT(site.is_set);
  TG_ASSIGN(const auto newest, CommitLog(effects, site.log()).newest());
  TG_ASSIGN(auto on_disk, generations_on_disk(effects, site.generations()));
  const std::string standing = newest ? newest->set_directory : "";
  if (standing.empty()) return {};
  std::string before;
  for (const std::string& name : on_disk)
    if (generation_number(name) < generation_number(standing) &&
        generation_number(name) > generation_number(before))
      before = name;
  for (const std::string& name : on_disk)
    if (name != standing && name != before && generation_number(name) <= newest->number)
      TG_TRY(discard(effects, site.generations(), name));
  return {};
}

Result<std::vector<std::string>> drop_old_generations(Effects& effects, Journal& journal,
                                                      const OutputPlace& place, uint32_t keep,
                                                      const std::vector<std::string>& protect,
                                                      const std::string& run) {
  std::vector<std::string> dropped;
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (!standing) return dropped;
  const std::string directory = path_join(place.root, "gen");
  TG_ASSIGN(const auto on_disk, generations_on_disk(effects, directory));
  if (on_disk.size() <= 1 + size_t{keep}) return dropped;
  CommitLog log(effects, standing->site.log());
  TG_ASSIGN(const auto committed, committed_on_disk(log, place.output, on_disk));
  std::set<std::string> rejected;
  for (const RejectedGeneration& one : standing->commit.rejected)
    if (one.output == place.output) rejected.insert(one.generation);
  size_t kept = 0;
  for (const std::string& name : committed) {
    const bool stands = name == standing->record.generation && !planted(Mistake::kStandingDropped);
    if (stands || std::ranges::count(protect, name)) continue;
    if (kept < keep) {
      if (!rejected.contains(name)) ++kept;
      continue;
    }
    dropped.push_back(name);
  }
  TG_ASSIGN(LinkChange links, LinkChange::begin(effects, journal, place));
  for (const std::string& name : dropped) TG_TRY(discard(effects, directory, name));
  if (standing->site.is_set) TG_TRY(drop_set_directories(effects, standing->site));
  if (dropped.empty()) return dropped;
  const nlohmann::json data = {{"output", place.output}, {"generations", dropped}};
  TG_TRY(journal.append("generations_dropped", run, data.dump()));
  TG_TRY(links.settle(run));
  return dropped;
}

}  // namespace tidegate
