#include "prove/sql_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "contract/codes.h"
#include "prove/functions.h"
#include "prove/tokens.h"
#include "prove/tree.h"

namespace tidegate::prove {
namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::string first_sentence(std::string text) {
  text = text.substr(0, text.find('\n'));
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
  if (text.size() > 1 && std::isupper(static_cast<unsigned char>(text[0])) &&
      std::islower(static_cast<unsigned char>(text[1]))) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

/// The last quoted name in "Did you mean "x"?" or the candidates list.
std::string meant(const SqlError& error) {
  std::string from = error.candidates;
  if (from.empty()) {
    size_t at = error.message.find("Did you mean \"");
    if (at == std::string::npos) at = error.message.find("Candidate bindings: \"");
    if (at == std::string::npos) return "";
    size_t open = error.message.find('"', at);
    size_t close = error.message.find('"', open + 1);
    if (close == std::string::npos) return "";
    return error.message.substr(open + 1, close - open - 1);
  }
  std::string first = from.substr(0, from.find(','));
  std::erase(first, '"');
  return first;
}

/// The first quoted name of a message: what was not found.
std::string quoted_name(const std::string& text) {
  const size_t open = text.find('"'), close = text.find('"', open + 1);
  return open == std::string::npos || close == std::string::npos
             ? ""
             : text.substr(open + 1, close - open - 1);
}

const char* code_of(const SqlError& error) {
  const std::string& text = error.message;
  if (error.type == "parser" || error.type == "syntax") return codes::kSqlSyntax;
  if (has(text, "Only SELECT statements")) return codes::kSqlNotSelect;
  if (error.subtype == "COLUMN_NOT_FOUND" || has(text, "not found in FROM clause")) {
    return codes::kUnknownColumn;
  }
  if (has(text, "Ambiguous reference")) return codes::kAmbiguousColumn;
  if (has(text, "must appear in the GROUP BY") || has(text, "aggregate function calls cannot") ||
      has(text, "cannot contain aggregates") || has(text, "window functions are not allowed")) {
    return codes::kAggregateMisuse;
  }
  if (error.type == "catalog" && has(text, "Function")) return codes::kUnknownFunction;
  if (has(text, "No function matches") || has(text, "Cannot compare values") ||
      has(text, "explicit cast") || error.type == "conversion" || error.type == "mismatch type") {
    return codes::kSqlTypes;
  }
  return codes::kSqlBinding;
}

}  // namespace

Problem problem_of(const SqlError& error, const std::string& sql) {
  Problem problem{code_of(error), first_sentence(error.message)};
  if (has(problem.message, "unterminated quoted"))
    problem.message = problem.message.substr(0, problem.message.find(" at or near"));
  if (problem.code == std::string(codes::kSqlNotSelect)) {
    problem.message = "a stage is one SELECT statement";
    problem.help = "write a SELECT; tidegate reads, writes and publishes by itself";
  }
  const std::string name = meant(error);
  // DuckDB's candidates are the nearest there are, however far, and its overloads are no help.
  const std::string wrong = quoted_name(error.message);
  const bool near =
      wrong.empty() || !did_you_mean(wrong, {name.substr(name.rfind('.') + 1)}).empty();
  if (!name.empty() && near && name.find('(') == std::string::npos)
    problem.help = fmt::format("did you mean `{}`?", name);
  size_t line = error.message.find('\n');
  // The text behind the first line is advice, unless it is a piece of the SQL that has line ends.
  const bool quotes_sql = has(error.message, "at or near");
  if (problem.help.empty() && name.empty() && !quotes_sql && line != std::string::npos &&
      !has(error.message, "LINE ")) {
    problem.help = first_sentence(error.message.substr(line + 1));
  }
  uint32_t end = static_cast<uint32_t>(sql.size());
  problem.range = Range{0, end};
  if (!error.position) return problem;
  std::vector<Token> tokens = tokenize(sql);
  size_t i = token_at(tokens, *error.position);
  if (i == tokens.size()) {
    problem.range = Range{end, end};
    return problem;
  }
  // A dotted name is one place: "a.kk".
  size_t last = i;
  while (last + 2 < tokens.size() && tokens[last + 1].is_symbol(".") &&
         tokens[last + 1].begin == tokens[last].end) {
    last += 2;
  }
  problem.range = Range{tokens[i].begin, tokens[last].end};
  return problem;
}

std::optional<Problem> function_problem(const std::string& name, size_t arguments) {
  Problem problem;
  switch (function_kind(name)) {
    case FunctionKind::kAllowed:
      if (name != "age" || arguments != 1) return std::nullopt;
      [[fallthrough]];
    case FunctionKind::kClock:
      problem = {codes::kWallClock, fmt::format("`{}` reads the wall clock", name),
                 "a retried task would see another time"};
      problem.help = "use run_time(): the time of the run, fixed when it is planned";
      return problem;
    case FunctionKind::kVolatile:
      problem = {codes::kVolatileFunction, fmt::format("`{}` gives another answer each time", name),
                 "a retried task would give other rows"};
      problem.help = "derive it from the row: hash(key), md5(key)";
      return problem;
    case FunctionKind::kSession:
      problem = {codes::kSessionFunction, fmt::format("`{}` depends on the session", name),
                 "workers are told apart by nothing that a result may depend on"};
      problem.help = "leave it out";
      return problem;
    case FunctionKind::kUnknown:
      problem = {codes::kFunctionNotAllowed,
                 fmt::format("function `{}` is not allowed in a stage", name),
                 "not in the list of functions of their arguments alone"};
      if (const std::string near = nearest_function(name); !near.empty())
        problem.help = fmt::format("did you mean `{}`?", near);
      return problem;
  }
  return problem;
}

}  // namespace tidegate::prove
