#include "source/line_length.h"

#include "source/source_fixture.h"

namespace tidegate {
namespace {

/// A stride is 8 times max_line_size.
class LineLength : public SourceFixture {
 protected:
  Status check(const std::string& text) {
    write("x.csv", text);
    SourceSnapshot snapshot;
    snapshot.recipe.format = FileFormat::kCsv;
    snapshot.recipe.options = {{"max_line_size", "100"}};
    InputFile file;
    file.path = path("x.csv");
    file.name = "x.csv";
    file.stat = *effects_.stat(file.path);
    snapshot.files = {file};
    Partition partition;
    partition.slices = {{0, 0, -1}};
    return check_line_lengths(effects_, snapshot, partition);
  }
};

TEST_F(LineLength, LinesThatFitPass) {
  EXPECT_TRUE(check(""));
  EXPECT_TRUE(check(std::string(799, 'x')));
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += std::string(static_cast<size_t>(i % 90), 'x') + "\n";
  EXPECT_TRUE(check(lines));
  EXPECT_TRUE(check(std::string(799, 'x') + "\r" + std::string(799, 'x')));
}

TEST_F(LineLength, LongerThanTheBufferIsRefusedWhereverItLies) {
  for (size_t before : {0, 1, 799, 800, 801, 1599, 5000}) {
    std::string text;
    while (text.size() < before)
      text += std::string(std::min<size_t>(50, before - text.size() - 1), 'a') + "\n";
    for (const char* after : {"", "\n", "\nb\nc\n"}) {
      const Status status = check(text + std::string(1600, 'x') + after);
      ASSERT_FALSE(status) << before;
      EXPECT_EQ(status.error().code, "source.bad_row");
      EXPECT_EQ(status.error().cls, FailureClass::kData);
      EXPECT_NE(status.error().message.find("x.csv"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace tidegate
