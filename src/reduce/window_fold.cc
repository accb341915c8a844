#include "reduce/window_fold.h"

#include <cmath>
#include <string>
#include <type_traits>

#include "reduce/exact_sum.h"
#include "reduce/interval.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::int128;
using batch::Storage;
using batch::StringRef;

// What a fold knows of a partition's rows so far: `reset`, `add` a row, then `value`, false for
// NULL; `keep` as in Fold.

struct CountState {
  using Value = int64_t;
  uint32_t column = 0;
  bool all = false;  ///< rows, not values
  int64_t count = 0;

  void reset() { count = 0; }
  void add(const Slice& slice, uint32_t row) {
    count += all || slice.columns[column].is_valid(row);
  }
  bool value(Value& out) {
    out = count;
    return true;
  }
  bool failed() const { return false; }
  void keep() {}
};

template <typename T, bool kAverage>
struct IntegerState {
  using Value = std::conditional_t<kAverage, double, int128>;
  uint32_t column = 0;
  int128 divisor = 1;  ///< of a decimal's average
  int128 sum = 0;
  int64_t count = 0;
  bool over = false;

  void reset() {
    sum = 0;
    count = 0;
  }
  void add(const Slice& slice, uint32_t row) {
    const ColumnView& view = slice.columns[column];
    if (!view.is_valid(row)) return;
    over |= __builtin_add_overflow(sum, static_cast<int128>(static_cast<const T*>(view.data)[row]),
                                   &sum);
    ++count;
  }
  bool value(Value& out) {
    if constexpr (kAverage) {
      // As the aggregate has it (sums.cc).
      const long double by = static_cast<long double>(count) * static_cast<long double>(divisor);
      out = count == 0 ? 0 : static_cast<double>(static_cast<long double>(sum) / by);
    } else {
      out = sum;
    }
    return count > 0;
  }
  bool failed() const { return over; }
  void keep() {}
};

/// Exact and rounded for each value: it depends on the rows and not on their order among peers.
template <typename T, bool kAverage>
struct RealState {
  using Value = double;
  uint32_t column = 0;
  ExactSums sum = {};
  int64_t count = 0;

  void reset() {
    sum.clear();
    sum.grow(1);
    count = 0;
  }
  void add(const Slice& slice, uint32_t row) {
    const ColumnView& view = slice.columns[column];
    if (!view.is_valid(row)) return;
    sum.add(0, static_cast<double>(static_cast<const T*>(view.data)[row]));
    ++count;
  }
  bool value(Value& out) {
    out = 0;
    if (count == 0) return false;
    out = sum.rounded(0);
    if (kAverage) out /= static_cast<double>(count);
    return true;
  }
  bool failed() const { return false; }
  void keep() {}
};

/// A value of one of the rows. A text lies in the slice until `keep`.
template <typename T>
struct Held {
  T held = {};
  bool valid = false;
  std::string text = {};

  void set(const Slice& slice, uint32_t column, uint32_t row) {
    const ColumnView& view = slice.columns[column];
    valid = view.is_valid(row);
    if (valid) held = static_cast<const T*>(view.data)[row];
  }
  void keep() {
    if constexpr (std::is_same_v<T, StringRef>) {
      if (!valid || held.is_inline() || held.pointer == text.data()) return;
      text.assign(held.pointer, held.size);
      held.pointer = text.data();
    }
  }
};

template <typename T>
bool is_less(const T& left, const T& right) {
  if constexpr (std::is_same_v<T, StringRef>)
    return left.view() < right.view();
  else if constexpr (std::is_same_v<T, Interval>)
    return left.normal() < right.normal();
  else if constexpr (std::is_floating_point_v<T>)
    return std::isnan(right) ? !std::isnan(left) : left < right;
  else
    return left < right;
}

template <typename T, bool kLargest>
struct ExtremeState {
  using Value = T;
  uint32_t column = 0;
  Held<T> best = {};

