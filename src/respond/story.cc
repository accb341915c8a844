#include "respond/story.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/failure_codes.h"
#include "base/units.h"
#include "respond/incidents.h"

namespace tidegate {
namespace {

using nlohmann::json;
using End = FailureStory::End;

/// Of one failure that was seen again and again, so many reactions are listed.
constexpr size_t kDoneMax = 20;

std::string text_in(const json& data, const char* key) {
  const auto found = data.find(key);
  return found != data.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_in_json(const json& data, const char* key, int64_t otherwise) {
  const auto found = data.find(key);
  return found != data.end() && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

void add_done(FailureStory& story, std::string what) {
  if (story.done.size() < kDoneMax) story.done.push_back(std::move(what));
}

std::string retry_text(const json& data) {
  if (const int64_t bytes = number_in_json(data, "memory_bytes", 0); bytes > 0)
    return fmt::format("it ran again with {}", format_size(static_cast<uint64_t>(bytes)));
  if (const int64_t parts = number_in_json(data, "parts", 0);
      parts > 1 && text_in(data, "class") == "memory")
    return fmt::format("it ran again in {} parts", parts);
  const int64_t delay = number_in_json(data, "delay_us", 0);
  return fmt::format("it was tried again{}",
                     delay > 0 ? ", after " + format_duration_us(delay) : " at once");
}

/// Goes through events in order and puts each to the failure that it belongs to.
class Teller {
 public:
  void take(const Event& event) {
    const json data = json::parse(event.data, nullptr, false);
    if (!data.is_object()) return;
    if (event.type == "task_failed") {
      task_failed(event, data);
    } else if (event.type == "task_retried") {
      if (FailureStory* story = last_of(text_in(data, "identity")))
        add_done(*story, retry_text(data));
    } else if (event.type == "task_finished" || event.type == "task_adopted") {
      heal(text_in(data, "identity"));
    } else if (event.type == "isolated") {
      if (!stories_.empty())
        add_done(stories_.back(),
                 fmt::format("{} {} got no work for {}", text_in(data, "rung"),
                             number_in_json(data, "index", 0),
                             format_duration_us(number_in_json(data, "for_us", 0))));
    } else if (event.type == "check_finished") {
      const std::string status = text_in(data, "status");
      if (status == "fail" || status == "error")
        output_failed(
            event, data,
            Failure{FailureClass::kData, "check.failed",
                    fmt::format("{}: {}", text_in(data, "name"), text_in(data, "message"))});
    } else if (event.type == "output_refused") {
      each_of_output(text_in(data, "output"), event.run, [](FailureStory& story) {
        add_done(story, "nothing was published: what stood before still stands");
        story.end = End::kUnhealed;
      });
    } else if (event.type == "incident_opened" || event.type == "incident_added") {
      incident(event, data);
    } else if (event.type == "incident_mitigated") {
      each_of_output(text_in(data, "output"), "",
                     [&](FailureStory& story) { add_done(story, text_in(data, "why")); });
    } else if (event.type == "output_published") {
      each_of_output(text_in(data, "output"), "",
                     [](FailureStory& story) { story.end = End::kHealed; });
    } else if (event.type == "incident_closed") {
      closed(text_in(data, "output"), text_in(data, "why"));
    } else if (event.type == "run_finished") {
      run_finished(event, data);
    }
  }

  std::vector<FailureStory> stories() && { return std::move(stories_); }

 private:
  FailureStory* last_of(const std::string& identity) {
    for (auto story = stories_.rbegin(); story != stories_.rend(); ++story)
      if (!identity.empty() && story->identity == identity) return &*story;
    return nullptr;
  }

  template <typename Each>
  void each_of_output(const std::string& output, const std::string& run, Each each) {
    for (FailureStory& story : stories_)
      if (!story.output.empty() && story.output == output && story.end != End::kHealed &&
          (run.empty() || story.run == run))
        each(story);
  }

  FailureStory* add(const Event& event, Failure failure) {
    if (stories_.size() >= kStoriesMax) return nullptr;
    FailureStory story;
    story.failure = std::move(failure);
    story.run = event.run;
    story.sequence = event.sequence;
    story.time_us = event.time_us;
    return &stories_.emplace_back(std::move(story));
  }

  static Failure failure_in(const json& data) {
    Failure failure{FailureClass::kDefect, text_in(data, "code"), text_in(data, "message")};
    (void)parse_failure_class(text_in(data, "class"), failure.cls);
    failure.where.stage = text_in(data, "stage");
    failure.where.partition = number_in_json(data, "partition", -1);
    failure.where.attempt = text_in(data, "attempt");
    return failure;
  }

  void task_failed(const Event& event, const json& data) {
    const std::string identity = text_in(data, "identity");
    FailureStory* before = last_of(identity);
    if (before && before->run == event.run && before->end == End::kOpen &&
        before->failure.code == text_in(data, "code")) {
      ++before->times;
      return;
    }
    if (FailureStory* story = add(event, failure_in(data))) story->identity = identity;
  }

  void heal(const std::string& identity) {
    for (FailureStory& story : stories_) {
      if (identity.empty() || story.identity != identity || story.end == End::kHealed) continue;
      add_done(story, "then it finished");
      story.end = End::kHealed;
    }
  }

  void output_failed(const Event& event, const json& data, Failure failure) {
    if (FailureStory* story = add(event, std::move(failure)))
      story->output = text_in(data, "output");
  }

  /// An incident tells why, if nothing before it has: staging, committing, a verdict.
  void incident(const Event& event, const json& data) {
    const Failure failure = failure_in(data);
    const std::string done = fmt::format(
        "{} incident {}", event.type == "incident_opened" ? "it opened" : "it was added to",
        number_in_json(data, "incident", 0));
    FailureStory* told = nullptr;
    for (FailureStory& story : stories_)
      if (story.run == event.run && story.failure.code == failure.code &&
          (story.output.empty() || story.output == text_in(data, "output")))
        told = &story;
    if (!told) {
      output_failed(event, data, failure);
      if (stories_.empty() || stories_.back().sequence != event.sequence) return;
      told = &stories_.back();
      told->end = End::kUnhealed;
    }
    add_done(*told, done);
    if (const std::string command = text_in(data, "command"); !command.empty())
      add_done(*told, fmt::format("going back is left to a person: `{}`", command));
    if (const std::string stands = text_in(data, "stands"); !stands.empty())
      add_done(*told, fmt::format("generation {} stands meanwhile", stands));
  }

  /// The rows are right again: whatever stood in their way is past.
  void closed(const std::string& output, const std::string& why) {
    for (FailureStory& story : stories_) {
      if (story.end == End::kHealed || (!story.output.empty() && story.output != output)) continue;
      add_done(story, "the incident was closed: " + why);
      story.end = End::kHealed;
    }
  }

  void run_finished(const Event& event, const json& data) {
    for (FailureStory& story : stories_) {
      if (story.run != event.run || story.end != End::kOpen) continue;
      story.end = text_in(data, "state") == "succeeded" ? End::kHealed : End::kUnhealed;
      if (story.end == End::kUnhealed)
        add_done(story, "it was not tried again, and the outputs that need it were not published");
    }
  }

  std::vector<FailureStory> stories_;
};

std::string place_of_failure(const FailureStory& story) {
  if (!story.output.empty()) return "output " + story.output;
  std::string place = story.failure.where.stage.empty()
                          ? std::string("a task")
                          : fmt::format("stage {}", story.failure.where.stage);
  if (story.failure.where.partition >= 0)
    place += fmt::format(", partition {}", story.failure.where.partition);
  return place;
}

/// What the class asks the system to do.
std::string rule_of(const Failure& failure) {
  const FailureCodeInfo* info = find_failure_code(failure.code);
  return fmt::format("{}: {}", info ? info->what : "not a code that docs/errors.md lists",
                     about(failure.cls).reaction);
}

std::vector<FailureClass> classes_of(const FailureCodeInfo& info) {
  std::vector<FailureClass> classes;
  for (int i = 0; i <= static_cast<int>(FailureClass::kUncertain); ++i) {
    const auto cls = static_cast<FailureClass>(i);
    if (fmt::format(" {},", info.classes).find(fmt::format(" {},", to_string(cls))) !=
        std::string::npos)
      classes.push_back(cls);
  }
  return classes;
}

std::string_view word_of(End end) {
  return end == End::kHealed ? "healed" : end == End::kUnhealed ? "unhealed" : "open";
}

}  // namespace

std::vector<FailureStory> tell_stories(const std::vector<Event>& events) {
  Teller teller;
  for (const Event& event : events) teller.take(event);
  return std::move(teller).stories();
}

Result<std::vector<FailureStory>> stories_of_run(Journal& journal, const std::string& run) {
  Teller teller;
  TG_TRY(journal.each_event(0, run, [&](const Event& event) {
    teller.take(event);
    return true;
  }));
  return std::move(teller).stories();
}

Result<std::vector<FailureStory>> stories_of_incident(Journal& journal,
                                                      const IncidentHead& incident) {
  TG_ASSIGN(const uint64_t after, first_event_of(journal, incident));
  Teller teller;
  std::set<std::string> runs;
  TG_TRY(journal.each_event(after, "", [&](const Event& event) {
    if (!incident.is_open() && event.sequence > incident.closed_sequence) return false;
    const json data = json::parse(event.data, nullptr, false);
    if (event.type == "run_started" && text_in(data, "pipeline") == incident.pipeline)
      runs.insert(event.run);
    const std::string output = data.is_object() ? text_in(data, "output") : "";
    if (output.empty() ? runs.contains(event.run) : output == incident.output) teller.take(event);
    return true;
  }));
  return std::move(teller).stories();
}

std::string render(const FailureStory& story) {
  const Failure& failure = story.failure;
  std::string text =
      fmt::format("{}  {}\n", format_timestamp_us(story.time_us), place_of_failure(story));
  const auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<9} {}\n", name, value);
  };
  // What tasks fail with names its code itself.
  const bool named = failure.message.find("(" + failure.code) != std::string::npos;
  line("evidence",
       fmt::format("{}{}, by {}{}", failure.message,
                   named ? "" : fmt::format(" ({}, {})", failure.code, to_string(failure.cls)),
                   evidence_of(failure.code),
                   story.times > 1 ? fmt::format("; seen {} times", story.times) : ""));
  line("class", fmt::format("{}: {}", to_string(failure.cls), about(failure.cls).what));
  line("rule", rule_of(failure));
  if (story.done.empty()) line("done", "nothing yet");
  for (const std::string& done : story.done) line("done", done);
  line("outcome", word_of(story.end));
  line("to do", story.end == End::kHealed ? "nothing" : advice_for(failure.code));
  return text;
}

std::string to_json(const FailureStory& story) {
  const Failure& failure = story.failure;
  nlohmann::ordered_json made;
  made["event"] = "failure_explained";
  made["run"] = story.run;
  made["sequence"] = story.sequence;
  made["time"] = format_timestamp_us(story.time_us);
  if (!story.output.empty()) made["output"] = story.output;
  if (!failure.where.stage.empty()) made["stage"] = failure.where.stage;
  if (failure.where.partition >= 0) made["partition"] = failure.where.partition;
  if (!story.identity.empty()) made["identity"] = story.identity;
  made["class"] = to_string(failure.cls);
  made["code"] = failure.code;
  made["message"] = failure.message;
  made["times"] = story.times;
  made["evidence"] = evidence_of(failure.code);
  made["rule"] = rule_of(failure);
  made["done"] = story.done;
  made["outcome"] = word_of(story.end);
  made["advice"] = advice_for(failure.code);
  return made.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string render_code(const std::string& code) {
  const FailureCodeInfo* info = find_failure_code(code);
  if (!info) return {};
  std::string text = fmt::format("{}\n  {:<9} {}\n  {:<9} {}\n", code, "what", info->what,
                                 "evidence", evidence_of(code));
  for (const FailureClass cls : classes_of(*info))
    text += fmt::format("  {:<9} {}: {}\n  {:<9} {}\n", "class", to_string(cls), about(cls).what,
                        "rule", about(cls).reaction);
  return text + fmt::format("  {:<9} {}\n", "to do", info->advice);
}

std::string code_json(const std::string& code) {
  const FailureCodeInfo* info = find_failure_code(code);
  if (!info) return "{}";
  json classes = json::array();
  for (const FailureClass cls : classes_of(*info))
    classes.push_back({{"class", to_string(cls)}, {"rule", about(cls).reaction}});
  return json({{"code", code},
               {"what", info->what},
               {"evidence", evidence_of(code)},
               {"classes", classes},
               {"advice", info->advice}})
      .dump();
}

}  // namespace tidegate
