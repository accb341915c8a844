#include "reduce/kernel_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/units.h"
#include "duckdb.h"

namespace tidegate::reduce {
namespace {

constexpr uint32_t kSplitWays = 16;
constexpr int kSplitDepthMax = 6;
constexpr const char* kSplitAttempt = "split";

}  // namespace

/// Rows as they come, some at a time.
class KernelRun::Rows {
 public:
  virtual ~Rows() = default;
  /// The number of rows in `views`, valid until the next call; 0 at the end.
  virtual Result<uint32_t> next(std::vector<batch::ColumnView>& views) = 0;
};

class KernelRun::BucketRows final : public Rows {
 public:
  explicit BucketRows(shuffle::BucketTable table) : table_(std::move(table)) {
    columns_.resize(table_.schema.size());
    std::iota(columns_.begin(), columns_.end(), 0U);
  }
  BucketRows& of(uint32_t bucket) {
    if (!scan_) scan_.emplace(table_, columns_);
    scan_->restart(bucket, bucket + 1);
    return *this;
  }
  /// Gives buffers and files back until the next call of `of`.
  void release() { scan_.reset(); }
  Result<uint32_t> next(std::vector<batch::ColumnView>& views) override {
    return scan_->next(views);
  }

 private:
  shuffle::BucketTable table_;
  std::vector<uint32_t> columns_;
  std::optional<shuffle::BucketScan> scan_;
};

class KernelRun::StreamRows final : public Rows {
 public:
  StreamRows(std::unique_ptr<sql::Stream> stream, std::vector<batch::ColumnType> types)
      : stream_(std::move(stream)), view_(std::move(types)) {}
  ~StreamRows() override {
    if (chunk_ != nullptr) sql::destroy_chunk(chunk_);
  }
  Result<uint32_t> next(std::vector<batch::ColumnView>& views) override {
    do {
      if (chunk_ != nullptr) sql::destroy_chunk(std::exchange(chunk_, nullptr));
      TG_ASSIGN(chunk_, stream_->next());
      if (chunk_ == nullptr) return 0;
    } while (sql::chunk_rows(chunk_) == 0);
    TG_TRY(view_.load(chunk_));
    views.resize(view_.types().size());
    for (size_t i = 0; i < views.size(); ++i) views[i] = view_.column(i);
    return static_cast<uint32_t>(view_.rows());
  }

