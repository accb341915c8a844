#include "reduce/spec_json.h"

#include <nlohmann/json.hpp>

namespace tidegate::reduce {
namespace {

using nlohmann::json;

json schema_json(const sql::Schema& schema) {
  json out = json::array();
  for (const sql::Column& column : schema) out.push_back({column.name, column.type});
  return out;
}

sql::Schema schema_from(const json& j) {
  sql::Schema schema;
  for (const json& item : j) schema.push_back({item.at(0), item.at(1)});
  return schema;
}

json order_json(const std::vector<OrderColumn>& order) {
  json out = json::array();
  for (const OrderColumn& column : order)
    out.push_back({column.column, column.descending, column.nulls_first});
  return out;
}

std::vector<OrderColumn> order_from(const json& j) {
  std::vector<OrderColumn> order;
  for (const json& item : j) order.push_back({item.at(0), item.at(1), item.at(2)});
  return order;
}

json aggregate_json(const Aggregate& aggregate) {
  json item = {{"kind", static_cast<int>(aggregate.kind)},
               {"arguments", aggregate.arguments},
               {"distinct", aggregate.distinct},
               {"order", order_json(aggregate.order)},
               {"quantile", aggregate.quantile},
               {"separator", aggregate.separator},
               {"scale", aggregate.scale},
               {"type", aggregate.type}};
  if (aggregate.filter) item["filter"] = *aggregate.filter;
  return item;
}

Aggregate aggregate_from(const json& item) {
  Aggregate aggregate;
  aggregate.kind = static_cast<AggregateKind>(item.at("kind").get<int>());
  aggregate.arguments = item.at("arguments").get<std::vector<uint32_t>>();
  aggregate.distinct = item.at("distinct");
  aggregate.order = order_from(item.at("order"));
  aggregate.quantile = item.at("quantile");
  aggregate.separator = item.at("separator");
  aggregate.scale = item.at("scale");
  aggregate.type = item.at("type");
  if (item.contains("filter")) aggregate.filter = item.at("filter").get<uint32_t>();
  return aggregate;
}

json window_json(const WindowFunction& window) {
  json item = {{"kind", static_cast<int>(window.kind)},
               {"by_row", window.by_row},
               {"peers", window.peers},
               {"number", window.number},
               {"ignore_nulls", window.ignore_nulls},
               {"aggregate", aggregate_json(window.aggregate)}};
  if (window.otherwise) item["otherwise"] = *window.otherwise;
  if (window.sort > 0) item["sort"] = window.sort;
  return item;
}

WindowFunction window_from(const json& item) {
  WindowFunction window;
  window.kind = static_cast<WindowKind>(item.at("kind").get<int>());
  window.by_row = item.at("by_row");
  window.peers = item.at("peers");
  window.number = item.at("number");
  window.ignore_nulls = item.at("ignore_nulls");
  window.aggregate = aggregate_from(item.at("aggregate"));
  if (item.contains("otherwise")) window.otherwise = item.at("otherwise").get<uint32_t>();
  window.sort = item.value("sort", uint32_t{0});
  return window;
}

StageKernel read(const json& j) {
  StageKernel stage;
  KernelSpec& kernel = stage.kernel;
  kernel.kind = static_cast<KernelSpec::Kind>(j.at("kind").get<int>());
  kernel.name = j.at("name");
  kernel.input_sql = j.at("input_sql");
  kernel.input_table = j.at("input_table");
  kernel.input = schema_from(j.at("input"));
  kernel.keys = j.at("keys");
  kernel.partition = j.at("partition").get<std::vector<uint32_t>>();
  for (const json& item : j.at("aggregates")) kernel.aggregates.push_back(aggregate_from(item));
  // Only there if there are any, so that other kernels keep their identities.
  for (const json& item : j.value("windows", json::array()))
    kernel.windows.push_back(window_from(item));
  for (const json& item : j.value("sorts", json::array()))
    kernel.sorts.push_back(
        {item.at("keys").get<std::vector<uint32_t>>(), order_from(item.at("order"))});
  kernel.order = order_from(j.at("order"));
  kernel.limit = j.at("limit");
  kernel.output = schema_from(j.at("output"));
  stage.output_sql = j.at("output_sql");
  return stage;
}

}  // namespace

std::string to_json(const StageKernel& stage) {
  const KernelSpec& kernel = stage.kernel;
  json aggregates = json::array();
  for (const Aggregate& aggregate : kernel.aggregates)
    aggregates.push_back(aggregate_json(aggregate));
  json out = {{"kind", static_cast<int>(kernel.kind)}, {"name", kernel.name},
              {"input_sql", kernel.input_sql},         {"input_table", kernel.input_table},
              {"input", schema_json(kernel.input)},    {"keys", kernel.keys},
              {"partition", kernel.partition},         {"aggregates", aggregates},
              {"order", order_json(kernel.order)},     {"limit", kernel.limit},
              {"output", schema_json(kernel.output)},  {"output_sql", stage.output_sql}};
  for (const WindowFunction& window : kernel.windows) out["windows"].push_back(window_json(window));
  for (const WindowSort& sort : kernel.sorts)
    out["sorts"].push_back({{"keys", sort.keys}, {"order", order_json(sort.order)}});
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<StageKernel> stage_kernel_from_json(const std::string& text) {
  try {
    return read(json::parse(text));
  } catch (const json::exception& error) {
    return fail(FailureClass::kDefect, "task.bad_message",
                std::string("cannot read a kernel: ") + error.what());
  }
}

}  // namespace tidegate::reduce
