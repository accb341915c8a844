#pragma once

#include <cstdint>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/row_hash.h"
#include "batch/type.h"
#include "shuffle/shuffle.h"

namespace tidegate::shuffle {

/// Hashes rows by the keys of a map output.
class RowHasher {
 public:
  RowHasher() = default;
  /// `types` of all columns.
  static Result<RowHasher> create(const std::vector<batch::ColumnType>& types,
                                  std::vector<HashKey> keys);
  bool has_keys() const { return !hashers_.empty(); }
  const std::vector<HashKey>& keys() const { return keys_; }
  /// `columns` are the keys', in their order.
  Status hash(const batch::ColumnView* columns, size_t rows, uint64_t* hashes) const;
  /// Adds the rows' hashes to `sum`.
  Status add(const batch::ColumnView* columns, size_t rows, uint64_t& sum);

 private:
  std::vector<HashKey> keys_;
  std::vector<batch::KeyHasher> hashers_;
  std::vector<uint64_t> hashes_;
};

}  // namespace tidegate::shuffle
