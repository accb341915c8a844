#include "reduce/window_run.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "duckdb.h"
#include "reduce/vector_writer.h"
#include "reduce/window_readers.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;

constexpr uint64_t kScanBytesMin = uint64_t{2} << 20;

bool is_share(WindowKind kind) {
  return kind == WindowKind::kPercentRank || kind == WindowKind::kCumeDist;
}

/// The part that a row is in, of `parts` of which the first ones have a row more.
int64_t part_of_row(int64_t row, int64_t rows, uint64_t number) {
  const auto parts = static_cast<int64_t>(std::min(number, static_cast<uint64_t>(rows)));
  const int64_t size = rows / parts, larger = rows % parts, in_larger = larger * (size + 1);
  return row < in_larger ? 1 + row / (size + 1) : 1 + larger + (row - in_larger) / size;
}

bool is_plain_count(const WindowFunction& window) {
  return window.kind == WindowKind::kAggregate &&
         window.aggregate.kind == AggregateKind::kCountRows && !window.aggregate.filter;
}

}  // namespace

WindowRun::WindowRun(Effects& effects, KernelSpec spec, std::vector<ColumnType> types,
                     KernelInput input, KernelOptions options, std::shared_ptr<KernelCounts> counts)
    : effects_(effects),
      spec_(std::move(spec)),
      types_(std::move(types)),
      input_(std::move(input)),
      options_(std::move(options)),
      counts_(std::move(counts)),
      bucket_(input_.bucket_begin) {}

WindowRun::~WindowRun() = default;

WindowRun::Leader& WindowRun::leader(uint32_t depth) {
  for (const auto& leader : leaders_)
    if (leader->depth() == depth) return *leader;
  return *leaders_.emplace_back(std::make_unique<Leader>(depth));
}

/// Decides who computes what is asked for.
void WindowRun::look_at(const std::vector<uint32_t>& columns) {
  looked_ = true;
  const auto inputs = static_cast<uint32_t>(types_.size());
  for (uint32_t place = 0; place < columns.size(); ++place) {
    if (columns[place] == UINT32_MAX) continue;
    if (columns[place] < inputs) {
      plain_.push_back({.place = place, .column = columns[place]});
      columns_.push_back(columns[place]);
      continue;
    }
    Asked asked{.place = place, .column = columns[place] - inputs};
    const WindowFunction& window = spec_.windows[asked.column];
    switch (window.kind) {
      case WindowKind::kLag:
      case WindowKind::kLead: {
        const bool ahead = window.kind == WindowKind::kLead;
        if (window.otherwise) columns_.push_back(*window.otherwise);
        auto at = std::find_if(followers_.begin(), followers_.end(), [&](const auto& follower) {
          return follower->is(window.number, ahead);
        });
        if (at == followers_.end())
          at = followers_.insert(at, std::make_unique<Follower>(window.number, ahead));
        (*at)->add(std::move(asked));
        continue;
      }
      case WindowKind::kFirstValue:
      case WindowKind::kLastValue:
      case WindowKind::kNthValue:
      case WindowKind::kAggregate:
        if (is_plain_count(window)) break;
        if (!window.by_row) {
          leader(window.peers).add(std::move(asked));
          continue;
        }
        for (const uint32_t column : window.aggregate.arguments) columns_.push_back(column);
        if (window.aggregate.filter) columns_.push_back(*window.aggregate.filter);
        folds_.push_back(std::move(asked));
        continue;
      default:
        break;
    }
    if (window.kind == WindowKind::kCumeDist || (is_plain_count(window) && !window.by_row))
      leader(window.peers);
    if (is_share(window.kind) || window.kind == WindowKind::kNtile) leader(0);
    if (window.kind != WindowKind::kRowNumber && window.kind != WindowKind::kNtile)
      depth_ = std::max(depth_, window.peers);
    numbers_.push_back(std::move(asked));
  }
  for (const auto& leader : leaders_) depth_ = std::max(depth_, leader->depth());
  columns_ = SliceReader::with_compared(spec_, depth_, std::move(columns_));
}

/// What slices of all readers hold at most besides texts, with the values of folds.
uint64_t WindowRun::slice_bytes() const {
  std::set<std::pair<bool, uint64_t>> readers;  // a leader each depth, a follower each offset
  for (const WindowFunction& window : spec_.windows) {
    const bool follows = window.kind == WindowKind::kLag || window.kind == WindowKind::kLead;
    readers.emplace(follows, follows ? window.number : window.peers);
  }
  const uint64_t values = spec_.input.size() + 2 * spec_.windows.size() +
                          2 * readers.size() * (spec_.keys + spec_.order.size());
  return values * (sizeof(batch::StringRef) + 1) * sort::SortedCursor::kSliceRows;
}