 private:
  std::unique_ptr<sql::Stream> stream_;
  batch::ChunkView view_;
  _duckdb_data_chunk* chunk_ = nullptr;
};

KernelRun::KernelRun(Effects& effects, KernelSpec spec, std::vector<batch::ColumnType> types,
                     KernelInput input, KernelOptions options, std::shared_ptr<KernelCounts> counts)
    : effects_(effects),
      spec_(std::move(spec)),
      types_(std::move(types)),
      input_(std::move(input)),
      options_(std::move(options)),
      counts_(std::move(counts)),
      bucket_(input_.bucket_begin) {
  renew();
}

KernelRun::~KernelRun() = default;

/// A kernel without memory of what was before.
void KernelRun::renew(bool spills) {
  if (kernel_) counts_->peak_bytes = std::max(counts_->peak_bytes, kernel_->peak_bytes());
  kernel_.reset();
  // The other quarter is for groups and the states of aggregates that are small.
  SpillSpace space{&effects_, options_.spill_directory, options_.memory_bytes / 4 * 3};
  if (options_.stage_memory)
    space.stage_memory = [stage = options_.stage_memory](uint64_t bytes, uint64_t result) {
      return stage(bytes / 3 * 4 + 4, result);
    };
  kernel_ = Kernel::create(spec_, types_, options_.memory_bytes, spills ? &space : nullptr);
  spills_ = spills;
}

bool KernelRun::is_heavy(const Part& part) const {
  if (!options_.splits_keys) return false;
  if (!part.heavy && spec_.keys > 0 && part.depth < kSplitDepthMax) return false;
  return std::any_of(spec_.aggregates.begin(), spec_.aggregates.end(),
                     [&](const Aggregate& each) { return can_spill(each, spec_.input); });
}

Result<bool> KernelRun::take_heavy(Rows& rows) {
  renew(true);
  TG_ASSIGN(const bool fits, take_all(rows));
  if (fits) {
    ++counts_->heavy_keys;
    result_rows_ = kernel_->finish();
  }
  return fits;
}

std::unexpected<Failure> KernelRun::too_heavy(const Part& part) const {
  const bool spills =
      std::any_of(spec_.aggregates.begin(), spec_.aggregates.end(),
                  [&](const Aggregate& each) { return can_spill(each, spec_.input); });
  std::string message = fmt::format("the rows of one key do not fit in {} of kernel memory",
                                    format_size(options_.memory_bytes));
  if (part.rows > 0)
    message += fmt::format(
        " ({} of the {} rows of {}, {:.1f}%)", part.rows, bucket_rows_,
        input_.stream ? std::string("its bucket") : fmt::format("bucket {}", bucket_ - 1),
        100.0 * static_cast<double>(part.rows) /
            static_cast<double>(std::max<uint64_t>(bucket_rows_, 1)));
  message += spills && !options_.splits_keys
                 ? "; give the stage `skew: split`, or raise its `memory`"
                 : "; raise `memory` of the stage";
  return fail(FailureClass::kMemory, "reduce.memory", std::move(message));
}

Result<std::unique_ptr<KernelRun::Rows>> KernelRun::open_stream() {
  TG_ASSIGN(auto stream, input_.stream());
  return std::make_unique<StreamRows>(std::move(stream), types_);
}

Status KernelRun::start() {
  if (!input_.stream) return {};
  bool fits = true;
  {
    TG_ASSIGN(const auto rows, open_stream());
    TG_ASSIGN(fits, take_all(*rows));
  }
  if (fits) {
    result_rows_ = kernel_->finish();
    return {};
  }
  const Part all;
  if (is_heavy(all)) {
    TG_ASSIGN(const auto rows, open_stream());
    TG_ASSIGN(fits, take_heavy(*rows));
    if (fits) return {};
  }
  renew();
  TG_ASSIGN(const auto rows, open_stream());
  return split(*rows, all);
}

Result<bool> KernelRun::take_all(Rows& rows) {
  uint64_t taken = 0;
  while (true) {
    TG_ASSIGN(const uint32_t count, rows.next(views_));
    if (count == 0) break;
    TG_ASSIGN(const bool fits, kernel_->consume({views_.data(), count}));
    if (!fits) return false;
    taken += count;
    if (options_.progress) options_.progress(count);
  }
  counts_->rows_in += taken;
  return true;
}

std::shared_ptr<KernelRun::BucketRows> KernelRun::buckets_of(std::vector<MapOutputRef> files,
                                                             uint32_t buckets) const {
  shuffle::BucketTable table;
  table.effects = &effects_;
  table.schema = spec_.input;
  table.types = types_;
  table.files = std::move(files);
  table.bucket_end = buckets;
  table.memory_bytes = std::max<uint64_t>(input_.scan_bytes, uint64_t{2} << 20);
  return std::make_shared<BucketRows>(std::move(table));
}

Status KernelRun::split(Rows& rows, const Part& part) {
  if (spec_.keys == 0 || part.depth >= kSplitDepthMax) return too_heavy(part);
  const int depth = part.depth + 1;
  std::vector<HashKey> keys;
  for (uint32_t i = 0; i < spec_.keys; ++i) keys.push_back({i, spec_.input[i].type});
  if (hashers_.empty()) {
    for (uint32_t i = 0; i < spec_.keys; ++i) {
      TG_ASSIGN(auto hasher, batch::KeyHasher::create(types_[i], spec_.input[i].type));
      hashers_.push_back(std::move(hasher));
    }
  }
  static std::atomic<uint64_t> next_file{0};
  const std::string path = fmt::format("{}/kernel-{}.tgm", options_.spill_directory, next_file++);
  MapOutputOptions options{
      .schema = spec_.input,
      .keys = keys,
      .buckets = kSplitWays,
      .attempt = kSplitAttempt,
      .memory_bytes = std::max<uint64_t>(options_.memory_bytes / 2, uint64_t{4} << 20)};
  TG_ASSIGN(const auto writer, MapOutputWriter::create(effects_, path, std::move(options)));
  std::vector<uint64_t> hashes;
  std::vector<uint32_t> buckets;
  while (true) {
    TG_ASSIGN(const uint32_t count, rows.next(views_));
    if (count == 0) break;
    hashes.resize(count);
    buckets.resize(count);
    for (size_t i = 0; i < hashers_.size(); ++i)
      TG_TRY(hashers_[i].fold(views_[i], count, i == 0, hashes.data()));
    for (uint32_t row = 0; row < count; ++row)
      buckets[row] = batch::bucket_of(
          batch::mix64(hashes[row] + static_cast<uint64_t>(depth) * 0x9e37'79b9'7f4a'7c15ULL),
          kSplitWays);
    TG_TRY(writer->append_to(types_, {views_.data(), count}, buckets.data()));
  }
  TG_ASSIGN(const MapOutputSummary summary, writer->finish());
  ++counts_->splits;
  counts_->spilled_bytes += summary.bytes;
  if (part.depth == 0) bucket_rows_ = summary.rows;
  if (part.files) part.files->release();
  const auto files = buckets_of({{path, kSplitAttempt}}, kSplitWays);
  for (uint32_t bucket = kSplitWays; bucket-- > 0;) {
    const uint64_t count = summary.bucket_rows[bucket];
    if (count == 0) continue;
    parts_.push_back({files, bucket, depth, count > summary.rows / 2, count});
  }
  return {};
}

/// Reduces the next part; leaves result_rows_ at 0 when there is none.
Status KernelRun::next_part() {
  result_rows_ = emitted_ = 0;
  if (parts_.empty()) {
    if (bucket_ >= input_.bucket_end) return {};
    if (!input_rows_) input_rows_ = buckets_of(input_.files, input_.bucket_end);
    parts_.push_back({input_rows_, bucket_++});
  }
  const Part part = std::move(parts_.back());
  parts_.pop_back();
  if (spills_)
    renew();
  else
    kernel_->clear();
  TG_ASSIGN(bool fits, take_all(part.files->of(part.bucket)));
  if (fits) {
    result_rows_ = kernel_->finish();
    counts_->peak_bytes = std::max(counts_->peak_bytes, kernel_->peak_bytes());
    return {};
  }
  if (is_heavy(part)) {
    TG_ASSIGN(fits, take_heavy(part.files->of(part.bucket)));
    if (fits) return {};
  }
  renew();
  return split(part.files->of(part.bucket), part);
}

Status KernelRun::fill(const std::vector<uint32_t>& columns, duckdb_data_chunk chunk) {
  while (emitted_ == result_rows_) {
    if (parts_.empty() && bucket_ >= input_.bucket_end) {
      duckdb_data_chunk_set_size(chunk, 0);
      return {};
    }
    TG_TRY(next_part());
  }
  const auto left =
      static_cast<uint32_t>(std::min<uint64_t>(duckdb_vector_size(), result_rows_ - emitted_));
  const uint32_t count = kernel_->emit_max(emitted_, left);
  TG_TRY(kernel_->emit(emitted_, count, columns, chunk));
  duckdb_data_chunk_set_size(chunk, count);
  emitted_ += count;
  counts_->rows_out += count;
  return {};
}

}  // namespace tidegate::reduce
