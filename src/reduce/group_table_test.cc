#include "reduce/group_table.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "reduce/kernel_fixture.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using batch::StringRef;
using Cell = std::optional<std::string>;
using Cells = std::vector<Cell>;  ///< of a row: texts, and integers as texts

/// A table beside a map that numbers keys as they come.
class TableBesideMap {
 public:
  explicit TableBesideMap(const std::vector<std::string>& types) {
    for (const std::string& type : types) types_.push_back(*batch::parse_scalar_type(type));
    table_ = GroupTable::create(types_);
  }

  void add(const std::vector<Cells>& rows) {
    uint64_t text_bytes = 0;
    for (const Cells& row : rows)
      for (size_t i = 0; i < row.size(); ++i)
        if (types_[i].storage == batch::Storage::kBytes && row[i])
          text_bytes += row[i]->size() + 16;
    const uint64_t most = table_->bytes_after(rows.size(), text_bytes);
    std::vector<uint32_t> groups(rows.size());
    table_->find_or_add(views(rows), rows.size(), groups.data());
    EXPECT_LE(table_->bytes(), most);
    for (size_t row = 0; row < rows.size(); ++row) {
      const auto next = static_cast<uint32_t>(groups_.size());
      ASSERT_EQ(groups[row], groups_.try_emplace(rows[row], next).first->second) << "row " << row;
    }
    EXPECT_EQ(table_->size(), groups_.size());
  }
  void find(const std::vector<Cells>& rows) {
    std::vector<uint32_t> groups(rows.size());
    table_->find(views(rows), rows.size(), groups.data());
    for (size_t row = 0; row < rows.size(); ++row) {
      const auto at = groups_.find(rows[row]);
      EXPECT_EQ(groups[row], at == groups_.end() ? GroupTable::kNoGroup : at->second);
    }
  }
  void clear() {
    table_->clear();
    groups_.clear();
    EXPECT_EQ(table_->size(), 0U);
  }

 private:
  /// Texts lie by themselves, so that nothing beyond their ends may be read.
  const ColumnView* views(const std::vector<Cells>& rows) {
    const size_t columns = types_.size();
    texts_.assign(columns, std::vector<StringRef>(rows.size()));
    numbers_.assign(columns, std::vector<int32_t>(rows.size()));
    validity_.assign(columns, std::vector<uint64_t>(rows.size() / 64 + 1));
    held_.clear();
    views_.clear();
    for (size_t i = 0; i < columns; ++i) {
      const bool text = types_[i].storage == batch::Storage::kBytes;
      bool nulls = false;
      for (size_t row = 0; row < rows.size(); ++row) {
        const Cell& cell = rows[row][i];
        nulls |= !cell;
        if (!cell) continue;
        validity_[i][row / 64] |= uint64_t{1} << (row % 64);
        if (!text) {
          numbers_[i][row] = std::stoi(*cell);
          continue;
        }
        held_.push_back(std::make_unique<char[]>(cell->size()));
        std::copy(cell->begin(), cell->end(), held_.back().get());
        texts_[i][row] = StringRef::of({held_.back().get(), cell->size()});
      }
      const void* data = text ? static_cast<const void*>(texts_[i].data()) : numbers_[i].data();
      views_.push_back({data, nulls ? validity_[i].data() : nullptr});
    }
    return views_.data();
  }

  std::vector<batch::ColumnType> types_;
  std::unique_ptr<GroupTable> table_;
  std::map<Cells, uint32_t> groups_;
  std::vector<std::vector<StringRef>> texts_;
  std::vector<std::vector<int32_t>> numbers_;
  std::vector<std::vector<uint64_t>> validity_;
  std::vector<std::unique_ptr<char[]>> held_;
  std::vector<ColumnView> views_;
};

