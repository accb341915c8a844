#include "publish/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "publish/standing.h"
#include "store/file_hash.h"

namespace tidegate {
namespace {

constexpr size_t kDamageMax = 20;

std::string directory_of(const GenerationRecord& record) {
  return generation_directory(record.publish_root, record.generation);
}

Result<AuditReport> audit_standing(Effects& effects, Journal& journal, const Standing& standing,
                                   const std::string& run) {
  GenerationRecord record = standing.record;
  TG_ASSIGN(const auto known, journal.generation_record(record.output, record.generation));
  TG_ASSIGN(const auto head, journal.output_record(record.output));
  bool is_head = false;
  if (known) {
    TG_ASSIGN(record, generation_record_from_json(*known));
    record.publish_root = standing.record.publish_root;
    TG_ASSERT(head.has_value());
    TG_ASSIGN(const GenerationRecord newest, generation_record_from_json(*head));
    is_head = newest.generation == record.generation;
  }
  AuditReport report{.generation = record.generation,
                     .files = record.files.size(),
                     .bytes = record.bytes,
                     .broken = {}};
  TG_ASSIGN(report.broken, find_damage(effects, record));
  record.hashed_us = effects.now_us();
  record.state = "published";
  // Stats of damaged files stay as they were, so that no later look by stat finds them in order.
  if (report.broken.empty()) TG_TRY(take_stats(effects, record));
  const auto full = nlohmann::json::parse(to_json(record), nullptr, false);
  nlohmann::json data = {{"output", record.output},
                         {"generation", record.generation},
                         {"hashed_us", record.hashed_us},
                         {"files", full.at("files")}};
  if (!report.broken.empty()) data["broken"] = join(report.broken, "; ");
  if (!is_head) data["record"] = full;
  TG_TRY(journal.append("output_reaudited", run,
                        data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  TG_TRY(journal.commit());
  return report;
}

}  // namespace

bool same_stat(const FileStat& recorded, const FileStat& now) {
  return recorded.size == now.size && recorded.mtime_ns == now.mtime_ns &&
         recorded.ctime_ns == now.ctime_ns && recorded.inode == now.inode &&
         recorded.device == now.device;
}

Status take_stats(Effects& effects, GenerationRecord& record) {
  for (GenerationFile& file : record.files) {
    TG_ASSIGN(file.stat, effects.stat(path_join(directory_of(record), file.name)));
  }
  return {};
}

Result<std::vector<std::string>> find_damage(Effects& effects, const GenerationRecord& record) {
  const std::string directory = directory_of(record);
  std::vector<std::string> broken;
  const auto note = [&](std::string what) {
    if (broken.size() < kDamageMax) broken.push_back(std::move(what));
  };
  const auto names = effects.list(directory);
  if (!names) {
    if (!is_not_found(names.error())) return std::unexpected(names.error());
    note(fmt::format("generation {} is gone", record.generation));
    return broken;
  }
  const auto check = [&](const std::string& name, const std::string& xxh3) -> Status {
    const auto hash = hash_file(effects, path_join(directory, name));
    if (!hash && is_not_found(hash.error())) {
      note(fmt::format("{} is gone", name));
    } else if (!hash) {
      return std::unexpected(hash.error());
    } else if (hash->xxh3 != xxh3) {
      note(fmt::format("{} was altered", name));
    }
    return {};
  };
  std::set<std::string> expected = {"manifest.json"};
  TG_TRY(check("manifest.json", record.manifest_xxh3));
  for (const GenerationFile& file : record.files) {
    TG_TRY(check(file.name, file.xxh3));
    expected.insert(file.name);
  }
  for (const std::string& name : *names)
    if (!expected.contains(name)) note(fmt::format("{} does not belong to the generation", name));
  return broken;
}

Result<AuditReport> audit_output(Effects& effects, Journal& journal, const OutputPlace& place,
                                 const std::string& state_id, const std::string& run) {
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (!standing)
    return fail(FailureClass::kDependency, "publish.nothing_published",
                fmt::format("nothing is published yet: \"{}\"", place.root));
  TG_TRY(check_standing_owner(standing->owner, place, state_id));
  return audit_standing(effects, journal, *standing, run);
}

Status refresh_stats(Effects& effects, Journal& journal, const OutputPlace& place,
                     const std::string& run) {
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (!standing) return {};
  TG_ASSIGN(const auto text, journal.output_record(place.output));
  if (!text) return {};
  TG_ASSIGN(const GenerationRecord record, generation_record_from_json(*text));
  if (record.generation != standing->record.generation) return {};
  for (const GenerationFile& file : record.files) {
    const auto stat = effects.stat(path_join(standing->directory, file.name));
    if (stat && same_stat(file.stat, *stat)) continue;
    TG_ASSIGN(const AuditReport report, audit_standing(effects, journal, *standing, run));
    (void)report;
    return {};
  }
  return {};
}

}  // namespace tidegate
