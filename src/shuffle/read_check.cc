#include "shuffle/read_check.h"

#include <fmt/format.h>

#include "base/text.h"

namespace tidegate::shuffle {

Status ReadCheck::open(const MapOutputFile& file, const std::vector<batch::ColumnType>& types) {
  *this = {};
  TG_ASSIGN(auto keys, file.keys());
  auto hasher = RowHasher::create(types, std::move(keys));
  // Its writer could.
  if (!hasher) return file.torn("its keys: " + hasher.error().message);
  hasher_ = std::move(*hasher);
  return {};
}

void ReadCheck::begin(const BucketEntry& entry) {
  wanted_ = entry;
  rows_ = keys_ = 0;
}

Status ReadCheck::add(const batch::ColumnView* columns, size_t rows) {
  rows_ += rows;
  if (!hasher_.has_keys()) return {};
  return hasher_.add(columns, rows, keys_);
}

Status ReadCheck::end(const MapOutputFile& file) {
  if (rows_ == wanted_.rows && keys_ == wanted_.keys) return {};
  const std::string what = rows_ != wanted_.rows
                               ? fmt::format("{} rows instead of {}", rows_, wanted_.rows)
                               : "other keys than were written";
  return fail(FailureClass::kLost, "shuffle.rows",
              fmt::format("bucket {} of a map output was read with {}: {}", wanted_.bucket, what,
                          quote_json(file.path())));
}

}  // namespace tidegate::shuffle
