#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate {

/// A SQL identifier in double quotes, inner quotes doubled: always safe to splice.
std::string quote_identifier(std::string_view name);
/// A SQL string literal in single quotes, inner quotes doubled.
std::string quote_literal(std::string_view text);
/// A JSON string with its quotes; control characters escaped, invalid UTF-8 replaced by U+FFFD.
std::string quote_json(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
/// Edit distance with transpositions (Damerau-Levenshtein, optimal string alignment), ASCII case
/// ignored.
size_t edit_distance(std::string_view a, std::string_view b);
/// The candidate nearest to `name`, if near enough to be meant (distance <= 1 + length/4), else "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);
std::string to_lower_ascii(std::string_view text);
/// The number that a text begins with; 0 where it begins with none.
uint64_t to_u64(std::string_view text);
std::string first_line(std::string_view text);
/// With '.' for each control character but newline and tab, so that a terminal does nothing but
/// show it.
std::string without_control(std::string_view text);
bool is_valid_utf8(std::string_view text);
/// True where `path` matches the shell pattern (`*`, `?`, `[...]`; `**` crosses directories).
bool glob_match(std::string_view pattern, std::string_view path);

}  // namespace tidegate
