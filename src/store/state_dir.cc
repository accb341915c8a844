#include "store/state_dir.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/units.h"

namespace tidegate {
namespace {

constexpr const char* kStateMagic = "tidegate-state";
constexpr uint64_t kStateVersion = 1;
constexpr const char* kLockMagic = "tidegate-lock";
constexpr uint64_t kSmallFileMax = 64 * 1024;
constexpr std::string_view kFencePrefix = "tidegate-fence 1 ";
constexpr size_t kFenceDigits = 20;

bool denies_writing(const Failure& failure) {
  return failure.code == "disk.read_only" || failure.code == "file.denied";
}

std::unexpected<Failure> explain_write(Failure failure, const std::string& path) {
  if (denies_writing(failure))
    return fail_because(std::move(failure), "state.read_only",
                        fmt::format("cannot write to the state directory \"{}\"; name another with "
                                    "--state or TIDEGATE_STATE",
                                    path));
  return std::unexpected(std::move(failure));
}

/// Parses "tidegate-state VERSION ID\n".
Result<std::string> parse_version(const std::string& text, const std::string& path) {
  const auto corrupt = [&] {
    return fail(FailureClass::kDefect, "state.corrupt",
                fmt::format("this is not the version file of a state directory: \"{}\"", path));
  };
  const size_t first = text.find(' ');
  if (first == std::string::npos || text.substr(0, first) != kStateMagic) return corrupt();
  uint64_t version = 0;
  const char* end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data() + first + 1, end, version);
  if (error != std::errc() || next == end) return corrupt();
  if (version > kStateVersion)
    return fail(
        FailureClass::kDefect, "state.newer",
        fmt::format("the state directory was made by a newer tidegate (version {}, this one "
                    "knows {}): \"{}\"",
                    version, kStateVersion, path_dirname(path)));
  std::string id(next + 1, end);
  if (!id.empty() && id.back() == '\n') id.pop_back();
  uint64_t parsed = 0;
  if (version == 0 || *next != ' ' || !parse_hex64(id, parsed)) return corrupt();
  return id;
}

Status make_state_dir(Effects& effects, const std::string& path) {
  TG_TRY(make_directories(effects, path));
  // Ahead of the version: where that stands, the way to it lasts.
  TG_TRY(fsync_parents(effects, path));
  const std::string version =
      fmt::format("{} {} {}\n", kStateMagic, kStateVersion, hex64(effects.random_u64()));
  // link(2), not rename: of two first commands at once only one may name the directory.
  const std::string aside =
      path_join(path, fmt::format(".version-{}", hex64(effects.random_u64())));
  TG_TRY(write_file(effects, aside, version, 0444, true));
  const Status linked = effects.link(aside, path_join(path, "version"));
  TG_TRY(effects.unlink(aside));
  if (!linked && !is_exists(linked.error())) return linked;
  return fsync_path(effects, path);
}

/// Everything that may stand in a directory which is about to become a state directory.
bool is_leftover(const std::string& name) { return name.starts_with(".version-"); }

std::string describe_holder(const LockHolder& holder) {
  return fmt::format("process {} on {} since {}: {}", holder.pid, holder.host,
                     format_timestamp_us(holder.since_us), holder.command);
}

LockHolder parse_holder(const std::string& text) {
  LockHolder holder;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return holder;
  const auto read = [&](const char* key, auto& out) {
    const auto it = json.find(key);
    if (it == json.end()) return;
    if constexpr (std::is_same_v<std::decay_t<decltype(out)>, std::string>) {
      if (it->is_string()) out = it->template get<std::string>();
    } else {
      if (it->is_number_integer()) out = it->template get<int64_t>();
    }
  };
  read("pid", holder.pid);
  read("host", holder.host);
  read("command", holder.command);
  read("since_us", holder.since_us);
  return holder;
}

/// Reads the last token; 0 if there is none or it cannot be read: the clock then stands in for it.
uint64_t parse_fence(const std::string& text) {
  if (!text.starts_with(kFencePrefix)) return 0;
  uint64_t token = 0;
  const char* begin = text.data() + kFencePrefix.size();
  const auto [next, error] = std::from_chars(begin, text.data() + text.size(), token);
  return error == std::errc() && next == begin + kFenceDigits ? token : 0;
}

Result<uint64_t> next_fence(Effects& effects, const StateDir& state) {
  const std::string path = path_join(state.path(), "fence");
  const auto before = read_file(effects, path, kSmallFileMax);
  if (!before && !is_not_found(before.error())) return std::unexpected(before.error());
  const uint64_t clock = static_cast<uint64_t>(std::max<int64_t>(0, effects.now_us()));
  const uint64_t token = std::max(before ? parse_fence(*before) + 1 : 1, clock);
  const std::string text = fmt::format("{}{:020}\n", kFencePrefix, token);
  // In place: one block of fixed length, so one fsync and no rename for each command.
  TG_ASSIGN(const int raw, effects.open(path, O_WRONLY | O_CREAT));
  Fd fd(effects, raw);
  TG_TRY(effects.pwrite(raw, std::as_bytes(std::span(text)), 0));
  TG_TRY(effects.fsync(raw));
  if (!before) TG_TRY(fsync_path(effects, state.path()));
  return token;
}

}  // namespace

