#include "prove/kernel.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "prove/kernel_shapes.h"
#include "prove/kernel_tree.h"

namespace tidegate::prove {
namespace {

using reduce::AggregateKind;
using reduce::KernelSpec;
using reduce::StageKernel;
using Path = Json::json_pointer;

constexpr size_t kSqlBytesMax = size_t{64} << 10;

/// A place in the tree where a kernel may be.
struct Site {
  Path path;
  bool numbered = false;  ///< the node below it is numbered, and its WHERE says how many rows stay
  bool windows = false;   ///< it has window functions, of all rows
};

/// From the innermost outwards, as the innermost has the most rows to save.
void sites_below(const Json& node, const Path& path, std::vector<Site>& out);

void sites_in_from(const Json& ref, const Path& path, std::vector<Site>& out) {
  const std::string type = text_in(ref, "type");
  if (type == "JOIN") {
    sites_in_from(ref.at("left"), path / "left", out);
    sites_in_from(ref.at("right"), path / "right", out);
  } else if (type == "SUBQUERY") {
    sites_below(ref.at("subquery").at("node"), path / "subquery" / "node", out);
  }
}

void sites_below(const Json& node, const Path& path, std::vector<Site>& out) {
  if (!is_select(node)) return;
  sites_in_from(node.at("from_table"), path / "from_table", out);
  if (const auto rows = numbered_rows(node)) {
    // Those few rows rather than all of them with their numbers.
    const auto inner = std::find_if(out.begin(), out.end(), [&](const Site& site) {
      return site.windows && site.path == path / rows->inner;
    });
    out.insert(inner, {path, true});
  }
  if (is_group_shape(node) || is_top_shape(node)) out.push_back({path, false});
  if (is_window_shape(node)) out.push_back({path, false, true});
  if (is_distinct_shape(node)) out.push_back({path, false});
}

/// The only table that the rows of FROM come from, one by one; "" if there is more to it.
std::string single_table(const Json& node) {
  if (!is_select(node) || is_group_shape(node) || has_window(node) ||
      !node.at("modifiers").empty() || !node.at("qualify").is_null() ||
      !node.at("sample").is_null() || !node.at("cte_map").at("map").empty()) {
    return "";
  }
  const Json& from = node.at("from_table");
  if (!from.value("sample", Json()).is_null()) return "";
  const std::string type = text_in(from, "type");
  if (type == "BASE_TABLE") return to_lower_ascii(text_in(from, "table_name"));
  return type == "SUBQUERY" ? single_table(from.at("subquery").at("node")) : "";
}

/// Finds the kernel of one stage.
class Chooser {
 public:
  Chooser(sql::Connection& scratch, const std::string& stage,
          const std::vector<KernelInput>& inputs, const sql::Schema& schema)
      : scratch_(scratch), inputs_(inputs), schema_(schema), name_(stage + ":kernel") {}

  KernelChoice run(const std::string& sql) {
    if (sql.size() > kSqlBytesMax) return {{}, "the SQL is too long"};
    tree_ = parse_select(scratch_, sql);
    if (tree_.is_null()) return {{}, "the SQL cannot be read"};
    inline_ctes(tree_);
    std::vector<Site> sites;
    sites_below(tree_, Path(), sites);
    KernelChoice out;
    for (const Site& site : sites) {
      KernelChoice choice = attempt(site);
      if (choice.kernel) return choice;
      out.why = choice.why;
    }
    if (sites.empty()) {
      out.why = !is_select(tree_) ? "a set operation"
                : text_in(tree_.at("from_table"), "type") == "JOIN"
                    ? "a join"
                    : "no GROUP BY, DISTINCT or first rows by key";
    }
    return out;
  }

 private:
  static KernelChoice refused(std::string why) { return {{}, std::move(why)}; }

  bool is_exchanged(const std::string& lower) const {
    return std::any_of(inputs_.begin(), inputs_.end(), [&](const KernelInput& input) {
      return !input.broadcast && to_lower_ascii(input.name) == lower;
    });
  }

