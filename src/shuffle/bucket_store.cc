#include "shuffle/bucket_store.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/units.h"

namespace tidegate::shuffle {
namespace {

using batch::Storage;
using batch::StringRef;

constexpr uint32_t kFirstRows = 16;
constexpr uint32_t kRowsGrowth = 4;
constexpr uint32_t kArenaSlack = 16;  ///< lets short texts be copied as 12 bytes at once
constexpr uint32_t kArenaFirst = 256;
constexpr uint32_t kPendingBlocksMax = 4'096;
constexpr int kReliefsMax = 4'096;
constexpr int kRoomStepsMax = 100'000;
constexpr uint32_t kChunkRows = 2'048;  ///< what DuckDB's chunks hold

struct Wide {
  uint64_t low;
  uint64_t high;
};

template <typename T, typename Buckets>
void scatter(const void* data, const uint32_t* row_buckets, const uint32_t* positions,
             uint32_t begin, uint32_t end, const Buckets* buckets, uint64_t offset) {
  const T* values = static_cast<const T*>(data);
  for (uint32_t i = begin; i < end; ++i) {
    const Buckets& bucket = buckets[row_buckets[i]];
    T* to = reinterpret_cast<T*>(bucket.base + offset * bucket.capacity);
    to[positions[i]] = values[i];
  }
}

std::unexpected<Failure> no_memory(uint64_t limit, std::string what) {
  return fail(
      FailureClass::kMemory, "shuffle.memory",
      fmt::format("the shuffle's buffers do not fit: {} (bound {})", what, format_size(limit)));
}

}  // namespace

Result<std::unique_ptr<BucketStore>> BucketStore::create(std::vector<batch::ColumnType> types,
                                                         uint32_t buckets, uint64_t memory_bytes,
                                                         FileAppender& file) {
  std::unique_ptr<BucketStore> store(new BucketStore(file, buckets, memory_bytes));
  TG_TRY(store->plan(std::move(types)));
  return store;
}

BucketStore::~BucketStore() {
  for (Bucket& bucket : buckets_) std::free(bucket.base);
  for (Arena& arena : arenas_) std::free(arena.bytes);
}

Status BucketStore::plan(std::vector<batch::ColumnType> types) {
  const uint64_t memory = budget_.limit();
  // A quarter stays free for the block that is being encoded.
  const uint64_t headroom = memory / 4;
  budget_ = Budget(memory - headroom);
  columns_.resize(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    Column& column = columns_[i];
    column.storage = types[i].storage;
    column.width = column.storage == Storage::kBytes ? 4 : types[i].width;
    if (column.storage == Storage::kBytes) column.text = static_cast<int32_t>(text_count_++);
  }
  for (const uint32_t width : {16u, 8u, 4u, 2u, 1u}) {
    for (Column& column : columns_) {
      if (column.width != width) continue;
      column.offset = row_bytes_;
      row_bytes_ += width;
    }
  }
  const uint64_t fixed = bucket_count() * (sizeof(Bucket) + sizeof(BucketEntry) + sizeof(Pending) +
                                           sizeof(Held) + text_count_ * sizeof(Arena)) +
                         FileAppender::kBufferBytes +
                         uint64_t{kChunkRows} * (4 + 8 + 4 + text_count_ * 10);
  if (fixed > budget_.limit() / 4 * 3) {
    return no_memory(memory, fmt::format("{} buckets need {} before the first row", bucket_count(),
                                         format_size(fixed)));
  }
  budget_.add(fixed);
  const uint64_t room = std::min(headroom / 2, (budget_.limit() - fixed) / 4);
  uint32_t rows = 0;
  for (uint32_t next = kFirstRows; next <= kBlockRowsMax && buffer_bytes(next) <= room;
       next *= kRowsGrowth) {
    rows = next;
  }
  if (rows == 0) return no_memory(memory, fmt::format("a row takes {}", format_size(row_bytes_)));
  block_rows_ = rows;
  arena_bytes_max_ = static_cast<uint32_t>(
      std::min<uint64_t>(kRangeBytes, room / std::max<uint64_t>(1, text_count_)));
  value_bytes_max_ = std::min<uint64_t>(room, kBlockBytesMax / 2);
  arenas_.resize(size_t{text_count_} * bucket_count());
  texts_.resize(text_count_);
  const uint64_t pools = std::min<uint64_t>(text_count_, room / 4 / TextPool::kHeldBytes);
  for (uint64_t i = 0; i < pools; ++i) texts_[i].pool = std::make_unique<TextPool>();
  budget_.add(pools * TextPool::kHeldBytes);
  views_.resize(columns_.size());
  order_.reserve(bucket_count());
  for (uint32_t i = 0; i < bucket_count(); ++i) entries_[i].bucket = i;
  note_peak();
  return {};
}

void BucketStore::note_peak() {
  peak_bytes_ = std::max<uint64_t>(peak_bytes_, budget_.used() + encoder_.held_bytes());
}

uint64_t* BucketStore::nulls_of(const Bucket& bucket, size_t column) const {
  return reinterpret_cast<uint64_t*>(bucket.base + bucket.capacity * row_bytes_ +
                                     column * bitmap_bytes(bucket.capacity));
}

uint64_t BucketStore::held_bytes(uint32_t bucket) const {
  if (buckets_[bucket].capacity == 0) return 0;
  uint64_t bytes = buffer_bytes(buckets_[bucket].capacity);
  for (uint32_t text = 0; text < text_count_; ++text) {
    const Arena& texts = arena(text, bucket);
    if (texts.bytes != nullptr) bytes += texts.capacity + kArenaSlack;
  }
  return bytes;
}

/// Gives rows their places, from `row` to the first that has none.
uint32_t BucketStore::claim(const uint32_t* row_buckets, uint32_t row, uint32_t rows) {
  Bucket* buckets = buckets_.data();
  uint32_t* positions = positions_.data();
  if (with_bytes_.empty()) {
    for (; row < rows; ++row) {
      Bucket& bucket = buckets[row_buckets[row]];
      if (bucket.rows == bucket.capacity) return row;
      positions[row] = bucket.rows++;
    }
    return row;
  }
  for (; row < rows; ++row) {
    const uint32_t index = row_buckets[row];
    Bucket& bucket = buckets[index];
    if (bucket.rows == bucket.capacity) return row;
    for (const uint32_t text : with_bytes_) {
      const Arena& texts = arena(text, index);
      if (texts_[text].bytes(row) > texts.capacity - texts.size) return row;
    }
    positions[row] = bucket.rows++;
    for (const uint32_t text : with_bytes_) {
      Arena& texts = arena(text, index);
      texts_[text].places[row] = texts.size;
      texts.size += texts_[text].bytes(row);
    }
  }
  return row;
}

batch::RowsView BucketStore::look_at(const batch::RowsView& chunk) {
  rows_ = static_cast<uint32_t>(chunk.rows);
  positions_.resize(std::max<size_t>(positions_.size(), rows_));
  with_bytes_.clear();
  for (size_t i = 0; i < columns_.size(); ++i) {
    views_[i] = chunk.column(i);
    if (columns_[i].text < 0) continue;
    const uint32_t index = static_cast<uint32_t>(columns_[i].text);
    look_at_texts(texts_[index], views_[i]);
    if (texts_[index].has_bytes) with_bytes_.push_back(index);
  }
  return {views_.data(), rows_};
}

Status BucketStore::add(const uint32_t* row_buckets) {
  uint32_t begin = 0;
  while (begin < rows_) {
    const uint32_t end = claim(row_buckets, begin, rows_);
    copy_rows(row_buckets, begin, end);
    if (end < rows_) TG_TRY(make_room(row_buckets[end], end));
    begin = end;
  }
  return {};
}

void BucketStore::copy_rows(const uint32_t* row_buckets, uint32_t begin, uint32_t end) {
  if (begin == end) return;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const batch::ColumnView& view = views_[i];
    const Column& column = columns_[i];
    const void* data = view.data;
    const uint32_t* at = positions_.data();
    const Bucket* buckets = buckets_.data();
    if (column.text >= 0) {
      const uint32_t index = static_cast<uint32_t>(column.text);
      data = texts_[index].values.data();
      if (texts_[index].has_bytes) copy_texts(texts_[index], index, row_buckets, begin, end);
    }
    switch (column.width) {
      case 1:
        scatter<uint8_t>(data, row_buckets, at, begin, end, buckets, column.offset);
        break;
      case 2:
        scatter<uint16_t>(data, row_buckets, at, begin, end, buckets, column.offset);
        break;
      case 4:
        scatter<uint32_t>(data, row_buckets, at, begin, end, buckets, column.offset);
        break;
      case 8:
        scatter<uint64_t>(data, row_buckets, at, begin, end, buckets, column.offset);
        break;
      case 16:
        scatter<Wide>(data, row_buckets, at, begin, end, buckets, column.offset);
        break;
      default:
        break;
    }
    if (view.validity != nullptr) copy_nulls(view, i, row_buckets, begin, end);
  }
}

