#include "store/results.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "store/file_hash.h"

namespace tidegate {
namespace {

constexpr const char* kMagic = "tidegate-result";
constexpr int64_t kVersion = 1;
constexpr uint64_t kDescriptionBytesMax = uint64_t{64} << 20;
constexpr size_t kAttemptNameMax = 64;

bool is_identity(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_attempt_name(std::string_view text) {
  return !text.empty() && text.size() <= kAttemptNameMax && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
  });
}

bool is_file_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && text != "result.json" &&
         text.find('/') == std::string_view::npos;
}

std::string identity_directory(const std::string& results, std::string_view identity) {
  return path_join(path_join(results, identity.substr(0, 2)), identity);
}

std::string to_text(const StoredResult& result) {
  nlohmann::json files = nlohmann::json::array();
  for (const ResultFile& file : result.files)
    files.push_back(
        {{"name", file.name}, {"rows", file.rows}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
  const nlohmann::json json = {
      {"magic", kMagic},           {"version", kVersion}, {"identity", result.identity},
      {"attempt", result.attempt}, {"rows", result.rows}, {"files", std::move(files)},
      {"data", result.data}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

/// Nothing unless it is a description of this version in every field.
std::optional<StoredResult> parse(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    if (json.at("magic") != kMagic || json.at("version") != kVersion) return std::nullopt;
    StoredResult result;
    json.at("identity").get_to(result.identity);
    json.at("attempt").get_to(result.attempt);
    json.at("rows").get_to(result.rows);
    json.at("data").get_to(result.data);
    for (const auto& item : json.at("files")) {
      ResultFile file;
      item.at("name").get_to(file.name);
      item.at("rows").get_to(file.rows);
      item.at("bytes").get_to(file.bytes);
      item.at("xxh3").get_to(file.xxh3);
      if (!is_file_name(file.name)) return std::nullopt;
      result.files.push_back(std::move(file));
    }
    return result;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

/// Reads and checks a result by its directory. A missing one is nothing, not a failure.
Result<std::optional<StoredResult>> load(Effects& effects, const std::string& directory) {
  const auto text = read_file(effects, path_join(directory, "result.json"), kDescriptionBytesMax);
  if (!text) {
    const Failure& failure = text.error();
    if (is_not_found(failure) || failure.code == "file.not_directory") return std::nullopt;
    return std::unexpected(failure);
  }
  std::optional<StoredResult> result = parse(*text);
  if (!result) return std::nullopt;
  for (const ResultFile& file : result->files) {
    const auto stat = effects.stat(path_join(directory, file.name));
    if (!stat) {
      if (is_not_found(stat.error())) return std::nullopt;
      return std::unexpected(stat.error());
    }
    if (!stat->is_regular || stat->size != file.bytes) return std::nullopt;
  }
  result->directory = directory;
  return result;
}

Result<std::vector<std::string>> list_or_none(Effects& effects, const std::string& path) {
  auto names = effects.list(path);
  if (!names && (is_not_found(names.error()) || names.error().code == "file.not_directory"))
    return std::vector<std::string>{};
  return names;
}

}  // namespace

const ResultFile* StoredResult::file(std::string_view name) const {
  for (const ResultFile& candidate : files)
    if (candidate.name == name) return &candidate;
  return nullptr;
}

std::string result_directory(const StateDir& state, std::string_view identity,
                             std::string_view attempt) {
  return path_join(identity_directory(state.results(), identity), attempt);
}

Result<Attempt> Attempt::begin(Effects& effects, const StateDir& state, const std::string& identity,
                               const std::string& attempt) {
  if (!is_identity(identity) || !is_attempt_name(attempt))
    return fail(
        FailureClass::kDefect, "state.name",
        fmt::format("no identity or attempt is named so: \"{}\", \"{}\"", identity, attempt));
  Attempt out;
  out.effects_ = &effects;
  out.state_path_ = state.path();
  out.identity_ = identity;
  out.attempt_ = attempt;
  out.directory_ = path_join(state.spill(), attempt);
  TG_TRY(effects.mkdir(out.directory_));
  TG_ASSIGN(const int raw, effects.open(out.directory_, O_RDONLY | O_DIRECTORY));
  out.lock_ = Fd(effects, raw);
  TG_ASSIGN(const bool taken, effects.try_lock(raw));
  // A start-up's clean_spill may have come between mkdir and flock: the directory must still be
  // the one that is locked.
  const auto here = effects.stat(out.directory_);
  TG_ASSIGN(const FileStat held, effects.fstat(raw));
  if (!taken || !here || here->inode != held.inode)
    return fail(FailureClass::kLost, "state.attempt_taken",
                fmt::format("another conductor cleaned this attempt away: \"{}\"", attempt));
  return out;
}

Result<StoredResult> Attempt::seal(std::vector<ResultFile> files, uint64_t rows,
                                   const std::string& data) {
  TG_ASSERT(effects_ != nullptr && !directory_.empty());
  for (ResultFile& file : files) {
    if (!is_file_name(file.name))
      return fail(FailureClass::kDefect, "state.name",
                  fmt::format("no file of a result is named so: \"{}\"", file.name));
    const std::string path = path_join(directory_, file.name);
    if (file.xxh3.empty()) {
      TG_ASSIGN(const FileHash hash, hash_file(*effects_, path));
      file.bytes = hash.bytes;
      file.xxh3 = hash.xxh3;
    } else {
      TG_ASSIGN(const FileStat stat, effects_->stat(path));
      file.bytes = stat.size;
    }
    TG_TRY(effects_->chmod(path, 0444));
  }
  StoredResult result{.identity = identity_,
                      .attempt = attempt_,
                      .directory = {},
                      .files = std::move(files),
                      .rows = rows,
                      .data = data};
  TG_TRY(write_file(*effects_, path_join(directory_, "result.json"), to_text(result), 0444));
  const std::string home = identity_directory(path_join(state_path_, "results"), identity_);
  TG_TRY(make_directories(*effects_, home));
  const std::string target = path_join(home, attempt_);
  Status renamed = effects_->rename(directory_, target);
  if (!renamed && is_exists(renamed.error())) {
    TG_ASSIGN(auto standing, load(*effects_, target));
    if (standing) {
      TG_TRY(drop());
      return std::move(*standing);
    }
    // What stands there is torn: it goes, this one takes its place.
    TG_TRY(effects_->rename(target,
                            directory_ + fmt::format("-torn-{}", hex64(effects_->random_u64()))));
    renamed = effects_->rename(directory_, target);
  }
  TG_TRY(renamed);
  lock_.reset();
  directory_.clear();
  result.directory = target;
  return result;
}

Status Attempt::drop() {
  if (directory_.empty()) return {};
  TG_TRY(remove_tree(*effects_, directory_));
  directory_.clear();
  lock_.reset();
  return {};
}

Result<bool> has_result(Effects& effects, const StateDir& state, std::string_view identity,
                        std::string_view attempt) {
  const auto stat =
      effects.stat(path_join(result_directory(state, identity, attempt), "result.json"));
  if (stat) return stat->is_regular && stat->size > 0;
  if (is_not_found(stat.error()) || stat.error().code == "file.not_directory") return false;
  return std::unexpected(stat.error());
}

Result<std::optional<StoredResult>> find_result(Effects& effects, const StateDir& state,
                                                std::string_view identity,
                                                std::string_view attempt) {
  TG_ASSIGN(auto result, load(effects, result_directory(state, identity, attempt)));
  if (result && (result->identity != identity || result->attempt != attempt)) result.reset();
  return result;
}

Result<std::optional<StoredResult>> adopt_result(Effects& effects, const StateDir& state,
                                                 std::string_view identity) {
  TG_ASSIGN(const auto attempts,
            list_or_none(effects, identity_directory(state.results(), identity)));
  for (const std::string& attempt : attempts) {
    TG_ASSIGN(auto result, find_result(effects, state, identity, attempt));
    if (result) return result;
  }
  return std::nullopt;
}

Result<EvictionReport> evict_results(Effects& effects, const StateDir& state,
                                     const std::vector<NeededResult>& needed,
                                     const EvictionLimits& limits) {
  std::unordered_map<std::string, std::unordered_set<std::string>> keep;
  for (const NeededResult& one : needed) keep[one.identity].insert(one.attempt);

  struct Candidate {
    int64_t made_us;
    uint64_t bytes;
    std::string directory;
    std::string attempt;
  };
  std::vector<Candidate> candidates;
  EvictionReport report;
  TG_ASSIGN(const auto prefixes, list_or_none(effects, state.results()));
  for (const std::string& prefix : prefixes) {
    const std::string prefix_path = path_join(state.results(), prefix);
    TG_ASSIGN(const auto identities, list_or_none(effects, prefix_path));
    for (const std::string& identity : identities) {
      const std::string home = path_join(prefix_path, identity);
      TG_ASSIGN(const auto attempts, list_or_none(effects, home));
      const auto wanted = keep.find(identity);
      for (const std::string& attempt : attempts) {
        const std::string directory = path_join(home, attempt);
        Candidate candidate{INT64_MIN, 0, directory, attempt};
        // A result that cannot be read any more counts as the oldest: nobody can use it.
        TG_ASSIGN(const auto result, load(effects, directory));
        if (result) {
          for (const ResultFile& file : result->files) candidate.bytes += file.bytes;
          TG_ASSIGN(const FileStat stat, effects.stat(path_join(directory, "result.json")));
          candidate.made_us = stat.mtime_ns / 1000;
        }
        report.bytes_kept += candidate.bytes;
        ++report.results_kept;
        const bool is_needed = result && wanted != keep.end() &&
                               (wanted->second.contains("") || wanted->second.contains(attempt));
        if (!is_needed) candidates.push_back(std::move(candidate));
      }
    }
  }
  std::ranges::sort(candidates, {},
                    [](const Candidate& c) { return std::tie(c.made_us, c.directory); });
  const int64_t now = effects.now_us();
  const int64_t oldest = limits.age_us_max >= now ? INT64_MIN : now - limits.age_us_max;
  for (const Candidate& candidate : candidates) {
    const bool torn = candidate.made_us == INT64_MIN;
    if (!torn && candidate.made_us >= oldest && report.bytes_kept <= limits.bytes_max) break;
    if (!limits.dry_run) {
      const std::string aside =
          path_join(state.spill(),
                    fmt::format("evicted-{}-{}", candidate.attempt, hex64(effects.random_u64())));
      TG_TRY(effects.rename(candidate.directory, aside));
      TG_TRY(remove_tree(effects, aside));
      const std::string home = path_dirname(candidate.directory);
      if (effects.rmdir(home)) report.identities_gone.push_back(path_basename(home));
    }
    report.bytes_kept -= candidate.bytes;
    report.bytes_removed += candidate.bytes;
    --report.results_kept;
    ++report.results_removed;
  }
  return report;
}

}  // namespace tidegate
