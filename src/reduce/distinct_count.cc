#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/hash.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

/// count(DISTINCT) of values of up to 8 bytes. Pairs of group and value are kept as they come, by
/// some bits of their hash, and looked up only in the end, part by part, in a table that stays in
/// the processor's caches. Where they are twice as many as what was last found to be different, the
/// others are dropped.
class DistinctCount final : public Accumulator {
 public:
  DistinctCount(uint32_t column, Storage storage) : column_(column), storage_(storage) {}

  void grow(uint32_t groups) override { groups_ = groups; }
  Status update(const GroupedRows& in) override {
    switch (storage_) {
      case Storage::kI8:
      case Storage::kU8:
        add<uint8_t>(in);
        break;
      case Storage::kI16:
      case Storage::kU16:
        add<uint16_t>(in);
        break;
      case Storage::kI32:
      case Storage::kU32:
        add<uint32_t>(in);
        break;
      case Storage::kF32:
        add<float>(in);
        break;
      case Storage::kF64:
        add<double>(in);
        break;
      default:
        add<uint64_t>(in);
    }
    settled_ = false;
    if (size_ > drop_at_) {
      drop_doubles();
      drop_at_ = std::max(kDropMin, 2 * size_);
    }
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    if (!settled_) settle();
    std::copy_n(counts_.data() + begin, count,
                static_cast<int64_t*>(duckdb_vector_get_data(vector)));
    return {};
  }
  uint64_t bytes() const override {
    return capacity_ * sizeof(Pair) + table_.capacity() * sizeof(Pair) + counts_.capacity() * 8;
  }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    const uint64_t pairs = size_ + rows;
    // Parts grow by a half; the table is for twice the largest of them, rounded up.
    return pairs * sizeof(Pair) * 3 / 2 + (pairs / kParts + kPartMin) * 4 * sizeof(Pair) +
           (groups_ + rows) * 8 + kParts * kPartMin * sizeof(Pair);
  }
  void clear() override {
    for (std::vector<Pair>& part : parts_) std::vector<Pair>().swap(part);
    counts_.clear();
    size_ = capacity_ = 0;
    drop_at_ = kDropMin;
    groups_ = 0;
    settled_ = false;
  }

 private:
  static constexpr size_t kParts = 256;
  static constexpr int kPartShift = 56;  ///< the hash's highest bits choose the part
  static constexpr size_t kPartMin = 16;
  static constexpr size_t kUnevenMin = 4'096;
  static constexpr uint64_t kDropMin = uint64_t{1} << 16;

  struct Pair {
    uint64_t value = 0;
    uint32_t group = 0;
    uint32_t used = 0;  ///< in the table
  };

  template <typename T>
  static uint64_t bits_of(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      if (value == 0) value = 0;  // -0.0
      if (std::isnan(value)) value = std::numeric_limits<T>::quiet_NaN();
      using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
      return std::bit_cast<Bits>(value);
    } else {
      return value;
    }
  }

  template <typename T>
  void add(const GroupedRows& in) {
    const ColumnView& column = in.rows.column(column_);
    const T* from = static_cast<const T*>(column.data);
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          const uint64_t value = bits_of(from[row]);
          std::vector<Pair>& part = parts_[hash_words(value, group) >> kPartShift];
          if (part.size() == part.capacity()) grow_part(part);
          part.push_back({value, group, 0});
          ++size_;
        },
        [] {});
  }
  void grow_part(std::vector<Pair>& part) {
    // Pairs that differ spread evenly: what is far above the others has one of them many times.
    if (part.size() >= kUnevenMin && part.size() > 4 * (size_ / kParts)) {
      const size_t before = part.size();
      drop_doubles(part);
      size_ -= before - part.size();
      if (part.size() < part.capacity() / 2) return;
    }
    capacity_ -= part.capacity();
    part.reserve(std::max(kPartMin, part.size() + part.size() / 2));
    capacity_ += part.capacity();
  }

  /// Leaves each pair of a part once, at its beginning.
  void drop_doubles(std::vector<Pair>& part) {
    const size_t slots = std::bit_ceil(std::max<size_t>(part.size() * 2, 2));
    table_.assign(slots, Pair{});
    size_t kept = 0;
    for (const Pair& pair : part) {
      // Below the bits that chose the part.
      size_t at = (hash_words(pair.value, pair.group) >> 20) & (slots - 1);
      while (table_[at].used != 0 &&
             (table_[at].value != pair.value || table_[at].group != pair.group))
        at = (at + 1) & (slots - 1);
      if (table_[at].used != 0) continue;
      table_[at] = {pair.value, pair.group, 1};
      part[kept++] = pair;
    }
    part.resize(kept);
  }
  void drop_doubles() {
    size_ = 0;
    for (std::vector<Pair>& part : parts_) {
      drop_doubles(part);
      size_ += part.size();
    }
  }
  void settle() {
    drop_doubles();
    counts_.assign(groups_, 0);
    for (const std::vector<Pair>& part : parts_)
      for (const Pair& pair : part) ++counts_[pair.group];
    settled_ = true;
  }

  uint32_t column_;
  Storage storage_;
  uint32_t groups_ = 0;
  std::array<std::vector<Pair>, kParts> parts_;
  uint64_t size_ = 0, capacity_ = 0;  ///< pairs in all parts
  uint64_t drop_at_ = kDropMin;
  std::vector<Pair> table_;
  std::vector<int64_t> counts_;
  bool settled_ = false;
};

}  // namespace

std::unique_ptr<Accumulator> make_distinct_count(const Aggregate& aggregate,
                                                 const std::vector<ColumnType>& input) {
  if (aggregate.kind != AggregateKind::kCount || aggregate.arguments.size() != 1) return nullptr;
  const ColumnType& type = input[aggregate.arguments[0]];
  const bool fits = type.storage != Storage::kBytes && type.storage != Storage::kNull &&
                    type.storage != Storage::kInterval && type.width >= 1 && type.width <= 8;
  if (!fits) return nullptr;
  return std::make_unique<DistinctCount>(aggregate.arguments[0], type.storage);
}

}  // namespace tidegate::reduce
