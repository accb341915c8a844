#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "contract/diagnostic.h"

namespace tidegate {

/// What a pipeline file may be at most.
inline constexpr size_t kYamlBytesMax = size_t{4} << 20;
inline constexpr size_t kYamlNodesMax = 100'000;
inline constexpr size_t kYamlDepthMax = 64;

enum class YamlKind : uint8_t { kScalar, kSequence, kMapping };
enum class YamlStyle : uint8_t { kPlain, kSingleQuoted, kDoubleQuoted, kLiteral, kFolded };

struct YamlNode;

/// A key of a mapping and its value. Keys are scalars.
struct YamlPair {
  std::string key;
  Span key_span;
  std::unique_ptr<YamlNode> value;
};

/// A node and the exact bytes it was written in: quotes, brackets and block indicators included,
/// comments and blank lines around it not.
struct YamlNode {
  YamlKind kind = YamlKind::kScalar;
  Span span;
  YamlStyle style = YamlStyle::kPlain;  ///< scalars
  std::string text;                     ///< scalars: the decoded value
  uint32_t written_end =
      0;                ///< scalars: span.end, or for block scalars with their last blank lines
  bool broken = false;  ///< already refused (an alias): say nothing more about it
  std::vector<std::unique_ptr<YamlNode>> items = {};  ///< sequences
  std::vector<YamlPair> pairs = {};                   ///< mappings, in file order

  bool is_plain() const { return kind == YamlKind::kScalar && style == YamlStyle::kPlain; }
  /// A value that was left out, `~` or `null`.
  bool is_null() const;
  /// The value of that key, or null.
  const YamlNode* find(std::string_view key) const;
};

/// Reads one YAML 1.1 document without anchors, aliases, tags and merge keys. All mistakes go to
/// `diagnostics`; the tree is what was understood (null if nothing was). A duplicate key is an
/// error, its first value is kept.
std::unique_ptr<YamlNode> parse_yaml(const SourceText& source, Diagnostics& diagnostics);

/// Maps a scalar's value back to the file: offsets[i] is the file offset of value byte i, and one
/// more entry stands for the end. `node` must come from parse_yaml over `source`.
std::vector<uint32_t> scalar_offsets(const SourceText& source, const YamlNode& node);

}  // namespace tidegate
