#include "contract/yaml_tree.h"

#include <fmt/core.h>
#include <yaml.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/units.h"
#include "contract/codes.h"
#include "contract/display.h"
#include "contract/scalar_map.h"

namespace tidegate {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// What libyaml says, and what a person needs to hear instead.
struct Problem {
  std::string_view problem;
  std::string_view message;
  std::string_view label;
  std::string_view help;
};

constexpr std::array kProblems = {
    Problem{"mapping values are not allowed in this context", "a `:` stands where no key can be",
            "this `:` would make a mapping inside a value",
            "if the colon belongs to the value, put the value in quotes or begin a block with `|`"},
    Problem{"did not find expected ',' or ']'", "a list in `[...]` is not closed",
            "expected `,` or `]` here", "close the list with `]`"},
    Problem{"did not find expected ',' or '}'", "a mapping in `{...}` is not closed",
            "expected `,` or `}` here",
            "close the mapping with `}`, and put quotes around values "
            "that contain `{`, `}`, `[`, `]` or `,`"},
    Problem{"did not find expected key", "a key was expected here",
            "not a key of the mapping above", "give all keys of one mapping the same indentation"},
    Problem{"could not find expected ':'", "a key without its `:`", "a `:` was expected by here",
            "write `key: value`, with a blank after the colon"},
    Problem{"did not find expected '-' indicator", "a list item was expected here",
            "not an item of the list above", "begin each item with `- ` at the same indentation"},
    Problem{"block sequence entries are not allowed in this context",
            "a `- ` item stands where no list can be", "",
            "put the list on its own lines under the key"},
    Problem{"found unknown escape character", "an unknown escape in a double-quoted value", "",
            "write `\\\\` for a backslash, or use single quotes"},
    Problem{"did not find expected <document start>", "text after the end of the document", "",
            "remove it"},
    Problem{"did not find expected node content", "a value was expected here", "", ""},
    Problem{"found a tab character that violates indentation", "a tab is used for indentation", "",
            "indent with blanks: YAML does not allow tabs"},
    Problem{"found undefined tag handle", "an unknown tag", "", "remove the tag"},
};

/// Turns libyaml's marks, which count characters, into byte offsets.
class Offsets {
 public:
  Offsets(std::string_view text, size_t base) : base_(base), size_(text.size()) {
    const auto ascii = [](char c) { return static_cast<uint8_t>(c) < 0x80; };
    if (std::all_of(text.begin(), text.end(), ascii)) return;
    for (size_t i = base; i < text.size(); ++i) {
      if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) {
        starts_.push_back(static_cast<uint32_t>(i));
      }
    }
  }
  uint32_t operator()(const yaml_mark_t& mark) const {
    if (starts_.empty()) return static_cast<uint32_t>(std::min(base_ + mark.index, size_));
    return mark.index < starts_.size() ? starts_[mark.index] : static_cast<uint32_t>(size_);
  }

 private:
  size_t base_;
  size_t size_;
  std::vector<uint32_t> starts_;
};

struct Parser {
  Parser() { TG_ASSERT(yaml_parser_initialize(&raw) == 1); }
  ~Parser() { yaml_parser_delete(&raw); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  yaml_parser_t raw;
};

struct EventHolder {
  ~EventHolder() { yaml_event_delete(&raw); }
  yaml_event_t raw = {};
};

/// A collection that is still open.
struct Open {
  std::unique_ptr<YamlNode> node;
  bool has_key = false;     ///< mappings: a key waits for its value
  bool drop_value = false;  ///< ... which is to be thrown away
  std::string key = {};
  Span key_span = {};
  std::unordered_map<std::string, Span> seen = {};
};

class TreeBuilder {
 public:
  TreeBuilder(const SourceText& source, Diagnostics& diagnostics)
      : source_(source),
        text_(source.text()),
        base_(text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0),
        offsets_(text_, base_),
        diagnostics_(diagnostics) {}

  std::unique_ptr<YamlNode> build() {
    Parser parser;
    yaml_parser_set_encoding(&parser.raw, YAML_UTF8_ENCODING);
    const std::string_view body = text_.substr(base_);
    yaml_parser_set_input_string(&parser.raw, reinterpret_cast<const unsigned char*>(body.data()),
                                 body.size());
    while (true) {
      EventHolder event;
      if (yaml_parser_parse(&parser.raw, &event.raw) == 0) {
        report(parser.raw);
        return nullptr;
      }
      if (event.raw.type == YAML_STREAM_END_EVENT) break;
      if (!take(event.raw)) return nullptr;
    }
    if (root_ == nullptr || (root_->is_null() && !root_->broken)) {
      error(codes::kEmptyFile, {0, 0}, "the file says nothing", "",
            "`tidegate init` writes a first pipeline file");
      return nullptr;
    }
    return std::move(root_);
  }