Result<std::unique_ptr<sort::ExternalSort>> WindowRun::open_sort() {
  sort::SortOrder order;
  for (uint32_t i = 0; i < spec_.keys; ++i) order.push_back({i, false, false});
  for (const OrderColumn& by : spec_.order)
    order.push_back({by.column, by.descending, by.nulls_first});
  const uint64_t readers = std::min(options_.memory_bytes / 2, slice_bytes());
  return sort::ExternalSort::create(effects_, spec_.input, types_, order,
                                    {options_.memory_bytes - readers, options_.spill_directory});
}

Status WindowRun::sort_stream() {
  TG_ASSIGN(sort_, open_sort());
  TG_ASSIGN(const auto stream, input_.stream());
  batch::ChunkView view(types_);
  while (true) {
    TG_ASSIGN(_duckdb_data_chunk * raw, stream->next());
    if (raw == nullptr) break;
    const std::unique_ptr<_duckdb_data_chunk, void (*)(_duckdb_data_chunk*)> chunk(
        raw, sql::destroy_chunk);
    TG_TRY(view.load(raw));
    TG_TRY(sort_->add(view.view()));
    if (options_.progress) options_.progress(view.rows());
  }
  return sort_->finish_for_cursors();
}

Status WindowRun::sort_bucket(uint32_t bucket) {
  shuffle::BucketTable table;
  table.effects = &effects_;
  table.schema = spec_.input;
  table.types = types_;
  table.files = input_.files;
  table.bucket_begin = bucket;
  table.bucket_end = bucket + 1;
  table.memory_bytes = std::max(input_.scan_bytes, kScanBytesMin);
  std::vector<uint32_t> columns(types_.size());
  std::iota(columns.begin(), columns.end(), 0U);
  shuffle::BucketScan scan(table, std::move(columns));
  std::vector<batch::ColumnView> views;
  // The next bucket's rows go where those of the last were.
  if (sort_ == nullptr) {
    TG_ASSIGN(sort_, open_sort());
  }
  while (true) {
    TG_ASSIGN(const uint32_t rows, scan.next(views));
    if (rows == 0) break;
    TG_TRY(sort_->add({views.data(), rows}));
    if (options_.progress) options_.progress(rows);
  }
  return sort_->finish_for_cursors();
}

void WindowRun::read(WindowRun& before, const std::vector<uint32_t>& columns,
                     duckdb_data_chunk chunk) {
  before_ = &before;
  chunk_before_ = chunk;
  before.look_at(columns);
}

Status WindowRun::sort_before() {
  if (sort_ == nullptr) {
    TG_ASSIGN(sort_, open_sort());
  }
  batch::ChunkView view(types_);
  while (true) {
    duckdb_data_chunk_reset(chunk_before_);
    TG_TRY(before_->fill_part(chunk_before_));
    if (duckdb_data_chunk_get_size(chunk_before_) == 0) return sort_->finish_for_cursors();
    TG_TRY(view.load(chunk_before_));
    TG_TRY(sort_->add(view.view()));
  }
}

Status WindowRun::start() { return input_.stream ? sort_stream() : Status(); }

Result<bool> WindowRun::next_part() {
  if (rows_ != nullptr) {
    // The bucket before is done. Readers go before what they read.
    rows_.reset();
    for (const auto& leader : leaders_) leader->close();
    for (const auto& follower : followers_) follower->close();
    TG_TRY(sort_->reset());
    done_ |= input_.stream != nullptr;
  }
  if (before_ != nullptr && !done_) {
    TG_ASSIGN(const bool more, before_->next_part());
    done_ = !more;
  }
  done_ |= before_ == nullptr && !input_.stream && bucket_ >= input_.bucket_end;
  if (done_) {
    sort_.reset();
    return false;
  }
  if (before_ != nullptr) {
    TG_TRY(sort_before());
  } else if (!input_.stream) {
    TG_TRY(sort_bucket(bucket_++));
  }
  const sort::SortCounts& counts = sort_->counts();
  counts_->rows_in += counts.rows;
  counts_->spilled_bytes += counts.spilled_bytes;
  counts_->peak_bytes = std::max(counts_->peak_bytes, counts.peak_bytes);
  TG_TRY(open_readers());
  return true;
}

std::unique_ptr<SliceReader> WindowRun::open_reader(uint32_t depth, std::vector<uint32_t> columns) {
  const uint64_t readers = 1 + leaders_.size() + followers_.size();
  auto cursor = sort_->cursor(columns, options_.memory_bytes / 2 / readers);
  return std::make_unique<SliceReader>(spec_, types_, depth, std::move(columns), std::move(cursor));
}

Status WindowRun::open_readers() {
  rows_ = open_reader(depth_, columns_);
  for (Asked& asked : folds_) asked.fold = Fold::create(spec_.windows[asked.column], types_);
  for (const auto& leader : leaders_) {
    leader->make_folds(spec_, types_);
    leader->open(
        open_reader(leader->depth(),
                    SliceReader::with_compared(spec_, leader->depth(), leader->arguments(spec_))));
  }
  for (const auto& follower : followers_)
    TG_TRY(follower->open(
        open_reader(0, SliceReader::with_compared(spec_, 0, follower->arguments(spec_)))));
  partition_ = 0;
  return {};
}

