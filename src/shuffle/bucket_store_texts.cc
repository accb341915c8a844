#include <algorithm>
#include <cstring>

#include "shuffle/bucket_store.h"

namespace tidegate::shuffle {
namespace {

using batch::StringRef;

/// Of a text without a number. One that is longer is refused, as it is here.
uint32_t length_of(const StringRef& text) { return std::min(text.size, kPooledBit - 1); }

}  // namespace

void BucketStore::look_at_texts(Text& text, batch::ColumnView& view) {
  text.refs = static_cast<const StringRef*>(view.data);
  text.values.resize(std::max<size_t>(text.values.size(), rows_));
  text.places.resize(text.values.size());
  if (!text.pool || text.pool->is_closed()) {
    text.has_bytes = true;
    for (uint32_t i = 0; i < rows_; ++i) text.values[i] = length_of(text.refs[i]);
    return;
  }
  text.codes.resize(text.values.size());
  text.has_bytes = text.pool->code(text.refs, rows_, text.codes.data()) > 0;
  if (text.has_bytes) {
    for (uint32_t i = 0; i < rows_; ++i) {
      const uint16_t code = text.codes[i];
      text.values[i] = code == TextPool::kNoCode ? length_of(text.refs[i]) : code | kPooledBit;
    }
    return;
  }
  for (uint32_t i = 0; i < rows_; ++i) text.values[i] = text.codes[i] | kPooledBit;
  view.codes = text.codes.data();
  view.texts = text.pool->texts();
  view.text_count = text.pool->size();
}

/// The bytes of those that have no number.
void BucketStore::copy_texts(const Text& text, uint32_t index, const uint32_t* row_buckets,
                             uint32_t begin, uint32_t end) {
  for (uint32_t i = begin; i < end; ++i) {
    if (text.bytes(i) == 0) continue;
    const StringRef& ref = text.refs[i];
    char* to = arena(index, row_buckets[i]).bytes + text.places[i];
    if (ref.is_inline()) {
      std::memcpy(to, reinterpret_cast<const char*>(&ref) + 4, StringRef::kInlineMax);
    } else {
      std::memcpy(to, ref.pointer, ref.size);
    }
  }
}

}  // namespace tidegate::shuffle
