#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "prove/kernel_shapes.h"

namespace tidegate::prove {
namespace {

using reduce::OrderColumn;
using reduce::WindowFunction;
using reduce::WindowKind;

/// Readers that look ahead or behind, each with a block of its own.
constexpr size_t kWindowsMax = 16;
/// Partitions and orders: the rows are sorted for each, in its share of the memory.
constexpr size_t kSortsMax = 4;

const std::map<std::string, WindowKind> kKinds = {
    {"WINDOW_ROW_NUMBER", WindowKind::kRowNumber},
    {"WINDOW_RANK", WindowKind::kRank},
    {"WINDOW_RANK_DENSE", WindowKind::kDenseRank},
    {"WINDOW_PERCENT_RANK", WindowKind::kPercentRank},
    {"WINDOW_CUME_DIST", WindowKind::kCumeDist},
    {"WINDOW_NTILE", WindowKind::kNtile},
    {"WINDOW_LAG", WindowKind::kLag},
    {"WINDOW_LEAD", WindowKind::kLead},
    {"WINDOW_FIRST_VALUE", WindowKind::kFirstValue},
    {"WINDOW_LAST_VALUE", WindowKind::kLastValue},
    {"WINDOW_NTH_VALUE", WindowKind::kNthValue},
    {"WINDOW_AGGREGATE", WindowKind::kAggregate},
};

bool has_subquery(const Json& json) {
  return any_below(json, false, [](const Json& one) { return is_class(one, "SUBQUERY"); });
}

bool is_window(const Json& json) { return is_class(json, "WINDOW"); }

/// Takes a SELECT with window functions apart: what is computed before them, the kernel, and the
/// same SELECT over its rows.
class Windows {
 public:
  explicit Windows(const Part& part) : part_(part), scope_(part.scope) {
    draft_.spec.kind = reduce::KernelSpec::Kind::kWindow;
    draft_.spec.name = part.kernel;
  }

  Drafted run() {
    const Json& node = part_.node;
    if (!node.at("sample").is_null()) return std::unexpected("SAMPLE");
    if (has_class(node.at("select_list"), "POSITIONAL_REFERENCE")) return std::unexpected("#1");
    for (const Json& modifier : node.at("modifiers")) {
      const bool distinct = text_in(modifier, "type") == "DISTINCT_MODIFIER" &&
                            modifier.value("distinct_on_targets", Json::array()).empty();
      if (!distinct) return std::unexpected("ORDER BY or LIMIT beside window functions");
    }
    auto items = items_of(part_);
    if (!items) return std::unexpected(items.error());
    for (size_t i = 0; i < items->size(); ++i) {
      const std::vector<Json> before(items->begin(), items->begin() + static_cast<long>(i));
      if (!expand_aliases((*items)[i], before, scope_))
        return std::unexpected("a name of two meanings");
      if (has_unnest((*items)[i])) return std::unexpected("unnest");
      if (has_class((*items)[i], "STAR")) return std::unexpected("COLUMNS(...)");
    }
    Json qualify = node.at("qualify"), where = node.at("where_clause");
    for (Json* condition : {&qualify, &where})
      if (!condition->is_null() && !expand_aliases(*condition, *items, scope_))
        return std::unexpected("a name of two meanings");
    for (const Json& item : *items) collect(item);
    collect(qualify);
    if (!why_.empty() || !settle_order()) return std::unexpected(why_);
    for (Found& found : windows_)
      if (!add_window(found)) return std::unexpected(why_);
    Json list = Json::array();
    for (size_t i = 0; i < items->size(); ++i) {
      Json expression = named((*items)[i], "");
      if (!take(expression)) return std::unexpected("a subquery with a window function");
      list.push_back(named(std::move(expression), part_.names[i]));
    }
    if (!qualify.is_null() && !take(qualify))
      return std::unexpected("a subquery with a window function");
    finish(std::move(list), std::move(qualify), std::move(where));
    return std::move(draft_);
  }

 private:
  struct Column {
    std::string canon;  ///< "": shared with nothing
    Json expression;
  };
  struct Found {
    std::string canon;
    Json call;
    size_t sort = 0;          ///< of `sorts_`
    size_t order_length = 0;  ///< of the settled order
  };
  /// A partition, and the longest order there: each other one is how that begins.
  struct Sort {
    std::set<uint32_t> keys;
    std::vector<OrderColumn> order;
  };

  static std::string name_of(size_t i) { return fmt::format("tg_c{}", i); }
  static std::string window_name(size_t i) { return fmt::format("tg_w{}", i); }

  bool refuse(std::string why) {
    if (why_.empty()) why_ = std::move(why);
    return false;
  }

  uint32_t add(const Json& expression) {
    std::string canon = scope_.canon(expression);
    for (size_t i = 0; i < columns_.size(); ++i)
      if (columns_[i].canon == canon) return static_cast<uint32_t>(i);
    columns_.push_back({std::move(canon), named(expression, "")});
    return static_cast<uint32_t>(columns_.size() - 1);
  }

