#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "batch/type.h"
#include "reduce/spec.h"
#include "reduce/spilling.h"

struct _duckdb_data_chunk;

namespace tidegate::reduce {

/// The rows of a bucket on their way through a kernel: `consume` all of them, then `emit` the
/// result. Holds at most the bytes it was given; a batch that could cross them is not taken, and
/// the caller splits the bucket. Not thread-safe.
class Kernel {
 public:
  /// `types` of spec.input. The spec must be supported (spec.h). With `spill`, aggregates that can
  /// (spilling.h) share its memory and sort values on disk; the result is then emitted in ascending
  /// order, once.
  static std::unique_ptr<Kernel> create(const KernelSpec& spec,
                                        std::vector<batch::ColumnType> types, uint64_t memory_bytes,
                                        const SpillSpace* spill = nullptr);
  virtual ~Kernel() = default;

  /// Takes rows in; the views are the caller's again afterwards. False: it may not fit, and nothing
  /// of these rows was taken.
  Result<bool> consume(const batch::RowsView& rows);
  /// Called once when all rows are in; returns the number of result rows.
  virtual uint64_t finish() = 0;
  /// Writes result rows [begin, begin + count) to a chunk's first rows: column `i` of the chunk is
  /// column columns[i] of spec.output; UINT32_MAX leaves a vector alone.
  virtual Status emit(uint64_t begin, uint32_t count, const std::vector<uint32_t>& columns,
                      _duckdb_data_chunk* chunk) = 0;
  /// How many of those result rows may be asked for at once, 1 or more.
  virtual uint32_t emit_max(uint64_t /*begin*/, uint32_t count) const { return count; }
  /// Forgets all rows.
  virtual void clear() = 0;
  uint64_t peak_bytes() const { return peak_bytes_; }
  const std::vector<batch::ColumnType>& types() const { return types_; }

 protected:
  Kernel(std::vector<batch::ColumnType> types, uint64_t memory_bytes)
      : types_(std::move(types)), memory_bytes_(memory_bytes) {}
  virtual Status take(const batch::RowsView& rows) = 0;
  virtual uint64_t bytes() const = 0;
  virtual uint64_t bytes_after(size_t rows, uint64_t text_bytes) const = 0;

 private:
  std::vector<batch::ColumnType> types_;
  uint64_t memory_bytes_;
  uint64_t peak_bytes_ = 0;
};

}  // namespace tidegate::reduce
