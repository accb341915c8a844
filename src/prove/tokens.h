#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::prove {

enum class TokenKind : uint8_t { kWord, kQuoted, kString, kNumber, kSymbol };

/// One token of DuckDB's SQL, [begin, end) in bytes; `depth` counts open parentheses before it.
struct Token {
  TokenKind kind = TokenKind::kSymbol;
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t depth = 0;
  std::string_view text = {};

  /// True for an unquoted word, ASCII case ignored (`word` in lower case).
  bool is(std::string_view word) const;
  bool is_symbol(std::string_view symbol) const {
    return kind == TokenKind::kSymbol && text == symbol;
  }
};

/// Splits SQL into tokens: comments (nested block comments too) and white space fall away, dollar
/// quotes and doubled quotes are one token. Never fails: what is unterminated ends at the end.
/// The text must outlive the tokens.
std::vector<Token> tokenize(std::string_view sql);

/// Index of the token that holds byte `offset` (or the next one after it); tokens.size() if none.
size_t token_at(const std::vector<Token>& tokens, size_t offset);

/// The same SQL with comments gone and each run of white space as one space (a line break between
/// two string literals stays: it joins them). Parses to the same tree.
std::string canonical_sql(std::string_view sql);

}  // namespace tidegate::prove
