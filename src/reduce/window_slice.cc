#include "reduce/window_slice.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "reduce/interval.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

template <typename T>
bool same(const T& left, const T& right) {
  if constexpr (std::is_same_v<T, StringRef>) {
    if (std::memcmp(&left, &right, 8) != 0) return false;  // size and first bytes
    return left.view() == right.view();
  } else if constexpr (std::is_same_v<T, Interval>) {
    return left.normal() == right.normal();
  } else if constexpr (std::is_floating_point_v<T>) {
    return left == right || (std::isnan(left) && std::isnan(right));
  } else {
    return left == right;
  }
}

}  // namespace

std::vector<uint32_t> SliceReader::with_compared(const KernelSpec& spec, uint32_t depth,
                                                 std::vector<uint32_t> columns) {
  for (uint32_t i = 0; i < spec.keys; ++i) columns.push_back(i);
  for (uint32_t i = 0; i < depth; ++i) columns.push_back(spec.order[i].column);
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  return columns;
}

SliceReader::SliceReader(const KernelSpec& spec, const std::vector<batch::ColumnType>& types,
                         uint32_t depth, std::vector<uint32_t> columns,
                         std::unique_ptr<sort::SortedCursor> cursor)
    : types_(types), columns_(std::move(columns)), cursor_(std::move(cursor)), same_(depth + 1) {
  for (uint32_t i = depth; i-- > 0;)
    compared_.push_back({.column = spec.order[i].column, .level = i + 1});
  for (uint32_t i = 0; i < spec.keys; ++i) compared_.push_back({.column = i, .level = 0});
  slice_.columns.resize(types.size());
}

Status SliceReader::next() {
  if (slice_.rows > 0) keep_last();
  TG_ASSIGN(slice_.rows, cursor_->next(views_));
  if (slice_.rows == 0) return {};
  for (size_t i = 0; i < columns_.size(); ++i) slice_.columns[columns_[i]] = views_[i];
  slice_.levels.assign(slice_.rows, same_);
  for (const Compared& compared : compared_) compare(compared);
  if (!begun_) slice_.levels[0] = 0;
  begun_ = true;
  return {};
}

void SliceReader::keep_last() {
  const uint32_t last = slice_.rows - 1;
  for (Compared& compared : compared_) {
    const ColumnView& view = slice_.columns[compared.column];
    const batch::ColumnType& type = types_[compared.column];
    compared.was_valid = view.is_valid(last);
    if (!compared.was_valid) continue;
    const size_t width = batch::slot_bytes(type);
    std::memcpy(compared.before, static_cast<const char*>(view.data) + last * width, width);
    if (type.storage != Storage::kBytes) continue;
    StringRef text;
    std::memcpy(&text, compared.before, sizeof text);
    if (text.is_inline()) continue;
    compared.text.assign(text.pointer, text.size);
    text.pointer = compared.text.data();
    std::memcpy(compared.before, &text, sizeof text);
  }
}

template <typename T>
void SliceReader::compare_as(const Compared& compared) {
  const ColumnView& view = slice_.columns[compared.column];
  const T* values = static_cast<const T*>(view.data);
  uint32_t* levels = slice_.levels.data();
  const uint32_t level = compared.level;
  if (begun_) {
    T before;
    std::memcpy(&before, compared.before, sizeof before);
    const bool valid = view.is_valid(0);
    if (valid != compared.was_valid || (valid && !same(values[0], before))) levels[0] = level;
  }
  if (view.validity == nullptr) {
    for (uint32_t row = 1; row < slice_.rows; ++row)
      if (!same(values[row], values[row - 1])) levels[row] = level;
    return;
  }
  for (uint32_t row = 1; row < slice_.rows; ++row) {
    const bool valid = view.is_valid(row);
    if (valid != view.is_valid(row - 1) || (valid && !same(values[row], values[row - 1])))
      levels[row] = level;
  }
}

void SliceReader::compare(const Compared& compared) {
  const batch::ColumnType& type = types_[compared.column];
  if (type.storage == Storage::kF32) return compare_as<float>(compared);
  if (type.storage == Storage::kF64) return compare_as<double>(compared);
  if (type.storage == Storage::kBytes) return compare_as<StringRef>(compared);
  if (type.storage == Storage::kInterval) return compare_as<Interval>(compared);
  switch (type.width) {
    case 1:
      return compare_as<uint8_t>(compared);
    case 2:
      return compare_as<uint16_t>(compared);
    case 4:
      return compare_as<uint32_t>(compared);
    case 8:
      return compare_as<uint64_t>(compared);
    default:
      TG_ASSERT(type.width == 16);
      return compare_as<batch::uint128>(compared);
  }
}

}  // namespace tidegate::reduce
