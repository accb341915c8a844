#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "batch/row_hash.h"
#include "reduce/kernel.h"
#include "reduce/kernel_rows.h"
#include "reduce/kernel_table.h"
#include "shuffle/bucket_scan.h"

namespace tidegate::reduce {

/// One kernel over one input, bucket after bucket. One thread.
class KernelRun final : public KernelRows {
 public:
  KernelRun(Effects& effects, KernelSpec spec, std::vector<batch::ColumnType> types,
            KernelInput input, KernelOptions options, std::shared_ptr<KernelCounts> counts);
  ~KernelRun() override;

  Status start() override;
  Status fill(const std::vector<uint32_t>& columns, _duckdb_data_chunk* chunk) override;

 private:
  class Rows;
  class BucketRows;
  class StreamRows;

  /// One bucket of some files.
  struct Part {
    std::shared_ptr<BucketRows> files;  ///< shared by their buckets
    uint32_t bucket = 0;
    int depth = 0;  ///< how often its rows have been split
    /// Most of the rows that were split came to lie here: they share few keys.
    bool heavy = false;
    uint64_t rows = 0;  ///< 0: those of the whole bucket
  };
  Status next_part();
  Result<std::unique_ptr<Rows>> open_stream();
  /// Takes all rows in; false if they do not fit.
  Result<bool> take_all(Rows& rows);
  /// Takes all rows in, sorting on disk what a heavy key would hold; false if that does not help.
  Result<bool> take_heavy(Rows& rows);
  /// Whether to try that instead of splitting rows again.
  bool is_heavy(const Part& part) const;
  /// Writes rows to more buckets, which become parts.
  Status split(Rows& rows, const Part& part);
  std::unexpected<Failure> too_heavy(const Part& part) const;
  /// Files with at least so many buckets, which is checked as they are opened.
  std::shared_ptr<BucketRows> buckets_of(std::vector<MapOutputRef> files, uint32_t buckets) const;
  void renew(bool spills = false);

  Effects& effects_;
  KernelSpec spec_;
  std::vector<batch::ColumnType> types_;
  KernelInput input_;
  KernelOptions options_;
  std::shared_ptr<KernelCounts> counts_;
  std::unique_ptr<Kernel> kernel_;
  std::shared_ptr<BucketRows> input_rows_;
  std::vector<Part> parts_;  ///< still to be done, the next one last
  uint32_t bucket_ = 0;      ///< of the input, the next
  std::vector<batch::KeyHasher> hashers_;
  std::vector<batch::ColumnView> views_;
  bool spills_ = false;                     ///< the kernel of the current part does
  uint64_t bucket_rows_ = 0;                ///< of the bucket that is being split
  uint64_t result_rows_ = 0, emitted_ = 0;  ///< of the current part
};

}  // namespace tidegate::reduce
