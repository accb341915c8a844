#include "reduce/lookup_table.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "duckdb.h"
#include "reduce/emit.h"
#include "reduce/vector_writer.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

/// Places to a row above which they are too thin.
constexpr uint64_t kPlacesToARowMax = 4;

bool is_narrow_integer(const ColumnType& type) {
  return type.storage <= Storage::kU64 && type.storage != Storage::kI128;
}

/// An integer as 64 bits that keep the order of its type when they are compared as it: two's
/// complement with the sign bit turned, for those with a sign.
template <typename T>
uint64_t ordered(T value) {
  if constexpr (std::is_signed_v<T>)
    return static_cast<uint64_t>(int64_t{value}) ^ (uint64_t{1} << 63);
  else
    return value;
}
template <typename T>
T from_ordered(uint64_t value) {
  if constexpr (std::is_signed_v<T>)
    return static_cast<T>(static_cast<int64_t>(value ^ (uint64_t{1} << 63)));
  else
    return static_cast<T>(value);
}

/// Calls `work` with a value of the integer type of that storage.
template <typename Work>
void with_integer(Storage storage, Work work) {
  switch (storage) {
    case Storage::kI8:
      return work(int8_t{});
    case Storage::kI16:
      return work(int16_t{});
    case Storage::kI32:
      return work(int32_t{});
    case Storage::kI64:
      return work(int64_t{});
    case Storage::kU8:
      return work(uint8_t{});
    case Storage::kU16:
      return work(uint16_t{});
    case Storage::kU32:
      return work(uint32_t{});
    default:
      return work(uint64_t{});
  }
}
template <typename Work>
void with_width(uint8_t width, Work work) {
  if (width == 1) return work(uint8_t{});
  if (width == 2) return work(uint16_t{});
  if (width == 4) return work(uint32_t{});
  return work(uint64_t{});
}

uint8_t width_of(uint64_t largest) {
  return largest <= UINT8_MAX ? 1 : largest <= UINT16_MAX ? 2 : largest <= UINT32_MAX ? 4 : 8;
}

bool has(const std::vector<uint64_t>& bits, uint64_t at) {
  return (bits[at / 64] >> (at % 64) & 1) != 0;
}

}  // namespace

Result<std::shared_ptr<const LookupTable>> LookupTable::make(const shuffle::BucketTable& table,
                                                             std::vector<uint32_t> keys,
                                                             std::vector<uint32_t> columns,
                                                             const Options& options) {
  const std::shared_ptr<LookupTable> made(new LookupTable());
  for (const uint32_t key : keys) made->key_types_.push_back(table.types[key]);
  for (const uint32_t column : columns) made->columns_.push_back(table.types[column]);
  if (keys.size() == 1 && is_narrow_integer(made->key_types_[0])) {
    TG_ASSIGN(const Survey found, survey(table, keys[0], columns));
    made->dense_ = made->lay_out(found, table, columns, options.memory_bytes);
  }
  std::vector<uint32_t> read = std::move(keys);
  read.insert(read.end(), columns.begin(), columns.end());
  shuffle::BucketScan scan(table, std::move(read));
  bool whole = false;
  if (made->dense_) {
    TG_ASSIGN(whole, made->fill_dense(scan, options));
  } else {
    TG_ASSIGN(whole, made->fill_hashed(scan, options));
  }
  return whole ? std::shared_ptr<const LookupTable>(made) : nullptr;
}

Result<LookupTable::Survey> LookupTable::survey(const shuffle::BucketTable& table, uint32_t key,
                                                const std::vector<uint32_t>& columns) {
  std::vector<uint32_t> read{key};
  Survey out;
  out.columns.resize(columns.size());
  read.insert(read.end(), columns.begin(), columns.end());
  shuffle::BucketScan scan(table, read);
  std::vector<ColumnView> views;
  while (true) {
    TG_ASSIGN(const uint32_t rows, scan.next(views));
    if (rows == 0) return out;
    const auto extend = [&](const ColumnType& type, const ColumnView& view, auto& range) {
      with_integer(type.storage, [&](auto zero) {
        const auto* values = static_cast<const decltype(zero)*>(view.data);
        for (uint32_t row = 0; row < rows; ++row) {
          if (!view.is_valid(row)) continue;
          const uint64_t value = ordered(values[row]);
          range.min = range.seen ? std::min(range.min, value) : value;
          range.max = range.seen ? std::max(range.max, value) : value;
          range.seen = true;
        }
      });
      if (view.validity == nullptr) return;
      for (uint32_t row = 0; row < rows; ++row) range.has_null |= !view.is_valid(row);
    };
    Survey::Range keys{out.key_min, out.key_max, out.rows > 0, false};
    extend(table.types[key], views[0], keys);
    out.key_min = keys.min;
    out.key_max = keys.max;
    for (uint32_t row = 0; row < rows; ++row) out.rows += views[0].is_valid(row);
    for (size_t c = 0; c < columns.size(); ++c) {
      const ColumnType& type = table.types[columns[c]];
      const ColumnView& view = views[1 + c];
      Survey::Range& range = out.columns[c];
      if (is_narrow_integer(type))
        extend(type, view, range);
      else if (view.validity != nullptr)
        for (uint32_t row = 0; row < rows; ++row) range.has_null |= !view.is_valid(row);
    }
  }
}

