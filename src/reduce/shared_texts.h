#pragma once

#include <cstdint>
#include <vector>

#include "reduce/group_table.h"

namespace tidegate::reduce {

/// Finds groups by the texts that rows share, where it is known what they are: each is looked up
/// once, in the order in which rows have them, so that groups are numbered as row by row.
class SharedTexts {
 public:
  /// As table.find_or_add, if the rows' only key is such a text; else false, and nothing is done.
  bool find_or_add(GroupTable& table, uint32_t keys, const batch::ColumnView* columns, size_t rows,
                   uint32_t* groups);
  /// At most, after so many rows at a time.
  static uint64_t bytes_max(size_t rows) {
    return (rows + 1) * (2 * sizeof(uint32_t) + sizeof(batch::StringRef) + 1);
  }
  uint64_t bytes() const {
    return (places_.capacity() + groups_.capacity()) * sizeof(uint32_t) +
           texts_.capacity() * sizeof(batch::StringRef) + valid_.capacity() * sizeof(uint64_t);
  }

 private:
  std::vector<uint32_t> places_;  ///< by code, then of NULL: among texts_
  // Those that rows have, in order.
  std::vector<batch::StringRef> texts_;
  std::vector<uint64_t> valid_;
  std::vector<uint32_t> groups_;
};

}  // namespace tidegate::reduce
