#include "task/spec.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "task/limits.h"
#include "task/task.h"

namespace tidegate {
namespace {

TaskSpec full_spec() {
  TaskSpec spec;
  spec.identity = "id";
  spec.attempt = "000001-ab";
  spec.label = "stage \"x\", 1 of 2";
  spec.stage = "x";
  spec.partition = 3;
  spec.memory_bytes = uint64_t{512} << 20;
  spec.run_time_us = 17;
  spec.state_dir = "/s";
  TaskInput scan;
  scan.name = "rows";
  scan.schema = {{"a b", "DECIMAL(12,2)"}};
  scan.scan.emplace();
  scan.scan->snapshot.source = "rows";
  scan.scan->snapshot.schema = scan.schema;
  scan.scan->snapshot.recipe.options = {{"delim", "'${env:SECRET}'"}};
  scan.scan->snapshot.files.emplace_back();
  scan.scan->snapshot.files[0].path = "/data/a.csv";
  scan.scan->snapshot.files[0].stat.ctime_ns = 5;
  scan.scan->snapshot.files[0].rows = 30;
  scan.scan->snapshot.files[0].columns =
      std::make_shared<const sql::Schema>(sql::Schema{{"A b", "DATE"}});
  scan.scan->partition.slices = {{0, 10, 20}};
  scan.scan->columns = {"a b"};
  scan.scan->count_rejects = true;
  TaskInput bucket;
  bucket.name = "b";
  bucket.map_outputs = {{"/r/rows-0.tgm", "000001-cd"}};
  bucket.bucket_begin = 4;
  bucket.bucket_end = 5;
  bucket.split_keys = {{1, "VARCHAR"}};
  spec.splits_skew = true;
  spec.parts = 16;
  spec.inputs = {scan, bucket};
  spec.steps = {{"x", "SELECT 1"}};
  TaskSink sink;
  sink.file = "rows-0.tgm";
  sink.keys = {{0, "BIGINT"}};
  sink.buckets = 8;
  sink.names_buckets = true;
  TaskSink by;
  by.kind = TaskSink::Kind::kParquet;
  by.by = {2, 0};
  spec.sinks = {sink, by};
  spec.verify.emplace();
  spec.verify->output = "o";
  spec.verify->files = {"/p"};
  spec.verify->rows_before = 9;
  spec.verify->outputs = {{"other", {"/q"}}};
  spec.verify->sources = {{"rows", *scan.scan}};
  return spec;
}

TEST(TaskSpec, GoesThereAndBack) {
  const std::string text = to_json(full_spec());
  const auto back = task_spec_from_json(text);
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(to_json(*back), text);
  EXPECT_EQ(back->inputs[0].scan->partition.slices[0].row_end, 20);
  // A file whose columns are not the source's is read by its own.
  ASSERT_TRUE(back->inputs[0].scan->snapshot.files[0].columns);
  EXPECT_EQ(*back->inputs[0].scan->snapshot.files[0].columns, (sql::Schema{{"A b", "DATE"}}));
  EXPECT_EQ(back->verify->rows_before, 9u);
  EXPECT_TRUE(back->sinks[0].names_buckets);
  ASSERT_EQ(back->inputs[1].split_keys.size(), 1U);
  EXPECT_EQ(back->inputs[1].split_keys[0].column, 1U);
  EXPECT_EQ(back->inputs[1].split_keys[0].type, "VARCHAR");
  EXPECT_TRUE(back->splits_skew);
  EXPECT_EQ(back->parts, 16U);
  EXPECT_EQ(back->sinks[1].by, (std::vector<uint32_t>{2, 0}));
}

TEST(TaskSpec, OfASortGoesThereAndBack) {
  TaskSpec spec;
  TaskStep step{.name = "s", .sql = ""};
  step.sort = TaskSort{"rows", {{2, true, false}, {0, false, true}}};
  spec.steps.push_back(step);
  TaskSink sink;
  sink.kind = TaskSink::Kind::kRanges;
  sink.order = step.sort->order;
  sink.samples = "samples";
  spec.sinks.push_back(sink);
  sink.kind = TaskSink::Kind::kSample;
  sink.sample_rows = 77;
  spec.sinks.push_back(sink);
  const auto back = task_spec_from_json(to_json(spec));
  ASSERT_TRUE(back) << back.error().describe();
  ASSERT_TRUE(back->steps[0].sort);
  EXPECT_EQ(back->steps[0].sort->input, "rows");
  EXPECT_EQ(back->steps[0].sort->order, step.sort->order);
  EXPECT_EQ(back->sinks[0].kind, TaskSink::Kind::kRanges);
  EXPECT_EQ(back->sinks[0].samples, "samples");
  EXPECT_EQ(back->sinks[1].order, step.sort->order);
  EXPECT_EQ(back->sinks[1].sample_rows, 77U);
}

TEST(TaskSpec, SecretsTravelAsWritten) {
  EXPECT_NE(to_json(full_spec()).find("${env:SECRET}"), std::string::npos);
}

TEST(TaskSpec, DamagedTextIsAFailure) {
  const std::string text = to_json(full_spec());
  for (size_t size = 0; size < text.size(); size += 7)
    EXPECT_FALSE(task_spec_from_json(text.substr(0, size)));
  EXPECT_FALSE(task_spec_from_json("[]"));
  EXPECT_FALSE(task_report_from_json("{}"));
}

TEST(TaskReport, GoesThereAndBack) {
  TaskReport report;
  report.rows_in = 3;
  report.files = {{"part.parquet", 10, 2, "ff", "day=2001-06-30"},
                  {"rows-0.tgm", 10, 2, "ee", "", std::string(2 * kBucketNameDigits, 'a')}};
  CheckOutcome check;
  check.name = "unique(a)";
  check.kind = "unique";
  check.status = "fail";
  check.samples = {R"({"a":1})"};
  report.checks = {check};
  report.sources = {{"s", 100, 3, {R"({"line":7})"}, {{"a.csv", 2}, {"b.csv", 1}}, "q.jsonl", 3},
                    {"clean", 5, 0, {}}};
  const auto back = task_report_from_json(to_json(report));
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(to_json(*back), to_json(report));
  ASSERT_EQ(back->sources.size(), 2U);
  EXPECT_EQ(back->sources[0].files, report.sources[0].files);
  EXPECT_EQ(back->sources[0].table, "q.jsonl");
  EXPECT_EQ(back->sources[0].table_rows, 3U);
  EXPECT_EQ(back->files[0].label, "day=2001-06-30");
  EXPECT_EQ(back->files[1].buckets.size(), 2 * kBucketNameDigits);
  EXPECT_EQ(back->checks[0].samples[0], R"({"a":1})");
}

TEST(Failures, KeepTheirCauses) {
  Failure failure{FailureClass::kLost, "shuffle.torn", "torn \xff", {"s", 1, "a", "h"}};
  failure.cause = std::make_shared<const Failure>(Failure{FailureClass::kDisk, "disk.io", "io"});
  const auto back = failure_from_json(to_json(failure));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->cls, FailureClass::kLost);
  ASSERT_TRUE(back->cause);
  EXPECT_EQ(back->cause->code, "disk.io");
}

TEST(Frames, GoThereAndBackAndEndOrderly) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const std::string large(3'000'000, 'x');
  std::thread sender([&] {
    EXPECT_TRUE(send_frame(pair[0], ""));
    EXPECT_TRUE(send_frame(pair[0], large));
    const char half[] = {10, 0, 0, 0, 'a'};
    EXPECT_EQ(::write(pair[0], half, sizeof half), 5);
    ::close(pair[0]);
  });
  EXPECT_EQ(**receive_frame(pair[1]), "");
  EXPECT_EQ(**receive_frame(pair[1]), large);
  EXPECT_EQ(receive_frame(pair[1]).error().code, "worker.hung_up");
  EXPECT_FALSE(receive_frame(pair[1])->has_value());
  sender.join();
  ::close(pair[1]);
}

TEST(Memory, SharesStayBelowTheBound) {
  TaskSpec spec = full_spec();
  for (uint64_t mib : {128u, 256u, 512u, 4096u}) {
    spec.memory_bytes = mib << 20;
    const MemoryShares shares = split_memory(spec);
    EXPECT_LT(shares.duckdb_bytes + shares.writer_bytes + shares.scan_bytes, spec.memory_bytes)
        << mib;
    EXPECT_GE(shares.duckdb_bytes, uint64_t{32} << 20);
  }
}

}  // namespace
}  // namespace tidegate
