#include "reduce/shared_texts.h"

namespace tidegate::reduce {

bool SharedTexts::find_or_add(GroupTable& table, uint32_t keys, const batch::ColumnView* columns,
                              size_t rows, uint32_t* groups) {
  if (keys != 1 || !columns[0].shares_texts(rows)) return false;
  constexpr uint32_t kUnseen = UINT32_MAX;
  const batch::ColumnView& key = columns[0];
  const uint32_t null = key.text_count;
  places_.assign(size_t{key.text_count} + 1, kUnseen);
  texts_.clear();
  valid_.assign((key.text_count + 64) / 64, ~uint64_t{0});
  for (size_t row = 0; row < rows; ++row) {
    const uint32_t code = key.is_valid(row) ? key.codes[row] : null;
    groups[row] = code;
    if (places_[code] != kUnseen) continue;
    const auto place = static_cast<uint32_t>(texts_.size());
    places_[code] = place;
    texts_.push_back(code == null ? batch::StringRef{} : key.texts[code]);
    if (code == null) valid_[place / 64] ^= uint64_t{1} << (place % 64);
  }
  groups_.resize(texts_.size());
  const batch::ColumnView view{.data = texts_.data(),
                               .validity = places_[null] == kUnseen ? nullptr : valid_.data()};
  table.find_or_add(&view, texts_.size(), groups_.data());
  for (size_t row = 0; row < rows; ++row) groups[row] = groups_[places_[groups[row]]];
  return true;
}

}  // namespace tidegate::reduce
