#include <cmath>

#include "duckdb.h"
#include "reduce/accumulator.h"
#include "reduce/emit.h"
#include "reduce/group_table.h"
#include "reduce/value_store.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

/// mode: of the most frequent values the one that came first.
class Mode final : public Accumulator {
 public:
  Mode(uint32_t column, const ColumnType& type)
      : column_(column), storage_(type.storage), values_(type) {
    ColumnType group;
    group.storage = Storage::kU32;
    group.meaning = batch::Meaning::kInteger;
    group.width = 4;
    pairs_ = GroupTable::create({group, type});
  }

  void grow(uint32_t groups) override { groups_ = groups; }
  Status update(const GroupedRows& in) override {
    const ColumnView& value = in.rows.column(column_);
    numbers_.resize(in.rows.rows);
    // Rows that are not counted make a pair too, of a count of zero: it is never the most frequent.
    const ColumnView columns[2] = {{.data = in.groups}, value};
    pairs_->find_or_add(columns, in.rows.rows, numbers_.data());
    counts_.grow(pairs_->size());
    firsts_.grow(pairs_->size());
    pair_groups_.grow(pairs_->size());
    values_.grow(pairs_->size());
    each_valid(
        in, value,
        [&](size_t row, uint32_t group) {
          const uint32_t pair = numbers_[row];
          if (counts_[pair] == 0) {
            pair_groups_[pair] = group;
            values_.set(pair, value, row);
            firsts_[pair] = next_++;
          } else if (is_nan(value, row)) {
            return;  // to DuckDB each of them is a value of its own here
          }
          ++counts_[pair];
        },
        [] {});
    return {};
  }
  Status emit(uint32_t begin, uint32_t count, duckdb_vector vector) override {
    if (best_.empty()) choose();
    ids_.assign(best_.begin() + begin, best_.begin() + begin + count);
    for (uint32_t& id : ids_)
      if (id == kNone) id = 0;
    if (counts_.size() > 0) TG_TRY(values_.emit(ids_.data(), count, vector));
    uint64_t* validity = nullptr;
    for (uint32_t i = 0; i < count; ++i)
      if (best_[begin + i] == kNone) set_null(vector, validity, i);
    return {};
  }
  uint64_t bytes() const override {
    return pairs_->bytes() + counts_.bytes() + firsts_.bytes() + pair_groups_.bytes() +
           values_.bytes() + uint64_t{groups_} * 4;
  }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    return pairs_->bytes_after(rows, text_bytes) + counts_.bytes_after(rows) +
           firsts_.bytes_after(rows) + pair_groups_.bytes_after(rows) + values_.bytes_after(rows) +
           text_bytes + (uint64_t{groups_} + rows) * 4;
  }
  void clear() override {
    pairs_->clear();
    counts_.clear();
    firsts_.clear();
    pair_groups_.clear();
    values_.clear();
    best_.clear();
    groups_ = 0;
    next_ = 0;
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  bool is_nan(const ColumnView& value, size_t row) const {
    if (storage_ == Storage::kF64) return std::isnan(static_cast<const double*>(value.data)[row]);
    return storage_ == Storage::kF32 && std::isnan(static_cast<const float*>(value.data)[row]);
  }
  void choose() {
    best_.assign(groups_, kNone);
    for (uint32_t pair = 0; pair < counts_.size(); ++pair) {
      if (counts_[pair] == 0) continue;
      uint32_t& best = best_[pair_groups_[pair]];
      if (best == kNone || counts_[pair] > counts_[best] ||
          (counts_[pair] == counts_[best] && firsts_[pair] < firsts_[best]))
        best = pair;
    }
  }

  uint32_t column_;
  Storage storage_;
  uint32_t groups_ = 0;
  std::unique_ptr<GroupTable> pairs_;
  PerGroup<uint64_t> counts_;  ///< by pair of group and value
  PerGroup<uint64_t> firsts_;
  PerGroup<uint32_t> pair_groups_;
  ValueStore values_;  ///< as the first row has them: the table forgets the sign of zero
  uint64_t next_ = 0;
  std::vector<uint32_t> best_;  ///< by group
  std::vector<uint32_t> numbers_;
  std::vector<uint32_t> ids_;
};

}  // namespace

std::unique_ptr<Accumulator> make_mode(uint32_t column, const ColumnType& type) {
  return std::make_unique<Mode>(column, type);
}

}  // namespace tidegate::reduce
