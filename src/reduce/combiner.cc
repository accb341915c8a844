#include "reduce/combiner.h"

#include <algorithm>
#include <numeric>

#include "duckdb.h"

namespace tidegate::reduce {
namespace {

/// A table that gave more than this share of its rows on did not pay.
constexpr double kShareMax = 0.6;

}  // namespace

Result<std::unique_ptr<Combiner>> Combiner::create(sql::Connection& connection,
                                                   const KernelSpec& partial, uint64_t memory_bytes,
                                                   Give give) {
  TG_ASSIGN(auto types, batch::column_types(connection, partial.input));
  std::unique_ptr<Combiner> made(
      new Combiner(Kernel::create(partial, std::move(types), memory_bytes), std::move(give)));
  for (const sql::Column& column : partial.output) {
    TG_ASSIGN(duckdb_logical_type type, connection.make_type(column.type));
    made->types_.push_back(type);
  }
  made->columns_.resize(partial.output.size());
  std::iota(made->columns_.begin(), made->columns_.end(), 0U);
  made->out_ = duckdb_create_data_chunk(made->types_.data(), made->types_.size());
  return made;
}

Combiner::~Combiner() {
  if (out_ != nullptr) duckdb_destroy_data_chunk(&out_);
  for (duckdb_logical_type& type : types_) duckdb_destroy_logical_type(&type);
}

Status Combiner::take(_duckdb_data_chunk* chunk) {
  TG_TRY(view_.load(chunk));
  if (view_.rows() == 0) return {};
  rows_in_ += view_.rows();
  TG_ASSIGN(bool taken, kernel_->consume(view_.view()));
  if (!taken && collected_ > 0) {
    TG_TRY(drain());
    TG_ASSIGN(taken, kernel_->consume(view_.view()));
  }
  if (!taken)
    return fail(FailureClass::kMemory, "reduce.memory",
                "one chunk of rows does not fit in a combiner's memory");
  collected_ += view_.rows();
  return stopped_ ? drain() : Status();
}

Status Combiner::drain() {
  const uint64_t rows = kernel_->finish();
  if (static_cast<double>(rows) > kShareMax * static_cast<double>(collected_)) stopped_ = true;
  for (uint64_t begin = 0; begin < rows;) {
    const auto count =
        static_cast<uint32_t>(std::min<uint64_t>(duckdb_vector_size(), rows - begin));
    duckdb_data_chunk_reset(out_);
    TG_TRY(kernel_->emit(begin, count, columns_, out_));
    duckdb_data_chunk_set_size(out_, count);
    TG_TRY(give_(out_));
    begin += count;
  }
  rows_out_ += rows;
  collected_ = 0;
  kernel_->clear();
  return {};
}

Status Combiner::finish() { return collected_ > 0 ? drain() : Status(); }

}  // namespace tidegate::reduce