  void reset() { best.valid = false; }
  void add(const Slice& slice, uint32_t row) {
    const ColumnView& view = slice.columns[column];
    if (!view.is_valid(row)) return;
    const T& value = static_cast<const T*>(view.data)[row];
    if (best.valid && !(kLargest ? is_less(best.held, value) : is_less(value, best.held))) return;
    best.set(slice, column, row);
  }
  bool value(Value& out) {
    out = best.held;
    return best.valid;
  }
  bool failed() const { return false; }
  void keep() { best.keep(); }
};

/// The value of the first, the nth or the last row.
template <typename T>
struct PickedState {
  using Value = T;
  uint32_t column = 0;
  uint64_t number = 0;  ///< which row, from 1 on; 0: the last
  bool ignore_nulls = false;
  Held<T> picked = {};
  uint64_t rows = 0;

  void reset() {
    rows = 0;
    picked.valid = false;
  }
  void add(const Slice& slice, uint32_t row) {
    if (ignore_nulls && !slice.columns[column].is_valid(row)) return;
    ++rows;
    if (number == 0 || rows == number) picked.set(slice, column, row);
  }
  bool value(Value& out) {
    out = picked.held;
    return picked.valid;
  }
  bool failed() const { return false; }
  void keep() { picked.keep(); }
};

template <typename State>
class FoldOf final : public Fold {
 public:
  FoldOf(State state, std::optional<uint32_t> filter, ColumnType type)
      : Fold(std::move(type)), state_(std::move(state)), filter_(filter) {
    state_.reset();
  }

  Status each_row(const Slice& slice) override {
    values_.begin(slice.rows, sizeof(Value));
    for (uint32_t row = 0; row < slice.rows; ++row) {
      if (slice.levels[row] == 0) state_.reset();
      add(slice, row);
      push();
    }
    return status();
  }
  Status each_group(const Slice& slice, uint32_t depth) override {
    values_.begin(slice.rows, sizeof(Value));
    for (uint32_t row = 0; row < slice.rows; ++row) {
      if (slice.levels[row] <= depth && begun_) push();
      begun_ = true;
      if (slice.levels[row] == 0) state_.reset();
      add(slice, row);
    }
    return status();
  }
  void end() override {
    values_.begin(1, sizeof(Value));
    if (begun_) push();
    begun_ = false;
  }
  void keep() override { state_.keep(); }

 private:
  using Value = typename State::Value;

  void add(const Slice& slice, uint32_t row) {
    if (filter_) {
      const ColumnView& view = slice.columns[*filter_];
      if (!view.is_valid(row) || static_cast<const uint8_t*>(view.data)[row] == 0) return;
    }
    state_.add(slice, row);
  }
  void push() {
    Value value;
    const bool valid = state_.value(value);
    values_.push(value, valid);
  }
  Status status() const {
    if (!state_.failed()) return {};
    return fail(FailureClass::kData, "reduce.overflow",
                "a sum does not fit in 128 bits: cast its argument to DOUBLE");
  }

  State state_;
  std::optional<uint32_t> filter_;
  bool begun_ = false;
};

template <typename State>
std::unique_ptr<Fold> make(State state, const WindowFunction& window, ColumnType type) {
  return std::make_unique<FoldOf<State>>(std::move(state), window.aggregate.filter,
                                         std::move(type));
}

ColumnType plain(Storage storage) {
  ColumnType type;
  type.storage = storage;
  type.width = batch::storage_width(storage);
  return type;
}

