#include "engine/cgroup.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

namespace tidegate {
namespace {

/// A made-up cgroup tree; removing a group needs its files gone, as the kernel does by itself.
class Cgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tidegate-cgroup-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { ASSERT_TRUE(remove_tree(effects_, root_)); }
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories(effects_, path_dirname(root_ + path)));
    std::ofstream(root_ + path) << text;
  }
  std::string text(const std::string& path) { return read_file(effects_, root_ + path).value(); }
  std::optional<MemoryCgroup> make() {
    return MemoryCgroup::make(effects_, "w", root_ + "/self", root_);
  }

  Effects& effects_ = real_effects();
  std::string root_;
};

TEST_F(Cgroup, V1SetsLimitAndCountsKills) {
  put("/self", "5:cpu,cpuacct:/other\n4:memory:/here/below\n0::/\n");
  put("/memory/here/below/w/memory.limit_in_bytes", "");
  put("/memory/here/below/w/cgroup.procs", "");
  put("/memory/here/below/w/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  auto group = make();
  ASSERT_TRUE(group);
  ASSERT_TRUE(group->add(77));
  ASSERT_TRUE(group->limit(1000));
  EXPECT_EQ(text("/memory/here/below/w/cgroup.procs"), "77");
  EXPECT_EQ(text("/memory/here/below/w/memory.limit_in_bytes"),
            std::to_string(1000 + MemoryCgroup::kAllowance));
  EXPECT_EQ(group->kills(), 3u);
}

TEST_F(Cgroup, V2NeedsTheControllerHandedDown) {
  put("/self", "0::/user/unit\n");
  put("/user/unit/cgroup.subtree_control", "cpu pids\n");
  EXPECT_FALSE(make());
  EXPECT_FALSE(exists(effects_, root_ + "/user/unit/w"));
  put("/user/unit/cgroup.subtree_control", "cpu memory pids\n");
  put("/user/unit/w/memory.max", "");
  put("/user/unit/w/memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n");
  auto group = make();
  ASSERT_TRUE(group);
  ASSERT_TRUE(group->limit(5));
  EXPECT_EQ(text("/user/unit/w/memory.max"), std::to_string(5 + MemoryCgroup::kAllowance));
  EXPECT_EQ(group->kills(), 1u);
}

TEST_F(Cgroup, NothingWithoutAController) {
  EXPECT_FALSE(make());
  put("/self", "garbage\n3:cpu:/x\n");
  EXPECT_FALSE(make());
  put("/self", "4:memory:/no/such\n");
  EXPECT_FALSE(make());
}

TEST_F(Cgroup, EmptyGroupIsRemovedWithItsOwner) {
  put("/self", "4:memory:/\n");
  ASSERT_TRUE(make_directories(effects_, root_ + "/memory"));
  // A directory without the controller's files is no cgroup: taken away again.
  EXPECT_FALSE(make());
  EXPECT_FALSE(exists(effects_, root_ + "/memory/w"));
}

TEST_F(Cgroup, KernelKillsWhatCrosses) {
  auto group = MemoryCgroup::make(effects_, "tidegate-test-" + std::to_string(::getpid()));
  if (!group) GTEST_SKIP() << "no memory controller that may be written here";
  ASSERT_TRUE(group->limit(8 << 20));
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte;
    if (::read(gate[0], &byte, 1) != 1) ::_exit(1);
    constexpr size_t kBytes = size_t{256} << 20;
    void* at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::memset(at, 1, kBytes);
    ::_exit(0);
  }
  ASSERT_TRUE(group->add(child));
  ASSERT_EQ(::write(gate[1], "g", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ::close(gate[0]);
  ::close(gate[1]);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(group->kills(), 1u);
}

}  // namespace
}  // namespace tidegate