  KernelChoice attempt(const Site& site) {
    Path path = site.path;
    std::optional<NumberedRows> rows;
    if (site.numbered) {
      rows = numbered_rows(tree_.at(site.path));
      path /= rows->inner;
    }
    const bool top = path.empty();
    Json node = tree_.at(path);
    if (!top) {
      Json entries = tree_.at("cte_map").at("map");
      const Json& own = node.at("cte_map").at("map");
      for (const Json& entry : own) entries.push_back(entry);
      node["cte_map"]["map"] = std::move(entries);
      prune_ctes(node);
    }
    std::vector<std::string> names;
    if (top) {
      for (const sql::Column& column : schema_) names.push_back(column.name);
    } else if (auto described = names_of(node)) {
      names = std::move(*described);
    } else {
      return refused("a subquery that needs what is around it");
    }
    // The rest of the stage must not need the exchanged inputs.
    Json rest = tree_;
    rest[path] = nullptr;
    if (top) rest = Json::object();
    prune_ctes(rest);
    for (const auto& [table, uses] : tables_below(rest)) {
      if (is_exchanged(table)) return refused("an exchanged input beside the kernel");
    }
    const Json ctes = node.at("cte_map").at("map"), from = node.at("from_table");
    Scope scope(scratch_, inputs_, ctes, from);
    const Part part{node, names, name_, scope};
    Drafted draft = std::unexpected("");
    if (site.numbered) {
      draft = draft_numbered(part, tree_.at(site.path), *rows);
      if (draft) put_output(*draft, path);
      if (draft) draft->output[site.path / "where_clause"] = rows->where;
    } else if (site.windows) {
      draft = draft_window(part);
      if (draft && !top) put_output(*draft, path);
    } else if (is_group_shape(node)) {
      draft = draft_group(part);
      if (draft && !top) put_output(*draft, path);
      if (draft && top) drop_plain_output(*draft);
    } else {
      draft = is_distinct_shape(node) ? draft_distinct(part) : draft_top(part);
      if (draft && !top) put_output(*draft, path);
    }
    if (!draft) return refused(draft.error());
    return finish(*draft);
  }

  std::optional<std::vector<std::string>> names_of(const Json& node) {
    auto text = print_selects(scratch_, {node});
    if (!text) return {};
    auto schema = scratch_.describe(text->front());
    if (!schema) return {};
    std::vector<std::string> out;
    for (const sql::Column& column : *schema) out.push_back(column.name);
    return out;
  }

  /// The whole tree with the draft's output in the place of its node.
  void put_output(Draft& draft, const Path& path) {
    if (draft.output.is_null()) {
      Json items = Json::array();
      for (const sql::Column& column : draft.spec.output) {
        items.push_back(named(column_ref(column.name), column.name));
      }
      draft.output = select_of(std::move(items), base_table(name_));
    }
    // The entries of WITH that the node had from around it are still there.
    if (!path.empty()) draft.output["cte_map"] = tree_.at(path).at("cte_map");
    Json all = tree_;
    all[path] = std::move(draft.output);
    draft.output = std::move(all);
  }

  /// Nothing comes after the kernel if its columns are the items one by one.
  void drop_plain_output(Draft& draft) {
    const Json& out = draft.output;
    if (!out.at("where_clause").is_null() || !out.at("qualify").is_null() ||
        !out.at("modifiers").empty()) {
      return;
    }
    const Json& items = out.at("select_list");
    sql::Schema& output = draft.spec.output;
    if (items.size() != output.size()) return;
    for (size_t i = 0; i < items.size(); ++i) {
      Json item = items[i];
      item["alias"] = "";
      if (item != column_ref(output[i].name)) return;
    }
    for (size_t i = 0; i < items.size(); ++i) output[i].name = schema_[i].name;
    draft.output = nullptr;
  }