 private:
  void error(const char* code, Span span, std::string message, std::string label,
             std::string help = {}, std::vector<std::string> notes = {}) {
    diagnostics_.add({.code = code,
                      .severity = Severity::kError,
                      .span = span,
                      .message = std::move(message),
                      .label = std::move(label),
                      .notes = std::move(notes),
                      .help = std::move(help)});
  }

  /// The span of one character, or of nothing at the end of the file.
  Span character(uint32_t at) const {
    if (at >= text_.size()) return {at, at};
    size_t end = at;
    next_code_point(text_, end);
    return {at, static_cast<uint32_t>(end)};
  }

  uint32_t line_end(uint32_t at) const {
    const size_t found = text_.find_first_of("\r\n", at);
    return static_cast<uint32_t>(found == std::string_view::npos ? text_.size() : found);
  }

  void report(const yaml_parser_t& parser) {
    const uint32_t at = offsets_(parser.problem_mark);
    const uint32_t context_at = offsets_(parser.context_mark);
    const std::string_view problem = parser.problem != nullptr ? parser.problem : "";
    const std::string_view context = parser.context != nullptr ? parser.context : "";
    if (problem == "found unexpected end of stream" && context.find("quoted") != context.npos) {
      error(codes::kYamlSyntax, {context_at, line_end(context_at)}, "a quoted value is not closed",
            "it begins here and runs to the end of the file",
            fmt::format("close it with `{}`", text_.substr(context_at, 1)));
      return;
    }
    if (problem == "found character that cannot start any token") {
      const char c = at < text_.size() ? text_[at] : ' ';
      if (c == '\t') {
        error(codes::kYamlSyntax, character(at), "a tab is used for indentation", "a tab",
              "indent with blanks: YAML does not allow tabs");
      } else {
        error(codes::kYamlSyntax, character(at),
              fmt::format("a plain value cannot begin with `{}`", c), "",
              "put the value in quotes");
      }
      return;
    }
    const bool other_line = parser.context_mark.line != parser.problem_mark.line;
    if (problem.find("expected ',' or") != problem.npos && other_line) {
      const bool list = problem.find(']') != problem.npos;
      error(codes::kYamlSyntax, character(context_at),
            list ? "a list in `[...]` is not closed" : "a mapping in `{...}` is not closed",
            "it begins here", fmt::format("close it with `{}`", list ? ']' : '}'),
            {fmt::format("a `,` or `{}` was expected at line {}", list ? ']' : '}',
                         source_.position(at).line)});
      return;
    }
    if (problem == "mapping values are not allowed in this context" && report_lost_colon(at)) {
      return;
    }
    std::vector<std::string> notes;
    if (!context.empty() && parser.context_mark.line != parser.problem_mark.line) {
      const auto position = source_.position(context_at);
      notes.push_back(fmt::format("{} that begins at line {}, column {}", context, position.line,
                                  position.column));
    }
    const auto known = std::find_if(kProblems.begin(), kProblems.end(),
                                    [&](const Problem& each) { return each.problem == problem; });
    if (known != kProblems.end()) {
      error(codes::kYamlSyntax, character(at), std::string(known->message),
            std::string(known->label), std::string(known->help), std::move(notes));
      return;
    }
    error(codes::kYamlSyntax, character(at), fmt::format("this is not YAML: {}", problem), "", {},
          std::move(notes));
  }

  /// A lone word on the line before, indented less than this one, is a key that lost its `:`. The
  /// reader takes it for the begin of a value and stumbles over the next line.
  bool report_lost_colon(uint32_t at) {
    const uint32_t line = source_.position(at).line;
    if (line < 2) return false;
    const std::string_view before = source_.line(line - 1);
    const std::string_view here = source_.line(line);
    const size_t indent = before.find_first_not_of(' ');
    if (indent == before.npos || here.find_first_not_of(' ') <= indent) return false;
    const std::string_view word = before.substr(indent);
    if (word.find_first_of(" \t:#\"'{}[]|>-") != word.npos) return false;
    const auto begin = static_cast<uint32_t>(word.data() - text_.data());
    error(codes::kYamlSyntax, {begin, begin + static_cast<uint32_t>(word.size())},
          "a key without its `:`", "", fmt::format("write `{}:`", word));
    return true;
  }

