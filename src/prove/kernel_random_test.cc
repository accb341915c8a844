#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "base/text.h"
#include "prove/kernel_fixture.h"

namespace tidegate::prove {
namespace {

/// Random stages with names that mean several things, in search of one that gives other rows.
class RandomStage {
 public:
  explicit RandomStage(uint32_t seed) : random_(seed) {}

  std::string sql() {
    join_ = chance(25);
    return chance(65) ? grouped() : first_rows();
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  bool chance(size_t percent) { return below(100) < percent; }
  std::string one_of(const std::vector<std::string>& all) { return all[below(all.size())]; }

  std::string column() {
    std::string name = one_of({"k", "x", "i", "d", "n", "K"});
    if (join_) return one_of({"p.", "q.", "p."}) + name;
    return chance(25) ? "p." + name : name;
  }
  std::string number() { return one_of({"i", "p.i", "k", "p.k"}); }
  std::string expression() {
    switch (below(7)) {
      case 0:
        return (join_ ? "p.i" : "i") + std::string(" % 3");
      case 1:
        return (join_ ? "p.k" : number()) + " + 1";
      case 2:
        return "upper(" + std::string(join_ ? "p." : "") + "x)";
      default:
        return column();
    }
  }
  std::string alias() { return one_of({"k", "x", "i", "n", "z", "w", "d"}); }
  std::string from() {
    if (join_) return one_of({"a p JOIN c q ON p.k = q.k", "a p LEFT JOIN c q ON p.i = q.i"});
    return one_of({"a p", "a p", "(SELECT * FROM a WHERE i > 7) p",
                   "(SELECT k, x, i, d, n FROM a UNION ALL SELECT k, x, i, d, n FROM c) p"});
  }
  std::string argument() { return join_ ? "p.i" : one_of({"i", "p.i", "k", "i + k", "n"}); }
  std::string aggregate() {
    switch (below(8)) {
      case 0:
        return "count(*)";
      case 1:
        return "count(DISTINCT " + std::string(join_ ? "p.x" : "x") + ")";
      case 2:
        return "sum(" + argument() + ") FILTER (WHERE " + (join_ ? "p.k" : "k") + " > 1)";
      case 3:
        return "first(" + std::string(join_ ? "p.x ORDER BY p.i, q.i" : "x ORDER BY i, d, x") + ")";
      default:
        return one_of({"sum", "min", "max", "count"}) + "(" + argument() + ")";
    }
  }
  std::string name_or(const std::string& other) {
    return chance(50) && !aliases_.empty() ? one_of(aliases_) : other;
  }

  std::string grouped() {
    const size_t keys = 1 + below(3);
    std::vector<std::string> items, groups;
    aliases_.clear();
    const bool all = chance(25);
    for (size_t i = 0; i < keys; ++i) {
      std::string key = expression(), name = alias();
      std::string item = key;
      if (chance(15)) item += " IS NULL";
      if (chance(10) && !aliases_.empty()) item = one_of(aliases_);
      if (chance(60)) {
        item += " AS " + name;
        aliases_.push_back(name);
      }
      if (chance(85)) items.push_back(item);
      groups.push_back(chance(20) ? std::to_string(1 + below(keys)) : chance(25) ? name : key);
    }
    for (size_t i = below(4); i > 0; --i) {
      std::string item = aggregate();
      if (chance(25)) item += " + " + one_of({"1", "count(*)", "max(p.i)", name_or("2")});
      std::string name = alias();
      items.insert(items.begin() + static_cast<long>(below(items.size() + 1)),
                   fmt::format("{} AS {}", item, name));
      aliases_.push_back(name);
    }
    if (items.empty()) items.push_back("count(*)");
    std::string out = "SELECT " + std::string(chance(10) ? "DISTINCT " : "") + join(items, ", ") +
                      " FROM " + from();
    if (chance(30)) out += " WHERE " + name_or("p.i") + " IS NOT NULL";
    out += " GROUP BY " + (all ? "ALL" : join(groups, ", "));
    if (chance(35)) out += " HAVING " + name_or(aggregate()) + " IS NOT NULL";
    if (chance(20)) {
      out = "SELECT * FROM (" + out + ") r" +
            (chance(50) ? " WHERE " + alias() + " IS NOT NULL" : "");
    }
    return out;
  }

  std::string first_rows() {
    std::vector<std::string> items;
    aliases_.clear();
    for (size_t i = 1 + below(4); i > 0; --i) {
      std::string item = chance(20) && !join_ ? "*" : expression(), name = alias();
      if (item != "*" && chance(50)) {
        item += " AS " + name;
        aliases_.push_back(name);
      }
      items.push_back(item);
    }
    const std::string order = join_ ? "p.i, q.i, q.k" : "p.i, p.k, p.d, p.x";
    std::string by = name_or(expression()) + (chance(30) ? ", " + expression() : "");
    std::string by_order =
        (chance(30) ? name_or(expression()) + " DESC NULLS FIRST, " : "") + order;
    const std::string number =
        "row_number() OVER (PARTITION BY " + by + " ORDER BY " + by_order + ")";
    const std::string limit = one_of({" = 1", " <= 1", " <= 2", " < 3"});
    const std::string where = chance(25) ? " WHERE " + name_or("p.i") + " IS NOT NULL" : "";
    switch (below(3)) {
      case 0:
        return "SELECT " + join(items, ", ") + " FROM " + from() + where + " QUALIFY " + number +
               limit;
      case 1:
        return "SELECT " + one_of({"* EXCLUDE (rn)", "*", alias(), "r." + alias() + ", 1 AS one"}) +
               " FROM (SELECT " + join(items, ", ") + ", " + number + " AS rn FROM " + from() +
               where + ") r WHERE " + one_of({"", "r."}) + "rn" + limit +
               (chance(30) ? " AND " + alias() + " IS NOT NULL" : "");
      default:
        return "SELECT DISTINCT ON (" + by + ") " + join(items, ", ") + " FROM " + from() + where +
               " ORDER BY " + by + ", " + by_order;
    }
  }

  std::mt19937 random_;
  bool join_ = false;
  std::vector<std::string> aliases_;
};

TEST(Kernel, RandomStagesGiveTheSameRows) {
  Fixture fixture;
  const char* given = std::getenv("TIDEGATE_RANDOM_STAGES");
  const char* seed_given = std::getenv("TIDEGATE_SEED");
  const uint32_t first = seed_given ? static_cast<uint32_t>(std::stoul(seed_given)) : 1;
  const uint32_t wanted = given ? static_cast<uint32_t>(std::stoul(given)) : 150;
  uint32_t bound = 0, kernels = 0;
  std::map<std::string, int> reasons;
  for (uint32_t seed = first; bound < wanted && seed < first + 20 * wanted; ++seed) {
    const std::string sql = RandomStage(seed).sql();
    auto schema = fixture.rows().describe(sql);
    std::set<std::string> names;
    bool distinct = schema.has_value();
    for (size_t i = 0; distinct && i < schema->size(); ++i) {
      distinct = names.insert(to_lower_ascii((*schema)[i].name)).second;
    }
    if (!distinct) continue;
    ++bound;
    KernelChoice choice = choose(fixture, sql);
    if (!choice.kernel) {
      ++reasons[choice.why];
      if (given) std::printf("%s: %s\n", choice.why.c_str(), sql.c_str());
      continue;
    }
    ++kernels;
    EXPECT_EQ(difference(fixture.rows(), sql, stage_as_sql(*choice.kernel)), "")
        << "seed " << seed << "\n"
        << sql << "\n"
        << shown(choice);
  }
  for (const auto& [why, count] : reasons) std::printf("%d: %s\n", count, why.c_str());
  std::printf("%u of %u have a kernel\n", kernels, bound);
  if (!given) {
    EXPECT_GE(kernels * 10, bound * 7);
  }
}

}  // namespace
}  // namespace tidegate::prove