void BucketStore::copy_nulls(const batch::ColumnView& view, size_t column,
                             const uint32_t* row_buckets, uint32_t begin, uint32_t end) {
  for (uint32_t i = begin; i < end;) {
    if (i % 64 == 0 && end - i >= 64 && view.validity[i / 64] == ~uint64_t{0}) {
      i += 64;
      continue;
    }
    if (!view.is_valid(i)) {
      columns_[column].any_null = true;
      const uint32_t at = positions_[i];
      nulls_of(buckets_[row_buckets[i]], column)[at / 64] |= uint64_t{1} << (at % 64);
    }
    ++i;
  }
}

/// Makes the row's bucket able to take it: grows, or encodes what is full.
Status BucketStore::make_room(uint32_t index, uint32_t row) {
  uint64_t row_texts = 0;
  for (const uint32_t text : with_bytes_) row_texts += texts_[text].bytes(row);
  if (row_texts > value_bytes_max_) {
    return fail(FailureClass::kMemory, "shuffle.value_too_large",
                fmt::format("a row's values take {}, more than the {} that this shuffle's memory "
                            "allows",
                            format_size(row_texts), format_size(value_bytes_max_)));
  }
  for (int step = 0; step < kRoomStepsMax; ++step) {
    const Bucket& bucket = buckets_[index];
    if (bucket.rows == bucket.capacity) {
      TG_TRY(bucket.rows == block_rows_ ? encode_and_relieve(index) : grow_rows(index));
      continue;
    }
    bool fits = true;
    for (size_t i = 0; i < with_bytes_.size() && fits; ++i) {
      const uint32_t text = with_bytes_[i];
      const Arena& texts = arena(text, index);
      const uint32_t size = texts_[text].bytes(row);
      if (size <= texts.capacity - texts.size) continue;
      fits = false;
      if (bucket.rows > 0 && uint64_t{texts.size} + size > arena_bytes_max_) {
        TG_TRY(encode_and_relieve(index));
      } else {
        TG_TRY(grow_arena(index, text, texts.size + size));
      }
    }
    if (fits) return {};
  }
  return no_memory(budget_.limit(), "no room for one row");
}

