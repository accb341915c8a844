#include "sort/splitters.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "batch/row_hash.h"
#include "shuffle/bucket_scan.h"

namespace tidegate::sort {
namespace {

constexpr uint64_t kSampleWriterBytes = uint64_t{1} << 20;
constexpr uint64_t kSampleReaderBytes = uint64_t{4} << 20;
constexpr size_t kSampleBatchRows = 1024;
/// Most cells hold no splitter or one.
constexpr size_t kCellsASplitter = 4;

std::vector<batch::ColumnType> sample_types() {
  std::vector<batch::ColumnType> types;
  for (const sql::Column& column : sample_schema()) {
    auto type = batch::parse_scalar_type(column.type);
    TG_ASSERT(type.has_value());
    types.push_back(std::move(*type));
  }
  return types;
}

/// The first eight bytes, zeros where there are fewer.
uint64_t head_of(std::string_view bytes) {
  uint64_t head = 0;
  if (bytes.size() >= sizeof head) {
    std::memcpy(&head, bytes.data(), sizeof head);
    return __builtin_bswap64(head);
  }
  std::memcpy(&head, bytes.data(), std::min<size_t>(bytes.size(), sizeof head));
  return __builtin_bswap64(head);
}

bool is_before(const Splitter& a, std::string_view key, uint32_t unit) {
  const int order = compare_keys(a.key, key);
  return order != 0 ? order < 0 : a.unit < unit;
}

}  // namespace

void RowSampler::add(const batch::RowsView& rows) {
  for (size_t i = 0; i < rows.rows; ++i) {
    const uint64_t hash = batch::mix64(++row_);
    if ((hash & ((uint64_t{1} << bits_) - 1)) != 0) continue;
    maker_.make(rows, i, i + 1, batch_);
    rows_.push_back({hash, std::string(batch_.key(0).substr(0, kSampleKeyBytesMax))});
    if (rows_.size() > rows_max_) halve();
  }
}

void RowSampler::halve() {
  while (rows_.size() > rows_max_) {
    ++bits_;
    std::erase_if(
        rows_, [this](const Taken& row) { return (row.hash & ((uint64_t{1} << bits_) - 1)) != 0; });
  }
}

std::vector<SampledRow> RowSampler::take() {
  std::vector<SampledRow> out;
  for (Taken& row : rows_) out.push_back({{std::move(row.key), unit_}, uint64_t{1} << bits_});
  rows_.clear();
  return out;
}

sql::Schema sample_schema() {
  return {{"key", "BLOB"}, {"unit", "UINTEGER"}, {"weight", "UBIGINT"}};
}

Result<MapOutputSummary> write_sample(Effects& effects, const std::string& path,
                                      const std::string& attempt,
                                      const std::vector<SampledRow>& rows) {
  MapOutputOptions options{.schema = sample_schema(),
                           .keys = {},
                           .buckets = 1,
                           .attempt = attempt,
                           .memory_bytes = kSampleWriterBytes};
  TG_ASSIGN(const auto writer, MapOutputWriter::create(effects, path, std::move(options)));
  const auto types = sample_types();
  const std::vector<uint32_t> buckets(kSampleBatchRows, 0);
  for (size_t begin = 0; begin < rows.size(); begin += kSampleBatchRows) {
    const size_t count = std::min(kSampleBatchRows, rows.size() - begin);
    std::vector<batch::StringRef> keys(count);
    std::vector<uint32_t> units(count);
    std::vector<uint64_t> weights(count);
    for (size_t i = 0; i < count; ++i) {
      const SampledRow& row = rows[begin + i];
      keys[i].size = static_cast<uint32_t>(row.place.key.size());
      std::memcpy(keys[i].prefix, row.place.key.data(),
                  std::min<size_t>(keys[i].size, sizeof keys[i].prefix));
      if (keys[i].is_inline())
        std::memcpy(reinterpret_cast<char*>(&keys[i]) + offsetof(batch::StringRef, prefix),
                    row.place.key.data(), keys[i].size);
      else
        keys[i].pointer = row.place.key.data();
      units[i] = row.place.unit;
      weights[i] = row.weight;
    }
    const batch::ColumnView views[] = {{keys.data()}, {units.data()}, {weights.data()}};
    TG_TRY(writer->append_to(types, {views, count}, buckets.data()));
  }
  return writer->finish();
}

Result<std::vector<SampledRow>> read_samples(Effects& effects,
                                             const std::vector<MapOutputRef>& files) {
  shuffle::BucketTable table;
  table.effects = &effects;
  table.schema = sample_schema();
  table.types = sample_types();
  table.files = files;
  table.bucket_end = 1;
  table.memory_bytes = kSampleReaderBytes;
  shuffle::BucketScan scan(table, {0, 1, 2});
  std::vector<batch::ColumnView> views;
  std::vector<SampledRow> rows;
  while (true) {
    TG_ASSIGN(const uint32_t count, scan.next(views));
    if (count == 0) return rows;
    for (uint32_t i = 0; i < count; ++i) {
      const auto key = static_cast<const batch::StringRef*>(views[0].data)[i];
      rows.push_back({{std::string(key.view()), static_cast<const uint32_t*>(views[1].data)[i]},
                      static_cast<const uint64_t*>(views[2].data)[i]});
    }
  }
}

std::vector<Splitter> choose_splitters(std::vector<SampledRow> sample, uint32_t ranges) {
  std::sort(sample.begin(), sample.end(), [](const SampledRow& a, const SampledRow& b) {
    const int order = compare_keys(a.place.key, b.place.key);
    if (order != 0) return order < 0;
    return a.place.unit != b.place.unit ? a.place.unit < b.place.unit : a.weight < b.weight;
  });
  uint64_t total = 0;
  for (const SampledRow& row : sample) total += row.weight;
  std::vector<Splitter> splitters;
  uint64_t before = 0, cut = 1;
  for (SampledRow& row : sample) {
    const batch::uint128 reached = static_cast<batch::uint128>(before) * ranges;
    if (reached >= static_cast<batch::uint128>(cut) * total && cut < ranges &&
        (splitters.empty() || splitters.back() != row.place)) {
      splitters.push_back(row.place);
      cut = static_cast<uint64_t>(reached / total) + 1;
    }
    before += row.weight;
  }
  return splitters;
}

Ranges::Ranges(std::vector<Splitter> splitters) : splitters_(std::move(splitters)) {
  if (splitters_.empty()) return;
  // They are sorted: what the first and the last have in common, all have.
  const std::string& first = splitters_.front().key;
  const std::string& last = splitters_.back().key;
  size_t same = 0;
  while (same < std::min(first.size(), last.size()) && first[same] == last[same]) ++same;
  common_ = first.substr(0, same);
  const size_t starts = std::min(same, sizeof start_);
  std::memcpy(&start_, first.data(), starts);
  std::memset(&start_mask_, 0xff, starts);
  for (const Splitter& splitter : splitters_)
    heads_.push_back(head_of(std::string_view(splitter.key).substr(same)));
  make_cells();
}

void Ranges::make_cells() {
  const uint64_t span = heads_.back() - heads_.front();
  const size_t cells = std::bit_ceil(heads_.size() * kCellsASplitter);
  cell_shift_ = std::max(0, static_cast<int>(std::bit_width(span)) - std::countr_zero(cells));
  cells_.assign((span >> cell_shift_) + 2, 0);
  for (const uint64_t head : heads_) ++cells_[((head - heads_.front()) >> cell_shift_) + 1];
  std::partial_sum(cells_.begin(), cells_.end(), cells_.begin());
}

uint32_t Ranges::heads_before(uint64_t head) const {
  if (head <= heads_.front()) return 0;
  if (head > heads_.back()) return static_cast<uint32_t>(heads_.size());
  const uint64_t cell = (head - heads_.front()) >> cell_shift_;
  uint32_t low = cells_[cell];
  for (uint32_t length = cells_[cell + 1] - low; length > 0;) {
    const uint32_t half = length / 2;
    const bool less = heads_[low + half] < head;
    low += less ? half + 1 : 0;
    length = less ? length - half - 1 : half;
  }
  return low;
}

bool Ranges::starts_as_all(std::string_view key) const {
  if (key.size() < common_.size()) return false;
  uint64_t start = 0;
  if (key.size() < sizeof start) return key.starts_with(common_);
  std::memcpy(&start, key.data(), sizeof start);
  if (((start ^ start_) & start_mask_) != 0) return false;
  return common_.size() <= sizeof start ||
         std::memcmp(key.data() + sizeof start, common_.data() + sizeof start,
                     common_.size() - sizeof start) == 0;
}

uint32_t Ranges::find_slowly(std::string_view key, uint32_t unit) const {
  const auto at =
      std::partition_point(splitters_.begin(), splitters_.end(), [&](const Splitter& splitter) {
        return is_before(splitter, key, unit) || (splitter.key == key && splitter.unit == unit);
      });
  return static_cast<uint32_t>(at - splitters_.begin());
}

void Ranges::find(const KeyBatch& keys, uint32_t unit, uint32_t* ranges) const {
  const size_t count = keys.rows();
  const auto splitters = static_cast<uint32_t>(heads_.size());
  for (size_t i = 0; i < count; ++i) {
    const std::string_view key = keys.key(i);
    if (splitters == 0) {
      ranges[i] = 0;
      continue;
    }
    if (!starts_as_all(key)) {
      ranges[i] = find_slowly(key, unit);
      continue;
    }
    const uint64_t head = head_of(key.substr(common_.size()));
    const uint32_t low = heads_before(head);
    ranges[i] = low < splitters && heads_[low] == head ? find_slowly(key, unit) : low;
  }
}

}  // namespace tidegate::sort
