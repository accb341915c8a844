#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "contract/yaml_tree.h"

namespace tidegate {

/// Decodes the scalar written at text[begin, end) by the rules of YAML 1.1 as libyaml reads them
/// and returns where each byte of `value` (what libyaml made of it) came from: one entry a byte and
/// one for the end. An escape's bytes all come from its backslash; a folded line break's blank
/// comes from where the line's text ended. Nothing if the decoded text is not `value`.
std::optional<std::vector<uint32_t>> map_scalar(std::string_view text, uint32_t begin, uint32_t end,
                                                YamlStyle style, std::string_view value);

}  // namespace tidegate
