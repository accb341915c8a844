#include "reduce/kernel_table.h"

#include <atomic>

#include "duckdb.h"
#include "reduce/kernel_run.h"
#include "reduce/window_chain.h"
#include "reduce/window_run.h"
#include "shuffle/table_function.h"

namespace tidegate::reduce {
namespace {

/// A kernel's rows: there once.
class KernelTable final : public shuffle::TableFunction {
 public:
  explicit KernelTable(std::unique_ptr<KernelRows> rows) : rows_(std::move(rows)) {}

  Result<std::unique_ptr<shuffle::TableScan>> open(std::vector<uint32_t> columns) override {
    if (scanned_.exchange(true))
      return fail(FailureClass::kDefect, "reduce.scanned_twice",
                  "a kernel's result is there once, and was read twice");
    return std::make_unique<Scan>(*rows_, std::move(columns));
  }

 private:
  class Scan final : public shuffle::TableScan {
   public:
    Scan(KernelRows& rows, std::vector<uint32_t> columns)
        : rows_(rows), columns_(std::move(columns)) {}
    Status fill(_duckdb_data_chunk* chunk) override { return rows_.fill(columns_, chunk); }

   private:
    KernelRows& rows_;
    std::vector<uint32_t> columns_;
  };

  std::unique_ptr<KernelRows> rows_;
  std::atomic<bool> scanned_ = false;
};

}  // namespace

Result<std::string> register_kernel(sql::Connection& connection, Effects& effects,
                                    const KernelSpec& spec, KernelInput input,
                                    KernelOptions options, std::shared_ptr<KernelCounts> counts) {
  TG_ASSIGN(auto types, batch::column_types(connection, spec.input));
  std::unique_ptr<KernelRows> rows;
  if (!spec.sorts.empty()) {
    TG_ASSIGN(rows, WindowChain::create(connection, effects, spec, types, std::move(input), options,
                                        std::move(counts)));
  } else if (spec.kind == KernelSpec::Kind::kWindow) {
    rows = std::make_unique<WindowRun>(effects, spec, std::move(types), std::move(input),
                                       std::move(options), std::move(counts));
  } else {
    rows = std::make_unique<KernelRun>(effects, spec, std::move(types), std::move(input),
                                       std::move(options), std::move(counts));
  }
  TG_TRY(rows->start());
  return shuffle::register_table(connection, spec.name, "kernel", spec.output,
                                 std::make_unique<KernelTable>(std::move(rows)));
}

}  // namespace tidegate::reduce
