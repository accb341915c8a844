#pragma once

#include <string>

#include "reduce/group_table.h"
#include "reduce/key_words.h"
#include "reduce/records.h"

namespace tidegate::reduce {

/// Keys of any length: one text column as it is, else all columns one after the other. A slot has
/// 32 bits of the hash and the place of a record: the group, then the key's size and bytes. So a
/// row costs one look at the slots and one at a record, which are fetched some rows ahead. Up to
/// 12 bytes are compared as two words. What the first texts begin with (as URLs do) is kept once:
/// records of the rest are smaller.
class BytesTable final : public GroupTable {
 public:
  explicit BytesTable(std::vector<batch::ColumnType> types);

  void find_or_add(const batch::ColumnView* columns, size_t rows, uint32_t* groups) override;
  void find(const batch::ColumnView* columns, size_t rows, uint32_t* groups) override;
  uint32_t size() const override { return static_cast<uint32_t>(places_.size()); }
  uint64_t bytes() const override;
  uint64_t bytes_after(size_t rows, uint64_t text_bytes) const override;
  void emit(size_t key, const uint32_t* groups, uint32_t count,
            _duckdb_vector* vector) const override;
  /// Writes column `key` of one group to row `row` of a DuckDB vector, whose `validity` is null
  /// until it is needed.
  void emit_one(size_t key, uint32_t group, _duckdb_vector* vector, uint64_t*& validity,
                uint32_t row) const;
  void clear() override;

 private:
  struct Slot {
    /// The hash's upper half, which also says where the slot should be. Its last bit is that of
    /// the prefix.
    uint32_t tag = 0;
    uint32_t place_plus_one = 0;
  };
  /// How many rows are looked at together: their slots and records stay in the first-level cache.
  static constexpr size_t kStep = 64;
  // Of a record.
  static constexpr size_t kSizeAt = 4, kTextAt = 8;
  /// Of a record's group, which has 31 bits: the prefix stands before the text.
  static constexpr uint32_t kPrefixBit = uint32_t{1} << 31;
  static constexpr size_t kPrefixMin = 8, kPrefixMax = 16;

  template <bool kAdd>
  void look_up(const batch::ColumnView* columns, size_t rows, uint32_t* groups);
  void prefetch_slots(size_t begin, size_t end) const;
  void find_likely(size_t begin, size_t end);
  template <bool kAdd>
  uint32_t look_up(const Wide& key, uint32_t tag);
  uint32_t add(const Wide& key, uint32_t tag);
  uint32_t null_group(bool add);
  static bool is_same(const char* record, const Wide& key);
  static uint32_t group_of(const char* record);

  void grow();
  void view_texts(const batch::ColumnView& view, size_t rows);
  void choose_prefix(const batch::ColumnView& view, size_t rows);
  bool has_prefix(const batch::StringRef& text) const;
  void measure(const batch::ColumnView* columns, size_t rows);
  void serialise(const batch::ColumnView* columns, size_t rows);

  std::vector<batch::ColumnType> types_;
  bool is_text_ = false;
  int shift_ = 0;  ///< of a tag to its slot
  std::vector<Slot> slots_;
  Records records_;
  std::vector<uint32_t> places_;  ///< by group
  uint32_t null_group_ = kNoGroup;
  char prefix_[kPrefixMax] = {};
  size_t prefix_size_ = 0;
  // Of the current rows.
  std::vector<Wide> row_keys_;  ///< a StringRef's words
  std::vector<uint32_t> tags_;
  const char* likely_[2 * kStep];  ///< records of the next ones, or null
  std::string scratch_;
  std::vector<size_t> ends_;
};

}  // namespace tidegate::reduce
