#pragma once

#include <cstdint>
#include <vector>

#include "shuffle/format.h"
#include "shuffle/map_output_file.h"
#include "shuffle/row_hasher.h"

namespace tidegate::shuffle {

/// Holds the rows that a reader of buckets hands on against what their writer was given: how many
/// there are, and the sum of the hashes of their keys.
class ReadCheck {
 public:
  /// Rows of this file, or of others with the same schema's bytes, follow; `types` of all columns.
  Status open(const MapOutputFile& file, const std::vector<batch::ColumnType>& types);
  const std::vector<HashKey>& keys() const { return hasher_.keys(); }
  /// Rows of this bucket follow.
  void begin(const BucketEntry& entry);
  /// Rows are handed on; `columns` are the keys'.
  Status add(const batch::ColumnView* columns, size_t rows);
  /// The bucket's rows are all read. Others than were written are a lost failure "shuffle.rows",
  /// which names the file.
  Status end(const MapOutputFile& file);

 private:
  RowHasher hasher_;
  BucketEntry wanted_{};
  uint64_t rows_ = 0;
  uint64_t keys_ = 0;
};

}  // namespace tidegate::shuffle
