#include "reduce/value_store.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "batch/value_codec.h"
#include "duckdb.h"
#include "reduce/emit.h"
#include "reduce/interval.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

template <typename T>
int compare_as(const void* left, const void* right) {
  T a, b;
  std::memcpy(&a, left, sizeof a);
  std::memcpy(&b, right, sizeof b);
  if constexpr (std::is_floating_point_v<T>) {
    const bool a_nan = std::isnan(a), b_nan = std::isnan(b);
    if (a_nan || b_nan) return static_cast<int>(a_nan) - static_cast<int>(b_nan);
  }
  return a < b ? -1 : (b < a ? 1 : 0);
}

int compare_intervals(const void* left, const void* right) {
  Interval a, b;
  std::memcpy(&a, left, sizeof a);
  std::memcpy(&b, right, sizeof b);
  const batch::int128 x = a.normal(), y = b.normal();
  return x < y ? -1 : (y < x ? 1 : 0);
}

/// What an allocation takes beside its bytes.
constexpr uint64_t kTextOverhead = 16;

int compare_texts(const StringRef& a, const StringRef& b) {
  const size_t common = std::min(a.size, b.size);
  const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  if (order != 0) return order;
  return a.size < b.size ? -1 : (b.size < a.size ? 1 : 0);
}

}  // namespace

int compare_values(Storage storage, const void* left, const void* right) {
  switch (storage) {
    case Storage::kI8:
      return compare_as<int8_t>(left, right);
    case Storage::kI16:
      return compare_as<int16_t>(left, right);
    case Storage::kI32:
      return compare_as<int32_t>(left, right);
    case Storage::kI64:
      return compare_as<int64_t>(left, right);
    case Storage::kI128:
      return compare_as<batch::int128>(left, right);
    case Storage::kU8:
      return compare_as<uint8_t>(left, right);
    case Storage::kU16:
      return compare_as<uint16_t>(left, right);
    case Storage::kU32:
      return compare_as<uint32_t>(left, right);
    case Storage::kU64:
      return compare_as<uint64_t>(left, right);
    case Storage::kU128:
      return compare_as<batch::uint128>(left, right);
    case Storage::kF32:
      return compare_as<float>(left, right);
    case Storage::kF64:
      return compare_as<double>(left, right);
    case Storage::kBytes:
      return compare_texts(*static_cast<const StringRef*>(left),
                           *static_cast<const StringRef*>(right));
    case Storage::kInterval:
      return compare_intervals(left, right);
    case Storage::kNull:
      break;
  }
  TG_ASSERT(!"a type without an order");
  return 0;
}

ValueStore::ValueStore(ColumnType type)
    : type_(std::move(type)), width_(batch::slot_bytes(type_)) {}

ValueStore::~ValueStore() { clear(); }

void ValueStore::clear() {
  if (type_.storage == Storage::kBytes && text_bytes_ > 0) {
    for (size_t at = 0; at < values_.size(); at += sizeof(StringRef)) {
      StringRef ref;
      std::memcpy(&ref, values_.data() + at, sizeof ref);
      if (!ref.is_inline()) std::free(const_cast<char*>(ref.pointer));
    }
  }
  values_.clear();
  valid_.clear();
  text_bytes_ = 0;
}

void ValueStore::grow(uint32_t groups) {
  values_.resize(size_t{groups} * width_);
  valid_.resize((size_t{groups} + 63) / 64);
}

