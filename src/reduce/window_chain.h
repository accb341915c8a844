#pragma once

#include <memory>
#include <vector>

#include "reduce/kernel_rows.h"
#include "reduce/kernel_table.h"

namespace tidegate::reduce {

class WindowRun;

/// Window functions over several partitions and orders. For each a WindowRun sorts the rows of a
/// bucket that the one before it gives, and adds its functions' columns to them: so memory and
/// spilling are as with one, and each has its share of the memory. Every partition must lie within
/// a bucket. One thread.
class WindowChain final : public KernelRows {
 public:
  /// `types` of spec.input. Makes the runs; `connection` is needed for that only.
  static Result<std::unique_ptr<WindowChain>> create(sql::Connection& connection, Effects& effects,
                                                     const KernelSpec& spec,
                                                     const std::vector<batch::ColumnType>& types,
                                                     KernelInput input,
                                                     const KernelOptions& options,
                                                     std::shared_ptr<KernelCounts> counts);
  ~WindowChain() override;

  Status start() override;
  Status fill(const std::vector<uint32_t>& columns, _duckdb_data_chunk* chunk) override;

 private:
  explicit WindowChain(std::shared_ptr<KernelCounts> counts);

  std::shared_ptr<KernelCounts> counts_;
  std::vector<std::shared_ptr<KernelCounts>> run_counts_;
  std::vector<_duckdb_data_chunk*> chunks_;       ///< between the runs
  std::vector<std::unique_ptr<WindowRun>> runs_;  ///< a later one reads the one before it
  std::vector<uint32_t> places_;  ///< by column of the kernel's result: of the last run's
};

/// The part of a window kernel that sorts by its n-th partition and order, over rows that have the
/// kernel's input columns and the values of the functions of those before.
struct WindowLink {
  KernelSpec spec;
  /// By column of the part's input, then by its functions: the column of the kernel's result.
  std::vector<uint32_t> columns;
};
WindowLink window_link(const KernelSpec& whole, uint32_t sort);

}  // namespace tidegate::reduce
