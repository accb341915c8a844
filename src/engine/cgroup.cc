#include "engine/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <sstream>
#include <utility>

namespace tidegate {
namespace {

/// Files of /proc and cgroups say a size of 0: read until nothing comes, a page is plenty.
std::string read_small(Effects& effects, const std::string& path) {
  const auto raw = effects.open(path, O_RDONLY);
  if (!raw) return "";
  Fd fd(effects, *raw);
  std::array<std::byte, 8192> buffer;
  const auto got = effects.pread(*raw, buffer, 0);
  return got ? std::string(reinterpret_cast<const char*>(buffer.data()), *got) : "";
}

/// Our group in the hierarchy of `controller`; "" names the unified one.
std::optional<std::string> group_of_self(const std::string& text, const std::string& controller) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    if (("," + line.substr(first + 1, second - first - 1) + ",").find("," + controller + ",") !=
        std::string::npos)
      return line.substr(second + 1);
  }
  return std::nullopt;
}

bool has_word(const std::string& text, const std::string& word) {
  std::istringstream words(text);
  for (std::string one; words >> one;)
    if (one == word) return true;
  return false;
}

/// Groups of conductors that were killed: theirs are "tidegate-PID-SLOT".
void sweep(Effects& effects, const std::string& parent) {
  constexpr std::string_view kPrefix = "tidegate-";
  const auto names = effects.list(parent);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(kPrefix)) continue;
    int64_t pid = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), pid);
    if (pid > 0 && !exists(effects, fmt::format("/proc/{}", pid)))
      (void)effects.rmdir(path_join(parent, name));
  }
}

}  // namespace

std::optional<MemoryCgroup> MemoryCgroup::make(Effects& effects, const std::string& name,
                                               const std::string& self, const std::string& root) {
  const std::string groups = read_small(effects, self);
  const auto v1 = group_of_self(groups, "memory");
  const auto v2 = group_of_self(groups, "");
  std::string parent;
  if (v1) {
    parent = root + "/memory" + *v1;
  } else if (v2) {
    parent = root + *v2;
    // A group with processes in it cannot hand a controller down: only where someone did so before.
    if (!has_word(read_small(effects, parent + "/cgroup.subtree_control"), "memory"))
      return std::nullopt;
  } else {
    return std::nullopt;
  }
  sweep(effects, parent);
  const std::string path = path_join(parent, name);
  if (const Status made = effects.mkdir(path); !made && !is_exists(made.error()))
    return std::nullopt;
  MemoryCgroup group(effects, path, !v1.has_value());
  if (!exists(effects, path + (v1 ? "/memory.limit_in_bytes" : "/memory.max"))) return std::nullopt;
  return group;
}

MemoryCgroup::MemoryCgroup(MemoryCgroup&& other) noexcept
    : effects_(other.effects_), path_(std::exchange(other.path_, "")), v2_(other.v2_) {}

MemoryCgroup::~MemoryCgroup() {
  if (!path_.empty()) (void)effects_->rmdir(path_);
}

Status MemoryCgroup::write(const char* file, const std::string& text) {
  TG_ASSIGN(const int raw, effects_->open(path_join(path_, file), O_WRONLY));
  Fd fd(*effects_, raw);
  return effects_->pwrite(raw, std::as_bytes(std::span(text)), 0);
}

Status MemoryCgroup::add(int64_t pid) { return write("cgroup.procs", fmt::format("{}", pid)); }

Status MemoryCgroup::limit(uint64_t bound) {
  return write(v2_ ? "memory.max" : "memory.limit_in_bytes", fmt::format("{}", bound + kAllowance));
}

uint64_t MemoryCgroup::kills() {
  std::istringstream words(
      read_small(*effects_, path_ + (v2_ ? "/memory.events" : "/memory.oom_control")));
  std::string key;
  uint64_t count = 0;
  while (words >> key >> count)
    if (key == "oom_kill") return count;
  return 0;
}

}  // namespace tidegate
