#include "reduce/group_table.h"

#include <algorithm>

#include "reduce/bytes_table.h"
#include "reduce/fixed_table.h"
#include "reduce/short_text_table.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnType;
using batch::ColumnView;
using batch::Storage;

constexpr uint32_t kNoGroup = GroupTable::kNoGroup;

/// No keys: all rows are one group.
class OneGroup final : public GroupTable {
 public:
  void find_or_add(const ColumnView*, size_t rows, uint32_t* groups) override {
    if (rows > 0) size_ = 1;
    std::fill(groups, groups + rows, 0);
  }
  void find(const ColumnView*, size_t rows, uint32_t* groups) override {
    std::fill(groups, groups + rows, size_ == 0 ? kNoGroup : 0);
  }
  uint32_t size() const override { return size_; }
  uint64_t bytes() const override { return 0; }
  uint64_t bytes_after(size_t, uint64_t) const override { return 0; }
  void emit(size_t, const uint32_t*, uint32_t, _duckdb_vector*) const override {}
  void clear() override { size_ = 0; }

 private:
  uint32_t size_ = 0;
};

}  // namespace

std::unique_ptr<GroupTable> GroupTable::create(std::vector<ColumnType> keys) {
  if (keys.empty()) return std::make_unique<OneGroup>();
  uint32_t width = 0;
  bool fixed = keys.size() <= 8;
  std::vector<KeyPart> parts;
  for (const ColumnType& key : keys) {
    fixed &= key.storage != Storage::kBytes && key.width > 0;
    parts.push_back({key.storage, width, key.width});
    width += key.width;
  }
  if (fixed && keys.size() == 1 && width <= 8)
    return std::make_unique<FixedTable<uint64_t>>(std::move(parts), -1);
  if (fixed && width < 8)
    return std::make_unique<FixedTable<uint64_t>>(std::move(parts), static_cast<int>(width));
  if (fixed && keys.size() == 1) return std::make_unique<FixedTable<Wide>>(std::move(parts), -1);
  if (fixed && width < 16)
    return std::make_unique<FixedTable<Wide>>(std::move(parts), static_cast<int>(width));
  if (auto short_texts = make_short_text_table(keys)) return short_texts;
  return std::make_unique<BytesTable>(std::move(keys));
}

}  // namespace tidegate::reduce
