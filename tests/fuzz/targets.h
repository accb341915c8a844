#pragma once

#include <string_view>

namespace tidegate::fuzz {

// Each takes any bytes and aborts (an assertion, a sanitizer) where the code under it does not hold
// its promises for them. True if that code took the bytes for good: seeds must be.

/// A type's number, rows (u16), then a column's bytes for shuffle::ColumnCursor. What is accepted
/// must read alike in any steps, and come back from the encoder as it was. Numbers beyond the
/// types: the rest is a block for split_block.
bool block(std::string_view input);
/// A map output file, read as it is, and with the checksums of what it says made right, so that
/// what stands behind them is reached, too. Columns are read as of fuzz::file_types().
bool map_output(std::string_view input);
/// A type's number, then a nested value for batch::decode_value and canonical_value. What is
/// decoded must encode to a value with the same canonical form.
bool value(std::string_view input);
/// A pipeline file.
bool pipeline(std::string_view input);

}  // namespace tidegate::fuzz
