#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace tidegate::prove {

using ColumnSet = std::set<uint32_t>;

/// What may be done with a column.
enum class ColumnTag : uint8_t {
  kPlain,
  kRowId,     ///< the row's place in its table: means something else in every bucket
  kTrueOnly,  ///< of IN over Part: TRUE is right, FALSE and NULL may be mixed up
};

struct RelationColumn {
  std::string name;
  std::string type;
  ColumnTag tag = ColumnTag::kPlain;
  /// FLOAT or DOUBLE where equal values were made one: -0.0 or 0.0, and which of several NaNs, by
  /// the order of the rows.
  bool any_form = false;
  bool never_null = false;  ///< proven by what the SQL filters or computes
};

/// One position of the key that rows were hashed by.
struct KeyClass {
  std::string hash_type;
  ColumnSet members;  ///< columns x with CAST(x AS hash_type) = the hashed value
};

/// The properties of one operator's result inside a stage (SPLIT.md), over its output columns.
struct Relation {
  std::vector<RelationColumn> columns;
  /// Repl: every bucket has the same rows. Else each row of the whole is in exactly one bucket
  /// (or, with `domain` set, in exactly the buckets that hold its outer row).
  bool replicated = true;
  /// Part: the keys by hash position, each with a member, or `full`. Empty on a split relation:
  /// Local.
  std::vector<KeyClass> keys;
  /// Inside a correlated subquery: rows are {c} x F(c) for the outer bindings c of this bucket,
  /// with F the same in every bucket. The id of the dependent join; -1: none.
  int domain = -1;
  /// For each column of the binding c: where its value stands.
  std::vector<ColumnSet> domain_columns;
  /// Sets of columns that no two rows agree on.
  std::vector<ColumnSet> unique;
  /// After a FULL join: the two sides, whose COALESCE is the key. Column numbers of `left` are
  /// ours.
  struct Full {
    std::shared_ptr<Relation> left, right;
  };
  std::shared_ptr<Full> full;

  bool has_keys() const { return !keys.empty(); }
  bool is_local() const { return !replicated && keys.empty() && domain < 0; }
};

}  // namespace tidegate::prove
