#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "reduce/group_table.h"
#include "reduce/stored_rows.h"
#include "shuffle/bucket_scan.h"
#include "sort/slab.h"

struct _duckdb_vector;

namespace tidegate::reduce {

/// The rows of one side of a join, to be found by their keys: one row at most for each. Keys of one
/// integer column that lie close together are places in arrays of the columns, which then take as
/// few bytes as their values allow; other keys lie in a hash table. Does not change once it is
/// made.
class LookupTable {
 public:
  struct Options {
    uint64_t memory_bytes = 0;
    /// Rows with the same key are one: nothing but whether there is one is asked.
    bool any_row = false;
    std::function<void(uint64_t rows)> progress = {};  ///< called with rows as they are taken in
  };

  /// Reads all rows of `table`; `keys` and `columns` are columns of it. Nothing if two rows share a
  /// key, or if they do not fit. Rows of which a key is NULL are left out.
  static Result<std::shared_ptr<const LookupTable>> make(const shuffle::BucketTable& table,
                                                         std::vector<uint32_t> keys,
                                                         std::vector<uint32_t> columns,
                                                         const Options& options);

  const std::vector<batch::ColumnType>& key_types() const { return key_types_; }
  size_t columns() const { return columns_.size(); }
  /// The row of each key, kNoRow where there is none. Not thread-safe: a hash table has room for
  /// the rows at hand.
  void find(const batch::ColumnView* keys, size_t rows, uint32_t* found) const;
  /// Writes a column of these rows to the first rows of a flat vector; kNoRow is NULL.
  Status emit(size_t column, const uint32_t* rows, uint32_t count, _duckdb_vector* vector) const;
  uint64_t bytes() const;

 private:
  /// A column by place.
  struct Dense {
    batch::ColumnType type;
    bool narrowed = false;  ///< integers: what is stored is beyond `base`
    uint8_t width = 0;      ///< as stored
    uint64_t base = 0;
    sort::Slab values;
    std::vector<uint64_t> valid = {};  ///< empty: all are
  };
  /// What a first look at the rows tells.
  struct Survey {
    uint64_t rows = 0;  ///< whose key is not NULL
    uint64_t key_min = 0, key_max = 0;
    struct Range {
      uint64_t min = 0, max = 0;
      bool seen = false, has_null = false;
    };
    std::vector<Range> columns;
  };

  LookupTable() = default;
  static Result<Survey> survey(const shuffle::BucketTable& table, uint32_t key,
                               const std::vector<uint32_t>& columns);
  bool lay_out(const Survey& survey, const shuffle::BucketTable& table,
               const std::vector<uint32_t>& columns, uint64_t memory_bytes);
  /// False: two rows share a key, or they do not fit.
  Result<bool> fill_dense(shuffle::BucketScan& scan, const Options& options);
  Result<bool> fill_hashed(shuffle::BucketScan& scan, const Options& options);
  template <typename T>
  void find_dense(const batch::ColumnView& keys, size_t rows, uint32_t* found) const;

  std::vector<batch::ColumnType> key_types_;
  std::vector<batch::ColumnType> columns_;
  // Dense.
  bool dense_ = false;
  uint64_t key_min_ = 0;
  uint64_t places_ = 0;
  std::vector<uint64_t> present_;
  bool all_present_ = false;
  std::vector<Dense> dense_columns_;
  Arena texts_;
  // Hashed.
  std::unique_ptr<GroupTable> groups_;
  std::optional<StoredRows> stored_;
  std::vector<uint32_t> row_of_group_;
};

}  // namespace tidegate::reduce
