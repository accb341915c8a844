#include "trust/on_disk.h"

#include <fmt/format.h>

#include <set>

#include "base/text.h"
#include "base/units.h"
#include "publish/audit.h"
#include "publish/place.h"
#include "publish/standing.h"
#include "store/file_hash.h"

namespace tidegate {
namespace {

/// Findings named in a message; the rest are counted.
constexpr size_t kNamedMax = 5;

/// What was found about the files, worst first.
struct Findings {
  std::vector<std::string> errors, failures, unknowns;
  size_t hashed = 0;

  void unreadable(const std::string& name, const Failure& failure) {
    std::string what = fmt::format("{} cannot be read: {}", name, failure.message);
    (failure.cls == FailureClass::kDisk ? errors : unknowns).push_back(std::move(what));
  }
};

std::string named(const std::vector<std::string>& all) {
  std::vector<std::string> some(all.begin(), all.begin() + std::min(all.size(), kNamedMax));
  std::string text = join(some, "; ");
  if (all.size() > kNamedMax) text += fmt::format("; and {} more", all.size() - kNamedMax);
  return text;
}

void compare_bytes(Effects& effects, const std::string& directory, const std::string& name,
                   const std::string& xxh3, Findings& findings) {
  const auto hash = hash_file(effects, path_join(directory, name));
  if (!hash) {
    if (is_not_found(hash.error()))
      findings.failures.push_back(fmt::format("{} is missing", name));
    else
      findings.unreadable(name, hash.error());
    return;
  }
  ++findings.hashed;
  if (hash->xxh3 != xxh3) findings.failures.push_back(fmt::format("{} was altered", name));
}

void compare_file(Effects& effects, const std::string& directory, const GenerationFile& file,
                  bool verify_bytes, Findings& findings) {
  const auto stat = effects.lstat(path_join(directory, file.name));
  if (!stat) {
    if (is_not_found(stat.error()))
      findings.failures.push_back(fmt::format("{} is missing", file.name));
    else
      findings.unreadable(file.name, stat.error());
    return;
  }
  if (!stat->is_regular) {
    findings.failures.push_back(fmt::format("{} is no regular file", file.name));
  } else if (stat->size != file.bytes) {
    findings.failures.push_back(
        fmt::format("{} has {} bytes instead of {}", file.name, stat->size, file.bytes));
  } else if (verify_bytes || !same_stat(file.stat, *stat)) {
    compare_bytes(effects, directory, file.name, file.xxh3, findings);
  }
}

TrustPart intact_part(Effects& effects, const GenerationRecord& record,
                      const std::string& directory, bool verify_bytes, int64_t now_us) {
  Findings findings;
  for (const GenerationFile& file : record.files)
    compare_file(effects, directory, file, verify_bytes, findings);
  const size_t files_hashed = findings.hashed;
  std::set<std::string> expected = {"manifest.json"};
  for (const GenerationFile& file : record.files) expected.insert(file.name);
  // Small, and its stat is not recorded: always read.
  if (!record.manifest_xxh3.empty())
    compare_bytes(effects, directory, "manifest.json", record.manifest_xxh3, findings);
  if (const auto names = effects.list(directory)) {
    for (const std::string& name : *names)
      if (!expected.contains(name))
        findings.failures.push_back(fmt::format("{} does not belong to the generation", name));
  } else if (is_not_found(names.error())) {
    findings.failures.push_back("the generation's directory is missing");
  } else {
    findings.unreadable("the generation's directory", names.error());
  }
  if (!findings.errors.empty()) return {"intact", "error", named(findings.errors)};
  if (!findings.failures.empty()) return {"intact", "fail", named(findings.failures)};
  if (!findings.unknowns.empty()) return {"intact", "unknown", named(findings.unknowns)};
  const std::string last =
      record.hashed_us > 0
          ? fmt::format("bytes last hashed {} ago ({})",
                        format_duration_us(std::max<int64_t>(0, now_us - record.hashed_us)),
                        format_timestamp_us(record.hashed_us))
          : "when bytes were last hashed is not recorded";
  if (files_hashed == record.files.size())
    return {"intact", "ok", fmt::format("{} files, all bytes hashed now", record.files.size())};
  if (files_hashed > 0)
    return {"intact", "ok",
            fmt::format("{} files as published: {} by hash just now (their stat differs: run "
                        "\"tidegate audit\"), the others by stat, {}",
                        record.files.size(), files_hashed, last)};
  return {"intact", "ok",
          fmt::format("{} files as published by stat, {}", record.files.size(), last)};
}

void compare_current(Effects& effects, const GenerationRecord& record, const std::string& directory,
                     std::vector<std::string>& doubts) {
  const auto current = effects.stat(path_join(record.publish_root, "current"));
  const auto standing = effects.stat(directory);
  if (!standing) return;  // the files are missing: said under intact
  if (!current)
    doubts.push_back("\"current\" leads nowhere, the next run or audit makes it right");
  else if (current->inode != standing->inode || current->device != standing->device)
    doubts.push_back("\"current\" leads to another generation than the journal says");
}

}  // namespace

DiskFindings look_at_disk(Effects& effects, const GenerationRecord& record, bool verify_bytes,
                          int64_t now_us) {
  const std::string directory = generation_directory(record.publish_root, record.generation);
  DiskFindings found;
  found.intact = intact_part(effects, record, directory, verify_bytes, now_us);
  const auto standing = resolve_current(effects, record.publish_root);
  if (!standing) {
    found.doubts.push_back(
        fmt::format("the commit log cannot be read: {}", standing.error().message));
  } else if (!*standing) {
    found.doubts.push_back("the commit log is missing");
  } else if ((*standing)->record.generation != record.generation) {
    found.doubts.push_back(
        fmt::format("the commit log says that {} stands, the journal says {}: run \"tidegate audit "
                    "{}\"",
                    (*standing)->record.generation, record.generation, record.output));
  } else {
    compare_current(effects, record, directory, found.doubts);
  }
  return found;
}

}  // namespace tidegate