Status BucketStore::grow_rows(uint32_t index) {
  const uint32_t before = buckets_[index].capacity;
  const uint32_t capacity = before == 0 ? kFirstRows : std::min(before * kRowsGrowth, block_rows_);
  const uint64_t bytes = buffer_bytes(capacity);
  if (!budget_.fits(bytes)) return reserve(bytes);
  Bucket grown;
  grown.base = allocate(bytes).release();
  grown.capacity = capacity;
  Bucket& bucket = buckets_[index];
  grown.rows = bucket.rows;
  std::memset(nulls_of(grown, 0), 0, bitmap_bytes(capacity) * columns_.size());
  budget_.add(bytes);
  note_peak();
  if (bucket.base != nullptr) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Column& column = columns_[i];
      std::memcpy(grown.base + column.offset * capacity,
                  bucket.base + column.offset * bucket.capacity,
                  size_t{column.width} * bucket.rows);
      std::memcpy(nulls_of(grown, i), nulls_of(bucket, i), bitmap_bytes(bucket.capacity));
    }
    budget_.remove(buffer_bytes(bucket.capacity));
    std::free(bucket.base);
  }
  bucket = grown;
  return {};
}

Status BucketStore::grow_arena(uint32_t index, uint32_t text, uint32_t size) {
  Arena& texts = arena(text, index);
  const uint32_t doubled =
      std::min(std::max(texts.capacity * 2, kArenaFirst), std::max(arena_bytes_max_, kArenaFirst));
  const uint32_t capacity = std::max(size, doubled);
  if (!budget_.fits(uint64_t{capacity} + kArenaSlack)) {
    return reserve(uint64_t{capacity} + kArenaSlack);
  }
  budget_.add(uint64_t{capacity} + kArenaSlack);
  note_peak();
  char* bytes = reinterpret_cast<char*>(allocate(size_t{capacity} + kArenaSlack).release());
  if (texts.bytes != nullptr) {
    std::memcpy(bytes, texts.bytes, texts.size);
    budget_.remove(uint64_t{texts.capacity} + kArenaSlack);
    std::free(texts.bytes);
  }
  texts.bytes = bytes;
  texts.capacity = capacity;
  return {};
}

