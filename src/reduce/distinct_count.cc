#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/dense_values.h"
#include "reduce/hash.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

/// count(DISTINCT) of values of up to 8 bytes. Pairs of group and value are kept as they come, by
/// some bits of their hash, and looked up only in the end, part by part, in a table that stays in
/// the processor's caches. Where they are twice as many as what was last found to be different, the
/// others are dropped. Where a group's values lie so close together that a bit for each value of
/// their range takes no more than the pairs, they become bits (dense_values.h).
class DistinctCount final : public Accumulator {
 public:
  DistinctCount(uint32_t column, Storage storage, uint8_t width)
      : column_(column), storage_(storage) {
    // Negative numbers stand before the others.
    if (storage <= Storage::kI64) sign_ = uint64_t{1} << (8 * width - 1);
  }

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
    if (size_ > condense_at_) condense();
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
    return capacity_ * sizeof(Pair) + table_.capacity() * sizeof(Pair) + counts_.capacity() * 8 +
           values_.capacity() * 12 + dense_.bytes();
  }
  uint64_t bytes_after(size_t rows, uint64_t) const override {
    const uint64_t pairs = size_ + rows;
    // Parts grow by a half; the table is for twice the largest of them, rounded up.
    uint64_t dense = dense_.bytes();
    if (pairs > condense_at_ && (!dense_.empty() || may_condense(pairs)))
      dense = dense_.bytes_after(groups_ + rows, pairs * sizeof(Pair)) +
              (groups_ + rows) * sizeof(Range);
    return pairs * sizeof(Pair) * 3 / 2 + (pairs / kParts + kPartMin) * 4 * sizeof(Pair) +
           (groups_ + rows) * 8 + rows * 12 + kParts * kPartMin * sizeof(Pair) + dense;
  }
  void clear() override {
    for (std::vector<Pair>& part : parts_) std::vector<Pair>().swap(part);
    counts_.clear();
    dense_.clear();
    size_ = capacity_ = 0;
    drop_at_ = kDropMin;
    condense_at_ = kCondenseMin;
    range_ = {};
    groups_ = 0;
    settled_ = false;
  }

 private:
  static constexpr size_t kParts = 256;
  static constexpr int kPartShift = 56;  ///< the hash's highest bits choose the part
  static constexpr size_t kPartMin = 16;
  static constexpr size_t kUnevenMin = 4'096;
  static constexpr uint64_t kDropMin = uint64_t{1} << 16;
  static constexpr uint64_t kCondenseMin = uint64_t{1} << 12;
  static constexpr uint64_t kCondensePairsMin = 64;  ///< of a group
  static constexpr size_t kPartsLooked = 16;
  static constexpr double kCondenseTimesMin = 1.25, kCondenseTimesMax = 4;

  struct Pair {
    uint64_t value = 0;
    uint32_t group = 0;
    uint32_t used = 0;  ///< in the table
  };

  struct Range {
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    uint64_t pairs = 0;
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
    values_.resize(in.count());
    value_groups_.resize(in.count());
    size_t count = 0;
    each_valid(
        in, column,
        [&](size_t row, uint32_t group) {
          values_[count] = bits_of(from[row]) ^ sign_;
          value_groups_[count++] = group;
        },
        [] {});
    if (!dense_.empty())
      count = dense_.add_all(values_.data(), value_groups_.data(), count);
    else
      look_at_range(count);
    add_pairs(count);
  }
  void look_at_range(size_t count) {
    Range range = range_;
    for (size_t i = 0; i < count; ++i) {
      range.low = std::min(range.low, values_[i]);
      range.high = std::max(range.high, values_[i]);
    }
    range_ = range;
  }
  void add_pairs(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const uint64_t value = values_[i];
      const uint32_t group = value_groups_[i];
      std::vector<Pair>& part = parts_[hash_words(value, group) >> kPartShift];
      if (part.size() == part.capacity()) grow_part(part);
      part.push_back({value, group, 0});
      ++size_;
    }
  }
  [[gnu::noinline]] void grow_part(std::vector<Pair>& part) {
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

  /// Whether one group that had all the pairs would be better kept as bits.
  bool may_condense(uint64_t pairs) const {
    return pairs > 0 && (range_.high - range_.low) / 8 <= pairs * sizeof(Pair);
  }
  /// Bytes of a range's bits to those of so many pairs.
  static double share_of_bits(const Range& range, uint64_t pairs) {
    return static_cast<double>(range.high - range.low) / 8 /
           static_cast<double>(pairs * sizeof(Pair));
  }
  /// Makes bits of the groups' pairs where those are no more bytes, and says when to look again.
  void condense() {
    double times = kCondenseTimesMax;
    if (dense_.empty() && !may_condense(size_)) {
      times = share_of_bits(range_, size_);
    } else {
      times = widen_sets();
      if (!dense_.empty()) move_to_dense();
    }
    times = std::clamp(times, kCondenseTimesMin, kCondenseTimesMax);
    condense_at_ =
        std::max(kCondenseMin, static_cast<uint64_t>(static_cast<double>(size_) * times));
  }
  /// Returns how many times as many pairs might have another group's made bits.
  double widen_sets() {
    // Parts are alike: some of them say whether it is worth while to look at all.
    double times = kCondenseTimesMax;
    uint64_t pairs = 0, better = 0;
    for (const Range& range : ranges_of(kPartsLooked)) {
      if (range.pairs == 0) continue;
      pairs += range.pairs;
      const double needs = share_of_bits(range, range.pairs * kParts / kPartsLooked);
      if (needs < 1)
        better += range.pairs;
      else
        times = std::min(times, needs);
    }
    if (better < pairs / 4) return times;
    const std::vector<Range> ranges = ranges_of(kParts);
    for (uint32_t group = 0; group < groups_; ++group) {
      const Range& range = ranges[group];
      if (range.pairs >= kCondensePairsMin)
        dense_.widen(group, range.low, range.high, range.pairs * sizeof(Pair));
    }
    return times;
  }
  /// By group, of the first parts.
  std::vector<Range> ranges_of(size_t parts) const {
    std::vector<Range> ranges(groups_);
    for (size_t i = 0; i < parts; ++i) {
      for (const Pair& pair : parts_[i]) {
        Range& range = ranges[pair.group];
        range.low = std::min(range.low, pair.value);
        range.high = std::max(range.high, pair.value);
        ++range.pairs;
      }
    }
    return ranges;
  }
  void move_to_dense() {
    size_ = 0;
    for (std::vector<Pair>& part : parts_) {
      const auto gone = std::remove_if(part.begin(), part.end(), [&](const Pair& pair) {
        return dense_.add(pair.group, pair.value);
      });
      part.erase(gone, part.end());
      size_ += part.size();
      if (part.size() > part.capacity() / 2) continue;
      capacity_ -= part.capacity();
      std::vector<Pair>(part).swap(part);
      capacity_ += part.capacity();
    }
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
    if (!dense_.empty())
      for (uint32_t group = 0; group < groups_; ++group)
        counts_[group] += static_cast<int64_t>(dense_.count(group));
    settled_ = true;
  }

  uint32_t column_;
  Storage storage_;
  uint32_t groups_ = 0;
  std::array<std::vector<Pair>, kParts> parts_;
  uint64_t size_ = 0, capacity_ = 0;  ///< pairs in all parts
  uint64_t drop_at_ = kDropMin;
  DenseValues dense_;
  uint64_t condense_at_ = kCondenseMin;
  Range range_;        ///< of all values while there are pairs only
  uint64_t sign_ = 0;  ///< changed in every value
  std::vector<Pair> table_;
  std::vector<int64_t> counts_;
  // Of the current rows.
  std::vector<uint64_t> values_;
  std::vector<uint32_t> value_groups_;
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
  return std::make_unique<DistinctCount>(aggregate.arguments[0], type.storage, type.width);
}

}  // namespace tidegate::reduce