  /// A default of lag or lead is cast to the value's type, as DuckDB does.
  void cast_defaults(Draft& draft) {
    std::optional<sql::Schema> input;
    for (const reduce::WindowFunction& window : draft.spec.windows) {
      if (!window.otherwise) continue;
      if (!input) {
        const auto text = print_selects(scratch_, {draft.input});
        if (!text) return;
        auto schema = scratch_.describe(text->front());
        if (!schema) return;
        input = std::move(*schema);
      }
      const std::string& type = input->at(window.aggregate.arguments[0]).type;
      if (input->at(*window.otherwise).type == type) continue;
      Json cast = parse_select(scratch_, fmt::format("SELECT CAST(NULL AS {})", type));
      if (cast.is_null()) return;
      Json& item = draft.input.at("select_list").at(*window.otherwise);
      Json made = cast.at("select_list").at(0);
      made["child"] = named(item, "");
      item = named(std::move(made), text_in(item, "alias"));
    }
  }

  /// False where string_agg(DISTINCT x ORDER BY x) goes by values that are not the texts.
  bool orders_texts(const Draft& draft) {
    for (const reduce::Aggregate& aggregate : draft.spec.aggregates) {
      if (aggregate.kind != AggregateKind::kStringAgg || !aggregate.distinct) continue;
      Json uncast = draft.input;
      Json& items = uncast.at("select_list");
      items = Json::array({named(items.at(aggregate.arguments[0]).at("child"), "x")});
      const auto text = print_selects(scratch_, {uncast});
      const auto schema = text ? scratch_.describe(text->front()) : Result<sql::Schema>();
      if (!text || !schema || schema->at(0).type != "VARCHAR") return false;
    }
    return true;
  }

  KernelChoice finish(Draft& draft) {
    prune_ctes(draft.input);
    cast_defaults(draft);
    if (!orders_texts(draft)) return refused("string_agg of DISTINCT values that are no texts");
    // Groups by another equality than that of the bytes.
    auto collates = [](const Json& json) { return is_class(json, "COLLATE"); };
    if (any_below(draft.input, true, collates)) return refused("COLLATE");
    std::vector<Json> nodes{draft.input};
    const bool after = !draft.output.is_null();
    if (after) {
      prune_ctes(draft.output);
      for (const auto& [table, uses] : tables_below(draft.output)) {
        if (is_exchanged(table)) return refused("an exchanged input after the aggregates");
      }
      nodes.push_back(draft.output);
    }
    for (const Json& apart : draft.apart) {
      Json alone = apart;
      if (is_select(alone)) {
        Json entries = draft.output.at("cte_map").at("map");
        for (const Json& entry : alone.at("cte_map").at("map")) entries.push_back(entry);
        alone["cte_map"]["map"] = std::move(entries);
      }
      nodes.push_back(std::move(alone));
    }
    auto texts = print_selects(scratch_, nodes);
    if (!texts) return refused("SQL that does not read back as written");
    for (size_t i = after ? 2 : 1; i < texts->size(); ++i) {
      if (!scratch_.describe((*texts)[i])) return refused("a correlated subquery over groups");
    }
    StageKernel out{std::move(draft.spec), after ? (*texts)[1] : ""};
    KernelSpec& spec = out.kernel;
    spec.input_sql = (*texts)[0];
    const std::string table = single_table(draft.input);
    bool subquery =
        any_below(draft.input, true, [](const Json& json) { return is_class(json, "SUBQUERY"); });
    for (const KernelInput& input : inputs_) {
      if (subquery || input.broadcast || to_lower_ascii(input.name) != table) continue;
      spec.input_table = input.name;
    }
    if (auto why = bind(out)) return refused(*why);
    return {std::move(out), draft.what};
  }

