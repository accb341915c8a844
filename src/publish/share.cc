#include "publish/share.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "publish/audit.h"
#include "publish/standing.h"
#include "store/file_hash.h"

namespace tidegate {
namespace {

/// The journal's record of a generation, if it stands, is proven and not broken.
Result<std::optional<GenerationRecord>> proven_record(Journal& journal, const std::string& output,
                                                      const std::string& generation) {
  TG_ASSIGN(const auto head, journal.output_head(output));
  if (!head || !head->unproven.empty() || !head->broken.empty() || !journal.damage().empty())
    return std::nullopt;
  TG_ASSIGN(GenerationRecord record, generation_record_from_json(head->record));
  if (record.generation != generation) return std::nullopt;
  return record;
}

/// A hard link that came or went changes a file's ctime and count of links, and nothing else.
bool only_links_differ(const FileStat& before, const FileStat& now) {
  return before.size == now.size && before.mtime_ns == now.mtime_ns && before.inode == now.inode &&
         before.device == now.device;
}

}  // namespace

Result<StandingFiles> StandingFiles::of(Effects& effects, Journal& journal,
                                        const OutputPlace& place, const CommitMember* standing) {
  StandingFiles out(effects);
  if (!standing) return out;
  TG_ASSIGN(auto proven, proven_record(journal, place.output, standing->record.generation));
  out.proven_ = proven.has_value();
  if (proven)
    out.record_ = std::move(*proven);
  else
    out.record_ = standing->record;
  out.directory_ = generation_directory(place.root, standing->record.generation);
  for (size_t i = 0; i < out.record_.files.size(); ++i)
    out.by_xxh3_[out.record_.files[i].xxh3].push_back(i);
  return out;
}

bool StandingFiles::link(const StagedFile& wanted, const std::string& path) {
  const auto same = by_xxh3_.find(wanted.xxh3);
  if (same == by_xxh3_.end()) return false;
  for (const size_t i : same->second) {
    const GenerationFile& file = record_.files[i];
    if (file.bytes != wanted.bytes || file.rows != wanted.rows) continue;
    const std::string from = path_join(directory_, file.name);
    const auto before = effects_->stat(from);
    if (!before || before->mode != 0444) continue;
    if (!effects_->link(from, path)) continue;
    if (is_whole(file, path, proven_ && same_stat(file.stat, *before))) return true;
    (void)effects_->unlink(path);
  }
  return false;
}

bool StandingFiles::is_whole(const GenerationFile& file, const std::string& path,
                             bool as_journaled) {
  const auto now = effects_->stat(path);
  if (as_journaled && now && only_links_differ(file.stat, *now)) {
    hashed_us_ = std::min(hashed_us_.value_or(record_.hashed_us), record_.hashed_us);
    return true;
  }
  const auto hash = hash_file(*effects_, path);
  return hash && hash->bytes == file.bytes && hash->xxh3 == file.xxh3;
}

Result<LinkChange> LinkChange::begin(Effects& effects, Journal& journal, const OutputPlace& place) {
  LinkChange out(effects, journal, place);
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (!standing) return out;
  TG_ASSIGN(out.record_, proven_record(journal, place.output, standing->record.generation));
  if (!out.record_) return out;
  for (const GenerationFile& file : out.record_->files) {
    const auto stat = effects.stat(path_join(standing->directory, file.name));
    if (stat && same_stat(file.stat, *stat)) continue;
    out.record_.reset();
    break;
  }
  return out;
}

Status LinkChange::settle(const std::string& run) {
  if (!record_) return refresh_stats(*effects_, *journal_, place_, run);
  bool moved = false;
  const std::string directory = generation_directory(place_.root, record_->generation);
  for (GenerationFile& file : record_->files) {
    const auto now = effects_->stat(path_join(directory, file.name));
    if (!now || !only_links_differ(file.stat, *now))
      return refresh_stats(*effects_, *journal_, place_, run);
    moved = moved || !same_stat(file.stat, *now);
    file.stat = *now;
  }
  if (!moved) return {};
  const auto full = nlohmann::json::parse(to_json(*record_), nullptr, false);
  const nlohmann::json data = {{"output", record_->output},
                               {"generation", record_->generation},
                               {"hashed_us", record_->hashed_us},
                               {"files", full.at("files")}};
  TG_TRY(journal_->append("output_reaudited", run,
                          data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  return journal_->commit();
}

}  // namespace tidegate
