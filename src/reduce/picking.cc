#include <cstring>

#include "reduce/accumulator.h"
#include "reduce/group_table.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

class Picking final : public Accumulator {
 public:
  Picking(std::unique_ptr<Accumulator> inner, std::optional<uint32_t> filter,
          const std::vector<uint32_t>& distinct, bool nulls, const std::vector<ColumnType>& input)
      : inner_(std::move(inner)), filter_(filter), nulls_(nulls) {
    if (distinct.empty()) return;
    ColumnType group;
    group.storage = Storage::kU32;
    group.meaning = batch::Meaning::kInteger;
    group.width = 4;
    std::vector<ColumnType> keys{group};
    for (const uint32_t column : distinct) {
      const ColumnType& type = input[column];
      keys.push_back(type);
      parts_.push_back({.column = column, .width = batch::slot_bytes(type)});
    }
    seen_ = GroupTable::create(std::move(keys));
  }

  void grow(uint32_t groups) override { inner_->grow(groups); }
  Status update(const GroupedRows& in) override {
    picked_.clear();
    const ColumnView* filter = filter_ ? &in.rows.column(*filter_) : nullptr;
    const bool* passes = filter ? static_cast<const bool*>(filter->data) : nullptr;
    // To the other aggregates that can be DISTINCT a NULL is no value.
    const ColumnView* value =
        parts_.size() == 1 && !nulls_ ? &in.rows.column(parts_[0].column) : nullptr;
    each_row(in, [&](size_t row, uint32_t) {
      if (filter && !(filter->is_valid(row) && passes[row])) return;
      if (value && !value->is_valid(row)) return;
      picked_.push_back(static_cast<uint32_t>(row));
    });
    if (seen_) keep_new(in);
    GroupedRows out = in;
    out.picked = picked_.data();
    out.picked_count = picked_.size();
    static const uint32_t kNone = 0;
    if (picked_.empty()) out.picked = &kNone;
    return inner_->update(out);
  }
  Status emit(uint32_t begin, uint32_t count, _duckdb_vector* vector) override {
    return inner_->emit(begin, count, vector);
  }
  uint64_t bytes() const override { return inner_->bytes() + (seen_ ? seen_->bytes() : 0); }
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override {
    return inner_->bytes_after(rows, text_bytes) +
           (seen_ ? seen_->bytes_after(rows, text_bytes) : 0);
  }
  void clear() override {
    inner_->clear();
    if (seen_) seen_->clear();
  }

 private:
  struct Part {
    uint32_t column = 0;
    size_t width = 0;
    std::vector<char> values = {};  ///< of the picked rows, where not all are
    std::vector<uint64_t> valid = {};
  };

  /// Leaves the picked rows whose group and value were not there before.
  void keep_new(const GroupedRows& in) {
    numbers_.resize(in.rows.rows);
    columns_.clear();
    uint32_t next = seen_->size();
    if (picked_.size() == in.rows.rows) {
      columns_.push_back({.data = in.groups});
      for (const Part& part : parts_) columns_.push_back(in.rows.column(part.column));
    } else {
      // Rows that are not picked must leave no trace: look at the others only.
      groups_.resize(picked_.size());
      for (size_t i = 0; i < picked_.size(); ++i) groups_[i] = in.groups[picked_[i]];
      columns_.push_back({.data = groups_.data()});
      for (Part& part : parts_) columns_.push_back(gather(in.rows.column(part.column), part));
    }
    seen_->find_or_add(columns_.data(), picked_.size(), numbers_.data());
    size_t kept = 0;
    for (size_t i = 0; i < picked_.size(); ++i) {
      // New ones are numbered in the order of rows: the first row of each is the next number.
      if (numbers_[i] != next) continue;
      ++next;
      picked_[kept++] = picked_[i];
    }
    picked_.resize(kept);
  }

  ColumnView gather(const ColumnView& from, Part& part) const {
    part.values.resize(picked_.size() * part.width);
    for (size_t i = 0; i < picked_.size(); ++i)
      std::memcpy(part.values.data() + i * part.width,
                  static_cast<const char*>(from.data) + picked_[i] * part.width, part.width);
    if (from.validity == nullptr) return {.data = part.values.data()};
    part.valid.assign((picked_.size() + 63) / 64, 0);
    for (size_t i = 0; i < picked_.size(); ++i)
      if (from.is_valid(picked_[i])) part.valid[i / 64] |= uint64_t{1} << (i % 64);
    return {.data = part.values.data(), .validity = part.valid.data()};
  }

  std::unique_ptr<Accumulator> inner_;
  std::optional<uint32_t> filter_;
  bool nulls_;
  std::vector<Part> parts_;
  std::unique_ptr<GroupTable> seen_;  ///< of DISTINCT: group and value
  std::vector<uint32_t> picked_;
  std::vector<uint32_t> numbers_;
  std::vector<uint32_t> groups_;
  std::vector<ColumnView> columns_;
};

}  // namespace

std::unique_ptr<Accumulator> make_picking(std::unique_ptr<Accumulator> inner,
                                          std::optional<uint32_t> filter,
                                          const std::vector<uint32_t>& distinct, bool nulls,
                                          const std::vector<ColumnType>& input) {
  return std::make_unique<Picking>(std::move(inner), filter, distinct, nulls, input);
}

}  // namespace tidegate::reduce
