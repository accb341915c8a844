#pragma once

#include <span>

#include "contract/codes.h"

namespace tidegate {

/// The rows of the table of codes, one function a range, each ordered by code.
std::span<const CodeInfo> shape_code_rows();
std::span<const CodeInfo> name_code_rows();
std::span<const CodeInfo> graph_code_rows();
std::span<const CodeInfo> sql_code_rows();
std::span<const CodeInfo> split_code_rows();
std::span<const CodeInfo> repeat_code_rows();
std::span<const CodeInfo> source_code_rows();
std::span<const CodeInfo> output_code_rows();
std::span<const CodeInfo> later_code_rows();

}  // namespace tidegate
