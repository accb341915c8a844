#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

namespace tidegate::reduce {

/// Part of identities: changes when a join may give other rows, or the same in another order, for
/// the same spec and inputs.
inline constexpr uint64_t kJoinVersion = 1;
inline constexpr uint64_t kLookupVersion = 1;

/// A join of two exchanged inputs of a stage by equal columns, taken out of the stage's SQL. What
/// is left of the SQL reads its rows as two relations of the same length that lie side by side:
///
///   FROM a JOIN b ON a.k = b.k    becomes    FROM "s:left" AS a POSITIONAL JOIN "s:right" AS b
///
/// so that every name in it means what it meant. A half that nothing is read of is left out: the
/// right one of a semi or anti join, always.
struct JoinSpec {
  enum class Kind : uint8_t {
    kInner = 1,
    kLeft = 2,
    kRight = 3,
    kFull = 4,
    kSemi = 5,
    kAnti = 6,
  };
  struct Side {
    std::string input;                 ///< of the stage
    std::string relation;              ///< what its half of the rows is called; "": left out
    std::vector<std::string> keys;     ///< columns of the input, as many on both sides
    std::vector<std::string> columns;  ///< of the relation, all of the input's
    bool operator==(const Side&) const = default;
  };
  Kind kind = Kind::kInner;
  Side left, right;
  /// JOIN ... USING: where there is no left row, the left keys are those of the right row.
  bool merged = false;
  bool operator==(const JoinSpec&) const = default;
};

/// The same join where each task reads rows of one side, those of a partition, and holds the other
/// side as a table. What the stage's SQL reads is one relation: the columns of the side that is
/// read, and its partner as a STRUCT called as the other side was:
///
///   FROM a JOIN b ON a.k = b.k        becomes    FROM "s:rows" AS a
///
/// where b.x is a field of the column b. Each row has one partner at most.
struct JoinLookup {
  JoinSpec::Kind kind = JoinSpec::Kind::kInner;  ///< inner, left, semi, anti: the left side is read
  std::string input;                             ///< that is read
  std::vector<std::string> keys;                 ///< its columns
  std::string held;                              ///< the other input
  std::vector<std::string> held_keys;            ///< as many
  std::vector<std::string> columns;              ///< of `held`, that the SQL reads
  std::string relation;                          ///< what `sql` calls the rows
  std::string partner;                           ///< the STRUCT column's name
  std::string sql;                               ///< the stage
  bool operator==(const JoinLookup&) const = default;
};

/// "inner", "left", ...
std::string_view to_string(JoinSpec::Kind kind);

std::string to_json(const JoinSpec& join);
Result<JoinSpec> join_from_json(const std::string& text);
std::string to_json(const JoinLookup& lookup);
Result<JoinLookup> join_lookup_from_json(const std::string& text);

/// Whether columns of these types can be joined by: equal as DuckDB's `=` has them, NULL never.
/// Integers may be of two widths, if both have a sign or neither has.
bool can_join_by(std::string_view left, std::string_view right);
/// Whether a join can carry a column of this type.
bool can_carry(std::string_view type);

}  // namespace tidegate::reduce