Result<StateDir> StateDir::open(Effects& effects, const std::string& path, Mode mode) {
  StateDir state;
  state.path_ = path;
  const std::string version_path = path_join(path, "version");
  auto text = read_file(effects, version_path, kSmallFileMax);
  if (!text && (is_not_found(text.error()) || text.error().code == "file.not_directory")) {
    const auto there = effects.stat(path);
    if (there && there->is_regular)
      return fail(FailureClass::kDefect, "state.foreign",
                  fmt::format("this is a file and no state directory: \"{}\"", path));
    if (mode == Mode::kRead)
      return fail(FailureClass::kDependency, "state.missing",
                  fmt::format("there is no state directory yet: \"{}\"", path));
    if (const auto names = effects.list(path); names) {
      const auto foreign = std::ranges::find_if_not(*names, is_leftover);
      // Another first command may have made it since.
      if (foreign != names->end() && !exists(effects, version_path))
        return fail(FailureClass::kDefect, "state.foreign",
                    fmt::format("this directory is not empty and no state directory (it holds "
                                "\"{}\"): \"{}\"",
                                *foreign, path));
    }
    if (auto made = make_state_dir(effects, path); !made)
      return explain_write(std::move(made.error()), path);
    text = read_file(effects, version_path, kSmallFileMax);
  }
  if (!text) return std::unexpected(std::move(text.error()));
  TG_ASSIGN(state.id_, parse_version(*text, version_path));
  if (mode == Mode::kWrite) {
    for (const std::string& directory : {state.results(), state.spill()})
      if (auto made = make_directories(effects, directory); !made)
        return explain_write(std::move(made.error()), path);
  }
  return state;
}

Result<ConductorLock> ConductorLock::take(Effects& effects, const StateDir& state,
                                          const std::string& command) {
  ConductorLock lock;
  const std::string path = path_join(state.path(), "lock");
  auto raw = effects.open(path, O_RDWR | O_CREAT);
  if (!raw) return explain_write(std::move(raw.error()), state.path());
  lock.fd_ = Fd(effects, *raw);
  TG_ASSIGN(const bool taken, effects.try_lock(*raw));
  if (!taken) {
    const auto text = read_file(effects, path, kSmallFileMax);
    const LockHolder holder = parse_holder(text ? *text : "");
    return fail(
        FailureClass::kDependency, "state.locked",
        fmt::format("another tidegate works in this state directory: \"{}\" is held by {}",
                    state.path(),
                    holder.pid == 0 ? std::string("a process that has not said its name yet")
                                    : describe_holder(holder)));
  }
  const ProcessName self = effects.process_name();
  nlohmann::json json = {{"magic", kLockMagic}, {"version", 1},
                         {"pid", self.pid},     {"host", self.host},
                         {"command", command},  {"since_us", effects.now_us()}};
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  TG_TRY(effects.truncate(*raw, 0));
  TG_TRY(effects.pwrite(*raw, std::as_bytes(std::span(text)), 0));
  auto fence = next_fence(effects, state);
  if (!fence) return explain_write(std::move(fence.error()), state.path());
  lock.fence_ = *fence;
  return lock;
}

Result<size_t> clean_spill(Effects& effects, const StateDir& state) {
  TG_ASSIGN(const auto names, effects.list(state.spill()));
  size_t removed = 0;
  for (const std::string& name : names) {
    const std::string path = path_join(state.spill(), name);
    auto raw = effects.open(path, O_RDONLY);
    if (!raw) {
      if (is_not_found(raw.error())) continue;
      return std::unexpected(std::move(raw.error()));
    }
    Fd fd(effects, *raw);
    TG_ASSIGN(const bool free, effects.try_lock(*raw));
    if (!free) continue;
    TG_TRY(remove_tree(effects, path));
    ++removed;
  }
  return removed;
}

}  // namespace tidegate
