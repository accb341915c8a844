#include "prove/tokens.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace tidegate::prove {
namespace {

bool word_start(unsigned char c) { return std::isalpha(c) || c == '_' || c >= 0x80; }
bool word_part(unsigned char c) { return word_start(c) || std::isdigit(c) || c == '$'; }

/// The end of a quoted run that starts at `at`; a doubled quote does not end it.
size_t quoted_end(std::string_view sql, size_t at, char quote, bool backslash) {
  for (size_t i = at + 1; i < sql.size(); ++i) {
    if (backslash && sql[i] == '\\') {
      ++i;
    } else if (sql[i] == quote) {
      if (i + 1 < sql.size() && sql[i + 1] == quote) {
        ++i;
      } else {
        return i + 1;
      }
    }
  }
  return sql.size();
}

/// The end of a dollar-quoted string at `at`, or `at` if there is none.
size_t dollar_end(std::string_view sql, size_t at) {
  size_t i = at + 1;
  while (i < sql.size() && word_part(static_cast<unsigned char>(sql[i])) && sql[i] != '$') ++i;
  if (i >= sql.size() || sql[i] != '$') return at;
  if (i > at + 1 && std::isdigit(static_cast<unsigned char>(sql[at + 1]))) return at;
  std::string_view tag = sql.substr(at, i + 1 - at);
  size_t close = sql.find(tag, i + 1);
  return close == std::string_view::npos ? sql.size() : close + tag.size();
}

size_t comment_end(std::string_view sql, size_t at) {
  if (sql.substr(at, 2) == "--") {
    size_t end = sql.find('\n', at);
    return end == std::string_view::npos ? sql.size() : end;
  }
  if (sql.substr(at, 2) != "/*") return at;
  size_t depth = 1, i = at + 2;
  while (i < sql.size() && depth > 0) {
    if (sql.substr(i, 2) == "/*") {
      ++depth, i += 2;
    } else if (sql.substr(i, 2) == "*/") {
      --depth, i += 2;
    } else {
      ++i;
    }
  }
  return i;
}

size_t number_end(std::string_view sql, size_t at) {
  size_t i = at;
  while (i < sql.size()) {
    auto c = static_cast<unsigned char>(sql[i]);
    bool sign = (c == '+' || c == '-') && i > at && (sql[i - 1] == 'e' || sql[i - 1] == 'E');
    if (!std::isalnum(c) && c != '.' && c != '_' && !sign) break;
    ++i;
  }
  return i;
}

}  // namespace

bool Token::is(std::string_view word) const {
  return kind == TokenKind::kWord && to_lower_ascii(text) == word;
}

std::vector<Token> tokenize(std::string_view sql) {
  std::vector<Token> tokens;
  uint32_t depth = 0;
  size_t i = 0;
  while (i < sql.size()) {
    auto c = static_cast<unsigned char>(sql[i]);
    if (std::isspace(c)) {
      ++i;
      continue;
    }
    if (size_t end = comment_end(sql, i); end != i) {
      i = end;
      continue;
    }
    Token token;
    size_t end = i + 1;
    if (c == '\'') {
      token.kind = TokenKind::kString;
      end = quoted_end(sql, i, '\'', false);
    } else if ((c == 'e' || c == 'E') && i + 1 < sql.size() && sql[i + 1] == '\'') {
      token.kind = TokenKind::kString;
      end = quoted_end(sql, i + 1, '\'', true);
    } else if (c == '"') {
      token.kind = TokenKind::kQuoted;
      end = quoted_end(sql, i, '"', false);
    } else if (c == '$' && dollar_end(sql, i) != i) {
      token.kind = TokenKind::kString;
      end = dollar_end(sql, i);
    } else if (word_start(c)) {
      token.kind = TokenKind::kWord;
      while (end < sql.size() && word_part(static_cast<unsigned char>(sql[end]))) ++end;
    } else if (std::isdigit(c)) {
      token.kind = TokenKind::kNumber;
      end = number_end(sql, i);
    }
    token.begin = static_cast<uint32_t>(i);
    token.end = static_cast<uint32_t>(end);
    token.text = sql.substr(i, end - i);
    if (token.is_symbol(")") && depth > 0) --depth;
    token.depth = depth;
    if (token.is_symbol("(")) ++depth;
    tokens.push_back(token);
    i = end;
  }
  return tokens;
}

size_t token_at(const std::vector<Token>& tokens, size_t offset) {
  auto it = std::find_if(tokens.begin(), tokens.end(),
                         [&](const Token& token) { return token.end > offset; });
  return static_cast<size_t>(it - tokens.begin());
}

std::string canonical_sql(std::string_view sql) {
  std::string out;
  uint32_t last = 0;
  TokenKind kind = TokenKind::kSymbol;
  for (const Token& token : tokenize(sql)) {
    if (!out.empty() && token.begin > last) {
      bool joined = kind == TokenKind::kString && token.kind == TokenKind::kString;
      bool line = sql.substr(last, token.begin - last).find('\n') != std::string_view::npos;
      out += joined && line ? '\n' : ' ';
    }
    out += token.text;
    last = token.end;
    kind = token.kind;
  }
  while (!out.empty() && (out.back() == ';' || out.back() == ' ')) out.pop_back();
  return out;
}

}  // namespace tidegate::prove
