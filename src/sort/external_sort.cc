#include "sort/external_sort.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "base/units.h"
#include "shuffle/bucket_scan.h"
#include "shuffle/shuffle.h"
#include "sort/merge_tree.h"

namespace tidegate::sort {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr const char* kRunAttempt = "sort";
constexpr uint32_t kBatchRows = 4'096;
/// Texts and keys of rows that are taken in at a time; a row may have more.
constexpr uint64_t kSliceBytes = 256 << 10;
constexpr uint32_t kRowsInMemoryMax = uint32_t{1} << 30;
constexpr uint64_t kWriterBytesMin = kMiB;
constexpr uint64_t kWriterBytesMax = 32 * kMiB;
/// Blocks that are not full yet, and the rows that are written.
constexpr uint64_t kSlackBytes = 4 * kMiB;
/// A run that is read: its blocks, their values and keys.
constexpr uint64_t kReaderBytes = 2 * kMiB;
constexpr uint64_t kReaderBytesMin = kMiB / 2;
constexpr uint64_t kFanInMin = 4;
constexpr uint64_t kFanInMax = 64;

/// Several sorts may spill to one directory.
uint64_t next_run_file() {
  static std::atomic<uint64_t> next{0};
  return next++;
}

uint64_t text_bytes(const std::vector<batch::ColumnType>& types, const batch::RowsView& rows,
                    size_t row) {
  uint64_t bytes = 0;
  for (size_t c = 0; c < types.size(); ++c) {
    if (types[c].storage != batch::Storage::kBytes || !rows.column(c).is_valid(row)) continue;
    bytes += static_cast<const batch::StringRef*>(rows.column(c).data)[row].size;
  }
  return bytes;
}

}  // namespace

/// The rows of a run, block by block, with the keys of some of them.
class ExternalSort::RunReader {
 public:
  RunReader(ExternalSort& sort, const Run& run, uint64_t memory_bytes)
      : sort_(sort),
        table_(sort.table_of(run, memory_bytes)),
        scan_(table_, columns_of(sort)),
        rows_due_(run.rows) {}
  RunReader(const RunReader&) = delete;
  RunReader& operator=(const RunReader&) = delete;

  bool ended() const { return ended_; }
  uint32_t row() const { return row_; }
  std::string_view key() const { return keys_.key(row_ - keys_begin_); }
  const std::vector<batch::ColumnView>& views() const { return views_; }
  /// True if the next row is in another block, so that views go with `load`.
  bool at_end_of_block() const { return row_ + 1 == rows_; }
  /// To the next row of the block.
  void step() {
    ++row_;
    if (row_ == keys_end_) make_keys();
  }
  Status load() {
    TG_ASSIGN(rows_, scan_.next(views_));
    row_ = 0;
    ended_ = rows_ == 0;
    if (ended_ && rows_due_ != 0)
      return fail(FailureClass::kDefect, "sort.rows",
                  fmt::format("a sorted run gave {} rows less than it has", rows_due_));
    rows_due_ -= rows_;
    if (!ended_) make_keys();
    return {};
  }

 private:
  static std::vector<uint32_t> columns_of(const ExternalSort& sort) {
    std::vector<uint32_t> columns(sort.types_.size());
    std::iota(columns.begin(), columns.end(), 0U);
    return columns;
  }
  void make_keys() {
    const batch::RowsView rows{views_.data(), rows_};
    uint64_t bytes = 0;
    keys_begin_ = row_;
    keys_end_ = static_cast<uint32_t>(sort_.slice_end(rows, row_, bytes));
    sort_.maker_.make(rows, keys_begin_, keys_end_, keys_);
  }

  ExternalSort& sort_;
  shuffle::BucketTable table_;
  shuffle::BucketScan scan_;
  uint64_t rows_due_;  ///< of the run, that were not read yet
  std::vector<batch::ColumnView> views_;
  KeyBatch keys_;
  uint32_t keys_begin_ = 0, keys_end_ = 0;
  uint32_t rows_ = 0, row_ = 0;
  bool ended_ = false;
};

