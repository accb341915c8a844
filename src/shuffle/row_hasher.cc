#include "shuffle/row_hasher.h"

namespace tidegate::shuffle {

Result<RowHasher> RowHasher::create(const std::vector<batch::ColumnType>& types,
                                    std::vector<HashKey> keys) {
  RowHasher out;
  for (const HashKey& key : keys) {
    TG_ASSIGN(auto hasher, batch::KeyHasher::create(types[key.column], key.type));
    out.hashers_.push_back(std::move(hasher));
  }
  out.keys_ = std::move(keys);
  return out;
}

Status RowHasher::hash(const batch::ColumnView* columns, size_t rows, uint64_t* hashes) const {
  for (size_t i = 0; i < hashers_.size(); ++i) {
    TG_TRY(hashers_[i].fold(columns[i], rows, i == 0, hashes));
  }
  return {};
}

Status RowHasher::add(const batch::ColumnView* columns, size_t rows, uint64_t& sum) {
  if (hashers_.size() == 1) return hashers_[0].sum(columns[0], rows, sum);
  if (hashes_.size() < rows) hashes_.resize(rows);
  TG_TRY(hash(columns, rows, hashes_.data()));
  for (size_t i = 0; i < rows; ++i) sum += hashes_[i];
  return {};
}

}  // namespace tidegate::shuffle
