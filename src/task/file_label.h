#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tidegate {

/// Columns with the text of their value; nothing for NULL.
using LabelledValues = std::vector<std::pair<std::string, std::optional<std::string>>>;

/// A file's name is at most 255 bytes, and a generation's token and an ending belong to it.
inline constexpr size_t kFileLabelBytesMax = 160;

/// What the name of a published file says of its rows: `day=2001-06-30`, `day=2001-06-30+ok=true`.
/// Bytes but letters, digits, `.`, `_` and `-` are percent-encoded; a NULL is `day~null`. A label
/// that would be too long ends in `~` and half of its SHA-256. Different values have different
/// labels; neither `~` nor `+` nor `=` comes from a value.
std::string file_label(const LabelledValues& values);

}  // namespace tidegate
