#include <gtest/gtest.h>

#include "contract/contract.h"

namespace tidegate {
namespace {

Pipeline parsed(const std::string& more, const std::string& output_more = "") {
  Diagnostics diagnostics;
  Pipeline pipeline =
      parse_pipeline("p.yaml", "/project",
                     "version: 1\npipeline: p\nsources: {a: {files: a/*.parquet}}\n"
                     "stages: {legs: {sql: SELECT * FROM a}}\noutputs:\n  legs:\n    from: legs\n"
                     "    checks: [{rows: {min: 1}}]\n    publish: {parquet: published/legs}\n" +
                         output_more + more,
                     diagnostics);
  EXPECT_FALSE(diagnostics.has_errors()) << render_all(diagnostics, *pipeline.text, false);
  return pipeline;
}

TEST(ParseResponse, NothingIsAskedFor) {
  const Pipeline pipeline = parsed("");
  EXPECT_FALSE(pipeline.outputs.at(0).rollback);
  EXPECT_TRUE(pipeline.notify.empty());
}

TEST(ParseResponse, RollbackIsAutomaticUnlessSaidOtherwise) {
  auto rule =
      parsed("", "    rollback: {when: check_failed_after_publish}\n").outputs.at(0).rollback;
  ASSERT_TRUE(rule);
  EXPECT_TRUE(rule->on_check_failed && rule->automatic);
  EXPECT_FALSE(rule->on_untrusted);
  rule = parsed("", "    rollback: {when: {verdict: UNTRUSTED}, to: previous, mode: manual}\n")
             .outputs.at(0)
             .rollback;
  ASSERT_TRUE(rule);
  EXPECT_TRUE(rule->on_untrusted);
  EXPECT_FALSE(rule->on_check_failed || rule->automatic);
  rule = parsed("", "    rollback: {when: [check_failed_after_publish, {verdict: UNTRUSTED}]}\n")
             .outputs.at(0)
             .rollback;
  ASSERT_TRUE(rule);
  EXPECT_TRUE(rule->on_untrusted && rule->on_check_failed);
}

TEST(ParseResponse, NotifyKeepsSecretsAsWritten) {
  const Pipeline pipeline = parsed(
      "notify:\n  - command: [./tell.sh, --team, data]\n  - webhook: ${env:ALERT_URL}\n"
      "  - webhook: \"https://alerts.example.com/x?key=${file:/run/key}\"\n");
  ASSERT_EQ(pipeline.notify.size(), 3u);
  ASSERT_EQ(pipeline.notify[0].command.size(), 3u);
  EXPECT_EQ(pipeline.notify[0].command[2].value, "data");
  EXPECT_FALSE(pipeline.notify[0].webhook);
  EXPECT_EQ(pipeline.notify[1].webhook->value, "${env:ALERT_URL}");
  EXPECT_EQ(pipeline.notify[2].webhook->value, "https://alerts.example.com/x?key=${file:/run/key}");
}

}  // namespace
}  // namespace tidegate