void ValueStore::set(uint32_t group, const ColumnView& column, size_t row) {
  const uint64_t bit = uint64_t{1} << (group % 64);
  if (!column.is_valid(row)) {
    valid_[group / 64] &= ~bit;
    return;
  }
  valid_[group / 64] |= bit;
  char* to = values_.data() + size_t{group} * width_;
  const char* from = static_cast<const char*>(column.data) + row * width_;
  if (type_.storage != Storage::kBytes) {
    switch (width_) {
      case 1:
        *to = *from;
        return;
      case 2:
        std::memcpy(to, from, 2);
        return;
      case 4:
        std::memcpy(to, from, 4);
        return;
      case 8:
        std::memcpy(to, from, 8);
        return;
      default:
        std::memcpy(to, from, 16);
        return;
    }
  }
  StringRef before, after;
  std::memcpy(&before, to, sizeof before);
  std::memcpy(&after, from, sizeof after);
  if (!after.is_inline()) {
    // A text's memory is kept where the next one fits and does not waste half of it.
    char* memory = nullptr;
    if (!before.is_inline() && before.size >= after.size && before.size / 2 <= after.size) {
      memory = const_cast<char*>(before.pointer);
      std::memcpy(memory, after.pointer, after.size);
      // Its size is what was asked for now; the few bytes more are not counted.
      text_bytes_ -= before.size - after.size;
    } else {
      memory = static_cast<char*>(std::malloc(after.size));
      if (memory == nullptr) throw std::bad_alloc();
      std::memcpy(memory, after.pointer, after.size);
      text_bytes_ += after.size + kTextOverhead;
      if (!before.is_inline()) {
        text_bytes_ -= before.size + kTextOverhead;
        std::free(const_cast<char*>(before.pointer));
      }
    }
    after.pointer = memory;
  } else if (!before.is_inline()) {
    text_bytes_ -= before.size + kTextOverhead;
    std::free(const_cast<char*>(before.pointer));
  }
  std::memcpy(to, &after, sizeof after);
}

template <typename T>
void ValueStore::copy_in(const uint32_t* groups, const uint32_t* rows, size_t count,
                         const void* from) {
  T* to = values<T>();
  for (size_t i = 0; i < count; ++i) to[groups[i]] = static_cast<const T*>(from)[rows[i]];
}

/// Whether no text that is held, or comes with the rows, has memory of its own.
bool ValueStore::all_inline(const uint32_t* rows, size_t count, const ColumnView& column) const {
  const auto* texts = static_cast<const StringRef*>(column.data);
  bool all = text_bytes_ == 0;
  for (size_t i = 0; i < count && all; ++i) all = texts[rows[i]].is_inline();
  return all;
}

void ValueStore::set_each(const uint32_t* groups, const uint32_t* rows, size_t count,
                          const ColumnView& column) {
  if (column.validity != nullptr ||
      (type_.storage == Storage::kBytes && !all_inline(rows, count, column))) {
    for (size_t i = 0; i < count; ++i) set(groups[i], column, rows[i]);
    return;
  }
  for (size_t i = 0; i < count; ++i) valid_[groups[i] / 64] |= uint64_t{1} << (groups[i] % 64);
  // DuckDB aligns its texts to 8 bytes.
  if (type_.storage == Storage::kBytes) return copy_in<StringRef>(groups, rows, count, column.data);
  if (width_ == 1) copy_in<uint8_t>(groups, rows, count, column.data);
  if (width_ == 2) copy_in<uint16_t>(groups, rows, count, column.data);
  if (width_ == 4) copy_in<uint32_t>(groups, rows, count, column.data);
  if (width_ == 8) copy_in<uint64_t>(groups, rows, count, column.data);
  if (width_ == 16) copy_in<batch::uint128>(groups, rows, count, column.data);
}

template <typename T>
void ValueStore::copy_out(const uint32_t* groups, uint32_t count, void* out) const {
  const T* from = reinterpret_cast<const T*>(values_.data());
  for (uint32_t i = 0; i < count; ++i) static_cast<T*>(out)[i] = from[groups[i]];
}

Status ValueStore::emit(const uint32_t* groups, uint32_t count, duckdb_vector vector) const {
  uint64_t* validity = nullptr;
  if (type_.storage != Storage::kBytes) {
    void* out = duckdb_vector_get_data(vector);
    if (width_ == 1) copy_out<uint8_t>(groups, count, out);
    if (width_ == 2) copy_out<uint16_t>(groups, count, out);
    if (width_ == 4) copy_out<uint32_t>(groups, count, out);
    if (width_ == 8) copy_out<uint64_t>(groups, count, out);
    if (width_ == 16) copy_out<batch::uint128>(groups, count, out);
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (is_null(groups[i])) {
      if (type_.is_nested()) {
        batch::set_value_null(type_, vector, i);
      } else {
        set_null(vector, validity, i);
      }
    } else if (type_.storage == Storage::kBytes) {
      StringRef ref;
      std::memcpy(&ref, value(groups[i]), sizeof ref);
      if (type_.is_nested()) {
        TG_TRY(batch::decode_value(type_, ref.view(), vector, i));
      } else {
        duckdb_unsafe_vector_assign_string_element_len(vector, i, ref.data(), ref.size);
      }
    }
  }
  return {};
}

}  // namespace tidegate::reduce
