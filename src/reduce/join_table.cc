#include "reduce/join_table.h"

#include <fmt/format.h>

#include "base/text.h"
#include "duckdb.h"
#include "reduce/join_run.h"
#include "shuffle/table_function.h"

namespace tidegate::reduce {
namespace {

/// A relation of a join.
class JoinTable final : public shuffle::TableFunction {
 public:
  JoinTable(std::shared_ptr<JoinRun> run, JoinRun::Which which)
      : run_(std::move(run)), which_(which) {}

  Result<std::unique_ptr<shuffle::TableScan>> open(std::vector<uint32_t> columns) override {
    TG_TRY(run_->open(which_, columns));
    return std::make_unique<Scan>(run_, which_);
  }

 private:
  class Scan final : public shuffle::TableScan {
   public:
    Scan(std::shared_ptr<JoinRun> run, JoinRun::Which which)
        : run_(std::move(run)), which_(which) {}
    ~Scan() override { run_->close(which_); }
    Status fill(_duckdb_data_chunk* chunk) override { return run_->fill(which_, chunk); }

   private:
    std::shared_ptr<JoinRun> run_;
    JoinRun::Which which_;
  };

  std::shared_ptr<JoinRun> run_;
  JoinRun::Which which_;
};

Result<uint32_t> place_of(const sql::Schema& schema, const std::string& name) {
  const std::string lower = to_lower_ascii(name);
  for (uint32_t i = 0; i < schema.size(); ++i)
    if (to_lower_ascii(schema[i].name) == lower) return i;
  return fail(FailureClass::kDefect, "reduce.join_column",
              fmt::format("a join's input has no column \"{}\"", name));
}

Result<JoinRun::Side> make_side(sql::Connection& connection, Effects& effects,
                                const JoinSpec::Side& spec, JoinInput input) {
  JoinRun::Side side;
  TG_ASSIGN(side.table.types, batch::column_types(connection, input.schema));
  side.table.effects = &effects;
  side.table.files = std::move(input.files);
  side.table.bucket_begin = input.bucket_begin;
  side.table.bucket_end = input.bucket_end;
  side.table.memory_bytes = input.scan_bytes;
  for (const std::string& key : spec.keys) {
    TG_ASSIGN(const uint32_t column, place_of(input.schema, key));
    side.keys.push_back(column);
  }
  for (const std::string& name : spec.columns) {
    TG_ASSIGN(const uint32_t column, place_of(input.schema, name));
    side.shown.push_back(column);
  }
  side.table.schema = std::move(input.schema);
  return side;
}

Result<std::string> register_half(sql::Connection& connection, std::shared_ptr<JoinRun> run,
                                  JoinRun::Which which, const JoinSpec::Side& spec,
                                  const sql::Schema& schema) {
  sql::Schema shown;
  for (const std::string& column : spec.columns) {
    TG_ASSIGN(const uint32_t place, place_of(schema, column));
    shown.push_back({column, schema[place].type});
  }
  return shuffle::register_table(connection, spec.relation, "join", shown,
                                 std::make_unique<JoinTable>(std::move(run), which));
}

}  // namespace

Result<std::pair<std::string, std::string>> register_join(sql::Connection& connection,
                                                          Effects& effects, const JoinSpec& spec,
                                                          JoinInput left, JoinInput right,
                                                          JoinOptions options,
                                                          std::shared_ptr<JoinCounts> counts) {
  const sql::Schema left_schema = left.schema, right_schema = right.schema;
  TG_ASSIGN(auto left_side, make_side(connection, effects, spec.left, std::move(left)));
  TG_ASSIGN(auto right_side, make_side(connection, effects, spec.right, std::move(right)));
  const auto run = std::make_shared<JoinRun>(spec, std::move(left_side), std::move(right_side),
                                             std::move(options), std::move(counts));
  TG_TRY(run->start());
  std::pair<std::string, std::string> names;
  if (!spec.left.relation.empty()) {
    TG_ASSIGN(names.first, register_half(connection, run, JoinRun::kLeft, spec.left, left_schema));
  }
  if (!spec.right.relation.empty()) {
    TG_ASSIGN(names.second,
              register_half(connection, run, JoinRun::kRight, spec.right, right_schema));
  }
  return names;
}

}  // namespace tidegate::reduce
