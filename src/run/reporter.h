#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/effects.h"
#include "journal/journal.h"
#include "plan/graph.h"

namespace tidegate {

enum class TalkMode : uint8_t {
  kTerminal,  ///< a progress view that is redrawn
  kLines,     ///< plain lines, now and then
  kJson,      ///< events on standard output, nothing else
  kQuiet,     ///< errors only
};

/// An event as one line of JSON without a newline, the same live and from the journal.
std::string event_json(const Event& event);

/// Tells a person, or a program, how a run goes. Talk goes to standard error, events of kJson to
/// standard output.
class Reporter {
 public:
  static constexpr int64_t kRedrawUs = 200'000;
  static constexpr int64_t kLineUs = 5'000'000;

  Reporter(Effects& effects, TalkMode mode, bool colour);
  ~Reporter();

  /// The groups that have something to run; call once, before the first task.
  void begin(const Graph& graph);
  void task_started(const Graph& graph, uint32_t task);
  void task_progress(uint32_t task, uint64_t rows, uint64_t rss_bytes);
  void task_ended(const Graph& graph, uint32_t task, bool done, uint64_t rows_in, uint64_t bytes,
                  uint64_t spilled_bytes, int64_t us);
  /// One event as it goes to the journal: printed in kJson.
  void event(const Event& event);
  /// A line for a person, above the progress view.
  void say(std::string_view line);
  /// Redraws if it is time to.
  void tick(const Graph& graph);
  /// Takes the progress view away.
  void end();

  TalkMode mode() const { return mode_; }
  bool colour() const { return colour_; }

 private:
  struct GroupView {
    std::string name;
    uint32_t tasks = 0, done = 0, running = 0, reused = 0;
    uint64_t rows = 0, bytes = 0, spilled = 0;
    uint64_t expected_bytes = 0, done_bytes = 0;
    int64_t busy_us = 0;
    int64_t first_us = 0, last_us = 0;
  };
  struct Running {
    uint32_t group = 0;
    uint64_t rows = 0;
    uint64_t rss = 0;
    int64_t started_us = 0;
  };
  void draw();
  void clear();
  std::string line_of(const GroupView& group, int64_t now_us) const;
  std::string eta(int64_t now_us);

  Effects& effects_;
  TalkMode mode_;
  bool colour_;
  int64_t started_us_ = 0;
  int64_t drawn_us_ = 0;
  size_t drawn_lines_ = 0;
  double eta_us_ = -1;  ///< smoothed, so that it does not jump
  int64_t eta_at_us_ = 0;
  std::vector<GroupView> groups_;
  std::map<uint32_t, Running> running_;
};

}  // namespace tidegate