uint32_t next_random(uint32_t& state) { return state = state * 1'664'525 + 1'013'904'223; }

/// Rows of `make(random)`.
std::vector<Cells> rows_of(uint32_t seed, size_t count,
                           const std::function<Cells(uint32_t)>& make) {
  std::vector<Cells> rows;
  for (size_t i = 0; i < count; ++i) rows.push_back(make(next_random(seed) >> 8));
  return rows;
}

TEST(GroupTable, NumbersTextsAsTheyCome) {
  const auto url = [](uint32_t random) -> Cells {
    if (random % 50 == 0) return {std::nullopt};
    if (random % 11 == 0) return {std::to_string(random % 900)};
    if (random % 7 == 0) return {"https://www.exa"};
    if (random % 5 == 0) return {"ftp://elsewhere.example/" + std::to_string(random % 700)};
    return {"https://www.example.com/" + std::string(random % 60, 'x') +
            std::to_string(random % 800)};
  };
  const auto rest = [](uint32_t random) -> Cells {  // of what begins alike, as a text of its own
    return {"/" + std::string(random % 60, 'x') + std::to_string(random % 800)};
  };
  const auto same = [](uint32_t random) -> Cells {
    return {"https://www.example.com/" + std::to_string(random % 3'000)};
  };
  TableBesideMap table({"VARCHAR"});
  for (int round = 0; round < 2; ++round) {
    // The first ones begin alike: nothing but what begins so is short then.
    if (round == 0) table.add(rows_of(1, 300, same));
    for (uint32_t chunk = 0; chunk < 8; ++chunk) {
      table.add(rows_of(10 + chunk, 1'000, url));
      table.add(rows_of(20 + chunk, 777, rest));
      table.find(rows_of(30 + chunk, 500, same));
      table.add(rows_of(40 + chunk, 65, same));
    }
    table.clear();
  }
}

TEST(GroupTable, HoldsTextsThatAreLongerThanABlock) {
  TableBesideMap table({"VARCHAR"});
  const auto long_text = [](uint32_t random) -> Cells {
    return {std::string(250'000 + random % 4 * 40'000, static_cast<char>('a' + random % 3))};
  };
  table.add(rows_of(1, 20, long_text));
  table.add(rows_of(2, 20, [](uint32_t random) -> Cells { return {std::to_string(random % 9)}; }));
  table.add(rows_of(3, 20, long_text));
}

TEST(GroupTable, NumbersShortTextsBesideIntegersAsTheyCome) {
  const auto row_of = [](size_t long_every, size_t texts) {
    return [=](uint32_t random) {
      Cells row{std::to_string(static_cast<int>(random % 40) - 20)};
      if (random % 23 == 0) row[0] = std::nullopt;
      for (size_t i = 0; i < texts; ++i) {
        const uint32_t mixed = random / 64 * static_cast<uint32_t>(3 * i + 1);
        Cell text(std::string(mixed % 8, static_cast<char>('a' + mixed % 2)));
        if (mixed % 19 == 0) text = std::string(3, '\0');
        if (mixed % 17 == 0) text = std::nullopt;
        if (long_every > 0 && mixed % long_every == 0) text = std::string(9 + mixed % 30, 'z');
        row.push_back(text);
      }
      return row;
    };
  };
  for (const size_t texts : {1U, 2U, 3U}) {
    std::vector<std::string> types{"INTEGER"};
    types.resize(1 + texts, "VARCHAR");
    TableBesideMap table(types);
    // Short ones alone; long ones that come later; long ones at first, in most rows.
    for (const std::vector<size_t>& long_every :
         std::vector<std::vector<size_t>>{{0, 0}, {0, 13, 0, 5}, {2, 0, 13}, {13, 2, 0}}) {
      uint32_t seed = 1;
      for (const size_t every : long_every) {
        table.add(rows_of(++seed, 1'500, row_of(every, texts)));
        table.find(rows_of(++seed, 500, row_of(7, texts)));
      }
      table.clear();
    }
  }
}

class KernelOfShapes : public KernelFixture {
 protected:
  void expect_same(const KernelSpec& spec, uint64_t memory_bytes = uint64_t{64} << 20) {
    ASSERT_TRUE(reduce_stream(spec, "got", memory_bytes)) << expected_;
    for (const auto& [from, other] : {std::pair{"got", "expected"}, {"expected", "got"}}) {
      run("CREATE OR REPLACE TABLE expected AS " + expected_);
      EXPECT_EQ(
          scalar(fmt::format("SELECT count(*) FROM (FROM {} EXCEPT ALL FROM {})", from, other)),
          "0")
          << expected_;
    }
  }
};

TEST_F(KernelOfShapes, GivesKeysBackAsTheyWere) {
  run("CREATE TABLE rows AS SELECT CAST(nullif(i % 7, 3) AS INTEGER) AS number, CASE WHEN i > "
      "30000 "
      "AND i % 5 = 0 THEN 'a text that is long ' || i % 90 WHEN i % 11 = 0 THEN NULL ELSE "
      "repeat('x', CAST(i % 9 AS INTEGER)) END AS text, 'https://www.example.com/' || CASE WHEN "
      "i % 3 = 0 THEN '' ELSE CAST(i % 5000 AS VARCHAR) END AS url, CAST(i % 100 AS INTEGER) AS v "
      "FROM range(60000) t(i)");
  run("CREATE TABLE urls AS SELECT CASE WHEN v = 7 AND number = 2 THEN NULL WHEN number = 1 THEN "
      "substr(url, 9) ELSE url END AS url, v FROM rows");
  const std::vector<std::pair<Aggregate, std::string>> sums{
      {{.kind = AggregateKind::kCountRows}, "count(*)"}};
  expect_same(group_spec("(SELECT number, text, v FROM rows)", 2, sums));
  expect_same(group_spec("(SELECT text, number, url FROM rows)", 2, sums));
  expect_same(group_spec("urls", 1, sums));
  // Whatever an aggregate has seen is as DuckDB has it where states are fetched in steps.
  KernelSpec far =
      group_spec("(SELECT url || v AS key, nullif(number, 1) AS number FROM rows)", 1, {});
  far = group_spec(
      "(SELECT url || v AS key, nullif(number, 1) AS number FROM rows)", 1,
      {{{.kind = AggregateKind::kCountRows}, "count(*)"},
       {{.kind = AggregateKind::kMax, .arguments = {column(far, "number")}}, "max(number)"},
       {{.kind = AggregateKind::kMin, .arguments = {column(far, "number")}}, "min(number)"},
       {{.kind = AggregateKind::kSum, .arguments = {column(far, "number")}}, "sum(number)"}});
  expect_same(far);
}

TEST_F(KernelOfShapes, CountsValuesThatLieCloseTogether) {
  // Two dense groups, one of them with negative numbers and others far away later; one of few
  // values; one without range; NULLs.
  run("CREATE TABLE rows AS SELECT CAST(i % 4 AS INTEGER) AS key, CASE i % 4 WHEN 0 THEN (i * "
      "7919) "
      "% 50000 WHEN 1 THEN CASE WHEN i > 200000 THEN i * 1000003 ELSE (i * 31) % 90000 - 45000 END "
      "WHEN 2 THEN nullif(i % 5, 2) * 1000000007 ELSE CAST(hash(i) >> 1 AS BIGINT) END AS value "
      "FROM range(300000) t(i)");
  for (const char* type : {"BIGINT", "UBIGINT", "INTEGER", "SMALLINT", "DOUBLE", "TIMESTAMP"}) {
    const std::string_view name = type;
    std::string value = fmt::format("CAST(value % 2000000000 AS {})", type);
    if (name == "SMALLINT") value = "CAST(value % 30000 AS SMALLINT)";
    if (name == "UBIGINT") value = "CAST(value % 2000000000 + 3000000000 AS UBIGINT)";
    if (name == "TIMESTAMP") value = "make_timestamp(value % 1000000000)";
    const std::string table = fmt::format("(SELECT key, {} AS value FROM rows)", value);
    expect_same(group_spec(table, 1,
                           {{{.kind = AggregateKind::kCount, .arguments = {1}, .distinct = true},
                             "count(DISTINCT value)"}}));
  }
}

}  // namespace
}  // namespace tidegate::reduce