  bool take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (root_ == nullptr) return true;
        error(codes::kManyDocuments, {offsets_(event.start_mark), offsets_(event.end_mark)},
              "a second document in the file", "it begins here",
              "keep one pipeline a file; remove the `---`");
        return false;
      case YAML_SCALAR_EVENT:
        return take_scalar(event);
      case YAML_ALIAS_EVENT:
        return take_alias(event);
      case YAML_SEQUENCE_START_EVENT:
        return open(event, YamlKind::kSequence, event.data.sequence_start.anchor,
                    event.data.sequence_start.tag);
      case YAML_MAPPING_START_EVENT:
        return open(event, YamlKind::kMapping, event.data.mapping_start.anchor,
                    event.data.mapping_start.tag);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        return close(event);
      default:
        return true;
    }
  }

  /// Refuses anchor and tag, and returns where the node itself begins.
  uint32_t skip_properties(const yaml_event_t& event, const yaml_char_t* anchor,
                           const yaml_char_t* tag) {
    uint32_t at = offsets_(event.start_mark);
    if (anchor == nullptr && tag == nullptr) return at;
    for (int properties = 0; properties < 2 && at < text_.size(); ++properties) {
      if (text_[at] != '&' && text_[at] != '!') break;
      const size_t found = text_.find_first_of(" \t\r\n,[]{}", at);
      const auto end = static_cast<uint32_t>(found == text_.npos ? text_.size() : found);
      if (text_[at] == '&') {
        error(codes::kAnchor, {at, end}, "anchors are not supported", "an anchor",
              "write the value out where it is needed");
      } else {
        error(codes::kTag, {at, end}, "tags are not supported", "a tag",
              "remove it: each field knows its type");
      }
      const size_t next = text_.find_first_not_of(" \t\r\n", end);
      at = static_cast<uint32_t>(next == text_.npos ? end : next);
    }
    return std::max(at, offsets_(event.start_mark));
  }

  bool take_scalar(const yaml_event_t& event) {
    auto node = std::make_unique<YamlNode>();
    const auto& scalar = event.data.scalar;
    node->span.begin = skip_properties(event, scalar.anchor, scalar.tag);
    node->span.end = std::max(node->span.begin, offsets_(event.end_mark));
    node->written_end = node->span.end;
    node->text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
    switch (scalar.style) {
      case YAML_SINGLE_QUOTED_SCALAR_STYLE:
        node->style = YamlStyle::kSingleQuoted;
        break;
      case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        node->style = YamlStyle::kDoubleQuoted;
        break;
      case YAML_LITERAL_SCALAR_STYLE:
        node->style = YamlStyle::kLiteral;
        break;
      case YAML_FOLDED_SCALAR_STYLE:
        node->style = YamlStyle::kFolded;
        break;
      default:
        break;
    }
    while (node->span.end > node->span.begin &&
           std::string_view(" \t\r\n").find(text_[node->span.end - 1]) != std::string_view::npos) {
      --node->span.end;
    }
    return add(std::move(node));
  }

  bool take_alias(const yaml_event_t& event) {
    auto node = std::make_unique<YamlNode>();
    node->span = {offsets_(event.start_mark), offsets_(event.end_mark)};
    node->broken = true;
    error(codes::kAnchor, node->span, "aliases are not supported", "an alias",
          "write the value out where it is needed");
    return add(std::move(node));
  }

  bool open(const yaml_event_t& event, YamlKind kind, const yaml_char_t* anchor,
            const yaml_char_t* tag) {
    auto node = std::make_unique<YamlNode>();
    node->kind = kind;
    const uint32_t begin = skip_properties(event, anchor, tag);
    node->span = {begin, std::max(begin, offsets_(event.end_mark))};
    if (stack_.size() >= kYamlDepthMax) {
      error(codes::kTooDeep, character(begin),
            fmt::format("nested deeper than {} levels", kYamlDepthMax),
            "level " + std::to_string(kYamlDepthMax + 1) + " begins here");
      return false;
    }
    if (!count_node(begin)) return false;
    stack_.push_back(Open{std::move(node)});
    return true;
  }

  bool close(const yaml_event_t& event) {
    TG_ASSERT(!stack_.empty());
    std::unique_ptr<YamlNode> node = std::move(stack_.back().node);
    stack_.pop_back();
    const uint32_t end = offsets_(event.end_mark);
    // Flow collections end with their bracket; block ones with their last value.
    const bool flow = node->span.begin < end && end > 0 && offsets_(event.start_mark) + 1 == end &&
                      (text_[end - 1] == ']' || text_[end - 1] == '}');
    if (flow) {
      node->span.end = end;
    } else if (node->kind == YamlKind::kSequence && !node->items.empty()) {
      node->span.end = std::max(node->span.end, node->items.back()->span.end);
    } else if (node->kind == YamlKind::kMapping && !node->pairs.empty()) {
      node->span.end =
          std::max(node->pairs.back().key_span.end, node->pairs.back().value->span.end);
    }
    return attach(std::move(node));
  }

  bool count_node(uint32_t at) {
    if (++nodes_ <= kYamlNodesMax) return true;
    error(codes::kTooManyNodes, character(at),
          fmt::format("more than {} values in the file", format_count(kYamlNodesMax)), "");
    return false;
  }

  bool add(std::unique_ptr<YamlNode> node) {
    if (!count_node(node->span.begin)) return false;
    return attach(std::move(node));
  }

  bool attach(std::unique_ptr<YamlNode> node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return true;
    }
    Open& parent = stack_.back();
    if (parent.node->kind == YamlKind::kSequence) {
      parent.node->items.push_back(std::move(node));
    } else if (!parent.has_key) {
      take_key(parent, *node);
    } else {
      parent.has_key = false;
      if (!parent.drop_value) {
        parent.node->pairs.push_back({std::move(parent.key), parent.key_span, std::move(node)});
      }
    }
    return true;
  }

  void take_key(Open& parent, const YamlNode& node) {
    parent.has_key = true;
    parent.drop_value = true;
    parent.key_span = node.span;
    if (node.kind != YamlKind::kScalar) {
      error(codes::kKeyNotScalar, node.span, "a key must be a single name",
            node.kind == YamlKind::kMapping ? "this is a mapping" : "this is a list");
      return;
    }
    if (node.broken) return;
    if (node.is_plain() && node.text == "<<") {
      error(codes::kMergeKey, node.span, "merge keys are not supported", "",
            "write the keys out where they are needed");
      return;
    }
    const auto [first, added] = parent.seen.emplace(node.text, node.span);
    if (!added) {
      error(codes::kDuplicateKey, node.span, fmt::format("the key `{}` is given twice", node.text),
            "given again here", "remove one of them",
            {fmt::format("it was first given at line {}",
                         source_.position(first->second.begin).line)});
      return;
    }
    parent.key = node.text;
    parent.drop_value = false;
  }

  const SourceText& source_;
  std::string_view text_;
  size_t base_;
  Offsets offsets_;
  Diagnostics& diagnostics_;
  std::vector<Open> stack_;
  std::unique_ptr<YamlNode> root_;
  size_t nodes_ = 0;
};

