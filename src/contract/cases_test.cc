#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "contract/codes.h"
#include "contract/contract.h"

namespace tidegate {
namespace {

constexpr std::string_view kPipelineMark = "--- pipeline.yaml\n";
constexpr std::string_view kExpectMark = "--- expect\n";

/// tests/bad/contract/NAME.case: "# exit: N", comments, the pipeline file, the exact diagnostics.
struct Case {
  std::string head;
  std::string pipeline;
  std::string expect;
};

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

Case split(const std::string& text) {
  const size_t pipeline = text.find(kPipelineMark);
  const size_t expect = text.find(kExpectMark, pipeline);
  if (pipeline == std::string::npos || expect == std::string::npos) return {};
  const size_t body = pipeline + kPipelineMark.size();
  return {text.substr(0, pipeline), text.substr(body, expect - body),
          text.substr(expect + kExpectMark.size())};
}

std::vector<std::filesystem::path> case_files() {
  std::vector<std::filesystem::path> out;
  const auto root = std::filesystem::path(TIDEGATE_SOURCE_DIR) / "tests" / "bad" / "contract";
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    if (entry.path().extension() == ".case") out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

class BadFile : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(BadFile, SaysExactlyThis) {
  const Case wanted = split(read(GetParam()));
  ASSERT_TRUE(wanted.head.starts_with("# exit: ")) << "begin with `# exit: N`";
  Diagnostics diagnostics;
  const Pipeline pipeline =
      parse_pipeline("pipeline.yaml", "/project", wanted.pipeline, diagnostics);
  const std::string rendered = render_all(diagnostics, *pipeline.text, false);
  const char* update = std::getenv("UPDATE_CASES");
  if (update != nullptr && std::string_view(update) == "1" && rendered != wanted.expect) {
    std::ofstream(GetParam(), std::ios::binary)
        << wanted.head << kPipelineMark << wanted.pipeline << kExpectMark << rendered;
    FAIL() << "rewritten: read what it says now, then run without UPDATE_CASES";
  }
  EXPECT_EQ(rendered, wanted.expect);
  EXPECT_EQ(wanted.head.substr(8, 1), diagnostics.has_errors() ? "2" : "0");
  for (const Diagnostic& diagnostic : diagnostics.sorted()) {
    EXPECT_NE(find_code(diagnostic.code), nullptr) << diagnostic.code;
  }
}

INSTANTIATE_TEST_SUITE_P(Contract, BadFile, testing::ValuesIn(case_files()), [](const auto& each) {
  std::string name = each.param.stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace tidegate