/// Runs as one: of equal keys, those of an earlier run come first.
class ExternalSort::Merge {
 public:
  Merge(const std::vector<batch::ColumnType>& types, std::vector<std::unique_ptr<RunReader>> runs)
      : types_(types), runs_(std::move(runs)), tree_(static_cast<uint32_t>(runs_.size())) {}

  Status start() {
    for (auto& run : runs_) TG_TRY(run->load());
    tree_.build([this](uint32_t a, uint32_t b) { return before(a, b); });
    return {};
  }

  Result<uint32_t> next(std::vector<batch::ColumnView>& views) {
    if (empty_ != kNone) {
      TG_TRY(runs_[empty_]->load());
      replay(std::exchange(empty_, kNone));
    }
    picks_.clear();
    while (picks_.size() < kBatchRows) {
      const uint32_t winner = tree_.winner();
      RunReader& run = *runs_[winner];
      if (run.ended()) break;
      picks_.push_back({winner, run.row()});
      if (run.at_end_of_block()) {
        // What was picked of this block must be copied before it goes.
        empty_ = winner;
        break;
      }
      run.step();
      replay(winner);
    }
    copy();
    views = output_.views;
    return static_cast<uint32_t>(picks_.size());
  }

 private:
  struct Pick {
    uint32_t run;
    uint32_t row;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  bool before(uint32_t a, uint32_t b) const {
    if (runs_[a]->ended() || runs_[b]->ended()) {
      if (runs_[a]->ended() != runs_[b]->ended()) return runs_[b]->ended();
      return a < b;
    }
    const int order = compare_keys(runs_[a]->key(), runs_[b]->key());
    return order != 0 ? order < 0 : a < b;
  }
  void replay(uint32_t run) {
    tree_.replay(run, [this](uint32_t a, uint32_t b) { return before(a, b); });
  }

  template <uint32_t kWidth>
  void copy_values(size_t column, char* out) const {
    for (size_t i = 0; i < picks_.size(); ++i)
      std::memcpy(out + i * kWidth,
                  static_cast<const char*>(runs_[picks_[i].run]->views()[column].data) +
                      size_t{picks_[i].row} * kWidth,
                  kWidth);
  }

  void copy() {
    if (picks_.empty()) return;
    output_.values.resize(types_.size());
    output_.validity.resize(types_.size());
    output_.views.resize(types_.size());
    for (size_t c = 0; c < types_.size(); ++c) {
      const uint32_t width = types_[c].storage == batch::Storage::kBytes
                                 ? uint32_t{sizeof(batch::StringRef)}
                                 : types_[c].width;
      output_.values[c].resize(picks_.size() * width);
      char* values = output_.values[c].data();
      if (width == 1) copy_values<1>(c, values);
      if (width == 2) copy_values<2>(c, values);
      if (width == 4) copy_values<4>(c, values);
      if (width == 8) copy_values<8>(c, values);
      if (width == 16) copy_values<16>(c, values);
      output_.validity[c].assign((picks_.size() + 63) / 64, 0);
      for (size_t i = 0; i < picks_.size(); ++i) {
        const bool valid = runs_[picks_[i].run]->views()[c].is_valid(picks_[i].row);
        output_.validity[c][i / 64] |= uint64_t{valid} << (i % 64);
      }
      output_.views[c] = {values, output_.validity[c].data()};
    }
  }