  /// Each window function once.
  void collect(const Json& json) {
    if (!json.is_structured() || is_class(json, "SUBQUERY")) return;
    if (!is_window(json)) {
      for (const Json& child : json) collect(child);
      return;
    }
    for (const Json& child : json)
      if (has_window(child)) refuse("a window function of another one");
    if (any_below(json, true, [](const Json& one) { return is_class(one, "SUBQUERY"); }))
      refuse("a window function of a subquery");
    std::string canon = scope_.canon(json);
    for (const Found& found : windows_)
      if (found.canon == canon) return;
    windows_.push_back({std::move(canon), json});
  }

  /// Finds the partitions and orders, as few as the windows' order gives.
  bool settle_order() {
    if (windows_.size() > kWindowsMax) return refuse("more than 16 window functions");
    // The keys of the first are the kernel's first columns.
    for (const Json& key : windows_.front().call.at("partitions")) add(key);
    draft_.spec.keys = static_cast<uint32_t>(columns_.size());
    for (Found& found : windows_) {
      std::set<uint32_t> keys;
      for (const Json& key : found.call.at("partitions")) keys.insert(add(key));
      std::vector<OrderColumn> order;
      for (const Json& by : found.call.at("orders")) {
        OrderColumn column;
        if (!read_order(by, column)) return refuse("a strange order");
        column.column = add(by.at("expression"));
        const bool settled = keys.contains(column.column) ||
                             std::any_of(order.begin(), order.end(), [&](const OrderColumn& one) {
                               return one.column == column.column;
                             });
        if (!settled) order.push_back(column);
      }
      found.order_length = order.size();
      found.sort = sort_of(std::move(keys), std::move(order));
    }
    if (sorts_.size() > kSortsMax) return refuse("windows over more than 4 partitions and orders");
    for (const Sort& sort : sorts_)
      if (sort.keys.empty() && sort.order.empty())
        return refuse("windows over all rows in no order");
    draft_.spec.order = sorts_.front().order;
    for (size_t i = 1; i < sorts_.size(); ++i)
      draft_.spec.sorts.push_back(
          {{sorts_[i].keys.begin(), sorts_[i].keys.end()}, sorts_[i].order});
    return true;
  }

  /// The first that serves, or a new one.
  size_t sort_of(std::set<uint32_t> keys, std::vector<OrderColumn> order) {
    for (size_t i = 0; i < sorts_.size(); ++i) {
      Sort& sort = sorts_[i];
      const auto common = static_cast<long>(std::min(order.size(), sort.order.size()));
      if (sort.keys != keys ||
          !std::equal(order.begin(), order.begin() + common, sort.order.begin()))
        continue;
      if (order.size() > sort.order.size()) sort.order = std::move(order);
      return i;
    }
    sorts_.push_back({std::move(keys), std::move(order)});
    return sorts_.size() - 1;
  }

  bool add_window(const Found& found) {
    const Json& call = found.call;
    const auto kind = kKinds.find(text_in(call, "type"));
    const std::string name = to_lower_ascii(text_in(call, "function_name"));
    if (kind == kKinds.end()) return refuse(name + " over a window");
    WindowFunction out;
    out.kind = kind->second;
    out.sort = static_cast<uint32_t>(found.sort);
    out.ignore_nulls = call.value("ignore_nulls", false);
    if (call.value("distinct", false)) return refuse(name + " of DISTINCT values over a window");
    if (!call.value("arg_orders", Json::array()).empty())
      return refuse(name + " with an order of its own over a window");
    if (!read_frame(call, found.order_length, out)) return refuse("a frame of another form");
    const bool read =
        out.kind == WindowKind::kAggregate ? read_fold(call, out) : read_arguments(call, name, out);
    if (!read) return false;
    draft_.spec.windows.push_back(std::move(out));
    called_.insert(name);
    return true;
  }

  static bool read_frame(const Json& call, size_t order_length, WindowFunction& out) {
    const std::string start = text_in(call, "start"), end = text_in(call, "end");
    if (start != "UNBOUNDED_PRECEDING" || text_in(call, "exclude_clause") != "NO_OTHER")
      return false;
    out.peers = static_cast<uint32_t>(order_length);
    if (end == "CURRENT_ROW_RANGE" || end == "CURRENT_ROW_GROUPS") return true;
    const bool ranks = out.kind == WindowKind::kRank || out.kind == WindowKind::kDenseRank ||
                       out.kind == WindowKind::kPercentRank || out.kind == WindowKind::kCumeDist;
    if (end == "CURRENT_ROW_ROWS") {
      out.by_row = !ranks;
      return true;
    }
    if (end != "UNBOUNDED_FOLLOWING") return false;
    if (!ranks) out.peers = 0;
    return true;
  }

