#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contract/contract.h"
#include "contract/diagnostic.h"
#include "contract/yaml_tree.h"

namespace tidegate {

/// A key that the design has and this version does not.
struct NotYetKey {
  std::string_view key;
  const char* code;
  std::string_view message;  ///< after "`key` is not supported yet: "
};

/// Reads typed values out of YAML nodes. Each reader adds its own diagnostics and returns nothing
/// when the value cannot be used; a node that was refused before is passed over in silence. `what`
/// names the field in messages ("memory").
class Fields {
 public:
  Fields(const SourceText& source, Diagnostics& diagnostics)
      : source_(source), diagnostics_(diagnostics) {}

  void error(const char* code, Span span, std::string message, std::string label = {},
             std::string help = {}, std::vector<std::string> notes = {});
  void warning(const char* code, Span span, std::string message, std::string label = {},
               std::string help = {}, std::vector<std::string> notes = {});
  const SourceText& source() const { return source_; }
  /// True when further findings would not be shown: suggestions need not be searched for.
  bool is_full() const { return diagnostics_.dropped_count() > 0; }

  /// True for a mapping; else an error whose help shows `example`.
  bool is_mapping(const YamlNode& node, std::string_view what, std::string_view example);
  bool is_list(const YamlNode& node, std::string_view what, std::string_view example);
  /// Refuses keys that are not `known`, with did-you-mean, and those of `not_yet` as such.
  void check_keys(const YamlNode& mapping, std::string_view what,
                  std::initializer_list<std::string_view> known,
                  const std::vector<NotYetKey>& not_yet = {});

  /// Any scalar with something in it.
  std::optional<Spanned<std::string>> text(const YamlNode& node, std::string_view what);
  /// A name by is_valid_name; `span` is the key's or the value's.
  bool valid_name(std::string_view name, Span span, std::string_view what);
  /// A list of scalars, or one scalar; items that differ only in case are refused.
  std::vector<Spanned<std::string>> texts(const YamlNode& node, std::string_view what);
  /// Name to type, as in `columns` and `schema`.
  std::vector<std::pair<Spanned<std::string>, Spanned<std::string>>> columns(const YamlNode& node,
                                                                             std::string_view what);
  std::optional<Spanned<uint64_t>> size(const YamlNode& node, std::string_view what, uint64_t least,
                                        uint64_t most);
  /// Longer than zero.
  std::optional<Spanned<int64_t>> duration(const YamlNode& node, std::string_view what);
  /// A percentage as a fraction, at most `most` (1 is 100%).
  std::optional<Spanned<double>> share(const YamlNode& node, std::string_view what,
                                       double most = 1);
  std::optional<Spanned<uint64_t>> integer(const YamlNode& node, std::string_view what,
                                           uint64_t least, uint64_t most);
  std::optional<bool> boolean(const YamlNode& node, std::string_view what);
  std::optional<Spanned<int64_t>> timestamp(const YamlNode& node, std::string_view what,
                                            bool* date_only);
  /// The index of the word among `words`.
  std::optional<size_t> word(const YamlNode& node, std::string_view what,
                             std::initializer_list<std::string_view> words);
  std::optional<OnEmpty> on_empty(const YamlNode& node);
  /// A number, a boolean or a text as a SQL literal; lists become SQL lists when `lists` is set.
  std::optional<Spanned<std::string>> literal(const YamlNode& node, std::string_view what,
                                              bool lists = false);
  SqlText sql(const YamlNode& node, std::string_view what);

 private:
  /// A scalar that is not null; else an error that says what `what` must be.
  bool is_value(const YamlNode& node, std::string_view what, std::string_view wanted);
  void wrong_type(const YamlNode& node, std::string_view what, std::string_view wanted,
                  std::string help);

  const SourceText& source_;
  Diagnostics& diagnostics_;
};

/// "a list", "a mapping", "a text", "a number", "nothing".
std::string_view kind_of(const YamlNode& node);
/// Entries of a section and items of a list that are read at most.
inline constexpr size_t kEntriesMax = 1000;
/// Above this a SQL text is refused.
inline constexpr size_t kSqlBytesMax = size_t{256} << 10;

}  // namespace tidegate
