#include <fmt/format.h>

#include "base/units.h"
#include "run/run.h"

namespace tidegate {

std::string render_summary(const RunSummary& summary, bool colour) {
  const auto paint = [&](std::string_view text, int code) {
    return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
  };
  std::string text;
  const bool good = summary.state == "succeeded";
  text += fmt::format("{} run {} in {}\n", paint(summary.state, good ? 32 : 31), summary.run,
                      format_duration_us(summary.us));
  for (const OutputSummary& output : summary.outputs) {
    const bool fine = output.state == "published" || output.state == "unchanged";
    text += fmt::format("  {:<10} {}", paint(output.state, fine ? 32 : 31), output.output);
    if (fine)
      text += fmt::format(": {} rows, generation {}\n             {}", format_count(output.rows),
                          output.generation, output.path);
    if (output.state == "published" && output.files_shared > 0)
      text += fmt::format("\n             {} of {} files are those of the generation before",
                          output.files_shared, output.files);
    text += '\n';
    for (const std::string& reason : output.reasons)
      text += fmt::format("             {}\n", reason);
    if (output.reasons.empty() && !output.reason.empty())
      text += fmt::format("             {}\n", output.reason);
  }
  text += fmt::format(
      "  tasks: {} ran, {} reused, {} retried; {} read, {} shuffled, {} spilled, {} written\n",
      summary.tasks_ran, summary.tasks_reused, summary.tasks_retried,
      format_size(summary.bytes_read), format_size(summary.bytes_shuffled),
      format_size(summary.bytes_spilled), format_size(summary.bytes_written));
  if (summary.rows_quarantined)
    text += fmt::format("  {} rows were set aside: `tidegate quarantine list`\n",
                        format_count(summary.rows_quarantined));
  text += fmt::format("  memory: {} in the largest of {} worker{}, bound {}\n",
                      format_size(summary.peak_worker_bytes), summary.workers,
                      summary.workers == 1 ? "" : "s", format_size(summary.bound_bytes));
  const StageSummary* slowest = nullptr;
  for (const StageSummary& stage : summary.stages)
    if (stage.ran > 0 && (!slowest || stage.us > slowest->us)) slowest = &stage;
  if (slowest)
    text += fmt::format(
        "  slowest stage: {}, {} over {} task{}, its slowest {:.1f} times the median\n",
        slowest->stage, format_duration_us(slowest->us), slowest->ran, slowest->ran == 1 ? "" : "s",
        slowest->median_us
            ? static_cast<double>(slowest->slowest_us) / static_cast<double>(slowest->median_us)
            : 1.0);
  text += fmt::format("  journal: {} events in {} commits, {} (fsync {})\n", summary.journal.events,
                      summary.journal.commits, format_duration_us(summary.journal.commit_us),
                      format_duration_us(summary.journal.fsync_us));
  return text;
}

}  // namespace tidegate