  /// As the aggregate of that name, which knows its arguments.
  bool read_fold(const Json& call, WindowFunction& out) {
    Json function = {{"class", "FUNCTION"},
                     {"type", "FUNCTION"},
                     {"alias", ""},
                     {"function_name", call.at("function_name")},
                     {"children", call.at("children")},
                     {"filter", call.value("filter_expr", Json())},
                     {"order_bys", Json::object()},
                     {"distinct", false}};
    if (to_lower_ascii(text_in(call, "function_name")) == "count" && call.at("children").empty())
      function["function_name"] = "count_star";
    auto read = read_aggregate(function, [this](const Json& json) { return add(json); });
    if (!read) return refuse(read.error() + " over a window");
    if (out.ignore_nulls) return refuse("an aggregate with IGNORE NULLS");
    out.aggregate = std::move(*read);
    return true;
  }

  bool read_arguments(const Json& call, const std::string& name, WindowFunction& out) {
    if (!call.value("filter_expr", Json()).is_null()) return refuse(name + " with FILTER");
    const Json& children = call.at("children");
    const auto number_at = [&](const Json& json) {
      const std::optional<uint64_t> number = whole_number(json);
      if (number) out.number = *number;
      return number.has_value() || refuse(name + " of other than a constant number");
    };
    switch (out.kind) {
      case WindowKind::kLag:
      case WindowKind::kLead: {
        out.number = 1;
        const Json offset = call.value("offset_expr", Json());
        if (children.size() != 1 || (!offset.is_null() && !number_at(offset)))
          return refuse(name + " of that many arguments");
        const Json otherwise = call.value("default_expr", Json());
        if (!otherwise.is_null()) {
          columns_.push_back({"", named(otherwise, "")});
          out.otherwise = static_cast<uint32_t>(columns_.size() - 1);
        }
        break;
      }
      case WindowKind::kNtile:
        return children.size() == 1 && number_at(children[0]);
      case WindowKind::kNthValue:
        if (children.size() != 2 || !number_at(children[1]))
          return refuse(name + " of that many arguments");
        break;
      case WindowKind::kFirstValue:
      case WindowKind::kLastValue:
        if (children.size() != 1) return refuse(name + " of that many arguments");
        break;
      default:
        return children.empty() || refuse(name + " of that many arguments");
    }
    out.aggregate.arguments.push_back(add(children[0]));
    return true;
  }

  /// Makes the expression one over the kernel's columns, adding those that it needs. What has
  /// names of its own in it is computed before the kernel. False: it cannot be.
  bool take(Json& json) {
    const std::string alias = text_in(json, "alias");
    if (is_window(json)) {
      const std::string canon = scope_.canon(json);
      for (size_t i = 0; i < windows_.size(); ++i)
        if (windows_[i].canon == canon) json = named(column_ref(window_name(i)), alias);
      return true;
    }
    const bool apart = has_class(json, "LAMBDA") || has_subquery(json);
    if (apart && has_window(json) && is_class(json, "SUBQUERY")) return false;
    if (is_class(json, "COLUMN_REF") || (apart && !has_window(json))) {
      json = named(column_ref(name_of(add(json))), alias);
      return true;
    }
    if (is_class(json, "LAMBDA")) return false;
    return take_below(json);
  }

  bool take_below(Json& json) {
    for (auto& [key, value] : json.items()) {
      if (json.is_object() && (key == "value" || key == "cast_type")) continue;
      if (value.is_object() && value.contains("class")) {
        if (!take(value)) return false;
      } else if (value.is_structured() && !take_below(value)) {
        return false;
      }
    }
    return true;
  }

  void finish(Json list, Json qualify, Json where) {
    const Json& node = part_.node;
    Json in = Json::array();
    for (size_t i = 0; i < columns_.size(); ++i) {
      in.push_back(named(columns_[i].expression, name_of(i)));
      draft_.spec.input.push_back({name_of(i), ""});
      draft_.spec.output.push_back({name_of(i), ""});
    }
    for (size_t i = 0; i < windows_.size(); ++i) draft_.spec.output.push_back({window_name(i), ""});
    draft_.input = select_of(std::move(in), node.at("from_table"));
    draft_.input["cte_map"] = node.at("cte_map");
    draft_.input["where_clause"] = std::move(where);
    draft_.output = select_of(std::move(list), base_table(part_.kernel));
    draft_.output["where_clause"] = std::move(qualify);
    draft_.output["modifiers"] = node.at("modifiers");
    const size_t keys = draft_.spec.keys;
    const std::string called = join(std::vector<std::string>(called_.begin(), called_.end()), ", ");
    draft_.what =
        sorts_.size() > 1
            ? fmt::format("windows by {} partitions and orders: {}", sorts_.size(), called)
            : fmt::format("window by {} key{}: {}", keys, keys == 1 ? "" : "s", called);
  }

  const Part& part_;
  Scope& scope_;
  std::vector<Column> columns_;
  std::vector<Found> windows_;
  std::vector<Sort> sorts_;
  std::set<std::string> called_;
  std::string why_;
  Draft draft_;
};

}  // namespace

bool is_window_shape(const Json& node) {
  return is_select(node) && !is_group_shape(node) &&
         (has_window(node.at("select_list")) || has_window(node.at("qualify")));
}

Drafted draft_window(const Part& part) { return Windows(part).run(); }

}  // namespace tidegate::prove
