#include "batch/value_codec.h"
#include "targets.h"
#include "typed_chunk.h"

namespace tidegate::fuzz {

bool value(std::string_view input) {
  if (input.empty() || static_cast<uint8_t>(input[0]) >= value_types().size()) return false;
  TypedChunk& chunk = chunk_of(value_types(), static_cast<uint8_t>(input[0]));
  const batch::ColumnType& type = chunk.types()[0];
  const std::string encoded(input.substr(1));
  const auto canonical = batch::canonical_value(type, encoded);
  TG_ASSERT(canonical || canonical.error().cls == FailureClass::kLost);
  chunk.reset();
  // Twice, in rows that are not the first: elements must not lie over each other.
  bool good = true;
  for (const size_t row : {2, 5}) {
    const auto decoded = batch::decode_value(type, encoded, chunk.vector(0), row);
    TG_ASSERT(decoded || decoded.error().cls == FailureClass::kLost);
    good = good && decoded;
  }
  if (!good) return false;
  TG_ASSERT(canonical);
  for (const size_t row : {2, 5}) {
    const auto back = batch::canonical_value(type, chunk.value(0, row));
    TG_ASSERT(back && *back == *canonical);
  }
  return true;
}

}  // namespace tidegate::fuzz
