#include "publish/publication.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/hash.h"
#include "base/planted.h"
#include "publish/audit.h"
#include "publish/share.h"
#include "store/file_hash.h"

namespace tidegate {
namespace {

constexpr int kNameTriesMax = 16;
constexpr size_t kFilesMax = 100'000;

Status write_durable(Effects& effects, const std::string& path, const std::string& text) {
  TG_ASSIGN(const int raw, effects.open(path, O_WRONLY | O_CREAT | O_EXCL, 0444));
  Fd fd(effects, raw);
  TG_TRY(effects.pwrite(raw, std::as_bytes(std::span(text)), 0));
  return effects.fsync(raw);
}

/// True for a failure of link(2) that says nothing about the disk or the source: a copy may do.
bool copy_may_do(const Failure& failure) {
  return failure.cls != FailureClass::kDisk && !is_not_found(failure) && !is_exists(failure);
}

std::unexpected<Failure> torn(const std::string& path) {
  return fail(FailureClass::kLost, "publish.result_torn",
              fmt::format("a finished result is not what its checksum says: \"{}\"", path));
}

Result<std::string> make_generation_directory(Effects& effects, const std::string& root,
                                              uint64_t number) {
  for (int tries = 0;; ++tries) {
    std::string name = generation_name(number, effects.random_u64());
    const auto made = effects.mkdir(generation_directory(root, name));
    if (made) return name;
    if (!is_exists(made.error()) || tries == kNameTriesMax) return std::unexpected(made.error());
  }
}

/// The token in it has a reader who listed before a swap see one generation or get an error.
std::string part_name(const StagedFile& file, size_t index, const std::string& generation) {
  return file.label.empty() ? fmt::format("part-{:05}-{}.parquet", index, generation)
                            : fmt::format("part-{}-{}.parquet", file.label, generation);
}

bool failed(const CheckOutcome& check) { return check.status == "fail" || check.status == "error"; }

std::string audited_data(const GenerationRecord& record) {
  nlohmann::json checks = nlohmann::json::array();
  for (const CheckOutcome& check : record.checks)
    checks.push_back(nlohmann::json::parse(to_json(check), nullptr, false));
  const nlohmann::json json = {{"output", record.output},     {"generation", record.generation},
                               {"identity", record.identity}, {"number", record.number},
                               {"rows", record.rows},         {"bytes", record.bytes},
                               {"checks", std::move(checks)}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<uint64_t> next_commit_number(Effects& effects, Journal& journal, const Site& site,
                                    const std::vector<std::string>& outputs) {
  uint64_t newest = 0;
  TG_ASSIGN(const auto numbers, CommitLog(effects, site.log()).numbers());
  if (!numbers.empty()) newest = numbers.back();
  for (const std::string& output : outputs) {
    TG_ASSIGN(const auto records, journal.generation_records(output));
    for (const std::string& text : records) {
      TG_ASSIGN(const GenerationRecord record, generation_record_from_json(text));
      newest = std::max(newest, record.number);
    }
  }
  return newest + 1;
}

Status make_set_directory(Effects& effects, const Site& site, const Commit& commit) {
  TG_ASSERT(site.is_set && !commit.set_directory.empty());
  const std::string directory = path_join(site.generations(), commit.set_directory);
  TG_TRY(effects.mkdir(directory));
  for (const CommitMember& member : commit.members)
    TG_TRY(effects.symlink(
        fmt::format("../../../../{}/gen/{}", member.directory, member.record.generation),
        path_join(directory, member.directory)));
  TG_TRY(fsync_path(effects, directory));
  return fsync_path(effects, site.generations());
}

Publication::Publication(Effects& effects, Journal& journal, Options options, Site site)
    : effects_(effects),
      journal_(journal),
      options_(std::move(options)),
      site_(std::move(site)),
      log_(effects, site_.log()) {}

Result<std::unique_ptr<Publication>> Publication::begin(Effects& effects, Journal& journal,
                                                        Options options) {
  TG_ASSERT(!options.places.empty() && (options.together || options.places.size() == 1));
  std::set<std::string> names;
  const std::string parent = path_dirname(options.places.front().root);
  for (const OutputPlace& place : options.places)
    if (options.together &&
        (path_dirname(place.root) != parent || !names.insert(path_basename(place.root)).second))
      return fail(FailureClass::kDefect, "publish.set_parent",
                  fmt::format("outputs that are published together need directories of their own "
                              "under one parent: \"{}\" and \"{}\"",
                              options.places.front().root, place.root));
  Owner owner{options.state_id, options.pipeline, "", options.together};
  for (const OutputPlace& place : options.places) {
    owner.output = place.output;
    TG_TRY(claim_place(effects, place, owner));
  }
  Site site = site_of(options.places.front().root, owner);
  std::vector<std::string> outputs;
  for (const OutputPlace& place : options.places) outputs.push_back(place.output);
  std::unique_ptr<Publication> out(
      new Publication(effects, journal, std::move(options), std::move(site)));
  TG_ASSIGN(out->previous_, out->log_.newest());
  TG_ASSIGN(out->number_, next_commit_number(effects, journal, out->site_, outputs));
  TG_TRY(out->check_predecessor());
  return out;
}

std::unexpected<Failure> Publication::lose(const char* code, std::string message) {
  (void)abort();
  return fail(FailureClass::kDefect, code, std::move(message));
}

Status Publication::check_predecessor() {
  TG_ASSIGN(const auto newest, log_.newest());
  if (newest && newest->fence > options_.fence)
    return lose("publish.fenced",
                fmt::format("a newer conductor has published here (run {}): \"{}\"", newest->run,
                            site_.directory));
  if ((newest ? newest->number : 0) != (previous_ ? previous_->number : 0))
    return lose("publish.lost_race",
                fmt::format("another conductor published first (run {}): \"{}\"",
                            newest ? newest->run : "?", site_.directory));
  return {};
}

Status Publication::stage_result(const StagedFile& source, const std::string& path) {
  Status linked = effects_.link(source.path, path);
  FileHash hash;
  if (!linked && is_not_found(linked.error()))
    return fail_because(Failure{FailureClass::kLost, linked.error().code, linked.error().message},
                        "publish.result_missing",
                        fmt::format("a finished result is gone: \"{}\"", source.path));
  const bool copied = !linked && copy_may_do(linked.error());
  if (copied) {
    TG_ASSIGN(hash, copy_file(effects_, source.path, path, 0444));
    linked = {};
  } else if (linked) {
    TG_ASSIGN(hash, hash_file(effects_, path));
  }
  TG_TRY(linked);
  const bool same = hash.bytes == source.bytes && hash.xxh3 == source.xxh3;
  if (!same && !planted(Mistake::kResultNotHashed)) return torn(source.path);
  TG_ASSIGN(const FileStat stat, effects_.stat(path));
  if (stat.mode != 0444) TG_TRY(effects_.chmod(path, 0444));
  if (planted(Mistake::kGenerationNotSynced)) return {};
  Status synced = fsync_path(effects_, path);
  // The kernel may take its pages for written now: the next fsync would succeed and do nothing. So
  // the result goes, and is made again.
  if (!synced && !copied) (void)effects_.unlink(source.path);
  return synced;
}

Status Publication::stage_files(const PublishRequest& request, const OutputPlace& place,
                                const std::string& directory, GenerationRecord& record) {
  TG_ASSIGN(StandingFiles standing,
            StandingFiles::of(effects_, journal_, place,
                              previous_ ? previous_->member(place.output) : nullptr));
  for (size_t i = 0; i < request.files.size(); ++i) {
    const StagedFile& source = request.files[i];
    GenerationFile file{.name = part_name(source, i, record.generation),
                        .rows = source.rows,
                        .bytes = source.bytes,
                        .xxh3 = source.xxh3};
    const std::string path = path_join(directory, file.name);
    if (standing.link(source, path))
      file.shared_from = standing.generation();
    else
      TG_TRY(stage_result(source, path));
    record.rows += file.rows;
    record.bytes += file.bytes;
    record.files.push_back(std::move(file));
  }
  record.hashed_us = std::min(effects_.now_us(), standing.hashed_us().value_or(INT64_MAX));
  const std::string manifest = manifest_text(record);
  record.manifest_xxh3 = hex64(xxh3_64(manifest));
  TG_TRY(write_durable(effects_, path_join(directory, "manifest.json"), manifest));
  TG_TRY(fsync_path(effects_, directory));
  return fsync_path(effects_, path_dirname(directory));
}

Result<StagedGeneration> Publication::stage(const PublishRequest& request) {
  const auto place = std::ranges::find(options_.places, request.output, &OutputPlace::output);
  TG_ASSERT(place != options_.places.end() && !committed_);
  TG_ASSERT(std::ranges::none_of(
      staged_, [&](const Staged& one) { return one.place.output == request.output; }));
  if (request.files.size() > kFilesMax)
    return fail(FailureClass::kDefect, "publish.too_many_files",
                fmt::format("an output has at most {} files, {} has {}", kFilesMax, request.output,
                            request.files.size()));
  if (!request.force) {
    TG_ASSIGN(const auto rejected, journal_.rejected_identities(request.output));
    bool refused = std::ranges::count(rejected, request.identity) > 0;
    if (previous_)
      for (const RejectedGeneration& one : previous_->rejected)
        refused = refused || (one.output == request.output && one.identity == request.identity);
    if (refused)
      return fail(
          FailureClass::kDefect, "publish.rejected",
          fmt::format("these rows of {} were rolled back before; change an input or publish "
                      "with --force",
                      request.output));
  }
  TG_ASSIGN(const std::string generation,
            make_generation_directory(effects_, place->root, number_));
  const std::string directory = generation_directory(place->root, generation);
  Staged staged{.place = *place};
  GenerationRecord& record = staged.record;
  record.output = request.output;
  record.pipeline = options_.pipeline;
  record.pipeline_file = options_.pipeline_file;
  record.publish_root = place->root;
  record.number = number_;
  record.generation = generation;
  record.state = "published";
  record.run = options_.run;
  record.fence = options_.fence;
  record.identity = request.identity;
  record.contract_hash = request.contract_hash;
  record.schema = request.schema;
  record.sources = request.sources;
  record.max_age_us = request.max_age_us;
  record.through_us = request.through_us;
  record.completeness = request.completeness;
  if (Status done = stage_files(request, *place, directory, record); !done) {
    (void)remove_tree(effects_, directory);
    return std::unexpected(std::move(done).error());
  }
  StagedGeneration out{.generation = generation,
                       .directory = directory,
                       .paths = {},
                       .rows = record.rows,
                       .bytes = record.bytes};
  for (const GenerationFile& file : record.files) {
    out.paths.push_back(path_join(directory, file.name));
    out.files_shared += !file.shared_from.empty();
  }
  staged_.push_back(std::move(staged));
  return out;
}

Status Publication::audited(const std::string& output, std::vector<CheckOutcome> checks) {
  const auto staged =
      std::ranges::find_if(staged_, [&](const Staged& one) { return one.place.output == output; });
  TG_ASSERT(staged != staged_.end());
  const auto bad = std::ranges::find_if(checks, failed);
  if (bad != checks.end())
    return fail(FailureClass::kData, "publish.unverified",
                fmt::format("check {} of output {} failed", bad->name, output));
  staged->record.checks = std::move(checks);
  TG_TRY(journal_.append("output_audited", options_.run, audited_data(staged->record)));
  staged->audited = true;
  return {};
}

Result<Commit> Publication::next_commit() {
  Commit commit;
  commit.number = number_;
  commit.previous = previous_ ? previous_->number : 0;
  commit.kind = CommitKind::kPublish;
  commit.run = options_.run;
  commit.fence = options_.fence;
  commit.committed_us = effects_.now_us();
  if (previous_) {
    // An output that the pipeline no longer has leaves the set; its files stay where they are.
    for (const CommitMember& member : previous_->members)
      if (std::ranges::count(options_.places, member.output, &OutputPlace::output))
        commit.members.push_back(member);
    commit.rejected = previous_->rejected;
  }
  for (Staged& staged : staged_) {
    staged.record.published_us = commit.committed_us;
    for (GenerationFile& file : staged.record.files) {
      const std::string directory =
          generation_directory(staged.place.root, staged.record.generation);
      TG_ASSIGN(file.stat, effects_.stat(path_join(directory, file.name)));
    }
    std::erase_if(commit.members,
                  [&](const CommitMember& member) { return member.output == staged.place.output; });
    std::erase_if(commit.rejected, [&](const RejectedGeneration& one) {
      return one.output == staged.place.output && one.identity == staged.record.identity;
    });
    commit.members.push_back(
        {staged.place.output, path_basename(staged.place.root), staged.record});
  }
  std::ranges::sort(commit.members, {}, &CommitMember::output);
  return commit;
}

Status Publication::read_back(const Commit& commit) {
  TG_ASSIGN(const auto newest, log_.newest());
  const bool ours = newest && newest->number == commit.number && newest->run == commit.run &&
                    newest->fence == commit.fence;
  const bool superseded = newest && newest->number > commit.number;
  if (!ours && !superseded)
    return fail(FailureClass::kUncertain, "publish.read_back",
                fmt::format("the commit is not what was read back: \"{}\"", site_.directory));
  for (const Staged& staged : staged_) {
    if (superseded) break;
    const std::string current = path_join(staged.place.root, "current");
    for (const GenerationFile& file : staged.record.files) {
      TG_ASSIGN(const FileStat stat, effects_.stat(path_join(current, file.name)));
      if (stat.size != file.bytes || stat.inode != file.stat.inode)
        return fail(FailureClass::kUncertain, "publish.read_back",
                    fmt::format("\"{}\" does not show the generation that was committed", current));
    }
  }
  return {};
}

Status Publication::after_commit(const Commit& commit) {
  TG_ASSIGN(const bool changed, settle_newest(effects_, site_));
  (void)changed;
  TG_TRY(read_back(commit));
  for (const Staged& staged : staged_) {
    GenerationRecord record = staged.record;
    TG_TRY(take_stats(effects_, record));
    if (planted(Mistake::kPublishedBeforeCommit)) continue;
    TG_TRY(journal_.append("output_published", options_.run, to_json(record)));
    published_.push_back(std::move(record));
  }
  return log_.prune();
}

Status Publication::commit() {
  TG_ASSERT(!committed_);
  if (staged_.empty()) return {};
  for (const Staged& staged : staged_)
    if (!staged.audited)
      return fail(FailureClass::kDefect, "publish.unverified",
                  fmt::format("output {} was not verified", staged.place.output));
  TG_TRY(journal_.commit());
  TG_TRY(check_predecessor());
  TG_ASSIGN(Commit commit, next_commit());
  if (site_.is_set) {
    commit.set_directory = generation_name(commit.number, effects_.random_u64());
    TG_TRY(make_set_directory(effects_, site_, commit));
  }
  if (planted(Mistake::kPublishedBeforeCommit)) {
    for (const Staged& staged : staged_)
      TG_TRY(journal_.append("output_published", options_.run, to_json(staged.record)));
    TG_TRY(journal_.commit());
  }
  const auto won = log_.append(commit);
  if (!won) {
    committed_ = won.error().cls == FailureClass::kUncertain;
    return std::unexpected(std::move(won).error());
  }
  if (!*won) {
    if (site_.is_set)
      (void)remove_tree(effects_, path_join(site_.generations(), commit.set_directory));
    return lose("publish.lost_race",
                fmt::format("another conductor published first: \"{}\"", site_.directory));
  }
  committed_ = true;
  if (Status done = after_commit(commit); !done) {
    Failure failure =
        fail_because(
            std::move(done).error(), "publish.uncertain",
            fmt::format("the commit was made, what follows it was not: \"{}\"", site_.directory))
            .error();
    failure.cls = FailureClass::kUncertain;
    return std::unexpected(std::move(failure));
  }
  return {};
}

Status Publication::abort() {
  if (committed_) return {};
  Status out;
  for (const Staged& staged : staged_) {
    const std::string directory = generation_directory(staged.place.root, staged.record.generation);
    if (Status removed = remove_tree(effects_, directory); !removed) out = removed;
    // Links to files that the standing generation shares have changed their ctime.
    if (Status fresh = refresh_stats(effects_, journal_, staged.place, options_.run); !fresh && out)
      out = fresh;
  }
  staged_.clear();
  return out;
}

std::string manifest_text(const GenerationRecord& record) {
  nlohmann::json files = nlohmann::json::array();
  for (const GenerationFile& file : record.files) {
    nlohmann::json& one = files.emplace_back(nlohmann::json{
        {"name", file.name}, {"rows", file.rows}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
    if (!file.shared_from.empty()) one["shared_from"] = file.shared_from;
  }
  nlohmann::json schema = nlohmann::json::array();
  for (const auto& [name, type] : record.schema) schema.push_back({name, type});
  nlohmann::json sources = nlohmann::json::array();
  for (const SourceArrival& source : record.sources)
    sources.push_back(nlohmann::json::parse(to_json(source), nullptr, false));
  const nlohmann::json json = {{"magic", "tidegate-manifest"},
                               {"version", 1},
                               {"output", record.output},
                               {"pipeline", record.pipeline},
                               {"generation", record.generation},
                               {"number", record.number},
                               {"run", record.run},
                               {"identity", record.identity},
                               {"contract_hash", record.contract_hash},
                               {"rows", record.rows},
                               {"bytes", record.bytes},
                               {"schema", std::move(schema)},
                               {"files", std::move(files)},
                               {"sources", std::move(sources)}};
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<Manifest> parse_manifest(const std::string& text) {
  const auto corrupt = [] {
    return fail(FailureClass::kData, "publish.manifest", "a manifest.json cannot be read");
  };
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return corrupt();
  try {
    if (json.at("magic") != "tidegate-manifest") return corrupt();
    if (json.at("version").get<int64_t>() > 1)
      return fail(FailureClass::kDefect, "publish.newer",
                  "a newer tidegate wrote this manifest.json");
    Manifest manifest;
    json.at("output").get_to(manifest.output);
    json.at("pipeline").get_to(manifest.pipeline);
    json.at("generation").get_to(manifest.generation);
    json.at("run").get_to(manifest.run);
    json.at("identity").get_to(manifest.identity);
    for (const auto& item : json.at("files")) {
      GenerationFile file;
      item.at("name").get_to(file.name);
      item.at("rows").get_to(file.rows);
      item.at("bytes").get_to(file.bytes);
      item.at("xxh3").get_to(file.xxh3);
      manifest.files.push_back(std::move(file));
    }
    return manifest;
  } catch (const nlohmann::json::exception&) {
    return corrupt();
  }
}

}  // namespace tidegate
