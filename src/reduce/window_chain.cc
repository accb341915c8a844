#include "reduce/window_chain.h"

#include <algorithm>

#include "duckdb.h"
#include "reduce/window_run.h"

namespace tidegate::reduce {
namespace {

uint32_t place_of(const std::vector<uint32_t>& columns, uint32_t column) {
  const auto at = std::find(columns.begin(), columns.end(), column);
  TG_ASSERT(at != columns.end());
  return static_cast<uint32_t>(at - columns.begin());
}

/// The function with the link's places for the kernel's columns.
WindowFunction moved(WindowFunction window, const std::vector<uint32_t>& columns) {
  for (uint32_t& argument : window.aggregate.arguments) argument = place_of(columns, argument);
  if (window.aggregate.filter)
    window.aggregate.filter = place_of(columns, *window.aggregate.filter);
  if (window.otherwise) window.otherwise = place_of(columns, *window.otherwise);
  window.sort = 0;
  return window;
}

Result<duckdb_data_chunk> make_chunk(sql::Connection& connection, const sql::Schema& schema) {
  std::vector<duckdb_logical_type> types;
  Status made;
  for (const sql::Column& column : schema) {
    const auto type = connection.make_type(column.type);
    if (type) types.push_back(*type);
    if (!type && made) made = std::unexpected(type.error());
  }
  duckdb_data_chunk chunk =
      made ? duckdb_create_data_chunk(types.data(), types.size()) : duckdb_data_chunk{};
  for (duckdb_logical_type& type : types) duckdb_destroy_logical_type(&type);
  if (!made) return std::unexpected(made.error());
  return chunk;
}

}  // namespace

WindowLink window_link(const KernelSpec& whole, uint32_t sort) {
  WindowLink link;
  std::vector<OrderColumn> order = whole.order;
  if (sort == 0) {
    for (uint32_t i = 0; i < whole.keys; ++i) link.columns.push_back(i);
  } else {
    link.columns = whole.sorts[sort - 1].keys;
    order = whole.sorts[sort - 1].order;
  }
  link.spec.kind = KernelSpec::Kind::kWindow;
  link.spec.name = whole.name;
  link.spec.keys = static_cast<uint32_t>(link.columns.size());
  const auto inputs = static_cast<uint32_t>(whole.input.size());
  for (uint32_t i = 0; i < inputs; ++i)
    if (std::ranges::find(link.columns, i) == link.columns.end()) link.columns.push_back(i);
  for (uint32_t i = 0; i < whole.windows.size(); ++i)
    if (whole.windows[i].sort < sort) link.columns.push_back(inputs + i);
  for (const uint32_t column : link.columns) link.spec.input.push_back(whole.output[column]);
  for (OrderColumn by : order) {
    by.column = place_of(link.columns, by.column);
    link.spec.order.push_back(by);
  }
  link.spec.output = link.spec.input;
  for (uint32_t i = 0; i < whole.windows.size(); ++i) {
    if (whole.windows[i].sort != sort) continue;
    link.spec.windows.push_back(moved(whole.windows[i], link.columns));
    link.spec.output.push_back(whole.output[inputs + i]);
  }
  for (uint32_t i = 0; i < whole.windows.size(); ++i)
    if (whole.windows[i].sort == sort) link.columns.push_back(inputs + i);
  return link;
}

Result<std::unique_ptr<WindowChain>> WindowChain::create(
    sql::Connection& connection, Effects& effects, const KernelSpec& spec,
    const std::vector<batch::ColumnType>& types, KernelInput input, const KernelOptions& options,
    std::shared_ptr<KernelCounts> counts) {
  std::unique_ptr<WindowChain> chain(new WindowChain(std::move(counts)));
  KernelOptions share = options;
  share.memory_bytes /= spec.sorts.size() + 1;
  std::vector<uint32_t> before;
  for (uint32_t sort = 0; sort <= spec.sorts.size(); ++sort) {
    WindowLink link = window_link(spec, sort);
    const size_t inputs = link.spec.input.size();
    chain->run_counts_.push_back(std::make_shared<KernelCounts>());
    std::vector<batch::ColumnType> link_types;
    if (sort > 0) {
      TG_ASSIGN(link_types, batch::column_types(connection, link.spec.input));
    } else {
      link_types = types;
    }
    auto run = std::make_unique<WindowRun>(effects, link.spec, std::move(link_types),
                                           std::move(input), share, chain->run_counts_.back());
    input = {};
    if (sort > 0) {
      std::vector<uint32_t> columns;
      for (size_t i = 0; i < inputs; ++i) columns.push_back(place_of(before, link.columns[i]));
      TG_ASSIGN(duckdb_data_chunk chunk, make_chunk(connection, link.spec.input));
      chain->chunks_.push_back(chunk);
      run->read(*chain->runs_.back(), columns, chunk);
    }
    share.progress = {};  // rows are taken in once
    before = std::move(link.columns);
    chain->runs_.push_back(std::move(run));
  }
  for (uint32_t column = 0; column < spec.output.size(); ++column)
    chain->places_.push_back(place_of(before, column));
  return chain;
}

WindowChain::WindowChain(std::shared_ptr<KernelCounts> counts) : counts_(std::move(counts)) {}

WindowChain::~WindowChain() {
  for (duckdb_data_chunk& chunk : chunks_) duckdb_destroy_data_chunk(&chunk);
}

Status WindowChain::start() { return runs_.front()->start(); }

Status WindowChain::fill(const std::vector<uint32_t>& columns, duckdb_data_chunk chunk) {
  std::vector<uint32_t> places = columns;
  for (uint32_t& place : places)
    if (place != UINT32_MAX) place = places_[place];
  TG_TRY(runs_.back()->fill(places, chunk));
  counts_->rows_in = run_counts_.front()->rows_in;
  counts_->rows_out = run_counts_.back()->rows_out;
  counts_->spilled_bytes = counts_->peak_bytes = 0;
  for (const auto& run : run_counts_) {
    counts_->spilled_bytes += run->spilled_bytes;
    counts_->peak_bytes += run->peak_bytes;
  }
  return {};
}

}  // namespace tidegate::reduce
