#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

namespace tidegate {

/// What docs/errors.md says of failures. The page is part of the program
/// (cmake/failure_codes.cmake), so that what a person reads there and what a command says is one
/// text.

/// A row of the table of codes. Texts are Markdown as written there.
struct FailureCodeInfo {
  std::string code;     ///< "disk.no_space"
  std::string classes;  ///< "data", "memory, defect"
  std::string what;     ///< what it is
  std::string advice;   ///< what a person should do
};

/// A row of the table of classes.
struct FailureClassInfo {
  FailureClass cls = FailureClass::kDefect;
  std::string what;      ///< what it is
  std::string reaction;  ///< what the system does by itself
  std::string advice;    ///< what a person should do
};

/// All codes in order.
const std::vector<FailureCodeInfo>& failure_codes();

/// The row of a code; nullptr for one that is not listed: a defect that asks to be reported.
const FailureCodeInfo* find_failure_code(std::string_view code);

const FailureClassInfo& about(FailureClass cls);

/// What a code's class follows from, e.g. "the type of DuckDB's error"; "what the program saw" for
/// codes that are not listed.
std::string_view evidence_of(std::string_view code);

/// What a person should do about a failure of that code: never empty.
std::string_view advice_for(std::string_view code);

}  // namespace tidegate