bool LookupTable::lay_out(const Survey& survey, const shuffle::BucketTable& table,
                          const std::vector<uint32_t>& columns, uint64_t memory_bytes) {
  if (survey.rows == 0) return false;
  const uint64_t span = survey.key_max - survey.key_min;
  if (span >= kNoRow || span / kPlacesToARowMax >= survey.rows) return false;
  key_min_ = survey.key_min;
  places_ = span + 1;
  uint64_t bytes = places_ / 8;
  for (size_t c = 0; c < columns.size(); ++c) {
    const Survey::Range& range = survey.columns[c];
    Dense column{.type = table.types[columns[c]], .values = nullptr};
    if (column.type.storage == Storage::kNull) return false;
    column.narrowed = is_narrow_integer(column.type);
    column.base = range.min;
    column.width = column.narrowed ? width_of(range.max - range.min)
                                   : static_cast<uint8_t>(batch::slot_bytes(column.type));
    bytes += sort::slab_bytes(places_ * column.width) + (range.has_null ? places_ / 8 : 0);
    dense_columns_.push_back(std::move(column));
  }
  if (bytes > memory_bytes) {
    dense_columns_.clear();
    return false;
  }
  present_.assign((places_ + 63) / 64, 0);
  for (size_t c = 0; c < columns.size(); ++c) {
    Dense& column = dense_columns_[c];
    column.values = sort::allocate_slab(places_ * column.width);
    if (survey.columns[c].has_null) column.valid.assign((places_ + 63) / 64, 0);
  }
  return true;
}

Result<bool> LookupTable::fill_dense(shuffle::BucketScan& scan, const Options& options) {
  std::vector<ColumnView> views;
  std::vector<uint32_t> places;
  uint64_t taken = 0;
  while (true) {
    TG_ASSIGN(const uint32_t rows, scan.next(views));
    if (rows == 0) break;
    if (options.progress) options.progress(rows);
    places.resize(rows);
    bool unique = true;
    with_integer(key_types_[0].storage, [&](auto zero) {
      const auto* keys = static_cast<const decltype(zero)*>(views[0].data);
      for (uint32_t row = 0; row < rows; ++row) {
        places[row] = kNoRow;
        if (!views[0].is_valid(row)) continue;
        const uint64_t place = ordered(keys[row]) - key_min_;
        const bool fresh = !has(present_, place);
        unique &= fresh;
        taken += fresh;
        present_[place / 64] |= uint64_t{1} << (place % 64);
        places[row] = static_cast<uint32_t>(place);
      }
    });
    if (!unique && !options.any_row) return false;
    for (size_t c = 0; c < dense_columns_.size(); ++c) {
      Dense& column = dense_columns_[c];
      const ColumnView& view = views[1 + c];
      if (!column.valid.empty())
        for (uint32_t row = 0; row < rows; ++row)
          if (places[row] != kNoRow && view.is_valid(row))
            column.valid[places[row] / 64] |= uint64_t{1} << (places[row] % 64);
      if (column.narrowed) {
        with_integer(column.type.storage, [&](auto zero) {
          const auto* from = static_cast<const decltype(zero)*>(view.data);
          with_width(column.width, [&](auto narrow) {
            auto* to = reinterpret_cast<decltype(narrow)*>(column.values.get());
            for (uint32_t row = 0; row < rows; ++row)
              if (places[row] != kNoRow && view.is_valid(row))
                to[places[row]] = static_cast<decltype(narrow)>(ordered(from[row]) - column.base);
          });
        });
        continue;
      }
      for (uint32_t row = 0; row < rows; ++row) {
        if (places[row] == kNoRow || !view.is_valid(row)) continue;
        char* to = column.values.get() + size_t{places[row]} * column.width;
        std::memcpy(to, static_cast<const char*>(view.data) + size_t{row} * column.width,
                    column.width);
        if (column.type.storage != Storage::kBytes) continue;
        auto* text = reinterpret_cast<StringRef*>(to);
        if (!text->is_inline()) text->pointer = texts_.copy(text->pointer, text->size);
      }
    }
    if (bytes() > options.memory_bytes) return false;
  }
  all_present_ = taken == places_;
  return true;
}

