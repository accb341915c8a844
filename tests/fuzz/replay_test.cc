// Each seed of tests/fuzz/corpus through its target, as a part of the unit tests.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "targets.h"

namespace tidegate::fuzz {
namespace {

using Target = bool (*)(std::string_view);

/// How many of a target's seeds are there, and how many it takes for good.
std::pair<size_t, size_t> replay(const std::string& name, Target target) {
  std::pair<size_t, size_t> counts;
  const auto root = std::filesystem::path(TIDEGATE_SOURCE_DIR) / "tests" / "fuzz" / "corpus" / name;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    SCOPED_TRACE(path.string());
    std::ifstream in(path, std::ios::binary);
    std::stringstream bytes;
    bytes << in.rdbuf();
    ++counts.first;
    const bool good = target(bytes.str());
    counts.second += good ? 1 : 0;
    // What once failed stays as crash-*; it need not be good.
    EXPECT_TRUE(good || path.filename().string().starts_with("crash-")) << path;
  }
  return counts;
}

TEST(FuzzSeeds, Block) { EXPECT_GT(replay("block", block).second, 50u); }
TEST(FuzzSeeds, MapOutput) { EXPECT_GT(replay("map_output", map_output).second, 2u); }
TEST(FuzzSeeds, Value) { EXPECT_GT(replay("value", value).second, 20u); }
TEST(FuzzSeeds, Pipeline) { EXPECT_GT(replay("pipeline", pipeline).second, 1u); }

}  // namespace
}  // namespace tidegate::fuzz
