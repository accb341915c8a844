#include "reduce/window_readers.h"

#include "duckdb.h"
#include "reduce/stored_rows.h"
#include "reduce/vector_writer.h"

namespace tidegate::reduce {

void count_partitions(const Slice& slice, uint64_t& before, std::vector<uint64_t>& out) {
  out.resize(slice.rows);
  for (uint32_t row = 0; row < slice.rows; ++row) {
    before += slice.levels[row] == 0;
    out[row] = before;
  }
}

void WindowRun::Leader::open(std::unique_ptr<SliceReader> reader) {
  reader_ = std::move(reader);
  ended_ = begun_ = false;
  partition_rows_ = 0;
  group_ends_.clear();
  group_ = -1;
}

std::vector<uint32_t> WindowRun::Leader::arguments(const KernelSpec& spec) const {
  std::vector<uint32_t> out;
  for (const Asked& asked : asked_) {
    const Aggregate& aggregate = spec.windows[asked.column].aggregate;
    out.insert(out.end(), aggregate.arguments.begin(), aggregate.arguments.end());
    if (aggregate.filter) out.push_back(*aggregate.filter);
  }
  return out;
}

void WindowRun::Leader::make_folds(const KernelSpec& spec,
                                   const std::vector<batch::ColumnType>& types) {
  for (Asked& asked : asked_) asked.fold = Fold::create(spec.windows[asked.column], types);
}

/// Reads a slice on. What groups ended before is forgotten: all their rows have been given.
Status WindowRun::Leader::advance() {
  for (Asked& asked : asked_) asked.fold->keep();
  group_ends_.clear();
  TG_TRY(reader_->next());
  const Slice& slice = reader_->slice();
  if (slice.rows == 0) {
    ended_ = true;
    if (begun_) group_ends_.push_back(partition_rows_);
    for (Asked& asked : asked_) asked.fold->end();
    return {};
  }
  for (uint32_t row = 0; row < slice.rows; ++row) {
    if (slice.levels[row] <= depth_ && begun_) group_ends_.push_back(partition_rows_);
    begun_ = true;
    if (slice.levels[row] == 0) partition_rows_ = 0;
    ++partition_rows_;
  }
  for (Asked& asked : asked_) TG_TRY(asked.fold->each_group(slice, depth_));
  return {};
}

Status WindowRun::Leader::write(const Slice& slice, duckdb_data_chunk chunk) {
  groups_.resize(slice.rows);
  ends_.resize(slice.rows);
  uint32_t flushed = 0;
  for (uint32_t row = 0; row < slice.rows; ++row) {
    if (slice.levels[row] <= depth_ && ++group_ == static_cast<int64_t>(group_ends_.size())) {
      TG_TRY(flush(flushed, row, chunk));
      flushed = row;
      group_ = 0;
      do {
        TG_ASSERT(!ended_);
        TG_TRY(advance());
      } while (group_ends_.empty());
    }
    groups_[row] = static_cast<uint32_t>(group_);
    ends_[row] = group_ends_[static_cast<size_t>(group_)];
  }
  return flush(flushed, slice.rows, chunk);
}

Status WindowRun::Leader::flush(uint32_t begin, uint32_t end, duckdb_data_chunk chunk) {
  if (begin == end) return {};
  for (const Asked& asked : asked_)
    TG_TRY(gather_rows(asked.fold->type(), asked.fold->values().view(), groups_.data() + begin,
                       end - begin, duckdb_data_chunk_get_vector(chunk, asked.place), begin));
  return {};
}

std::vector<uint32_t> WindowRun::Follower::arguments(const KernelSpec& spec) const {
  std::vector<uint32_t> out;
  for (const Asked& asked : asked_)
    out.push_back(spec.windows[asked.column].aggregate.arguments[0]);
  return out;
}

Status WindowRun::Follower::next() {
  TG_TRY(reader_->next());
  at_ = 0;
  if (ahead_) count_partitions(reader_->slice(), partition_, partitions_);
  return {};
}

Status WindowRun::Follower::open(std::unique_ptr<SliceReader> reader) {
  reader_ = std::move(reader);
  partition_ = 0;
  behind_ = ahead_ ? 0 : offset_;
  TG_TRY(next());
  for (uint64_t skip = ahead_ ? offset_ : 0; reader_->slice().rows > 0;) {
    if (skip < reader_->slice().rows) {
      at_ = static_cast<uint32_t>(skip);
      break;
    }
    skip -= reader_->slice().rows;
    TG_TRY(next());
  }
  return {};
}

Status WindowRun::Follower::write(const Slice& slice, const std::vector<int64_t>& row_numbers,
                                  const std::vector<uint64_t>& partitions, const KernelSpec& spec,
                                  const std::vector<batch::ColumnType>& types,
                                  duckdb_data_chunk chunk) {
  sources_.resize(slice.rows);
  for (uint32_t row = 0; row < slice.rows;) {
    const uint32_t begin = row;
    for (; row < slice.rows && behind_ > 0; ++row, --behind_) sources_[row] = kNoRow;
    if (at_ == reader_->slice().rows && at_ > 0) TG_TRY(next());
    const uint32_t have = reader_->slice().rows;
    for (; row < slice.rows && (at_ < have || have == 0); ++row) {
      const bool there = have > 0 && (ahead_ ? partitions_[at_] == partitions[row]
                                             : row_numbers[row] > static_cast<int64_t>(offset_));
      sources_[row] = there ? at_ : kNoRow;
      at_ += have > 0;
    }
    for (const Asked& asked : asked_) {
      const WindowFunction& window = spec.windows[asked.column];
      const uint32_t column = window.aggregate.arguments[0];
      TG_TRY(gather_rows(types[column], reader_->slice().columns[column], sources_.data() + begin,
                         row - begin, duckdb_data_chunk_get_vector(chunk, asked.place), begin,
                         window.otherwise.has_value()));
    }
  }
  for (const Asked& asked : asked_) {
    const auto& otherwise = spec.windows[asked.column].otherwise;
    if (!otherwise) continue;
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, asked.place);
    for (uint32_t row = 0; row < slice.rows; ++row)
      if (sources_[row] == kNoRow)
        TG_TRY(copy_rows(types[*otherwise], slice.columns[*otherwise], row, 1, vector, row));
  }
  return {};
}

}  // namespace tidegate::reduce