Status BucketStore::reserve(uint64_t bytes) {
  for (int i = 0; i < kReliefsMax && !budget_.fits(bytes); ++i) {
    const uint64_t before = budget_.used();
    TG_TRY(relieve());
    if (budget_.used() >= before) break;
  }
  if (!budget_.fits(bytes)) return no_memory(budget_.limit(), "one bucket needs more than all");
  return {};
}

/// Frees an eighth of the budget, from the buckets that hold most.
Status BucketStore::relieve() {
  const uint64_t goal = budget_.limit() / 8;
  const bool blocks = pending_bytes_ >= goal;
  order_.clear();
  for (uint32_t i = 0; i < bucket_count(); ++i) {
    const uint64_t bytes = blocks ? pending_[i].bytes : held_bytes(i);
    if (bytes > 0) order_.push_back({bytes, i});
  }
  auto less = [](const Held& a, const Held& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.bucket > b.bucket;
  };
  std::make_heap(order_.begin(), order_.end(), less);
  uint64_t freed = 0;
  while (freed < goal && !order_.empty()) {
    std::pop_heap(order_.begin(), order_.end(), less);
    const Held most = order_.back();
    order_.pop_back();
    freed += most.bytes;
    if (!blocks) {
      if (buckets_[most.bucket].rows > 0) TG_TRY(encode(most.bucket));
      release(most.bucket);
    }
    TG_TRY(write_range(most.bucket));
  }
  return {};
}

void BucketStore::release(uint32_t index) {
  Bucket& bucket = buckets_[index];
  TG_ASSERT(bucket.rows == 0);
  budget_.remove(held_bytes(index));
  for (uint32_t text = 0; text < text_count_; ++text) {
    Arena& texts = arena(text, index);
    std::free(texts.bytes);
    texts = {};
  }
  std::free(bucket.base);
  bucket = {};
}

Status BucketStore::encode_and_relieve(uint32_t index) {
  TG_TRY(encode(index));
  if (pending_[index].bytes >= kRangeBytes || pending_[index].blocks.size() >= kPendingBlocksMax) {
    TG_TRY(write_range(index));
  }
  if (!budget_.fits(0)) TG_TRY(reserve(0));
  return {};
}