bool is_yaml_character(uint32_t c) {
  return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0x7E) || c == 0x85 ||
         (c >= 0xA0 && c <= 0xD7FF) || (c >= 0xE000 && c <= 0xFFFD && c != 0xFEFF) ||
         (c >= 0x10000 && c <= 0x10FFFF);
}

/// Checks what the YAML reader would refuse, so that the position is exact.
bool check_characters(const SourceText& source, Diagnostics& diagnostics) {
  const std::string& text = source.text();
  size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  while (at < text.size()) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, at);
    const Span span{static_cast<uint32_t>(begin), static_cast<uint32_t>(at)};
    if (at - begin == 1 && static_cast<uint8_t>(text[begin]) >= 0x80) {
      diagnostics.add({.code = codes::kNotUtf8,
                       .span = span,
                       .message = "the file is not UTF-8",
                       .label = fmt::format("byte 0x{:02x}", static_cast<uint8_t>(text[begin])),
                       .help = "save the file as UTF-8"});
      return false;
    }
    if (!is_yaml_character(c)) {
      diagnostics.add(
          {.code = codes::kControlCharacter,
           .span = span,
           .message = fmt::format("a control character, U+{:04X}", c),
           .label = "not allowed in YAML",
           .help = fmt::format("remove it, or write it as \"\\u{:04x}\" in double quotes", c)});
      return false;
    }
  }
  return true;
}

}  // namespace

bool YamlNode::is_null() const {
  return is_plain() &&
         (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
}

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlPair& pair : pairs) {
    if (pair.key == key) return pair.value.get();
  }
  return nullptr;
}

std::unique_ptr<YamlNode> parse_yaml(const SourceText& source, Diagnostics& diagnostics) {
  if (source.text().size() > kYamlBytesMax) {
    diagnostics.add(
        {.code = codes::kFileTooLarge,
         .span = {0, 0},
         .message = fmt::format("the file is larger than {}", format_size(kYamlBytesMax)),
         .label = format_size(source.text().size()),
         .help = "a pipeline file says what to do; keep data in sources"});
    return nullptr;
  }
  if (!check_characters(source, diagnostics)) return nullptr;
  return TreeBuilder(source, diagnostics).build();
}

std::vector<uint32_t> scalar_offsets(const SourceText& source, const YamlNode& node) {
  TG_ASSERT(node.kind == YamlKind::kScalar);
  if (auto mapped =
          map_scalar(source.text(), node.span.begin, node.written_end, node.style, node.text)) {
    return std::move(*mapped);
  }
  // Only what was refused before (a tag before the value) comes here: point at the whole of it.
  std::vector<uint32_t> offsets(node.text.size() + 1, node.span.begin);
  offsets.back() = node.span.end;
  return offsets;
}

}  // namespace tidegate
