#include "publish/commit_log.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/planted.h"
#include "base/remembered.h"
#include "publish/place.h"

namespace tidegate {
namespace {

constexpr const char* kCommitMagic = "tidegate-commit";
constexpr int64_t kCommitVersion = 1;
constexpr uint64_t kEntryBytesMax = uint64_t{256} << 20;
constexpr int kNewestTriesMax = 8;
constexpr std::string_view kKinds[] = {"publish", "rollback", "abandon"};

std::string to_text(const Commit& commit) {
  nlohmann::json members = nlohmann::json::array();
  for (const CommitMember& member : commit.members)
    members.push_back({{"output", member.output},
                       {"directory", member.directory},
                       {"generation", member.record.generation},
                       {"record", nlohmann::json::parse(to_json(member.record), nullptr, false)}});
  nlohmann::json rejected = nlohmann::json::array();
  for (const RejectedGeneration& one : commit.rejected)
    rejected.push_back(
        {{"output", one.output}, {"generation", one.generation}, {"identity", one.identity}});
  const nlohmann::json json = {{"magic", kCommitMagic},
                               {"version", kCommitVersion},
                               {"number", commit.number},
                               {"previous", commit.previous},
                               {"kind", std::string(to_string(commit.kind))},
                               {"run", commit.run},
                               {"fence", commit.fence},
                               {"committed_us", commit.committed_us},
                               {"rollback_output", commit.rollback_output},
                               {"rollback_from", commit.rollback_from},
                               {"set_directory", commit.set_directory},
                               {"members", std::move(members)},
                               {"rejected", std::move(rejected)}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::unexpected<Failure> corrupt(const std::string& path) {
  return fail(FailureClass::kData, "publish.log_corrupt",
              fmt::format("this entry of a commit log cannot be read: \"{}\"", path));
}

Result<Commit> parse(const std::string& text, const std::string& path) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return corrupt(path);
  try {
    if (json.at("magic") != kCommitMagic) return corrupt(path);
    if (json.at("version").get<int64_t>() > kCommitVersion)
      return fail(FailureClass::kDefect, "publish.newer",
                  fmt::format("a newer tidegate published here: \"{}\"", path));
    Commit commit;
    json.at("number").get_to(commit.number);
    json.at("previous").get_to(commit.previous);
    const auto kind = std::ranges::find(kKinds, json.at("kind").get<std::string>());
    if (kind == std::end(kKinds)) return corrupt(path);
    commit.kind = static_cast<CommitKind>(kind - std::begin(kKinds));
    json.at("run").get_to(commit.run);
    json.at("fence").get_to(commit.fence);
    json.at("committed_us").get_to(commit.committed_us);
    json.at("rollback_output").get_to(commit.rollback_output);
    json.at("rollback_from").get_to(commit.rollback_from);
    json.at("set_directory").get_to(commit.set_directory);
    for (const auto& item : json.at("members")) {
      CommitMember member;
      item.at("output").get_to(member.output);
      item.at("directory").get_to(member.directory);
      TG_ASSIGN(member.record, generation_record_from_json(item.at("record").dump()));
      // The name becomes a path: only a name of ours may.
      if (!is_generation_name(member.record.generation) ||
          member.directory.find('/') != std::string::npos)
        return corrupt(path);
      commit.members.push_back(std::move(member));
    }
    for (const auto& item : json.at("rejected"))
      commit.rejected.push_back({item.at("output").get<std::string>(),
                                 item.at("generation").get<std::string>(),
                                 item.at("identity").get<std::string>()});
    return commit;
  } catch (const nlohmann::json::exception&) {
    return corrupt(path);
  }
}

}  // namespace

std::string_view to_string(CommitKind kind) { return kKinds[static_cast<size_t>(kind)]; }

const CommitMember* Commit::member(std::string_view output) const {
  for (const CommitMember& candidate : members)
    if (candidate.output == output) return &candidate;
  return nullptr;
}

std::string CommitLog::path_of(uint64_t number) const {
  return path_join(directory_, fmt::format("{:06}.json", number));
}

Result<std::vector<uint64_t>> CommitLog::numbers() {
  const auto names = effects_->list(directory_);
  if (!names) {
    if (is_not_found(names.error()) || names.error().code == "file.not_directory")
      return std::vector<uint64_t>{};
    return std::unexpected(names.error());
  }
  std::vector<uint64_t> out;
  for (const std::string& name : *names) {
    uint64_t number = 0;
    const auto [next, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && number > 0 &&
        std::string_view(next, name.data() + name.size()) == ".json")
      out.push_back(number);
  }
  std::ranges::sort(out);
  return out;
}

Result<Commit> CommitLog::read(uint64_t number) {
  TG_ASSIGN(const std::string text, read_file(*effects_, path_of(number), kEntryBytesMax));
  // One run asks for the same entry several times, and one with a thousand files takes long to
  // parse.
  static thread_local Remembered<Commit, 4, kEntryBytesMax> known;
  const Commit* before = known.find(text);
  if (before != nullptr && before->number == number) return *before;
  TG_ASSIGN(Commit commit, parse(text, path_of(number)));
  if (commit.number != number) return corrupt(path_of(number));
  if (known.fits(text)) known.keep(text, commit);
  return commit;
}

Result<std::optional<Commit>> CommitLog::newest() {
  for (int tries = 0;; ++tries) {
    TG_ASSIGN(const auto all, numbers());
    if (all.empty()) return std::nullopt;
    auto commit = read(all.back());
    if (commit) return std::optional<Commit>(std::move(*commit));
    // Gone between list and open: only a loser's entry is ever taken back.
    if (!is_not_found(commit.error()) || tries == kNewestTriesMax)
      return std::unexpected(std::move(commit.error()));
  }
}

Status CommitLog::each(const std::function<bool(const Commit&)>& visit) {
  TG_ASSIGN(const auto all, numbers());
  for (auto number = all.rbegin(); number != all.rend(); ++number) {
    TG_ASSIGN(const Commit commit, read(*number));
    if (!visit(commit)) break;
  }
  return {};
}

Result<bool> CommitLog::append(const Commit& commit) {
  TG_ASSERT(commit.number > commit.previous);
  const std::string text = to_text(commit);
  const std::string path = path_of(commit.number);
  const std::string aside =
      path_join(directory_, fmt::format(".{:06}-{}", commit.number, hex64(effects_->random_u64())));
  {
    TG_ASSIGN(const int raw, effects_->open(aside, O_WRONLY | O_CREAT | O_EXCL, 0444));
    Fd fd(*effects_, raw);
    Status status = effects_->pwrite(raw, std::as_bytes(std::span(text)), 0);
    if (status) status = effects_->fsync(raw);
    if (!status) {
      (void)effects_->unlink(aside);
      return std::unexpected(std::move(status).error());
    }
  }
  const Status linked = effects_->link(aside, path);
  (void)effects_->unlink(aside);
  if (!linked) {
    // The answer of link(2) may be lost where its deed is not (network file systems): the entry's
    // own bytes tell whose it is.
    const auto there = read_file(*effects_, path, kEntryBytesMax);
    if (!there || *there != text) {
      if (is_exists(linked.error())) return false;
      return std::unexpected(linked.error());
    }
  }
  const auto uncertain = [&](Failure cause) {
    Failure failure =
        fail_because(std::move(cause), "publish.uncertain",
                     fmt::format("the commit was made but may not last: \"{}\"", path))
            .error();
    failure.cls = FailureClass::kUncertain;
    return std::unexpected(std::move(failure));
  };
  const auto all = numbers();
  if (!all) return uncertain(all.error());
  if (all->back() >= commit.number + kEntriesKept) {
    if (auto taken_back = effects_->unlink(path); !taken_back) return uncertain(taken_back.error());
    return false;
  }
  if (planted(Mistake::kCommitNotSynced)) return true;
  if (auto synced = fsync_path(*effects_, directory_); !synced) return uncertain(synced.error());
  return true;
}

Status CommitLog::prune() {
  TG_ASSIGN(const auto all, numbers());
  for (const uint64_t number : all) {
    if (number + kEntriesKept >= all.back()) break;
    TG_TRY(effects_->unlink(path_of(number)));
  }
  return {};
}

Status CommitLog::remove_leftovers() {
  const auto names = effects_->list(directory_);
  if (!names) return is_not_found(names.error()) ? Status{} : std::unexpected(names.error());
  for (const std::string& name : *names)
    if (name.starts_with('.')) TG_TRY(effects_->unlink(path_join(directory_, name)));
  return {};
}

}  // namespace tidegate
