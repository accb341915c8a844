#include "reduce/kernel.h"

#include <algorithm>
#include <numeric>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/group_table.h"
#include "reduce/interval_keys.h"
#include "reduce/shared_texts.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::RowsView;
using batch::Storage;
using batch::StringRef;

/// With less even few runs cannot be merged.
constexpr uint64_t kSpillBytesMin = uint64_t{2} << 20;

/// GROUP BY and DISTINCT.
class GroupKernel final : public Kernel {
 public:
  GroupKernel(const KernelSpec& spec, std::vector<ColumnType> types, uint64_t memory_bytes,
              const SpillSpace* spill)
      : Kernel(std::move(types), memory_bytes),
        keys_(spec.keys),
        intervals_(this->types(), spec.keys),
        table_(GroupTable::create(intervals_.table_types())) {
    uint64_t spilling = 0;
    for (const Aggregate& aggregate : spec.aggregates) spilling += can_spill(aggregate, spec.input);
    for (const Aggregate& aggregate : spec.aggregates) {
      if (!spill || !can_spill(aggregate, spec.input)) {
        accumulators_.push_back(Accumulator::create(aggregate, this->types(), states_));
        continue;
      }
      SpillSpace share = *spill;
      share.memory_bytes =
          std::max(share.memory_bytes / std::max<uint64_t>(spilling, 1), kSpillBytesMin);
      if (spill->stage_memory)
        share.stage_memory = [stage = spill->stage_memory, spilling](uint64_t bytes,
                                                                     uint64_t result) {
          return stage(bytes * spilling, result);
        };
      accumulators_.push_back(
          make_spilling(aggregate, spec.input, this->types(), std::move(share)));
    }
  }

  uint64_t finish() override {
    // Without keys there is one row, also of nothing.
    if (keys_ == 0 && table_->size() == 0) {
      const std::vector<batch::ColumnView> columns(types().size());
      const uint32_t none = 0;
      const GroupedRows nothing{.rows = {columns.data(), 0}, .groups = &none, .picked = &none};
      states_.grow(1);
      for (const auto& accumulator : accumulators_) {
        accumulator->grow(1);
        (void)accumulator->update(nothing);
      }
      return 1;
    }
    return table_->size();
  }