Result<bool> LookupTable::fill_hashed(shuffle::BucketScan& scan, const Options& options) {
  groups_ = GroupTable::create(key_types_);
  stored_.emplace(columns_);
  std::vector<ColumnView> views;
  std::vector<uint32_t> groups;
  while (true) {
    TG_ASSIGN(const uint32_t rows, scan.next(views));
    if (rows == 0) return true;
    if (options.progress) options.progress(rows);
    uint64_t key_text = 0, text = 0;
    for (size_t k = 0; k < key_types_.size(); ++k)
      key_text += text_bytes(key_types_[k], views[k], rows);
    for (size_t c = 0; c < columns_.size(); ++c)
      text += text_bytes(columns_[c], views[key_types_.size() + c], rows);
    const uint64_t after = groups_->bytes_after(rows, key_text) + stored_->bytes_after(rows, text) +
                           (row_of_group_.size() + uint64_t{rows}) * 8;
    if (after > options.memory_bytes) return false;
    const uint32_t first = stored_->size();
    const uint32_t groups_before = groups_->size();
    groups.resize(rows);
    groups_->find_or_add(views.data(), rows, groups.data());
    row_of_group_.resize(groups_->size(), kNoRow);
    for (uint32_t row = 0; row < rows; ++row) {
      bool null = false;
      for (size_t k = 0; k < key_types_.size(); ++k) null |= !views[k].is_valid(row);
      if (null) continue;
      uint32_t& of_group = row_of_group_[groups[row]];
      if ((groups[row] < groups_before || of_group != kNoRow) && !options.any_row) return false;
      if (of_group == kNoRow) of_group = first + row;
    }
    if (!columns_.empty()) stored_->append(views.data() + key_types_.size(), rows);
  }
}

template <typename T>
void LookupTable::find_dense(const ColumnView& keys, size_t rows, uint32_t* found) const {
  const T* values = static_cast<const T*>(keys.data);
  for (size_t row = 0; row < rows; ++row) {
    const uint64_t place = ordered(values[row]) - key_min_;
    found[row] = place < places_ ? static_cast<uint32_t>(place) : kNoRow;
  }
  if (!all_present_)
    for (size_t row = 0; row < rows; ++row)
      if (found[row] != kNoRow && !has(present_, found[row])) found[row] = kNoRow;
  if (keys.validity != nullptr)
    for (size_t row = 0; row < rows; ++row)
      if (!keys.is_valid(row)) found[row] = kNoRow;
}

void LookupTable::find(const ColumnView* keys, size_t rows, uint32_t* found) const {
  if (dense_)
    return with_integer(key_types_[0].storage,
                        [&](auto zero) { find_dense<decltype(zero)>(keys[0], rows, found); });
  groups_->find(keys, rows, found);
  for (size_t row = 0; row < rows; ++row)
    found[row] = found[row] == GroupTable::kNoGroup ? kNoRow : row_of_group_[found[row]];
  for (size_t k = 0; k < key_types_.size(); ++k) {
    if (keys[k].validity == nullptr) continue;
    for (size_t row = 0; row < rows; ++row)
      if (!keys[k].is_valid(row)) found[row] = kNoRow;
  }
}

Status LookupTable::emit(size_t column, const uint32_t* rows, uint32_t count,
                         duckdb_vector vector) const {
  if (!dense_)
    return gather_rows(columns_[column], stored_->column(column), rows, count, vector, 0);
  const Dense& from = dense_columns_[column];
  const ColumnView view{from.values.get(), from.valid.empty() ? nullptr : from.valid.data()};
  if (!from.narrowed) return gather_rows(from.type, view, rows, count, vector, 0);
  const bool all = std::find(rows, rows + count, kNoRow) == rows + count;
  with_integer(from.type.storage, [&](auto zero) {
    auto* to = static_cast<decltype(zero)*>(duckdb_vector_get_data(vector));
    with_width(from.width, [&](auto narrow) {
      const auto* values = reinterpret_cast<const decltype(narrow)*>(from.values.get());
      for (uint32_t i = 0; i < count; ++i) {
        const uint64_t value = all || rows[i] != kNoRow ? uint64_t{values[rows[i]]} : 0;
        to[i] = from_ordered<decltype(zero)>(value + from.base);
      }
    });
  });
  if (all && view.validity == nullptr) return {};
  uint64_t* validity = nullptr;
  for (uint32_t i = 0; i < count; ++i)
    if (rows[i] == kNoRow || !view.is_valid(rows[i])) set_null(vector, validity, i);
  return {};
}

uint64_t LookupTable::bytes() const {
  uint64_t bytes = present_.capacity() * 8 + texts_.bytes() + row_of_group_.capacity() * 4;
  for (const Dense& column : dense_columns_)
    bytes += sort::slab_bytes(places_ * column.width) + column.valid.capacity() * 8;
  if (groups_) bytes += groups_->bytes();
  if (stored_) bytes += stored_->bytes();
  return bytes;
}

}  // namespace tidegate::reduce
