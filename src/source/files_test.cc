#include "source/files.h"

#include "source/source_fixture.h"

namespace tidegate {
namespace {

class Files : public SourceFixture {
 protected:
  std::string find(const std::string& pattern, OnEmpty on_empty = OnEmpty::kFail) {
    diagnostics_ = Diagnostics();
    auto found = find_files(effects_, dir_, {{pattern, {3, 9}}}, on_empty, diagnostics_);
    EXPECT_TRUE(found.has_value()) << (found ? "" : found.error().describe());
    std::string out;
    if (found)
      for (const FoundFile& file : *found) out += file.name + " ";
    return out;
  }
};

TEST_F(Files, WildcardsAndOrder) {
  for (const char* name : {"b.csv", "a.csv", "B.csv", "c.txt", ".hidden.csv", "_part.csv",
                           "d/e.csv", "d/f/g.csv", "_tmp/x.csv", "a1.csv", "a2.csv"})
    write(name, "x");
  EXPECT_EQ(find("*.csv"), "B.csv a.csv a1.csv a2.csv b.csv ");
  EXPECT_EQ(find("a[12].csv"), "a1.csv a2.csv ");
  EXPECT_EQ(find("a[!1].csv"), "a2.csv ");
  EXPECT_EQ(find("?.csv"), "B.csv a.csv b.csv ");
  EXPECT_EQ(find("**/*.csv"), "B.csv a.csv a1.csv a2.csv b.csv d/e.csv d/f/g.csv ");
  EXPECT_EQ(find("d/**"), "d/e.csv d/f/g.csv ");
  EXPECT_EQ(find("*/e.csv"), "d/e.csv ");
  EXPECT_EQ(find("_*.csv"), "_part.csv ");
  EXPECT_EQ(find(dir_ + "/a.csv"), "a.csv ");
  EXPECT_EQ(diagnostics_.error_count(), 0u);
}

TEST_F(Files, LiteralNameWithWildcardCharacters) {
  write("odd[1].csv", "x");
  EXPECT_EQ(find("odd[1].csv"), "odd[1].csv ");
}

TEST_F(Files, LinksAreFollowedAndReadOnce) {
  write("real/x.csv", "x");
  ASSERT_EQ(symlink("real", path("linked").c_str()), 0);
  ASSERT_EQ(symlink("real/../real/x.csv", path("y.csv").c_str()), 0);
  auto found = find_files(effects_, dir_, {{"linked/*.csv", {}}}, OnEmpty::kFail, diagnostics_);
  ASSERT_TRUE(found && found->size() == 1);
  EXPECT_EQ((*found)[0].path, path("real/x.csv"));
  EXPECT_EQ((*found)[0].name, "linked/x.csv");
  // `**` does not enter linked directories; the link beside the file is the same file.
  EXPECT_EQ(find("**/*.csv"), "real/x.csv ");
  EXPECT_TRUE(says("T0639")) << said();
}

TEST_F(Files, BrokenAndLoopingLinks) {
  ASSERT_EQ(symlink("nowhere", path("x.csv").c_str()), 0);
  EXPECT_EQ(find("*.csv"), "");
  EXPECT_TRUE(says("leads nowhere")) << said();
  ASSERT_EQ(symlink("loop", path("loop").c_str()), 0);
  EXPECT_FALSE(resolve_links(effects_, path("loop")).has_value());
}

TEST_F(Files, MissingWithDidYouMean) {
  write("flights.csv", "x");
  EXPECT_EQ(find("flight.csv"), "");
  EXPECT_TRUE(says("T0601 no such file: \"flight.csv\"")) << said();
  EXPECT_TRUE(says("did you mean \"flights.csv\"?")) << said();
  write("data/a.parquet", "x");
  EXPECT_EQ(find("dta/*.parquet"), "");
  EXPECT_TRUE(says("did you mean \"data\"?")) << said();
  EXPECT_EQ(find("data/*.csv"), "");
  EXPECT_EQ(diagnostics_.sorted()[0].notes[0], "there are: a.parquet");
}

TEST_F(Files, NoMatchIsWhatOnEmptySays) {
  EXPECT_EQ(find("*.csv", OnEmpty::kFail), "");
  EXPECT_EQ(diagnostics_.error_count(), 1u);
  EXPECT_EQ(find("*.csv", OnEmpty::kWarn), "");
  EXPECT_EQ(diagnostics_.error_count(), 0u);
  EXPECT_EQ(diagnostics_.warning_count(), 1u);
  EXPECT_EQ(find("*.csv", OnEmpty::kAllow), "");
  EXPECT_EQ(diagnostics_.warning_count(), 0u);
}

TEST_F(Files, DirectoryPipeAndBadPattern) {
  write("d/x.csv", "x");
  EXPECT_EQ(find("d"), "");
  EXPECT_TRUE(says("T0603")) << said();
  EXPECT_TRUE(says("d/*.parquet")) << said();
  ASSERT_EQ(mkfifo(path("pipe.csv").c_str(), 0600), 0);
  EXPECT_EQ(find("*.csv"), "");
  EXPECT_TRUE(says("T0640")) << said();
  EXPECT_EQ(find("a**/x.csv"), "");
  EXPECT_TRUE(says("T0633")) << said();
}

TEST_F(Files, WildcardsSkipDirectoriesOfTheName) {
  write("x.csv/part.csv", "x");
  write("y.csv", "x");
  EXPECT_EQ(find("*.csv"), "y.csv ");
}

}  // namespace
}  // namespace tidegate