/// Makes the bucket's buffered rows a block that waits for its range.
Status BucketStore::encode(uint32_t index) {
  Bucket& bucket = buckets_[index];
  const uint32_t rows = bucket.rows;
  TG_ASSERT(rows > 0);
  std::vector<std::byte>& out = encoder_.bytes();
  out.clear();
  size_t worst = columns_.size() * 64 + buffer_bytes(bucket.capacity);
  for (uint32_t text = 0; text < text_count_; ++text) worst += arena(text, index).size;
  out.reserve(worst);
  out.resize(columns_.size() * 4);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    RawColumn raw;
    raw.storage = column.storage;
    raw.values = bucket.base + column.offset * bucket.capacity;
    if (column.text >= 0) {
      const uint32_t text = static_cast<uint32_t>(column.text);
      raw.texts = arena(text, index).bytes;
      raw.pool = texts_[text].pool.get();
    }
    if (column.any_null) raw.nulls = nulls_of(bucket, i);
    const size_t before = out.size();
    encoder_.encode(raw, rows);
    const uint32_t size = static_cast<uint32_t>(out.size() - before);
    std::memcpy(out.data() + i * 4, &size, 4);
    if (column.any_null) std::memset(nulls_of(bucket, i), 0, bitmap_bytes(bucket.capacity));
    if (column.text >= 0) arena(static_cast<uint32_t>(column.text), index).size = 0;
  }
  bucket.rows = 0;
  TG_ASSERT(out.size() <= kBlockBytesMax);
  peak_bytes_ = std::max<uint64_t>(peak_bytes_, budget_.used() + encoder_.held_bytes());

  const BlockEntry entry{rows, static_cast<uint32_t>(out.size()), xxh3_64(out.data(), out.size())};
  BucketEntry& totals = entries_[index];
  totals.rows += rows;
  const uint64_t link[3] = {totals.content, entry.check, entry.rows};
  totals.content = xxh3_64(link, sizeof link);
  if (out.size() >= kRangeBytes) {
    TG_TRY(write_range(index, &entry));
    encoder_.trim(size_t{1} << 20);
    return {};
  }
  Waiting waiting{entry, allocate(out.size())};
  std::memcpy(waiting.bytes.get(), out.data(), out.size());
  Pending& pending = pending_[index];
  const uint64_t cost = out.size() + sizeof(Waiting);
  pending.blocks.push_back(std::move(waiting));
  pending.bytes += cost;
  pending_bytes_ += cost;
  budget_.add(cost);
  note_peak();
  return {};
}

/// Writes the bucket's waiting blocks, then `direct` (whose bytes the encoder holds), as one range.
Status BucketStore::write_range(uint32_t index, const BlockEntry* direct) {
  Pending& pending = pending_[index];
  const size_t blocks = pending.blocks.size() + (direct != nullptr ? 1 : 0);
  if (blocks == 0) return {};
  const uint64_t offset = file_.offset();
  links_.clear();
  auto link = [&](const void* data, size_t size) {
    const std::byte* from = static_cast<const std::byte*>(data);
    links_.insert(links_.end(), from, from + size);
  };
  for (const Waiting& waiting : pending.blocks) {
    TG_TRY(file_.append(waiting.bytes.get(), waiting.entry.bytes));
    link(&waiting.entry, sizeof waiting.entry);
  }
  if (direct != nullptr) {
    TG_TRY(file_.append(encoder_.bytes().data(), direct->bytes));
    link(direct, sizeof *direct);
  }
  BucketEntry& totals = entries_[index];
  const RangeTail tail{kRangeMagic,
                       index,
                       static_cast<uint32_t>(blocks),
                       totals.ranges,
                       totals.last_offset,
                       totals.last_bytes,
                       totals.last_chain};
  link(&tail, sizeof tail);
  TG_TRY(file_.append(links_.data(), links_.size()));
  totals.last_offset = offset;
  totals.last_bytes = file_.offset() - offset;
  totals.last_chain = xxh3_64(links_.data(), links_.size());
  totals.bytes += totals.last_bytes;
  ++totals.ranges;
  budget_.remove(pending.bytes);
  pending_bytes_ -= pending.bytes;
  pending.bytes = 0;
  std::vector<Waiting>().swap(pending.blocks);
  return {};
}

Status BucketStore::finish() {
  for (uint32_t i = 0; i < bucket_count(); ++i) {
    if (buckets_[i].rows > 0) TG_TRY(encode(i));
    if (buckets_[i].capacity > 0) release(i);
    TG_TRY(write_range(i));
  }
  return {};
}

}  // namespace tidegate::shuffle
