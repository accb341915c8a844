#include "publish/place.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/hash.h"

namespace tidegate {
namespace {

constexpr const char* kOwnerMagic = "tidegate-output";
constexpr int64_t kOwnerVersion = 1;
constexpr uint64_t kOwnerBytesMax = 64 * 1024;
constexpr int kSettleTriesMax = 8;
constexpr size_t kNumberDigitsMin = 6;
constexpr size_t kNumberDigitsMax = 18;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

std::string to_text(const Owner& owner) {
  const nlohmann::json json = {{"magic", kOwnerMagic},    {"version", kOwnerVersion},
                               {"state", owner.state_id}, {"pipeline", owner.pipeline},
                               {"output", owner.output},  {"together", owner.in_set}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::unexpected<Failure> foreign_directory(const std::string& root, const std::string& name) {
  return fail(FailureClass::kDefect, "publish.foreign_directory",
              fmt::format("this directory holds what tidegate did not put there (\"{}\"); "
                          "give this output a directory of its own: \"{}\"",
                          name, root));
}

Status check_entries(Effects& effects, const std::string& root, bool owned) {
  const auto names = effects.list(root);
  if (!names) {
    if (is_not_found(names.error())) return {};
    if (names.error().code == "file.not_directory")
      return foreign_directory(root, path_basename(root));
    return std::unexpected(names.error());
  }
  for (const std::string& name : *names) {
    const bool leftover = name.starts_with(".owner-") || name.starts_with(".current-");
    const bool ours = name == "gen" || name == "log" || name == "current" ||
                      name == ".owner.json" || name.starts_with(".owner.json.tmp-");
    if (!leftover && !(owned && ours)) return foreign_directory(root, name);
    if (name != "current") continue;
    TG_ASSIGN(const FileStat stat, effects.lstat(path_join(root, name)));
    if (!stat.is_symlink) return foreign_directory(root, name);
  }
  return {};
}

Status check_owner(const std::string& root, const Owner& there, const Owner& wanted) {
  const auto refuse = [&](std::string why) {
    return fail(FailureClass::kDefect, "publish.foreign_owner",
                fmt::format("{}: \"{}\"", std::move(why), root));
  };
  if (there.state_id != wanted.state_id)
    return refuse(
        fmt::format("another state directory publishes here (output {} of pipeline {}); if it was "
                    "lost, \"tidegate audit DIRECTORY --take-over\" makes this one the owner",
                    there.output, there.pipeline));
  if (there.pipeline != wanted.pipeline || there.output != wanted.output)
    return refuse(
        fmt::format("output {} of pipeline {} is published here", there.output, there.pipeline));
  if (there.in_set != wanted.in_set)
    return refuse(there.in_set ? "this output was published together with others so far"
                               : "this output was published by itself so far");
  return {};
}

/// Makes `path` a link to `target`, durable, unless it is that already.
Result<bool> point_link(Effects& effects, const std::string& path, const std::string& target) {
  const auto now = effects.readlink(path);
  if (now && *now == target) return false;
  if (!now && !is_not_found(now.error())) return std::unexpected(now.error());
  const std::string directory = path_dirname(path);
  const std::string aside =
      path_join(directory, fmt::format(".current-{}", hex64(effects.random_u64())));
  TG_TRY(effects.symlink(target, aside));
  if (const auto renamed = effects.rename(aside, path); !renamed) {
    (void)effects.unlink(aside);
    return std::unexpected(renamed.error());
  }
  TG_TRY(fsync_path(effects, directory));
  return true;
}

Result<bool> drop_link(Effects& effects, const std::string& path) {
  if (!exists(effects, path)) return false;
  const auto dropped = effects.unlink(path);
  if (!dropped) {
    if (is_not_found(dropped.error())) return false;
    return std::unexpected(dropped.error());
  }
  TG_TRY(fsync_path(effects, path_dirname(path)));
  return true;
}

/// The name of the set's directory stands in its own path: .../.sets/PIPELINE.
std::string set_link(const Site& site, const CommitMember& member) {
  return fmt::format("../.sets/{}/current/{}", path_basename(site.directory), member.directory);
}

}  // namespace

bool is_generation_name(std::string_view name) {
  const size_t dash = name.find('-');
  if (dash == std::string_view::npos || dash < kNumberDigitsMin || dash > kNumberDigitsMax)
    return false;
  const std::string_view token = name.substr(dash + 1);
  return std::ranges::all_of(name.substr(0, dash), is_digit) && token.size() == 4 &&
         std::ranges::all_of(token, is_hex);
}

std::string generation_name(uint64_t number, uint64_t random) {
  return fmt::format("{:06}-{:04x}", number, random & 0xffff);
}

uint64_t generation_number(std::string_view name) {
  if (!is_generation_name(name)) return 0;
  uint64_t number = 0;
  for (const char c : name.substr(0, name.find('-')))
    number = number * 10 + static_cast<uint64_t>(c - '0');
  return number;
}

std::string generation_directory(std::string_view root, std::string_view generation) {
  return path_join(path_join(root, "gen"), generation);
}

Result<std::optional<Owner>> read_owner(Effects& effects, const std::string& root) {
  const std::string path = path_join(root, ".owner.json");
  const auto text = read_file(effects, path, kOwnerBytesMax);
  if (!text) {
    if (is_not_found(text.error()) || text.error().code == "file.not_directory")
      return std::nullopt;
    return std::unexpected(text.error());
  }
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  try {
    if (!json.is_object() || json.at("magic") != kOwnerMagic)
      return foreign_directory(root, ".owner.json");
    if (json.at("version").get<int64_t>() > kOwnerVersion)
      return fail(FailureClass::kDefect, "publish.newer",
                  fmt::format("a newer tidegate published here: \"{}\"", root));
    return Owner{json.at("state").get<std::string>(), json.at("pipeline").get<std::string>(),
                 json.at("output").get<std::string>(), json.at("together").get<bool>()};
  } catch (const nlohmann::json::exception&) {
    return foreign_directory(root, ".owner.json");
  }
}

namespace {

/// Whose the directory is, or nothing; a failure if it holds what is not ours.
Result<std::optional<Owner>> owner_among_ours(Effects& effects, const std::string& root) {
  TG_ASSIGN(auto there, read_owner(effects, root));
  Status entries = check_entries(effects, root, there.has_value());
  if (!entries && !there) {
    // Another one may have claimed it meanwhile: then its owner says whose it is.
    TG_ASSIGN(there, read_owner(effects, root));
    if (there) entries = check_entries(effects, root, true);
  }
  TG_TRY(entries);
  return there;
}

}  // namespace

Status check_place(Effects& effects, const OutputPlace& place, const Owner& owner) {
  TG_ASSIGN(const auto there, owner_among_ours(effects, place.root));
  if (!there) return {};
  return check_owner(place.root, *there, owner);
}

Status claim_place(Effects& effects, const OutputPlace& place, const Owner& owner) {
  const std::string& root = place.root;
  TG_ASSIGN(auto there, owner_among_ours(effects, root));
  if (!there) {
    TG_TRY(make_directories(effects, root));
    // Ahead of the owner's file: where that stands, the way to it lasts.
    TG_TRY(fsync_parents(effects, root));
    const std::string aside =
        path_join(root, fmt::format(".owner-{}", hex64(effects.random_u64())));
    TG_TRY(write_file(effects, aside, to_text(owner), 0444, true));
    // link(2): of two state directories that claim it at once, one gets it.
    const Status linked = effects.link(aside, path_join(root, ".owner.json"));
    TG_TRY(effects.unlink(aside));
    if (!linked && !is_exists(linked.error())) return linked;
    TG_TRY(fsync_path(effects, root));
    TG_ASSIGN(there, read_owner(effects, root));
    if (!there) return foreign_directory(root, ".owner.json");
  }
  TG_TRY(check_owner(root, *there, owner));
  return lay_out(effects, root, site_of(root, owner));
}

Status lay_out(Effects& effects, const std::string& root, const Site& site) {
  std::set<std::string> parents;
  bool made = false;
  for (const std::string& directory :
       {path_join(root, "gen"), site.log(), site.is_set ? site.generations() : site.log()}) {
    parents.insert(path_dirname(directory));
    if (exists(effects, directory)) continue;
    TG_TRY(make_directories(effects, directory));
    made = true;
  }
  // Who made them may have died before they lasted. A commit is made only where they do.
  if (!made && !site.is_set) {
    TG_ASSIGN(const auto numbers, CommitLog(effects, site.log()).numbers());
    if (!numbers.empty()) return {};
  }
  for (const std::string& parent : parents) TG_TRY(fsync_path(effects, parent));
  if (!site.is_set) return {};
  TG_TRY(fsync_path(effects, path_dirname(site.directory)));
  return fsync_path(effects, path_dirname(path_dirname(site.directory)));
}

Status take_over_place(Effects& effects, const OutputPlace& place, const Owner& owner) {
  TG_ASSIGN(const auto there, read_owner(effects, place.root));
  if (!there)
    return fail(FailureClass::kDefect, "publish.nothing_published",
                fmt::format("nothing of tidegate is published here: \"{}\"", place.root));
  TG_TRY(check_entries(effects, place.root, true));
  Owner next = owner;
  next.in_set = there->in_set;
  return write_file(effects, path_join(place.root, ".owner.json"), to_text(next), 0444, true);
}

Site site_of(const std::string& root, const Owner& owner) {
  if (!owner.in_set) return Site{root, false};
  return Site{path_join(path_join(path_dirname(root), ".sets"), owner.pipeline), true};
}

std::string member_root(const Site& site, const CommitMember& member) {
  if (!site.is_set) return site.directory;
  return path_join(path_dirname(path_dirname(site.directory)), member.directory);
}

Result<bool> settle_current(Effects& effects, const Site& site, const Commit& newest) {
  const std::string current = path_join(site.directory, "current");
  if (!site.is_set) {
    if (newest.members.empty()) return drop_link(effects, current);
    return point_link(effects, current, path_join("gen", newest.members.front().record.generation));
  }
  bool changed = false;
  if (newest.set_directory.empty()) {
    TG_ASSIGN(changed, drop_link(effects, current));
  } else {
    TG_ASSIGN(changed, point_link(effects, current, path_join("gen", newest.set_directory)));
  }
  for (const CommitMember& member : newest.members) {
    TG_ASSIGN(const bool pointed,
              point_link(effects, path_join(member_root(site, member), "current"),
                         set_link(site, member)));
    changed = changed || pointed;
  }
  return changed;
}

Result<bool> settle_newest(Effects& effects, const Site& site) {
  CommitLog log(effects, site.log());
  TG_ASSIGN(auto newest, log.newest());
  bool changed = false;
  for (int tries = 0; newest && tries < kSettleTriesMax; ++tries) {
    TG_ASSIGN(const bool moved, settle_current(effects, site, *newest));
    changed = changed || moved;
    TG_ASSIGN(auto after, log.newest());
    if (after && after->number == newest->number) return changed;
    newest = std::move(after);
  }
  return changed;
}

}  // namespace tidegate
