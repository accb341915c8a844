#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/effects.h"
#include "source/source.h"

namespace tidegate {

/// A guess for choosing a strategy.
struct KeySample {
  double distinct = 1;  ///< about so many different keys there are, were all as likely
  double bytes = 0;     ///< of a key's text as it is written, on average
  /// Where some keys are far likelier than others, or alike ones lie together: n rows have about
  /// scale x n^growth different ones (Heaps' law), and `distinct` says little. 0: all are as
  /// likely.
  double growth = 0;
  double scale = 0;

  bool is_even() const { return growth == 0; }
  /// How many different keys so many rows have.
  double among(double rows) const;
  /// How many rows have so many different keys; infinity if no number has.
  double rows_with(double keys) const;
};

inline bool is_text(const sql::Column& column) {
  return column.type == "VARCHAR" || column.type == "BLOB";
}

/// As it stands in a fact, and back; nothing if it is none.
std::string to_text(const KeySample& sample);
std::optional<KeySample> key_sample_from(const std::string& text);

/// By `rows` rows that have `seen` different keys, of which the first `rows_before` have
/// `seen_before`.
KeySample key_sample(double rows, double seen, double rows_before, double seen_before,
                     double bytes);

/// The values of these columns in a source, by some rows from its beginning, its middle and its
/// end. Reads a few row groups of those columns.
Result<KeySample> sample_keys(Effects& effects, sql::Connection& scratch,
                              const SourceSnapshot& snapshot,
                              const std::vector<std::string>& columns);

/// What some rows say of a side of a join that may be held.
struct HeldSample {
  bool unique = true;          ///< no two rows have the same keys
  std::optional<double> span;  ///< from the least to the greatest, of one integer
  double field_bytes = 0;      ///< of a row's other columns, as they lie in arrays
};
Result<HeldSample> sample_held(Effects& effects, sql::Connection& scratch,
                               const SourceSnapshot& snapshot, const sql::Schema& keys,
                               const sql::Schema& fields);

}  // namespace tidegate
