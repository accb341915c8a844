#include "run/tally.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace tidegate {

RunTally::RunTally(const Graph& graph)
    : stages_(graph.groups.size()), durations_(graph.groups.size()) {
  for (size_t g = 0; g < stages_.size(); ++g) stages_[g].stage = graph.groups[g].name;
}

void RunTally::ran(uint32_t group, const TaskReport& report) {
  StageSummary& stage = stages_[group];
  ++stage.ran;
  stage.us += report.us;
  stage.slowest_us = std::max(stage.slowest_us, report.us);
  stage.rows_in += report.rows_in;
  stage.rows_out += report.rows_out;
  durations_[group].push_back(report.us);
  read_ += report.bytes_read;
  shuffled_ += report.bytes_shuffled;
  spilled_ += report.bytes_spilled;
  written_ += report.bytes_written;
  saw_worker(report.peak_rss);
}

void RunTally::reused(uint32_t group) { ++stages_[group].reused; }

void RunTally::saw_worker(uint64_t peak_bytes) {
  peak_worker_ = std::max(peak_worker_, peak_bytes);
}

void RunTally::tell(RunSummary& summary) const {
  summary.bytes_read = read_;
  summary.bytes_shuffled = shuffled_;
  summary.bytes_spilled = spilled_;
  summary.bytes_written = written_;
  summary.peak_worker_bytes = std::max(summary.peak_worker_bytes, peak_worker_);
  summary.stages = stages_;
  for (size_t g = 0; g < stages_.size(); ++g) {
    summary.tasks_reused += stages_[g].reused;
    if (durations_[g].empty()) continue;
    std::vector<int64_t> sorted = durations_[g];
    const auto middle = sorted.begin() + static_cast<long>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    summary.stages[g].median_us = *middle;
  }
}

std::string run_finished_data(const RunSummary& summary) {
  std::string rows, files;
  for (const OutputSummary& output : summary.outputs) {
    rows += fmt::format("{}{}:{}", rows.empty() ? "" : ",", quote_json(output.output), output.rows);
    if (output.state != "published") continue;
    files += fmt::format(R"({}{}:{{"new":{},"shared":{}}})", files.empty() ? "" : ",",
                         quote_json(output.output), output.files - output.files_shared,
                         output.files_shared);
  }
  return fmt::format(
      R"({{"state":"{}","tasks":{{"ran":{},"reused":{},"retried":{}}},"rows":{{{}}},)"
      R"("files":{{{}}},)"
      R"("bytes":{{"read":{},"shuffled":{},"spilled":{},"written":{}}},"seconds":{:.3f},)"
      R"("peak_rss":{}}})",
      summary.state, summary.tasks_ran, summary.tasks_reused, summary.tasks_retried, rows, files,
      summary.bytes_read, summary.bytes_shuffled, summary.bytes_spilled, summary.bytes_written,
      static_cast<double>(summary.us) / 1e6, summary.peak_worker_bytes);
}

}  // namespace tidegate
