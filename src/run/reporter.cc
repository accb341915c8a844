#include "run/reporter.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"

namespace tidegate {
namespace {

constexpr double kEtaSmoothing = 0.3;

size_t terminal_width() {
  struct winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 100;
}

void put(std::FILE* to, std::string_view text) { std::fwrite(text.data(), 1, text.size(), to); }

}  // namespace

Reporter::Reporter(Effects& effects, TalkMode mode, bool colour)
    : effects_(effects), mode_(mode), colour_(colour) {}

Reporter::~Reporter() { end(); }

void Reporter::begin(const Graph& graph) {
  started_us_ = drawn_us_ = effects_.monotonic_us();
  groups_.resize(graph.groups.size());
  for (size_t g = 0; g < graph.groups.size(); ++g) {
    GroupView& view = groups_[g];
    view.name = graph.groups[g].name;
    for (uint32_t index : graph.groups[g].tasks) {
      const GraphTask& task = graph.tasks[index];
      if (task.state == TaskState::kUnneeded) continue;
      if (task.state == TaskState::kReused) {
        ++view.reused;
        continue;
      }
      ++view.tasks;
      view.expected_bytes += std::max<uint64_t>(task.bytes, 1);
    }
  }
}

void Reporter::task_started(const Graph& graph, uint32_t task) {
  const uint32_t g = graph.tasks[task].group;
  const int64_t now = effects_.monotonic_us();
  running_[task] = {g, 0, 0, now};
  ++groups_[g].running;
  if (groups_[g].first_us == 0) groups_[g].first_us = now;
}

void Reporter::task_progress(uint32_t task, uint64_t rows, uint64_t rss_bytes) {
  const auto at = running_.find(task);
  if (at == running_.end()) return;
  at->second.rows = rows;
  at->second.rss = rss_bytes;
}

void Reporter::task_ended(const Graph& graph, uint32_t task, bool done, uint64_t rows_in,
                          uint64_t bytes, uint64_t spilled_bytes, int64_t us) {
  const auto at = running_.find(task);
  if (at == running_.end()) return;
  GroupView& view = groups_[at->second.group];
  running_.erase(at);
  --view.running;
  view.last_us = effects_.monotonic_us();
  if (!done) return;
  ++view.done;
  view.rows += rows_in;
  view.bytes += bytes;
  view.spilled += spilled_bytes;
  view.busy_us += us;
  view.done_bytes += std::max<uint64_t>(graph.tasks[task].bytes, 1);
}

std::string event_json(const Event& event) {
  nlohmann::ordered_json line = {{"event", event.type},
                                 {"time", format_timestamp_us(event.time_us)},
                                 {"sequence", event.sequence}};
  if (!event.run.empty()) line["run"] = event.run;
  const auto data = nlohmann::ordered_json::parse(event.data, nullptr, false);
  if (data.is_object())
    for (const auto& [name, value] : data.items()) line[name] = value;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void Reporter::event(const Event& event) {
  if (mode_ != TalkMode::kJson) return;
  put(stdout, event_json(event) + "\n");
  std::fflush(stdout);
}

void Reporter::say(std::string_view line) {
  if (mode_ == TalkMode::kJson || mode_ == TalkMode::kQuiet) return;
  clear();
  put(stderr, fmt::format("{}\n", line));
  draw();
}

void Reporter::tick(const Graph& graph) {
  (void)graph;
  const int64_t now = effects_.monotonic_us();
  if (mode_ == TalkMode::kTerminal && now - drawn_us_ >= kRedrawUs) {
    drawn_us_ = now;
    clear();
    draw();
  } else if (mode_ == TalkMode::kLines && now - drawn_us_ >= kLineUs) {
    drawn_us_ = now;
    for (const GroupView& group : groups_)
      if (group.running > 0) put(stderr, line_of(group, now) + "\n");
    const std::string left = eta(now);
    if (!left.empty()) put(stderr, left + "\n");
  }
}

void Reporter::end() {
  clear();
  groups_.clear();
  running_.clear();
}

void Reporter::clear() {
  if (drawn_lines_ == 0) return;
  std::string text;
  for (size_t i = 0; i < drawn_lines_; ++i) text += "\x1b[1A\x1b[2K";
  put(stderr, text);
  drawn_lines_ = 0;
}

std::string Reporter::line_of(const GroupView& group, int64_t now_us) const {
  uint64_t rows = group.rows, rss = 0;
  for (const auto& [task, running] : running_) {
    (void)task;
    if (&groups_[running.group] != &group) continue;
    rows += running.rows;
    rss = std::max(rss, running.rss);
  }
  const double seconds = static_cast<double>(std::max<int64_t>(
                             1, (group.running ? now_us : group.last_us) - group.first_us)) /
                         1e6;
  std::string line =
      fmt::format("  {:<20} {:>4}/{:<4}", group.name.substr(0, 20), group.done, group.tasks);
  if (group.reused) line += fmt::format(" (+{} reused)", group.reused);
  if (rows > 0)
    line += fmt::format("  {} rows, {}/s", format_count(rows),
                        format_count(static_cast<uint64_t>(static_cast<double>(rows) / seconds)));
  if (group.bytes > 0) line += fmt::format(", {}", format_size(group.bytes));
  if (group.spilled > 0) line += fmt::format(", spilled {}", format_size(group.spilled));
  if (rss > 0) line += fmt::format(", memory {}", format_size(rss));
  return line;
}

/// Time left from the bytes that are done, smoothed; it counts down by itself between updates.
std::string Reporter::eta(int64_t now_us) {
  uint64_t expected = 0, done = 0;
  for (const GroupView& group : groups_) {
    expected += group.expected_bytes;
    done += group.done_bytes;
  }
  const int64_t elapsed = now_us - started_us_;
  if (done == 0 || expected == 0 || elapsed < 1'000'000) return "";
  const double left = static_cast<double>(elapsed) * static_cast<double>(expected - done) /
                      static_cast<double>(done);
  if (eta_us_ < 0) eta_us_ = left;
  eta_us_ = std::max(0.0, eta_us_ - static_cast<double>(now_us - eta_at_us_) * (eta_at_us_ > 0));
  eta_us_ += kEtaSmoothing * (left - eta_us_);
  eta_at_us_ = now_us;
  return fmt::format("  {}% of the bytes done, about {} left", done * 100 / expected,
                     format_duration_us(static_cast<int64_t>(eta_us_) / 1'000'000 * 1'000'000));
}

void Reporter::draw() {
  if (mode_ != TalkMode::kTerminal || groups_.empty()) return;
  const int64_t now = effects_.monotonic_us();
  const size_t width = terminal_width();
  std::string text;
  constexpr size_t kLinesMax = 12;
  for (const GroupView& group : groups_) {
    if (group.running == 0 && (group.done == 0 || group.done == group.tasks)) continue;
    if (drawn_lines_ + 1 >= kLinesMax) break;
    text += line_of(group, now).substr(0, width - 1) + "\n";
    ++drawn_lines_;
  }
  const std::string left = eta(now);
  if (!left.empty()) {
    text += left.substr(0, width - 1) + "\n";
    ++drawn_lines_;
  }
  put(stderr, text);
}

}  // namespace tidegate