  Status emit(uint64_t begin, uint32_t count, const std::vector<uint32_t>& columns,
              duckdb_data_chunk chunk) override {
    ids_.resize(count);
    std::iota(ids_.begin(), ids_.end(), static_cast<uint32_t>(begin));
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i] == UINT32_MAX) continue;
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
      if (columns[i] < keys_) {
        table_->emit(columns[i], ids_.data(), count, vector);
        intervals_.emit(columns[i], static_cast<uint32_t>(begin), count, vector);
      } else {
        TG_TRY(
            accumulators_[columns[i] - keys_]->emit(static_cast<uint32_t>(begin), count, vector));
      }
    }
    return {};
  }

  uint32_t emit_max(uint64_t begin, uint32_t count) const override {
    for (const auto& accumulator : accumulators_)
      count = accumulator->emit_max(static_cast<uint32_t>(begin), count);
    return count;
  }

  void clear() override {
    table_->clear();
    intervals_.clear();
    states_.clear();
    for (const auto& accumulator : accumulators_) accumulator->clear();
  }

 protected:
  Status take(const RowsView& rows) override {
    groups_.resize(rows.rows);
    const uint32_t before = table_->size();
    const batch::ColumnView* keys = intervals_.table_columns(rows);
    if (!texts_.find_or_add(*table_, keys_, keys, rows.rows, groups_.data()))
      table_->find_or_add(keys, rows.rows, groups_.data());
    intervals_.take(rows, groups_.data(), table_->size());
    states_.grow(table_->size());
    if (!states_.is_far()) return update({.rows = rows, .groups = groups_.data()}, table_->size());
    return update_in_steps(rows, before);
  }
  uint64_t bytes() const override {
    uint64_t bytes = table_->bytes() + texts_.bytes() + intervals_.bytes() + states_.bytes();
    for (const auto& accumulator : accumulators_) bytes += accumulator->bytes();
    return bytes;
  }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    uint64_t bytes = table_->bytes_after(rows, text_bytes) + SharedTexts::bytes_max(rows) +
                     intervals_.bytes_after(rows) + states_.bytes_after(rows);
    for (const auto& accumulator : accumulators_)
      bytes += accumulator->bytes_after(rows, text_bytes);
    return bytes;
  }

 private:
  static constexpr size_t kStepRows = 256;

  Status update(const GroupedRows& rows, uint32_t groups) {
    for (const auto& accumulator : accumulators_) {
      accumulator->grow(groups);
      TG_TRY(accumulator->update(rows));
    }
    return {};
  }
  /// Some rows at a time, whose states are fetched while those before are changed: what one
  /// accumulator has fetched is there for the next. There were `groups` before these rows.
  Status update_in_steps(const RowsView& rows, uint32_t groups) {
    const uint32_t* of = groups_.data();
    states_.prefetch(of, std::min(kStepRows, rows.rows));
    for (size_t begin = 0; begin < rows.rows; begin += kStepRows) {
      const size_t end = std::min(begin + kStepRows, rows.rows);
      states_.prefetch(of + end, std::min(kStepRows, rows.rows - end));
      step_.resize(types().size());
      for (size_t i = 0; i < step_.size(); ++i)
        step_[i] = rows.column(i).from(begin, batch::slot_bytes(types()[i]));
      // Groups are numbered as they come.
      for (size_t row = begin; row < end; ++row) groups = std::max(groups, of[row] + 1);
      TG_TRY(update({.rows = {step_.data(), end - begin}, .groups = of + begin}, groups));
    }
    return {};
  }

  uint32_t keys_;
  IntervalKeys intervals_;
  std::unique_ptr<GroupTable> table_;
  SharedTexts texts_;
  StateRows states_;
  std::vector<std::unique_ptr<Accumulator>> accumulators_;
  std::vector<batch::ColumnView> step_;  ///< of some of the current rows
  std::vector<uint32_t> groups_;
  std::vector<uint32_t> ids_;
};

/// The first rows of each group by an order. Rows that compare equal stand as they came.
class TopKernel final : public Kernel {
 public:
  TopKernel(const KernelSpec& spec, std::vector<ColumnType> types, uint64_t memory_bytes)
      : Kernel(std::move(types), memory_bytes),
        keys_(spec.keys),
        limit_(static_cast<uint32_t>(spec.limit)),
        intervals_(this->types(), spec.keys),
        table_(GroupTable::create(intervals_.table_types())) {
    for (const OrderColumn& order : spec.order)
      if (order.column >= keys_) order_.push_back(order);  // a key does not order its own group
    for (uint32_t i = 0; i < this->types().size(); ++i) {
      const ColumnType& type = this->types()[i];
      // The table gives keys back, but for the sign of zero and the forms of intervals.
      const bool in_table = i < keys_ && type.storage != Storage::kF32 &&
                            type.storage != Storage::kF64 && type.storage != Storage::kInterval;
      stores_.push_back(in_table ? nullptr : std::make_unique<ValueStore>(type));
    }
  }

  uint64_t finish() override {
    rows_.clear();
    for (uint32_t group = 0; group < table_->size(); ++group)
      for (uint32_t i = 0; i < held_[group]; ++i) rows_.push_back(group * limit_ + i);
    return rows_.size();
  }

