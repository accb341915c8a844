#pragma once

#include <fmt/format.h>

#include <map>

#include "reduce/kernel_table.h"
#include "shuffle/map_output_fixture.h"

namespace tidegate::reduce {

/// A kernel over a table, beside the SQL that it stands for.
class KernelFixture : public MapOutputFixture {
 protected:
  /// A spec over all columns of `table`, its first `keys` columns the keys. `aggregates` and the
  /// SQL of each; argument columns by name through `column`.
  KernelSpec group_spec(const std::string& table, uint32_t keys,
                        std::vector<std::pair<Aggregate, std::string>> aggregates) {
    KernelSpec spec;
    spec.name = "kernel_result";
    spec.input_sql = "SELECT * FROM " + table;
    spec.input = schema_of(spec.input_sql);
    spec.keys = keys;
    std::string items, groups;
    for (uint32_t i = 0; i < keys; ++i) {
      items += (i > 0 ? ", " : "") + quote_identifier(spec.input[i].name);
      groups += (i > 0 ? ", " : "") + quote_identifier(spec.input[i].name);
      spec.output.push_back(spec.input[i]);
    }
    for (size_t i = 0; i < aggregates.size(); ++i) {
      auto& [aggregate, sql] = aggregates[i];
      const std::string name = "g" + std::to_string(i);
      items += fmt::format("{}{} AS {}", items.empty() ? "" : ", ", sql, name);
      aggregate.type = schema_of(fmt::format("SELECT {} AS x FROM {}", sql, table)).at(0).type;
      spec.output.push_back({name, aggregate.type});
      spec.aggregates.push_back(aggregate);
    }
    expected_ = "SELECT " + items + " FROM " + table + (keys > 0 ? " GROUP BY " + groups : "");
    return spec;
  }
  sql::Schema schema_of(const std::string& sql) {
    auto schema = connection_->describe(sql);
    EXPECT_TRUE(schema) << sql << "\n" << (schema ? "" : schema.error().describe());
    return schema ? *schema : sql::Schema{};
  }
  static uint32_t column(const KernelSpec& spec, std::string_view name) {
    for (uint32_t i = 0; i < spec.input.size(); ++i)
      if (spec.input[i].name == name) return i;
    ADD_FAILURE() << "no column " << name;
    return 0;
  }

  /// Runs the kernel over a stream of its SQL and keeps the result as a table.
  Status reduce_stream(const KernelSpec& spec, const std::string& into, uint64_t memory_bytes) {
    KernelInput input;
    input.stream = [this, sql = spec.input_sql] { return connection_->stream(sql); };
    return reduce(spec, std::move(input), into, memory_bytes);
  }
  /// Runs it over buckets of a map output of its SQL.
  Status reduce_buckets(const KernelSpec& spec, uint32_t buckets, const std::string& into,
                        uint64_t memory_bytes) {
    MapOutputOptions options{.buckets = buckets, .attempt = "a1"};
    for (uint32_t i = 0; i < spec.keys; ++i) options.keys.push_back({i, spec.input[i].type});
    TG_TRY(write(spec.input_sql, file(into + ".tgm"), std::move(options)));
    KernelInput input;
    input.files = {{file(into + ".tgm"), "a1"}};
    input.bucket_end = buckets;
    input.scan_bytes = uint64_t{8} << 20;
    return reduce(spec, std::move(input), into, memory_bytes);
  }
  Status reduce(const KernelSpec& spec, KernelInput input, const std::string& into,
                uint64_t memory_bytes) {
    counts_ = std::make_shared<KernelCounts>();
    TG_TRY(register_kernel(*connection_, real_effects(), spec, std::move(input),
                           {.memory_bytes = memory_bytes,
                            .spill_directory = directory_,
                            .splits_keys = splits_keys_,
                            .stage_memory = stage_memory_},
                           counts_));
    return connection_->execute("CREATE OR REPLACE TABLE " + into + " AS SELECT * FROM " +
                                quote_identifier(spec.name));
  }

  std::string expected_;
  bool splits_keys_ = false;
  std::function<uint64_t(uint64_t, uint64_t)> stage_memory_;
  std::shared_ptr<KernelCounts> counts_;
};

}  // namespace tidegate::reduce
