#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "reduce/group_table.h"
#include "reduce/join.h"
#include "reduce/join_table.h"
#include "reduce/stored_rows.h"
#include "shuffle/bucket_scan.h"

struct _duckdb_data_chunk;

namespace tidegate::reduce {

/// A join while it runs: bucket by bucket, the side with fewer rows is kept in a table by its keys
/// and the other one's rows look theirs up. Rows that do not fit at once are kept some at a time,
/// and the other side is read again for each: only a bucket whose rows share few keys is that
/// large, which more buckets would not part. The order of the rows that come out depends on the
/// inputs and on nothing else but the memory.
class JoinRun {
 public:
  enum Which : uint8_t { kLeft = 0, kRight = 1 };

  /// Where rows come from: what can be read of `table` is `table.bucket_begin` and what follows.
  struct Side {
    shuffle::BucketTable table;
    std::vector<uint32_t> keys;   ///< columns of the table
    std::vector<uint32_t> shown;  ///< the relation's columns, as columns of the table
  };

  JoinRun(JoinSpec spec, Side left, Side right, JoinOptions options,
          std::shared_ptr<JoinCounts> counts);

  /// Counts the rows of each bucket; before anything else.
  Status start();
  /// A scan of one half begins; `columns` are the relation's, UINT32_MAX for none. When both ended,
  /// they may begin again.
  Status open(Which which, const std::vector<uint32_t>& columns);
  void close(Which which);
  /// The next rows of one half; none at the end. The halves are asked in turn.
  Status fill(Which which, _duckdb_data_chunk* chunk);

 private:
  enum class Phase : uint8_t { kPart, kBuild, kProbe, kKept, kDone };

  struct Half {
    Side side;
    std::vector<uint64_t> bucket_rows;
    std::vector<uint32_t> asked;    ///< by vector: a column of the table, or UINT32_MAX
    std::vector<uint32_t> columns;  ///< of the table, that are read: the keys, then others
    std::vector<uint32_t> places;   ///< by column of the table: its place in `columns`
    std::optional<shuffle::BucketScan> scan;
    bool is_open = false;
    uint64_t served = 0;  ///< batches
  };

  Half& kept() { return halves_[kept_]; }
  Half& other() { return halves_[1 - kept_]; }
  Status begin_pass();
  void begin_part();
  Status keep_rows();
  void arrange();
  Status look_up();
  void give_pairs();
  /// The same where each row has one partner at most, and comes out with it or not at all.
  void give_partners();
  bool gives_partners() const;
  void give_kept();
  Status advance();
  void push(uint32_t other_row, uint32_t kept_row);
  void write(Which which, _duckdb_data_chunk* chunk);
  /// The key columns of a block, in the types that they are compared as.
  const batch::ColumnView* keys_of(const Half& half, const std::vector<batch::ColumnView>& views,
                                   uint32_t rows);
  void without_nulls(const std::vector<batch::ColumnView>& views, uint32_t rows, uint32_t* groups);
  /// Begins to read a side's rows of the current part.
  void restart(Half& half);

  JoinSpec spec_;
  Half halves_[2];
  JoinOptions options_;
  std::shared_ptr<JoinCounts> counts_;
  bool by_bucket_ = false;
  uint32_t parts_ = 0;

  Phase phase_ = Phase::kPart;
  uint32_t part_ = 0;
  uint64_t batches_ = 0;
  Which kept_ = kRight;
  // What becomes of rows, as the kept side and the other one have it.
  bool pairs_ = false, other_alone_ = false, other_found_ = false;
  bool kept_alone_ = false, kept_found_ = false;

  // The kept side.
  std::vector<batch::ColumnView> pending_;
  uint32_t pending_rows_ = 0;
  bool kept_end_ = false, first_turn_ = true;
  /// No two kept rows have a key in common, and none has none: a group is its row.
  bool kept_unique_ = false;
  std::unique_ptr<GroupTable> groups_;
  std::optional<StoredRows> stored_;
  std::vector<uint32_t> group_of_;    ///< of each kept row
  std::vector<uint32_t> begin_;       ///< by group, in rows_
  std::vector<uint32_t> rows_;        ///< kept rows by group
  std::vector<uint64_t> found_kept_;  ///< bit by kept row
  uint32_t kept_at_ = 0;

  // The other side.
  std::vector<batch::ColumnView> block_;
  std::vector<uint32_t> block_groups_;
  uint32_t block_rows_ = 0, block_at_ = 0, chain_at_ = 0;
  uint64_t block_begin_ = 0;           ///< of the block's first row among all of the part
  std::vector<uint64_t> found_other_;  ///< bit by row of the part, where it is read again

  std::vector<batch::ColumnType> key_types_;
  std::vector<batch::ColumnView> key_views_;
  std::vector<std::vector<char>> widened_;  ///< by key

  // The batch.
  std::vector<uint32_t> other_rows_, kept_rows_;
};

}  // namespace tidegate::reduce
