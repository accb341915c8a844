#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/failure.h"
#include "batch/chunk_view.h"
#include "reduce/kernel.h"
#include "sql/sql.h"

namespace tidegate::reduce {

/// Aggregates rows on their way into a shuffle, in a table that stays in the processor's caches: a
/// full one is given on and begun anew. Where rows turn out to share few groups it stops collecting
/// and gives each chunk's states on at once. One thread.
class Combiner {
 public:
  using Give = std::function<Status(_duckdb_data_chunk*)>;

  /// `partial` as `combine` makes it (combine.h). The connection makes the types.
  static Result<std::unique_ptr<Combiner>> create(sql::Connection& connection,
                                                  const KernelSpec& partial, uint64_t memory_bytes,
                                                  Give give);
  ~Combiner();
  /// Takes a chunk of partial.input's rows; may give states.
  Status take(_duckdb_data_chunk* chunk);
  /// Gives what is left.
  Status finish();
  uint64_t rows_in() const { return rows_in_; }
  uint64_t rows_out() const { return rows_out_; }
  bool stopped() const { return stopped_; }

 private:
  Combiner(std::unique_ptr<Kernel> kernel, Give give)
      : kernel_(std::move(kernel)), give_(std::move(give)), view_(kernel_->types()) {}
  Status drain();

  std::unique_ptr<Kernel> kernel_;
  Give give_;
  batch::ChunkView view_;
  std::vector<_duckdb_logical_type*> types_;  ///< of the states
  std::vector<uint32_t> columns_;
  _duckdb_data_chunk* out_ = nullptr;
  uint64_t rows_in_ = 0, rows_out_ = 0;
  uint64_t collected_ = 0;  ///< rows since the table was empty
  bool stopped_ = false;
};

}  // namespace tidegate::reduce
