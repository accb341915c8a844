#include "task/limits.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "task/heap.h"

namespace tidegate {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
/// What a worker with DuckDB loaded holds before it does anything.
constexpr uint64_t kIdleBytes = 64 * kMiB;
constexpr uint64_t kCombineBytesMin = 4 * kMiB;
/// Of a large value DuckDB holds so many copies on its way to a file, and this beside.
constexpr uint64_t kValueCopies = 4, kBesideValueBytes = 16 * kMiB;
/// A map output takes rows of at most about this part of its writer's memory.
constexpr uint64_t kValueShareOfWriter = 10;
constexpr uint64_t kBoundMebibytesMin = 128, kBoundMebibytesMax = uint64_t{1} << 24;
/// What map output writers take of a bound.
uint64_t writer_bytes(uint64_t bound) { return std::clamp(bound / 8, 16 * kMiB, 96 * kMiB); }

std::string read_proc(Effects& effects, const char* path) {
  const auto raw = effects.open(path, O_RDONLY);
  if (!raw) return "";
  Fd fd(effects, *raw);
  std::array<std::byte, 8192> buffer;
  const auto got = effects.pread(*raw, buffer, 0);
  return got ? std::string(reinterpret_cast<const char*>(buffer.data()), *got) : "";
}

uint64_t status_kib(Effects& effects, std::string_view field) {
  const std::string text = read_proc(effects, "/proc/self/status");
  const size_t at = text.find(field);
  if (at == std::string::npos) return 0;
  const char* begin = text.data() + at + field.size();
  while (begin < text.data() + text.size() && (*begin == ' ' || *begin == '\t')) ++begin;
  uint64_t value = 0;
  std::from_chars(begin, text.data() + text.size(), value);
  return value;
}

}  // namespace

uint64_t combine_bytes(uint64_t memory_bytes) {
  const uint64_t bound = std::max(memory_bytes, 2 * kIdleBytes);
  return std::max((bound - kIdleBytes - writer_bytes(bound)) / 2, kCombineBytesMin);
}

uint64_t lookup_bytes(uint64_t memory_bytes) {
  const uint64_t bound = std::max(memory_bytes, 2 * kIdleBytes);
  return (bound - kIdleBytes - writer_bytes(bound)) / 4;
}

MemoryShares split_memory(const TaskSpec& spec) {
  const uint64_t bound = std::max(spec.memory_bytes, 2 * kIdleBytes);
  MemoryShares shares;
  uint64_t scans = 0;
  bool writes = false;
  for (const TaskInput& input : spec.inputs) scans += !input.scan.has_value();
  bool publishes = false;
  for (const TaskSink& sink : spec.sinks) {
    writes |= sink.kind != TaskSink::Kind::kParquet || !sink.by.empty();
    publishes |= sink.kind == TaskSink::Kind::kParquet;
  }
  shares.writer_bytes = writes ? writer_bytes(bound) : 0;
  shares.scan_bytes = std::clamp(bound / 32, 4 * kMiB, 16 * kMiB);
  shares.parquet_bytes = publishes ? std::clamp(bound / 8, 8 * kMiB, 64 * kMiB) : 0;
  if (spec.combine && !spec.combine_in_sql)
    shares.combine_bytes =
        std::min(std::max(spec.combine_bytes, kCombineBytesMin), combine_bytes(bound));
  const uint64_t taken = kIdleBytes + shares.writer_bytes + shares.combine_bytes +
                         shares.parquet_bytes + std::min(bound / 4, scans * shares.scan_bytes);
  const uint64_t rest = bound > taken ? bound - taken : 0;
  uint64_t kernels = 0;
  bool sorts = false;
  for (const TaskStep& step : spec.steps) {
    kernels += step.kernel.has_value() + step.join.has_value() + step.lookup.has_value();
    sorts |= step.sort.has_value();
  }
  // Before and after a kernel DuckDB only streams, and gathers a row group to be written.
  uint64_t duckdb = rest;
  if (kernels > 0) {
    shares.kernel_bytes = std::max(rest / 2 / kernels, 8 * kMiB);
    duckdb = rest / 2;
  }
  // Rows come to a sort and go from it without DuckDB, or are streamed through it.
  if (sorts) {
    shares.sort_bytes = std::max(duckdb * 3 / 4, 8 * kMiB);
    duckdb -= std::min(duckdb, shares.sort_bytes);
  }
  // DuckDB's own limit leaves a fifth for what it does not count.
  shares.duckdb_bytes = std::max(duckdb * 4 / 5, 32 * kMiB);
  return shares;
}

uint64_t memory_for_value(const TaskSpec& spec, uint64_t kernel_bytes, uint64_t value_bytes) {
  TaskSpec other = spec;
  const auto suffices = [&](uint64_t mebibytes) {
    other.memory_bytes = mebibytes * kMiB;
    const MemoryShares shares = split_memory(other);
    const bool writes = shares.writer_bytes > 0;
    return shares.kernel_bytes >= kernel_bytes &&
           shares.duckdb_bytes >= kValueCopies * value_bytes + kBesideValueBytes &&
           (!writes ||
            shares.writer_bytes / other.sinks.size() >= kValueShareOfWriter * value_bytes);
  };
  // The bound is above the one and at most the other.
  uint64_t low = kBoundMebibytesMin - 1, high = kBoundMebibytesMin;
  while (!suffices(high)) {
    low = high;
    high *= 2;
    if (high > kBoundMebibytesMax) return 0;
  }
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (suffices(middle) ? high : low) = middle;
  }
  return high * kMiB;
}

uint64_t rss_bytes(Effects& effects) { return status_kib(effects, "VmRSS:") * 1024; }
uint64_t peak_rss_bytes(Effects& effects) { return status_kib(effects, "VmHWM:") * 1024; }

void reset_peak_rss(Effects& effects) {
  const auto raw = effects.open("/proc/self/clear_refs", O_WRONLY);
  if (!raw) return;
  Fd fd(effects, *raw);
  (void)effects.pwrite(*raw, std::as_bytes(std::span("5", 1)), 0);
}

void set_address_space_wall(Effects& effects, uint64_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  (void)effects;
  (void)bytes;
#else
  const uint64_t mapped = status_kib(effects, "VmSize:") * 1024;
  const uint64_t now = mapped - std::min(mapped, freed_memory_bytes());
  struct rlimit limit{};
  if (now == 0 || ::getrlimit(RLIMIT_AS, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, now + bytes);
  (void)::setrlimit(RLIMIT_AS, &limit);
#endif
}

void lift_address_space_wall() {
#if !defined(__SANITIZE_ADDRESS__)
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_AS, &limit);
#endif
}

}  // namespace tidegate
