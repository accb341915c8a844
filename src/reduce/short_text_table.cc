#include "reduce/short_text_table.h"

#include <algorithm>
#include <cstring>

#include "duckdb.h"
#include "reduce/bytes_table.h"
#include "reduce/fixed_table.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

constexpr uint32_t kShortMin = 7;

/// Some rows of columns, put together.
class PickedRows {
 public:
  const ColumnView* pick(const std::vector<ColumnType>& types, const ColumnView* columns,
                         const std::vector<uint32_t>& rows) {
    values_.resize(types.size());
    validity_.resize(types.size());
    views_.resize(types.size());
    for (size_t i = 0; i < types.size(); ++i) {
      const size_t width = slot_bytes(types[i]);
      values_[i].resize(rows.size() * width);
      validity_[i].assign((rows.size() + 63) / 64, 0);
      for (size_t at = 0; at < rows.size(); ++at) {
        std::memcpy(values_[i].data() + at * width,
                    static_cast<const char*>(columns[i].data) + rows[at] * width, width);
        validity_[i][at / 64] |= uint64_t{columns[i].is_valid(rows[at])} << (at % 64);
      }
      views_[i] = {values_[i].data(),
                   columns[i].validity == nullptr ? nullptr : validity_[i].data()};
    }
    return views_.data();
  }
  uint64_t bytes() const {
    uint64_t bytes = 0;
    for (const auto& values : values_) bytes += values.capacity();
    for (const auto& validity : validity_) bytes += validity.capacity() * 8;
    return bytes;
  }

 private:
  std::vector<std::vector<char>> values_;
  std::vector<std::vector<uint64_t>> validity_;
  std::vector<ColumnView> views_;
};

template <typename Key>
class ShortTextTable final : public GroupTable {
 public:
  ShortTextTable(std::vector<ColumnType> types, std::vector<KeyPart> parts, int null_byte,
                 uint32_t short_max)
      : types_(std::move(types)),
        short_max_(short_max),
        shorts_(std::move(parts), null_byte),
        longs_(types_) {}

  void find_or_add(const ColumnView* columns, size_t rows, uint32_t* groups) override {
    if (size() == 0) choose(columns, rows);
    look_up<true>(columns, rows, groups);
  }
  void find(const ColumnView* columns, size_t rows, uint32_t* groups) override {
    look_up<false>(columns, rows, groups);
  }

