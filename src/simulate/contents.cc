#include "simulate/contents.h"

#include <fmt/format.h>

#include <charconv>

#include "base/hash.h"

namespace tidegate {
namespace {

/// Rows of a partition that does not say how many it has.
constexpr uint64_t kRowsUnknown = 1'000;
constexpr size_t kChecksumDigits = 16;

uint64_t mixed(uint64_t a, uint64_t b) {
  const uint64_t words[2] = {a, b};
  return xxh3_64({reinterpret_cast<const char*>(words), sizeof words});
}

}  // namespace

Tally tally_of(const Partition& partition) {
  const uint64_t rows = partition.rows > 0 ? partition.rows : kRowsUnknown;
  return {rows, xxh3_64(partition.identity)};
}

Tally bucket_of(const Tally& rows, uint32_t bucket, uint32_t buckets) {
  // Every bucket but the last takes its own; what is left is the last one's.
  const uint64_t share = rows.rows / buckets;
  if (bucket + 1 < buckets) return {share, mixed(rows.hash, bucket)};
  Tally last = rows;
  for (uint32_t b = 0; b + 1 < buckets; ++b) {
    last.rows -= share;
    last.hash -= mixed(rows.hash, b);
  }
  return last;
}

std::string to_text(const std::vector<Tally>& buckets) {
  std::string text;
  for (const Tally& tally : buckets) text += fmt::format("{} {:x}\n", tally.rows, tally.hash);
  return text + hex64(xxh3_64(text));
}

Result<std::vector<Tally>> tallies_from(const std::string& text, const std::string& path) {
  const size_t size = text.size() < kChecksumDigits ? 0 : text.size() - kChecksumDigits;
  const std::string_view body(text.data(), size);
  if (text.size() < kChecksumDigits || hex64(xxh3_64(body)) != text.substr(size))
    return fail(FailureClass::kLost, "shuffle.torn",
                fmt::format("a stored result does not match its checksum: \"{}\"", path));
  std::vector<Tally> buckets;
  for (size_t at = 0; at < body.size();) {
    Tally tally;
    const char* end = body.data() + body.size();
    auto read = std::from_chars(body.data() + at, end, tally.rows);
    read = std::from_chars(read.ptr + 1, end, tally.hash, 16);
    buckets.push_back(tally);
    at = static_cast<size_t>(read.ptr - body.data()) + 1;
  }
  return buckets;
}

bool counts_rows(const PlanInput& input, uint32_t units) {
  const bool whole =
      input.kind == PlanInput::Kind::kSourceWhole || input.kind == PlanInput::Kind::kGroupWhole;
  return !whole || units == 1;
}

Tally expected_rows(const Plan& plan, uint32_t group) {
  Tally rows;
  const auto units = static_cast<uint32_t>(plan.graph.groups[group].tasks.size());
  for (const PlanInput& input : plan.groups[group].inputs) {
    if (!counts_rows(input, units)) continue;
    if (input.kind == PlanInput::Kind::kPartition || input.kind == PlanInput::Kind::kSourceWhole) {
      for (const Partition& partition : partitions_of(plan, input)) rows.add(tally_of(partition));
    } else {
      rows.add(expected_rows(plan, input.index));
    }
  }
  return rows;
}

}  // namespace tidegate