  /// Fills the types in. A reason if DuckDB's binder says anything else than the draft.
  std::optional<std::string> bind(StageKernel& out) {
    KernelSpec& spec = out.kernel;
    auto input = scratch_.describe(spec.input_sql);
    if (!input || input->size() != spec.input.size()) return "an input that does not bind";
    for (size_t i = 0; i < input->size(); ++i) {
      if ((*input)[i].name != spec.input[i].name) return "an input of other names";
    }
    spec.input = std::move(*input);
    auto output = scratch_.describe(kernel_as_sql(spec));
    if (!output || output->size() != spec.output.size()) return "aggregates that do not bind";
    for (size_t i = 0; i < spec.aggregates.size(); ++i) {
      spec.aggregates[i].type = (*output)[spec.keys + i].type;
    }
    for (size_t i = 0; i < spec.windows.size(); ++i)
      spec.windows[i].aggregate.type = (*output)[spec.input.size() + i].type;
    for (size_t i = 0; i < output->size(); ++i) spec.output[i].type = (*output)[i].type;
    if (auto why = reduce::unsupported(spec)) return why;
    if (out.output_sql.empty()) {
      return spec.output == schema_ ? std::nullopt : std::optional("a result of other types");
    }
    auto whole = scratch_.describe(stage_as_sql(out));
    if (!whole) return "a result that does not bind";
    return *whole == schema_ ? std::nullopt : std::optional("a result of other types");
  }