  uint32_t size() const override { return shorts_.size() + longs_.size(); }
  uint64_t bytes() const override {
    return shorts_.bytes() + longs_.bytes() + picked_short_.bytes() + picked_long_.bytes() +
           (where_.capacity() + of_short_.capacity() + of_long_.capacity() +
            short_rows_.capacity() + long_rows_.capacity() + found_.capacity()) *
               sizeof(uint32_t);
  }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    uint64_t row_bytes = 3 * sizeof(uint32_t);
    for (const ColumnType& type : types_) row_bytes += slot_bytes(type) + 1;
    // Numbers of groups, in vectors that may double, and be made anew.
    const uint64_t numbers = (2 * uint64_t{size()} + 2 * rows) * 2 * sizeof(uint32_t);
    return bytes() + (shorts_.bytes_after(rows, text_bytes) - shorts_.bytes()) +
           (longs_.bytes_after(rows, text_bytes) - longs_.bytes()) + rows * row_bytes +
           (all_long_ ? 0 : numbers);
  }

  void emit(size_t key, const uint32_t* groups, uint32_t count,
            duckdb_vector vector) const override {
    if (all_long_) return longs_.emit(key, groups, count, vector);
    if (!mixed_) return shorts_.emit(key, groups, count, vector);
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t where = where_[groups[i]];
      if ((where & kLongBit) != 0)
        longs_.emit_one(key, where & ~kLongBit, vector, validity, i);
      else
        shorts_.emit_one(key, where, vector, validity, i);
    }
  }

  void clear() override {
    shorts_.clear();
    longs_.clear();
    mixed_ = all_long_ = false;
    where_.clear();
    of_short_.clear();
    of_long_.clear();
  }

 private:
  static constexpr uint32_t kLongBit = uint32_t{1} << 31;

  bool is_long(const ColumnView* columns, size_t row) const {
    for (size_t i = 0; i < types_.size(); ++i)
      if (types_[i].storage == Storage::kBytes && columns[i].is_valid(row) &&
          static_cast<const StringRef*>(columns[i].data)[row].size > short_max_)
        return true;
    return false;
  }
  bool any_long(const ColumnView* columns, size_t rows) const {
    bool any = false;
    for (size_t i = 0; i < types_.size(); ++i) {
      if (types_[i].storage != Storage::kBytes) continue;
      const auto* texts = static_cast<const StringRef*>(columns[i].data);
      for (size_t row = 0; row < rows; ++row)
        any |= (texts[row].size > short_max_) & columns[i].is_valid(row);
    }
    return any;
  }
  /// Where the first rows have long texts often, all go where those go.
  void choose(const ColumnView* columns, size_t rows) {
    size_t longs = 0;
    if (any_long(columns, rows))
      for (size_t row = 0; row < rows; ++row) longs += is_long(columns, row);
    all_long_ = longs > rows / 4;
  }

  template <bool kAdd>
  static void look_up_in(GroupTable& table, const ColumnView* columns, size_t rows,
                         uint32_t* groups) {
    if (kAdd)
      table.find_or_add(columns, rows, groups);
    else
      table.find(columns, rows, groups);
  }

  template <bool kAdd>
  void look_up(const ColumnView* columns, size_t rows, uint32_t* groups) {
    if (all_long_) return look_up_in<kAdd>(longs_, columns, rows, groups);
    if (!mixed_ && !any_long(columns, rows))
      return look_up_in<kAdd>(shorts_, columns, rows, groups);
    if (!mixed_) begin_mixed();
    short_rows_.clear();
    long_rows_.clear();
    for (size_t row = 0; row < rows; ++row)
      (is_long(columns, row) ? long_rows_ : short_rows_).push_back(static_cast<uint32_t>(row));
    found_.resize(rows);
    uint32_t* in_short = found_.data();
    uint32_t* in_long = found_.data() + short_rows_.size();
    look_up_in<kAdd>(shorts_, picked_short_.pick(types_, columns, short_rows_), short_rows_.size(),
                     in_short);
    look_up_in<kAdd>(longs_, picked_long_.pick(types_, columns, long_rows_), long_rows_.size(),
                     in_long);
    size_t at_long = 0;
    for (uint32_t row = 0; row < rows; ++row) {
      const bool is_long = at_long < long_rows_.size() && long_rows_[at_long] == row;
      groups[row] = is_long ? number(of_long_, in_long[at_long], kLongBit)
                            : number(of_short_, in_short[row - at_long], 0);
      at_long += is_long;
    }
  }
  /// From now on groups have other numbers than in their tables.
  void begin_mixed() {
    mixed_ = true;
    where_.resize(shorts_.size());
    for (uint32_t group = 0; group < where_.size(); ++group) where_[group] = group;
    of_short_ = where_;
  }
  /// The number of a group that has `local` in its table: the next one if it is new.
  uint32_t number(std::vector<uint32_t>& numbers, uint32_t local, uint32_t bit) {
    if (local == kNoGroup) return kNoGroup;
    if (local == numbers.size()) {
      numbers.push_back(static_cast<uint32_t>(where_.size()));
      where_.push_back(local | bit);
    }
    return numbers[local];
  }

  std::vector<ColumnType> types_;
  uint32_t short_max_;
  FixedTable<Key> shorts_;
  BytesTable longs_;
  bool all_long_ = false;                     ///< all groups are in `longs_`
  bool mixed_ = false;                        ///< some groups are; if not, all are in `shorts_`
  std::vector<uint32_t> where_;               ///< by group: its number in its table
  std::vector<uint32_t> of_short_, of_long_;  ///< by that number: the group
  // Of the current rows.
  std::vector<uint32_t> short_rows_, long_rows_, found_;
  PickedRows picked_short_, picked_long_;
};

}  // namespace

std::unique_ptr<GroupTable> make_short_text_table(const std::vector<ColumnType>& keys) {
  uint32_t texts = 0, width = 0;
  for (const ColumnType& key : keys) {
    const bool text = key.storage == Storage::kBytes;
    if (!text && key.width == 0) return nullptr;
    texts += text;
    width += key.width;
  }
  if (texts == 0 || keys.size() < 2 || keys.size() > 8) return nullptr;
  for (const uint32_t bytes : {16U, 24U}) {
    if (width + 1 + texts * (1 + kShortMin) > bytes) continue;
    const uint32_t short_max = std::min((bytes - width - 1) / texts - 1, StringRef::kInlineMax);
    uint32_t offset = 0;
    std::vector<KeyPart> parts;
    for (const ColumnType& key : keys) {
      const uint32_t part = key.storage == Storage::kBytes ? 1 + short_max : uint32_t{key.width};
      parts.push_back({key.storage, offset, part});
      offset += part;
    }
    const int null_byte = static_cast<int>(offset);
    if (bytes == 16)
      return std::make_unique<ShortTextTable<Wide>>(keys, std::move(parts), null_byte, short_max);
    return std::make_unique<ShortTextTable<Triple>>(keys, std::move(parts), null_byte, short_max);
  }
  return nullptr;
}

}  // namespace tidegate::reduce