void WindowRun::number_rows() {
  const Slice& slice = rows_->slice();
  if (!followers_.empty()) count_partitions(slice, partition_, partitions_);
  if (followers_.empty() && numbers_.empty()) return;
  int64_t number = row_numbers_.empty() ? 0 : row_numbers_.back();
  row_numbers_.resize(slice.rows);
  for (uint32_t row = 0; row < slice.rows; ++row) {
    number = slice.levels[row] == 0 ? 1 : number + 1;
    row_numbers_[row] = number;
  }
}

/// What follows from row numbers and from where groups end.
void WindowRun::write_number(Asked& asked, duckdb_data_chunk chunk) {
  const Slice& slice = rows_->slice();
  const WindowFunction& window = spec_.windows[asked.column];
  void* data = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, asked.place));
  auto* numbers = static_cast<int64_t*>(data);
  auto* shares = static_cast<double*>(data);
  const auto each = [&](auto value) {
    for (uint32_t row = 0; row < slice.rows; ++row) value(row);
  };
  const auto rank = [&](uint32_t row) {
    if (slice.levels[row] <= window.peers) asked.rank = row_numbers_[row];
    return asked.rank;
  };
  switch (window.kind) {
    case WindowKind::kRank:
      return each([&](uint32_t row) { numbers[row] = rank(row); });
    case WindowKind::kDenseRank:
      return each([&](uint32_t row) {
        if (slice.levels[row] == 0) asked.rank = 0;
        asked.rank += slice.levels[row] <= window.peers;
        numbers[row] = asked.rank;
      });
    case WindowKind::kPercentRank: {
      const auto& rows = leader(0).ends();
      return each([&](uint32_t row) {
        const auto before = static_cast<double>(rank(row) - 1);
        shares[row] = rows[row] > 1 ? before / static_cast<double>(rows[row] - 1) : 0;
      });
    }
    case WindowKind::kCumeDist: {
      const auto &rows = leader(0).ends(), &ends = leader(window.peers).ends();
      return each([&](uint32_t row) {
        shares[row] = static_cast<double>(ends[row]) / static_cast<double>(rows[row]);
      });
    }
    case WindowKind::kNtile: {
      const auto& rows = leader(0).ends();
      return each([&](uint32_t row) {
        numbers[row] = part_of_row(row_numbers_[row] - 1, rows[row], window.number);
      });
    }
    default: {
      const bool by_row = window.kind == WindowKind::kRowNumber || window.by_row;
      const auto& counted = by_row ? row_numbers_ : leader(window.peers).ends();
      std::copy(counted.begin(), counted.begin() + slice.rows, numbers);
    }
  }
}

Status WindowRun::write(duckdb_data_chunk chunk) {
  const Slice& slice = rows_->slice();
  number_rows();
  for (const Asked& asked : plain_)
    TG_TRY(copy_rows(types_[asked.column], slice.columns[asked.column], 0, slice.rows,
                     duckdb_data_chunk_get_vector(chunk, asked.place), 0));
  for (const Asked& asked : folds_) {
    TG_TRY(asked.fold->each_row(slice));
    TG_TRY(copy_rows(asked.fold->type(), asked.fold->values().view(), 0, slice.rows,
                     duckdb_data_chunk_get_vector(chunk, asked.place), 0));
    asked.fold->keep();
  }
  for (const auto& leader : leaders_) TG_TRY(leader->write(slice, chunk));
  for (const auto& follower : followers_)
    TG_TRY(follower->write(slice, row_numbers_, partitions_, spec_, types_, chunk));
  for (Asked& asked : numbers_) write_number(asked, chunk);
  return {};
}

Status WindowRun::fill(const std::vector<uint32_t>& columns, duckdb_data_chunk chunk) {
  if (!looked_) look_at(columns);
  duckdb_data_chunk_set_size(chunk, 0);
  while (true) {
    if (rows_ != nullptr) {
      TG_TRY(fill_part(chunk));
      if (duckdb_data_chunk_get_size(chunk) > 0) return {};
    }
    TG_ASSIGN(const bool more, next_part());
    if (!more) return {};
  }
}

Status WindowRun::fill_part(duckdb_data_chunk chunk) {
  duckdb_data_chunk_set_size(chunk, 0);
  TG_TRY(rows_->next());
  const uint32_t rows = rows_->slice().rows;
  if (rows == 0) return {};
  TG_ASSERT(rows <= duckdb_vector_size());
  TG_TRY(write(chunk));
  duckdb_data_chunk_set_size(chunk, rows);
  counts_->rows_out += rows;
  return {};
}

}  // namespace tidegate::reduce
