#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tidegate::prove {

/// Bytes [begin, end) of a stage's SQL.
struct Range {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool operator==(const Range&) const = default;
};

/// The parts of a SELECT that a refusal points at.
enum class AnchorKind : uint8_t {
  kNone,
  kGroupBy,
  kAggregate,
  kDistinct,
  kWindow,
  kJoin,
  kSetOperation,
  kLimit,
  kSample,
  kSubquery,
  kTable,
  kRecursive,
  kColumn,
  kFunction
};

/// A refusal before it has a place in a file.
struct Problem {
  const char* code = "";
  std::string message;
  std::string label = {};
  std::vector<std::string> notes = {};
  std::string help = {};
  std::optional<Range> range = {};  ///< known exactly, else:
  AnchorKind anchor = AnchorKind::kNone;
  std::set<std::string> names = {};  ///< what the place is about, to tell several of a kind apart
};

}  // namespace tidegate::prove
