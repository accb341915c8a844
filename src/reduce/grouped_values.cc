#include "reduce/grouped_values.h"

#include <cstring>

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;
using batch::StringRef;

/// Of a text that does not lie in its slot.
uint64_t long_text_bytes(const ColumnView& column, size_t row) {
  if (!column.is_valid(row)) return 0;
  const StringRef& text = static_cast<const StringRef*>(column.data)[row];
  return text.is_inline() ? 0 : text.size;
}

}  // namespace

GroupedValues::GroupedValues(Rules rules, const sql::Schema& schema,
                             const std::vector<ColumnType>& input, SpillSpace space)
    : rules_(std::move(rules)), space_(std::move(space)) {
  ColumnType number;
  number.storage = Storage::kU32;
  number.meaning = batch::Meaning::kInteger;
  number.width = 4;
  number.text = "UINTEGER";
  schema_.push_back({"g", number.text});
  types_.push_back(number);
  for (const uint32_t column : rules_.columns) {
    schema_.push_back({"c" + std::to_string(schema_.size()), schema[column].type});
    types_.push_back(input[column]);
  }
  is_text_ = types_[1].storage == Storage::kBytes;
  if (rules_.arrivals) {
    number.storage = Storage::kU64;
    number.width = 8;
    number.text = "UBIGINT";
    schema_.push_back({"n", number.text});
    types_.push_back(number);
  }
  values_.resize(rules_.columns.size());
  validity_.resize(rules_.columns.size());
}

Status GroupedValues::open() {
  sort::SortOrder order{{.column = 0}};
  for (sort::SortColumn by : rules_.order) {
    ++by.column;
    order.push_back(by);
  }
  if (!maker_) {
    TG_ASSIGN(maker_, sort::KeyMaker::create(types_, order));
  }
  TG_ASSIGN(sort_, sort::ExternalSort::create(*space_.effects, schema_, types_, order,
                                              {space_.memory_bytes, space_.directory}));
  return {};
}

Status GroupedValues::add(const GroupedRows& in) {
  picked_.clear();
  const ColumnView* filter = rules_.filter ? &in.rows.column(*rules_.filter) : nullptr;
  const ColumnView* value = rules_.skip_null ? &in.rows.column(rules_.columns[0]) : nullptr;
  each_row(in, [&](size_t row, uint32_t group) {
    if (filter && !(filter->is_valid(row) && static_cast<const bool*>(filter->data)[row])) return;
    if (value && !value->is_valid(row)) return;
    picked_.push_back(static_cast<uint32_t>(row));
    ++sizes_[group];
    if (is_text_) text_bytes_[group] += long_text_bytes(in.rows.column(rules_.columns[0]), row);
  });
  if (picked_.empty()) return {};
  if (!sort_) TG_TRY(open());
  groups_.resize(picked_.size());
  for (size_t i = 0; i < picked_.size(); ++i) groups_[i] = in.groups[picked_[i]];
  in_.assign(1, {.data = groups_.data()});
  for (size_t place = 0; place < rules_.columns.size(); ++place)
    in_.push_back(gather(in.rows.column(rules_.columns[place]), place));
  if (rules_.arrivals) {
    arrivals_.resize(picked_.size());
    for (uint64_t& arrival : arrivals_) arrival = arrived_++;
    in_.push_back({.data = arrivals_.data()});
  }
  return sort_->add({in_.data(), picked_.size()});
}

ColumnView GroupedValues::gather(const ColumnView& from, size_t place) {
  const ColumnType& type = types_[place + 1];
  const size_t width = batch::slot_bytes(type);
  std::vector<char>& values = values_[place];
  values.resize(picked_.size() * width);
  for (size_t i = 0; i < picked_.size(); ++i)
    std::memcpy(values.data() + i * width, static_cast<const char*>(from.data) + picked_[i] * width,
                width);
  if (from.validity == nullptr) return {.data = values.data()};
  std::vector<uint64_t>& valid = validity_[place];
  valid.assign((picked_.size() + 63) / 64, 0);
  for (size_t i = 0; i < picked_.size(); ++i)
    if (from.is_valid(picked_[i])) valid[i / 64] |= uint64_t{1} << (i % 64);
  return {.data = values.data(), .validity = valid.data()};
}

/// The next block and the keys of its rows; no rows at the end.
Status GroupedValues::load() {
  row_ = 0;
  if (!sort_) return {};
  if (!reads_) {
    reads_ = true;
    TG_TRY(sort_->finish());
  }
  if (rows_ > 0) last_key_ = keys_.key(rows_ - 1);
  TG_ASSIGN(rows_, sort_->next(views_));
  if (rows_ == 0) return {};
  maker_->make({views_.data(), rows_}, 0, rows_, keys_);
  is_new_ = keys_.key(0) != last_key_;  // no key is empty
  return {};
}

Result<bool> GroupedValues::step() {
  ++row_;
  if (row_ >= rows_) {
    TG_TRY(load());
    return rows_ > 0;
  }
  is_new_ = keys_.key(row_) != keys_.key(row_ - 1);
  return true;
}

Result<uint32_t> GroupedValues::next_block(std::vector<uint32_t>& fresh) {
  TG_TRY(load());
  fresh.clear();
  for (uint32_t row = 0; row < rows_; ++row)
    if (row == 0 ? is_new_ : keys_.key(row) != keys_.key(row - 1)) fresh.push_back(row);
  return rows_;
}

void GroupedValues::clear() {
  sizes_.clear();
  text_bytes_.clear();
  sort_.reset();
  arrived_ = 0;
  reads_ = false;
  rows_ = row_ = 0;
  last_key_.clear();
}

}  // namespace tidegate::reduce