template <typename T>
std::unique_ptr<Fold> make_sum(const WindowFunction& window, const ColumnType& type) {
  const uint32_t column = window.aggregate.arguments[0];
  const bool average = window.aggregate.kind == AggregateKind::kAvg;
  if constexpr (std::is_floating_point_v<T>) {
    if (average) return make(RealState<T, true>{.column = column}, window, plain(Storage::kF64));
    return make(RealState<T, false>{.column = column}, window, plain(Storage::kF64));
  } else {
    if (!average)
      return make(IntegerState<T, false>{.column = column}, window, plain(Storage::kI128));
    int128 divisor = 1;
    for (int i = 0; i < type.decimal_scale; ++i) divisor *= 10;
    return make(IntegerState<T, true>{.column = column, .divisor = divisor}, window,
                plain(Storage::kF64));
  }
}

template <typename T>
std::unique_ptr<Fold> make_extreme(const WindowFunction& window, const ColumnType& type) {
  const uint32_t column = window.aggregate.arguments[0];
  if (window.aggregate.kind == AggregateKind::kMax)
    return make(ExtremeState<T, true>{.column = column}, window, type);
  return make(ExtremeState<T, false>{.column = column}, window, type);
}

template <typename T>
std::unique_ptr<Fold> make_picked(const WindowFunction& window, const ColumnType& type) {
  const uint64_t number = window.kind == WindowKind::kFirstValue  ? 1
                          : window.kind == WindowKind::kLastValue ? 0
                                                                  : window.number;
  return make(PickedState<T>{.column = window.aggregate.arguments[0],
                             .number = number,
                             .ignore_nulls = window.ignore_nulls},
              window, type);
}

/// `make.operator()<T>()` with the type of that storage.
template <typename Make>
std::unique_ptr<Fold> with_storage(Storage storage, Make make) {
  switch (storage) {
    case Storage::kI8:
      return make.template operator()<int8_t>();
    case Storage::kI16:
      return make.template operator()<int16_t>();
    case Storage::kI32:
      return make.template operator()<int32_t>();
    case Storage::kI64:
      return make.template operator()<int64_t>();
    case Storage::kI128:
      return make.template operator()<int128>();
    case Storage::kU8:
      return make.template operator()<uint8_t>();
    case Storage::kU16:
      return make.template operator()<uint16_t>();
    case Storage::kU32:
      return make.template operator()<uint32_t>();
    case Storage::kU64:
      return make.template operator()<uint64_t>();
    case Storage::kU128:
      return make.template operator()<batch::uint128>();
    case Storage::kInterval:
      return make.template operator()<Interval>();
    case Storage::kF32:
      return make.template operator()<float>();
    case Storage::kF64:
      return make.template operator()<double>();
    case Storage::kBytes:
      return make.template operator()<StringRef>();
    case Storage::kNull:
      break;
  }
  TG_ASSERT(!"no such fold");
  return nullptr;
}

}  // namespace

std::unique_ptr<Fold> Fold::create(const WindowFunction& window,
                                   const std::vector<ColumnType>& types) {
  const Aggregate& aggregate = window.aggregate;
  const bool rows = window.kind == WindowKind::kAggregate &&
                    (aggregate.kind == AggregateKind::kCountRows || aggregate.arguments.empty());
  if (rows) return make(CountState{.all = true}, window, plain(Storage::kI64));
  const ColumnType& type = types[aggregate.arguments[0]];
  if (window.kind != WindowKind::kAggregate)
    return with_storage(type.storage, [&]<typename T>() { return make_picked<T>(window, type); });
  switch (aggregate.kind) {
    case AggregateKind::kCount:
      return make(CountState{.column = aggregate.arguments[0]}, window, plain(Storage::kI64));
    case AggregateKind::kMin:
    case AggregateKind::kMax:
      return with_storage(type.storage,
                          [&]<typename T>() { return make_extreme<T>(window, type); });
    default:
      return with_storage(type.storage, [&]<typename T>() -> std::unique_ptr<Fold> {
        if constexpr (std::is_same_v<T, StringRef> || std::is_same_v<T, batch::uint128> ||
                      std::is_same_v<T, Interval>)
          return nullptr;
        else
          return make_sum<T>(window, type);
      });
  }
}

}  // namespace tidegate::reduce