  sql::Connection& scratch_;
  const std::vector<KernelInput>& inputs_;
  const sql::Schema& schema_;
  std::string name_;
  Json tree_;
};

std::string order_text(const std::vector<reduce::OrderColumn>& order, const sql::Schema& input,
                       size_t count = SIZE_MAX) {
  std::vector<std::string> parts;
  for (const reduce::OrderColumn& by : order) {
    if (parts.size() == count) break;
    parts.push_back(fmt::format("{} {} NULLS {}", quote_identifier(input[by.column].name),
                                by.descending ? "DESC" : "ASC", by.nulls_first ? "FIRST" : "LAST"));
  }
  return parts.empty() ? "" : "ORDER BY " + join(parts, ", ");
}

std::string call_text(const reduce::Aggregate& aggregate, const sql::Schema& input) {
  std::vector<std::string> arguments;
  for (uint32_t column : aggregate.arguments) {
    arguments.push_back(quote_identifier(input[column].name));
  }
  std::string name(to_string(aggregate.kind));
  if (aggregate.kind == AggregateKind::kCountRows) {
    name = "count";
    arguments.push_back("*");
  } else if (aggregate.kind == AggregateKind::kQuantileCont ||
             aggregate.kind == AggregateKind::kQuantileDisc) {
    arguments.push_back(fmt::format("{}::DOUBLE", aggregate.quantile));
  } else if (aggregate.kind == AggregateKind::kStringAgg) {
    arguments.push_back(quote_literal(aggregate.separator));
  }
  if (aggregate.kind == AggregateKind::kCount && arguments.size() > 1)
    arguments = {fmt::format("row({})", join(arguments, ", "))};
  std::string order = order_text(aggregate.order, input);
  std::string out = fmt::format("{}({}{}{}{})", name, aggregate.distinct ? "DISTINCT " : "",
                                join(arguments, ", "), order.empty() ? "" : " ", order);
  if (aggregate.filter) {
    out += fmt::format(" FILTER (WHERE {})", quote_identifier(input[*aggregate.filter].name));
  }
  return out;
}

std::string window_text(const reduce::WindowFunction& window, const KernelSpec& spec) {
  using reduce::WindowKind;
  const auto name = [&](uint32_t column) { return quote_identifier(spec.input[column].name); };
  std::string call;
  if (window.kind == WindowKind::kAggregate) {
    call = call_text(window.aggregate, spec.input);
  } else {
    std::vector<std::string> arguments;
    for (const uint32_t column : window.aggregate.arguments) arguments.push_back(name(column));
    const bool follows = window.kind == WindowKind::kLag || window.kind == WindowKind::kLead;
    if (follows || window.kind == WindowKind::kNtile || window.kind == WindowKind::kNthValue)
      arguments.push_back(std::to_string(window.number));
    if (window.otherwise) arguments.push_back(name(*window.otherwise));
    call = fmt::format("{}({}{})", to_string(window.kind), join(arguments, ", "),
                       window.ignore_nulls ? " IGNORE NULLS" : "");
  }
  std::vector<std::string> over, keys;
  const reduce::WindowSort* sort = window.sort > 0 ? &spec.sorts[window.sort - 1] : nullptr;
  for (uint32_t i = 0; !sort && i < spec.keys; ++i) keys.push_back(name(i));
  for (size_t i = 0; sort && i < sort->keys.size(); ++i) keys.push_back(name(sort->keys[i]));
  if (!keys.empty()) over.push_back("PARTITION BY " + join(keys, ", "));
  const bool ranks = window.kind == WindowKind::kRank || window.kind == WindowKind::kDenseRank ||
                     window.kind == WindowKind::kPercentRank ||
                     window.kind == WindowKind::kCumeDist;
  const bool by_peers = ranks || (!window.by_row && window.peers > 0);
  std::string order =
      order_text(sort ? sort->order : spec.order, spec.input, by_peers ? window.peers : SIZE_MAX);
  if (!order.empty()) over.push_back(std::move(order));
  if (window.by_row)
    over.push_back("ROWS UNBOUNDED PRECEDING");
  else if (!ranks && window.peers == 0)
    over.push_back("ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING");
  return fmt::format("{} OVER ({})", call, join(over, " "));
}

}  // namespace

KernelChoice choose_kernel(sql::Connection& scratch, const std::string& stage,
                           const std::string& sql, const std::vector<KernelInput>& inputs,
                           const sql::Schema& schema) {
  try {
    return Chooser(scratch, stage, inputs, schema).run(sql);
  } catch (const Json::exception&) {
    return {{}, "a syntax tree of another form"};
  }
}

std::string kernel_as_sql(const KernelSpec& spec) {
  std::vector<std::string> items, keys;
  const bool top = spec.kind == KernelSpec::Kind::kTop;
  const bool windows = spec.kind == KernelSpec::Kind::kWindow;
  const size_t plain = top || windows ? spec.input.size() : spec.keys;
  for (size_t i = 0; i < plain; ++i) {
    std::string name = quote_identifier(spec.input[i].name);
    if (i < spec.keys) keys.push_back("q." + name);
    items.push_back(fmt::format("q.{} AS {}", name, quote_identifier(spec.output[i].name)));
  }
  for (size_t i = 0; i < spec.aggregates.size(); ++i) {
    items.push_back(fmt::format("{} AS {}", call_text(spec.aggregates[i], spec.input),
                                quote_identifier(spec.output[spec.keys + i].name)));
  }
  for (size_t i = 0; i < spec.windows.size(); ++i) {
    items.push_back(fmt::format("{} AS {}", window_text(spec.windows[i], spec),
                                quote_identifier(spec.output[spec.input.size() + i].name)));
  }
  std::string out = fmt::format("SELECT {} FROM ({}) q", join(items, ", "), spec.input_sql);
  if (windows) return out;
  if (top) {
    return out + fmt::format(" QUALIFY row_number() OVER (PARTITION BY {} {}) <= {}",
                             join(keys, ", "), order_text(spec.order, spec.input), spec.limit);
  }
  return keys.empty() ? out : out + " GROUP BY " + join(keys, ", ");
}

std::string stage_as_sql(const StageKernel& stage) {
  if (stage.output_sql.empty()) return kernel_as_sql(stage.kernel);
  return fmt::format("WITH {} AS ({}) SELECT * FROM ({}) q", quote_identifier(stage.kernel.name),
                     kernel_as_sql(stage.kernel), stage.output_sql);
}

}  // namespace tidegate::prove