  const std::vector<batch::ColumnType>& types_;
  std::vector<std::unique_ptr<RunReader>> runs_;
  MergeTree tree_;
  std::vector<Pick> picks_;
  uint32_t empty_ = kNone;  ///< a run whose next block is due
  RowBuffer::Output output_;
};

ExternalSort::ExternalSort(Effects& effects, sql::Schema schema,
                           std::vector<batch::ColumnType> types, KeyMaker maker,
                           SortOptions options)
    : effects_(effects),
      schema_(std::move(schema)),
      types_(types),
      maker_(std::move(maker)),
      options_(std::move(options)),
      writer_bytes_(std::clamp(options_.memory_bytes / 8, kWriterBytesMin, kWriterBytesMax)),
      buffer_(std::move(types), pool_),
      all_columns_(types_.size()),
      keys_(maker_.fixed_width(), pool_) {
  std::iota(all_columns_.begin(), all_columns_.end(), 0U);
  for (const batch::ColumnType& type : types_) texts_ |= type.storage == batch::Storage::kBytes;
  const uint64_t slack = std::min(kSlackBytes, options_.memory_bytes / 8);
  const uint64_t reserved = std::min(writer_bytes_ + slack, options_.memory_bytes / 2);
  rows_bytes_max_ = options_.memory_bytes - reserved;
}

ExternalSort::~ExternalSort() = default;

Result<std::unique_ptr<ExternalSort>> ExternalSort::create(Effects& effects, sql::Schema schema,
                                                           std::vector<batch::ColumnType> types,
                                                           const SortOrder& order,
                                                           SortOptions options) {
  TG_ASSIGN(KeyMaker maker, KeyMaker::create(types, order));
  return std::unique_ptr<ExternalSort>(new ExternalSort(
      effects, std::move(schema), std::move(types), std::move(maker), std::move(options)));
}

uint64_t ExternalSort::held_bytes() const {
  return buffer_.bytes() + keys_.bytes() + KeyColumn::order_bytes(buffer_.rows());
}

/// With so many more rows, whose keys and texts take that much.
uint64_t ExternalSort::held_bytes_after(size_t rows, uint64_t bytes) const {
  return buffer_.bytes_after(rows, bytes) + keys_.bytes_after(rows, bytes) +
         KeyColumn::order_bytes(buffer_.rows() + rows);
}

size_t ExternalSort::slice_end(const batch::RowsView& rows, size_t begin, uint64_t& bytes) const {
  bytes = 0;
  if (!texts_) return rows.rows;
  size_t end = begin;
  while (end < rows.rows) {
    const uint64_t more = maker_.bytes_of(rows, end) + text_bytes(types_, rows, end);
    if (end > begin && bytes + more > kSliceBytes) break;
    bytes += more;
    ++end;
  }
  return end;
}

Status ExternalSort::add(const batch::RowsView& rows) {
  for (size_t begin = 0; begin < rows.rows;) {
    uint64_t bytes = 0;
    const size_t end = slice_end(rows, begin, bytes);
    const bool full = held_bytes_after(end - begin, bytes) > rows_bytes_max_ ||
                      buffer_.rows() >= kRowsInMemoryMax;
    if (full && buffer_.rows() > 0) TG_TRY(spill());
    if (bytes > rows_bytes_max_)
      return fail(FailureClass::kMemory, "sort.memory",
                  fmt::format("a row of {} does not fit in {} of sort memory", format_size(bytes),
                              format_size(options_.memory_bytes)));
    maker_.make(rows, begin, end, batch_);
    keys_.append(batch_);
    buffer_.append(rows, begin, end);
    counts_.peak_bytes = std::max(counts_.peak_bytes, held_bytes());
    counts_.rows += end - begin;
    begin = end;
  }
  return {};
}

template <typename Pull>
Result<ExternalSort::Run> ExternalSort::write_run(Pull pull) {
  Run run{fmt::format("{}/sort-{}.tgm", options_.spill_directory, next_run_file()), 0};
  MapOutputOptions options{.schema = schema_,
                           .keys = {},
                           .buckets = 1,
                           .attempt = kRunAttempt,
                           .memory_bytes = writer_bytes_};
  TG_ASSIGN(const auto writer, MapOutputWriter::create(effects_, run.path, std::move(options)));
  const std::vector<uint32_t> buckets(kBatchRows, 0);
  std::vector<batch::ColumnView> views;
  while (true) {
    TG_ASSIGN(const uint32_t rows, pull(views));
    if (rows == 0) break;
    TG_TRY(writer->append_to(types_, {views.data(), rows}, buckets.data()));
  }
  TG_ASSIGN(const MapOutputSummary summary, writer->finish());
  run.rows = summary.rows;
  counts_.spilled_bytes += summary.bytes;
  return run;
}

uint32_t ExternalSort::next_sorted(std::vector<batch::ColumnView>& views) {
  const auto rows = static_cast<uint32_t>(std::min<size_t>(kBatchRows, order_.size() - emitted_));
  if (rows == 0) return 0;
  buffer_.gather(all_columns_, order_.data() + emitted_, rows, output_);
  emitted_ += rows;
  views = output_.views;
  return rows;
}

Status ExternalSort::spill() {
  sort_in_memory();
  TG_ASSIGN(Run run, write_run([this](std::vector<batch::ColumnView>& views) -> Result<uint32_t> {
              return next_sorted(views);
            }));
  runs_.push_back(std::move(run));
  ++counts_.runs;
  buffer_.clear();
  order_ = {};
  emitted_ = 0;
  return {};
}

Result<std::unique_ptr<ExternalSort::Merge>> ExternalSort::open_merge(
    const std::vector<Run>& runs) {
  const uint64_t share = options_.memory_bytes / std::max<size_t>(runs.size(), 1);
  std::vector<std::unique_ptr<RunReader>> readers;
  for (const Run& run : runs)
    readers.push_back(
        std::make_unique<RunReader>(*this, run, std::max(share / 2, kReaderBytesMin)));
  auto merge = std::make_unique<Merge>(types_, std::move(readers));
  TG_TRY(merge->start());
  return merge;
}

uint64_t ExternalSort::fan_in() const {
  return std::clamp(options_.memory_bytes / kReaderBytes, kFanInMin, kFanInMax);
}

/// Merges neighbouring runs, so that equal keys keep their order, until so many are left.
Status ExternalSort::merge_down(uint64_t runs_max) {
  const uint64_t step = fan_in();
  while (runs_.size() > runs_max) {
    std::vector<Run> longer;
    for (size_t begin = 0; begin < runs_.size(); begin += step) {
      const size_t end = std::min<size_t>(begin + step, runs_.size());
      const std::vector<Run> group(runs_.begin() + static_cast<ptrdiff_t>(begin),
                                   runs_.begin() + static_cast<ptrdiff_t>(end));
      if (group.size() == 1) {
        longer.push_back(group[0]);
        continue;
      }
      {
        TG_ASSIGN(const auto merge, open_merge(group));
        TG_ASSIGN(Run run, write_run([&](std::vector<batch::ColumnView>& views) {
                    return merge->next(views);
                  }));
        longer.push_back(std::move(run));
        ++counts_.merges;
      }
      for (const Run& run : group) TG_TRY(effects_.unlink(run.path));
    }
    runs_ = std::move(longer);
  }
  return {};
}

void ExternalSort::sort_in_memory() {
  order_ = keys_.order();
  keys_.clear();
  emitted_ = 0;
}

Status ExternalSort::finish() {
  if (runs_.empty()) {
    sort_in_memory();
    pool_.release();
    return {};
  }
  if (buffer_.rows() > 0) TG_TRY(spill());
  pool_.release();
  TG_TRY(merge_down(fan_in()));
  TG_ASSIGN(merge_, open_merge(runs_));
  return {};
}

Status ExternalSort::finish_for_cursors() {
  if (runs_.empty()) {
    sort_in_memory();
    return {};
  }
  if (buffer_.rows() > 0) TG_TRY(spill());
  pool_.release();
  return merge_down(1);
}

std::unique_ptr<SortedCursor> ExternalSort::cursor(std::vector<uint32_t> columns,
                                                   uint64_t memory_bytes) const {
  if (runs_.empty()) return std::make_unique<SortedCursor>(buffer_, order_, std::move(columns));
  return std::make_unique<SortedCursor>(
      table_of(runs_.front(), std::max(memory_bytes, kReaderBytesMin)), std::move(columns));
}

shuffle::BucketTable ExternalSort::table_of(const Run& run, uint64_t memory_bytes) const {
  shuffle::BucketTable table;
  table.effects = &effects_;
  table.schema = schema_;
  table.types = types_;
  table.files = {{run.path, kRunAttempt}};
  table.bucket_end = 1;
  table.memory_bytes = memory_bytes;
  return table;
}

Status ExternalSort::reset() {
  merge_.reset();
  buffer_.clear();
  keys_.clear();
  order_.clear();
  emitted_ = 0;
  counts_ = {};
  for (const Run& run : std::exchange(runs_, {})) TG_TRY(effects_.unlink(run.path));
  return {};
}

Result<uint32_t> ExternalSort::next(std::vector<batch::ColumnView>& views) {
  return merge_ ? merge_->next(views) : next_sorted(views);
}

}  // namespace tidegate::sort