  Status emit(uint64_t begin, uint32_t count, const std::vector<uint32_t>& columns,
              duckdb_data_chunk chunk) override {
    const uint32_t* rows = rows_.data() + begin;
    ids_.resize(count);
    for (uint32_t i = 0; i < count; ++i) ids_[i] = rows[i] / limit_;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i] == UINT32_MAX) continue;
      duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
      if (const auto& store = stores_[columns[i]]) {
        TG_TRY(store->emit(rows, count, vector));
      } else {
        table_->emit(columns[i], ids_.data(), count, vector);
      }
    }
    return {};
  }

  void clear() override {
    table_->clear();
    held_.clear();
    arrival_.clear();
    rows_.clear();
    next_arrival_ = 0;
    nulls_in_order_ = false;
    for (const auto& store : stores_)
      if (store) store->clear();
  }

 protected:
  Status take(const RowsView& rows) override {
    groups_.resize(rows.rows);
    const batch::ColumnView* keys = intervals_.table_columns(rows);
    if (!texts_.find_or_add(*table_, keys_, keys, rows.rows, groups_.data()))
      table_->find_or_add(keys, rows.rows, groups_.data());
    const uint32_t groups = table_->size();
    held_.grow(groups);
    if (limit_ > 1) arrival_.grow(groups * limit_);
    for (const auto& store : stores_)
      if (store) store->grow(groups * limit_);
    slots_.clear();
    taken_.clear();
    if (!choose_by_one_column(rows)) choose(rows);
    for (size_t i = 0; i < stores_.size(); ++i)
      if (stores_[i])
        stores_[i]->set_each(slots_.data(), taken_.data(), slots_.size(), rows.column(i));
    return {};
  }
  uint64_t bytes() const override {
    uint64_t bytes =
        table_->bytes() + texts_.bytes() + intervals_.bytes() + held_.bytes() + arrival_.bytes();
    for (const auto& store : stores_)
      if (store) bytes += store->bytes();
    return bytes + uint64_t{table_->size()} * limit_ * 4;
  }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    const size_t slots = rows * limit_;
    uint64_t bytes = table_->bytes_after(rows, text_bytes) + SharedTexts::bytes_max(rows) +
                     intervals_.bytes_after(rows) + held_.bytes_after(rows) +
                     (limit_ > 1 ? arrival_.bytes_after(slots) : 0) + 2 * text_bytes;
    for (const auto& store : stores_)
      if (store) bytes += store->bytes_after(slots);
    return bytes + (uint64_t{table_->size()} * limit_ + slots) * 4;
  }

 private:
  void put(uint32_t slot, size_t row) {
    slots_.push_back(slot);
    taken_.push_back(static_cast<uint32_t>(row));
  }
  /// Finds the rows that stay, for now, and their slots; a later one takes the slot of an earlier.
  void choose(const RowsView& rows) {
    for (size_t row = 0; row < rows.rows; ++row) {
      const uint32_t group = groups_[row];
      uint32_t slot = group * limit_;
      if (held_[group] < limit_) {
        slot += held_[group]++;
      } else {
        if (limit_ > 1) slot = worst_of(slot);
        if (compare(slot, rows, row) <= 0) continue;
      }
      if (limit_ > 1) arrival_[slot] = next_arrival_++;
      for (const OrderColumn& order : order_)
        stores_[order.column]->set(slot, rows.column(order.column), row);
      put(slot, row);
    }
  }
  /// The same for the one first row by one whole number that is never NULL; false if it is not so.
  bool choose_by_one_column(const RowsView& rows) {
    if (limit_ != 1 || order_.size() != 1) return false;
    nulls_in_order_ |= rows.column(order_[0].column).validity != nullptr;
    if (nulls_in_order_) return false;
    switch (types()[order_[0].column].storage) {
      case Storage::kI32:
        choose_by<int32_t>(rows);
        return true;
      case Storage::kU32:
        choose_by<uint32_t>(rows);
        return true;
      case Storage::kI64:
        choose_by<int64_t>(rows);
        return true;
      case Storage::kU64:
        choose_by<uint64_t>(rows);
        return true;
      default:
        return false;
    }
  }
  template <typename T>
  void choose_by(const RowsView& rows) {
    const uint32_t column = order_[0].column;
    const T* from = static_cast<const T*>(rows.column(column).data);
    T* best = stores_[column]->values<T>();
    uint32_t* held = held_.data();
    const bool descending = order_[0].descending;
    for (size_t row = 0; row < rows.rows; ++row) {
      const uint32_t group = groups_[row];
      const bool better = descending ? from[row] > best[group] : from[row] < best[group];
      if (held[group] != 0 && !better) continue;
      held[group] = 1;
      best[group] = from[row];
      put(group, row);
    }
  }
  /// Below zero if the stored row stands before this one, zero if neither does.
  int compare(uint32_t slot, const RowsView& rows, size_t row) const {
    for (const OrderColumn& order : order_) {
      const ValueStore& store = *stores_[order.column];
      const batch::ColumnView& column = rows.column(order.column);
      const int result = with_nulls(order, store.is_null(slot), !column.is_valid(row),
                                    [&] { return store.compare(slot, column, row); });
      if (result != 0) return result;
    }
    return 0;
  }
  int compare_slots(uint32_t left, uint32_t right) const {
    for (const OrderColumn& order : order_) {
      const ValueStore& store = *stores_[order.column];
      const int result = with_nulls(order, store.is_null(left), store.is_null(right),
                                    [&] { return store.compare(left, right); });
      if (result != 0) return result;
    }
    return 0;
  }
  template <typename Compare>
  static int with_nulls(const OrderColumn& order, bool left, bool right, Compare compare) {
    if (left || right) {
      if (left && right) return 0;
      return left == order.nulls_first ? -1 : 1;
    }
    const int result = compare();
    return order.descending ? -result : result;
  }
  uint32_t worst_of(uint32_t first) const {
    uint32_t worst = first;
    for (uint32_t slot = first + 1; slot < first + limit_; ++slot) {
      const int order = compare_slots(worst, slot);
      if (order < 0 || (order == 0 && arrival_[slot] > arrival_[worst])) worst = slot;
    }
    return worst;
  }

  uint32_t keys_;
  uint32_t limit_;
  std::vector<OrderColumn> order_;
  IntervalKeys intervals_;
  std::unique_ptr<GroupTable> table_;
  SharedTexts texts_;
  std::vector<std::unique_ptr<ValueStore>> stores_;  ///< by column; null: the table has it
  PerGroup<uint32_t> held_;
  PerGroup<uint64_t> arrival_;  ///< by slot
  uint64_t next_arrival_ = 0;
  std::vector<uint32_t> rows_;  ///< slots in the result's order
  bool nulls_in_order_ = false;
  std::vector<uint32_t> slots_, taken_;  ///< of the current rows: where they go, and which
  std::vector<uint32_t> groups_;
  std::vector<uint32_t> ids_;
};

}  // namespace

std::unique_ptr<Kernel> Kernel::create(const KernelSpec& spec, std::vector<ColumnType> types,
                                       uint64_t memory_bytes, const SpillSpace* spill) {
  if (spec.kind == KernelSpec::Kind::kTop)
    return std::make_unique<TopKernel>(spec, std::move(types), memory_bytes);
  return std::make_unique<GroupKernel>(spec, std::move(types), memory_bytes, spill);
}

Result<bool> Kernel::consume(const RowsView& rows) {
  uint64_t text_bytes = 0;
  for (size_t i = 0; i < types_.size(); ++i) {
    if (types_[i].storage != Storage::kBytes) continue;
    const StringRef* texts = static_cast<const StringRef*>(rows.column(i).data);
    for (size_t row = 0; row < rows.rows; ++row)
      if (rows.column(i).is_valid(row)) text_bytes += texts[row].size + 16;
  }
  if (bytes_after(rows.rows, text_bytes) > memory_bytes_) return false;
  TG_TRY(take(rows));
  peak_bytes_ = std::max(peak_bytes_, bytes());
  return true;
}

}  // namespace tidegate::reduce
