#include "plan/graph.h"

#include <gtest/gtest.h>

#include "plan/build.h"

namespace tidegate {
namespace {

Graph two_groups(GraphInput::Mode mode) {
  Graph graph;
  graph.groups.resize(2);
  graph.groups[0].recipe = "a";
  graph.groups[1].recipe = "b";
  graph.groups[1].inputs.push_back({0, mode, 0});
  for (uint32_t g = 0; g < 2; ++g) {
    for (uint32_t unit = 0; unit < 3; ++unit) {
      GraphTask task;
      task.group = g;
      task.unit = unit;
      task.unit_identity = "u" + std::to_string(unit);
      graph.groups[g].tasks.push_back(static_cast<uint32_t>(graph.tasks.size()));
      graph.tasks.push_back(task);
    }
  }
  graph.outputs.push_back({"out", 1, {}});
  return graph;
}

TEST(Graph, AChangedPartitionTouchesAllBucketsOfAShuffle) {
  Graph before = two_groups(GraphInput::Mode::kWhole), after = before;
  after.tasks[1].unit_identity = "changed";
  compute_identities(before);
  compute_identities(after);
  EXPECT_EQ(before.tasks[0].identity, after.tasks[0].identity);
  EXPECT_NE(before.tasks[1].identity, after.tasks[1].identity);
  for (uint32_t task : {3u, 4u, 5u})
    EXPECT_NE(before.tasks[task].identity, after.tasks[task].identity);
}

TEST(Graph, AChangedPartitionTouchesItsUnitAlone) {
  Graph before = two_groups(GraphInput::Mode::kUnit), after = before;
  after.tasks[1].unit_identity = "changed";
  compute_identities(before);
  compute_identities(after);
  EXPECT_EQ(before.tasks[3].identity, after.tasks[3].identity);
  EXPECT_NE(before.tasks[4].identity, after.tasks[4].identity);
  EXPECT_EQ(before.tasks[5].identity, after.tasks[5].identity);
}

TEST(Graph, UnorderedProducersNameByContent) {
  Graph graph = two_groups(GraphInput::Mode::kWhole);
  graph.groups[0].unordered = true;
  compute_identities(graph);
  EXPECT_TRUE(graph.tasks[3].identity.empty());
  for (uint32_t task : {0u, 1u, 2u}) graph.tasks[task].digest = "d" + std::to_string(task);
  compute_identities(graph);
  EXPECT_FALSE(graph.tasks[3].identity.empty());
}

TEST(Graph, WhatReadsBucketsByContentIsNamedByItsOwn) {
  Graph graph = two_groups(GraphInput::Mode::kWhole);
  graph.groups[0].names_buckets = true;
  graph.groups[1].inputs[0].bucket_file = "rows-0.tgm";
  compute_identities(graph);
  EXPECT_TRUE(graph.tasks[3].identity.empty());
  const std::string none(kBucketNameDigits, '0'), a(kBucketNameDigits, 'a'),
      b(kBucketNameDigits, 'b'), c(kBucketNameDigits, 'c');
  const auto named = [&](const std::vector<std::string>& buckets, const char* recipe) {
    Graph out = graph;
    for (size_t task = 0; task < 3; ++task) {
      out.tasks[task].identity = recipe + std::to_string(task);
      out.tasks[task].buckets = {{"rows-0.tgm", buckets[task]}};
    }
    compute_identities(out);
    return out;
  };
  const Graph before = named({a + b + c, a + none + b, c + c + none}, "x");
  const Graph after = named({a + b + c, a + none + c, c + c + none}, "y");
  EXPECT_EQ(before.tasks[3].identity, after.tasks[3].identity);
  EXPECT_EQ(before.tasks[4].identity, after.tasks[4].identity);
  EXPECT_NE(before.tasks[5].identity, after.tasks[5].identity);
  // A task without rows for a bucket is no part of its name, wherever it stands.
  const Graph moved = named({a + none + c, a + b + b, c + c + none}, "x");
  EXPECT_EQ(before.tasks[4].identity, moved.tasks[4].identity);
  // Several buckets a unit.
  graph.groups[1].inputs[0].buckets_a_unit = 3;
  const Graph short_of = named({a + b + c, a + none + b, c + c + none}, "x");
  EXPECT_FALSE(short_of.tasks[3].identity.empty());
  EXPECT_TRUE(short_of.tasks[4].identity.empty()) << "no such buckets";
}

TEST(Graph, OnlyWhatIsMissingNeedsItsProducers) {
  Graph graph = two_groups(GraphInput::Mode::kUnit);
  compute_identities(graph);
  graph.tasks[3].state = TaskState::kReused;
  mark_needed(graph);
  EXPECT_EQ(graph.tasks[0].state, TaskState::kUnneeded);
  EXPECT_EQ(graph.tasks[1].state, TaskState::kWaiting);
}

TEST(Buckets, FollowTheDataAndTheBound) {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  EXPECT_EQ(choose_buckets(0, 512 * kMiB), 1u);
  EXPECT_EQ(choose_buckets(3 * kMiB, 512 * kMiB), 1u) << "small inputs give few tasks";
  EXPECT_EQ(choose_buckets(600 * kMiB, 512 * kMiB), 32u);
  EXPECT_EQ(choose_buckets(uint64_t{1} << 50, 512 * kMiB), kBucketsMax);
  EXPECT_EQ(sticky_buckets(8, 16), 8u);
  EXPECT_EQ(sticky_buckets(8, 2), 8u);
  EXPECT_EQ(sticky_buckets(8, 64), 64u);
  EXPECT_EQ(sticky_buckets(64, 8), 8u);
}

}  // namespace
}  // namespace tidegate
