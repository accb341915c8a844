#include "run/outputs.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/planted.h"
#include "base/text.h"
#include "base/units.h"
#include "publish/audit.h"
#include "publish/keep.h"
#include "publish/recover.h"
#include "run/quarantine.h"
#include "sql/parquet_type.h"
#include "store/results.h"
#include "task/by_value.h"
#include "trust/arrivals.h"

namespace tidegate {
namespace {

bool counts_as_failed(const CheckOutcome& check) {
  return check.status == "fail" || check.status == "error";
}

}  // namespace

OutputPlace output_place(const Pipeline& pipeline, const Output& output) {
  return {output.name.value, path_absolute(output.parquet_path.value, pipeline.directory)};
}

Status check_output_places(Effects& effects, const Pipeline& pipeline,
                           const std::string& state_id) {
  for (const Output& output : pipeline.outputs) {
    const OutputPlace place = output_place(pipeline, output);
    const Status checked = check_place(
        effects, place, {state_id, pipeline.name.value, place.output, pipeline.publish_together});
    if (!checked && checked.error().code.starts_with("publish.")) return checked;
  }
  return {};
}

Outputs::Outputs(Effects& effects, const Plan& plan, Journal& journal, const RunContext& context)
    : effects_(effects),
      plan_(plan),
      journal_(journal),
      context_(context),
      items_(plan.pipeline.outputs.size()),
      publications_(plan.pipeline.outputs.size()) {}

OutputPlace Outputs::place(uint32_t output) const {
  return output_place(plan_.pipeline, plan_.pipeline.outputs[output]);
}

Result<PublishRequest> Outputs::request_of(uint32_t index, const Graph& graph) {
  const Output& output = plan_.pipeline.outputs[index];
  const uint32_t g = graph.outputs[index].group;
  const PlanGroup& group = plan_.groups[g];
  PublishRequest request;
  request.output = output.name.value;
  request.contract_hash = plan_.contract_hashes[index];
  request.force = context_.force;
  for (const sql::Column& column : sql::parquet_schema(group.schema))
    request.schema.emplace_back(column.name, column.type);
  IdentityHash identity;
  identity.add("output").add(output.compression);
  for (uint32_t task : graph.groups[g].tasks) {
    identity.add(graph.tasks[task].identity);
    if (graph.groups[g].unordered) identity.add(graph.tasks[task].digest);
  }
  request.identity = identity.hex();
  for (uint32_t s : plan_.output_sources[index]) {
    SourceArrival arrival = plan_.sources[s].arrival;
    arrival.rows_read = plan_.sources[s].rows_known ? plan_.sources[s].rows : arrival.rows_read;
    if (plan_.pipeline.sources[s].quarantine_share) {
      TG_ASSIGN(const DroppedRows dropped, dropped_rows(journal_, plan_.pipeline.name.value));
      std::vector<uint32_t> readers = graph.outputs[index].after;
      readers.push_back(g);
      TG_TRY(count_set_aside(effects_, plan_, graph, readers, s, dropped, arrival));
    }
    request.sources.push_back(std::move(arrival));
  }
  if (output.freshness) {
    if (output.freshness->max_age_us) request.max_age_us = output.freshness->max_age_us->value;
    if (output.freshness->through_us) request.through_us = output.freshness->through_us->value;
    if (output.freshness->completeness)
      request.completeness = output.freshness->completeness->value;
  }
  return request;
}

Result<std::vector<StagedFile>> Outputs::files_of(uint32_t index, const Graph& graph) {
  const Output& output = plan_.pipeline.outputs[index];
  const uint32_t g = graph.outputs[index].group;
  const auto& sinks = plan_.groups[g].sinks;
  const auto sink = std::find_if(sinks.begin(), sinks.end(), [&](const TaskSink& one) {
    return one.kind == TaskSink::Kind::kParquet && one.compression == output.compression;
  });
  TG_ASSERT(sink != sinks.end());
  std::vector<StagedFile> files, empty;
  for (uint32_t task : graph.groups[g].tasks) {
    const GraphTask& made = graph.tasks[task];
    TG_ASSIGN(const auto stored, find_result(effects_, *plan_.state, made.identity, made.attempt));
    if (!stored)
      return fail(FailureClass::kLost, "publish.result_missing",
                  fmt::format("a finished result has gone: {}",
                              result_directory(*plan_.state, made.identity, made.attempt)));
    if (sink->by.empty()) {
      const ResultFile* file = stored->file(sink->file);
      TG_ASSERT(file != nullptr);
      StagedFile staged{path_join(stored->directory, file->name), file->rows, file->bytes,
                        file->xxh3};
      (file->rows == 0 ? empty : files).push_back(std::move(staged));
      continue;
    }
    TG_ASSIGN(const TaskReport report, task_report_from_json(stored->data));
    for (const TaskOutputFile& file : report.files)
      (file.rows == 0 ? empty : files)
          .push_back({path_join(stored->directory, file.name), file.rows, file.bytes, file.xxh3,
                      file.label});
  }
  if (!sink->by.empty() && files.size() > kPublishValuesMax)
    return fail(FailureClass::kData, "publish.by_values",
                fmt::format("{} values of {}, at most {} can have a file each: publish by columns "
                            "of fewer values",
                            format_count(files.size()), graph.groups[g].name,
                            format_count(kPublishValuesMax)));
  if (!sink->by.empty()) std::ranges::sort(files, {}, &StagedFile::label);
  // Empty parts carry nothing but the columns: one is enough, if there is no other.
  if (files.empty() && !empty.empty()) files.push_back(empty.front());
  return files;
}

/// Completeness, quarantine and emptiness are promises too: counted, and refused like a check.
Status Outputs::add_promises(uint32_t index, const Graph& graph, Item& item) {
  const Output& output = plan_.pipeline.outputs[index];
  for (const SourceArrival& arrival : item.request.sources) {
    // A source that still grows is judged at read time; one that is closed is judged now.
    const bool closed = arrival.known_by == "manifest" || arrival.arrives_to_us.has_value();
    if (output.freshness && output.freshness->completeness && closed && arrival.expected > 0) {
      CheckOutcome check;
      check.kind = "complete";
      check.name = fmt::format("complete({})", arrival.source);
      check.total = arrival.expected;
      check.failing = arrival.expected - std::min(arrival.arrived, arrival.expected);
      check.tolerance = 1 - output.freshness->completeness->value;
      // Rows set aside count as missing, as they do in the verdict.
      const CompleteScope scope{.share = output.freshness->completeness->value,
                                .through_us = item.request.through_us};
      const bool enough =
          count_complete(arrival, scope, effects_.now_us()).kind != Completeness::Kind::kShort;
      const double share = static_cast<double>(check.failing) / static_cast<double>(check.total);
      check.status = share > check.tolerance + 1e-12 || !enough ? "fail" : "pass";
      check.message =
          fmt::format("{} of {} expected {} of \"{}\" arrived{}", arrival.arrived, arrival.expected,
                      arrival.known_by == "manifest" ? "rows" : "partitions", arrival.source,
                      arrival.missing.empty() ? "" : "; missing: " + join(arrival.missing, ", "));
      if (arrival.rows_quarantined > 0)
        check.message += fmt::format("; {} of {} rows were set aside", arrival.rows_quarantined,
                                     arrival.rows_read);
      item.promises.push_back(std::move(check));
    }
    for (const Source& source : plan_.pipeline.sources) {
      if (source.name.value != arrival.source || !source.quarantine_share) continue;
      const bool files = source.format == FileFormat::kParquet;
      CheckOutcome check;
      check.kind = "quarantine";
      check.name = fmt::format("quarantine({})", arrival.source);
      check.failing = files ? arrival.files_quarantined : arrival.rows_quarantined;
      check.total = std::max(arrival.rows_read, arrival.rows_quarantined);
      if (files) check.total = files_of_source(arrival.source);
      check.tolerance = source.quarantine_share->value;
      const double share =
          check.total ? static_cast<double>(check.failing) / static_cast<double>(check.total) : 0;
      check.status = share > check.tolerance + 1e-12 ? "fail" : "pass";
      check.message =
          fmt::format("{} of {} {} of \"{}\" were set aside, at most {:g}% may be", check.failing,
                      check.total, files ? "files" : "rows", arrival.source, check.tolerance * 100);
      if (arrival.rows_dropped > 0)
        check.message +=
            fmt::format("; {} rows more were dropped by a person", arrival.rows_dropped);
      item.promises.push_back(std::move(check));
    }
  }
  if (item.rows == 0 && output.on_empty != OnEmpty::kAllow) {
    CheckOutcome check;
    check.kind = "on_empty";
    check.name = "on_empty";
    check.failing = 1;
    check.status = output.on_empty == OnEmpty::kFail ? "fail" : "warn";
    check.message = "the output has no rows";
    item.promises.push_back(std::move(check));
  }
  return add_empty_stages(index, graph, item);
}

uint64_t Outputs::files_of_source(const std::string& name) const {
  for (const SourceSnapshot& source : plan_.sources)
    if (source.source == name) return source.files.size() + source.set_aside.size();
  return 0;
}

/// Stages upstream that say `on_empty` and came to no rows at all.
Status Outputs::add_empty_stages(uint32_t index, const Graph& graph, Item& item) {
  std::vector<bool> upstream(graph.groups.size(), false);
  upstream[graph.outputs[index].group] = true;
  for (size_t g = graph.groups.size(); g-- > 0;) {
    if (!upstream[g]) continue;
    for (const GraphInput& input : graph.groups[g].inputs) upstream[input.producer] = true;
    if (plan_.groups[g].on_empty == OnEmpty::kAllow) continue;
    uint64_t rows = 0;
    bool known = true;
    for (uint32_t task : graph.groups[g].tasks) {
      TG_ASSIGN(const auto head, journal_.result(graph.tasks[task].identity));
      known &= head.has_value();
      if (!head) continue;
      TG_ASSIGN(const TaskReport report, task_report_from_json(head->data));
      rows += report.rows_out;
    }
    if (!known || rows > 0) continue;
    CheckOutcome check;
    check.kind = "on_empty";
    check.name = fmt::format("on_empty({})", graph.groups[g].name);
    check.failing = 1;
    check.status = plan_.groups[g].on_empty == OnEmpty::kFail ? "fail" : "warn";
    check.message = fmt::format("stage \"{}\" gave no rows", graph.groups[g].name);
    item.promises.push_back(std::move(check));
  }
  return {};
}

Result<Publication*> Outputs::publication(uint32_t output) {
  const bool together = plan_.pipeline.publish_together;
  auto& slot = publications_[together ? 0 : output];
  if (slot) return slot.get();
  Publication::Options options{
      .state_id = context_.state_id,
      .pipeline = plan_.pipeline.name.value,
      .pipeline_file =
          path_join(plan_.pipeline.directory, path_basename(plan_.pipeline.text->path())),
      .run = context_.run,
      .fence = context_.fence,
      .together = together,
      .places = {}};
  if (together)
    for (uint32_t o = 0; o < items_.size(); ++o) options.places.push_back(place(o));
  else
    options.places.push_back(place(output));
  TG_ASSIGN(slot, Publication::begin(effects_, journal_, std::move(options)));
  return slot.get();
}

Result<OutputStaged> Outputs::stage(uint32_t output, const Graph& graph, const Emit& emit) {
  Item& item = items_[output] = Item{};
  OutputStaged answer{output, false, std::nullopt};
  const auto failed = [&](Failure failure) {
    item.reasons.push_back(failure.message);
    answer.failure = std::move(failure);
    return answer;
  };
  auto request = request_of(output, graph);
  if (!request) return failed(request.error());
  item.request = std::move(*request);
  for (const SourceArrival& arrival : item.request.sources)
    TG_TRY(emit("source_read", to_json(arrival)));
  constexpr int kAsksMax = 3;
  Decision decision = Decision::kAuditFirst;
  for (int ask = 0; ask < kAsksMax && decision == Decision::kAuditFirst; ++ask) {
    auto decided = decide(effects_, journal_, place(output), item.request.identity,
                          item.request.contract_hash, context_.force);
    if (!decided) return failed(decided.error());
    decision = *decided;
    if (decision != Decision::kAuditFirst) break;
    const auto audited =
        audit_output(effects_, journal_, place(output), context_.state_id, context_.run);
    if (!audited) return failed(audited.error());
  }
  if (decision == Decision::kRejected)
    return failed(
        {FailureClass::kDefect, "publish.rejected",
         fmt::format("exactly these rows of \"{}\" were rolled back before: change an input, or "
                     "publish them with --force",
                     item.request.output)});
  if (decision == Decision::kUnchanged || decision == Decision::kVerifyAgain) {
    auto standing = resolve_current(effects_, place(output).root);
    if (!standing) return failed(standing.error());
    TG_ASSERT(standing->has_value());
    item.generation = (*standing)->record.generation;
    item.rows = (*standing)->record.rows;
    for (const GenerationFile& file : (*standing)->record.files)
      item.files.push_back(path_join((*standing)->directory, file.name));
    item.reaudit = true;
    TG_TRY(add_promises(output, graph, item));
    const bool broken = std::any_of(item.promises.begin(), item.promises.end(), counts_as_failed);
    if (decision == Decision::kUnchanged && !broken) {
      answer.unchanged = true;
      // The same promises over the same arrivals are on record already.
      TG_ASSIGN(const auto record, journal_.output_record(item.request.output));
      const bool known =
          record && std::all_of(item.request.sources.begin(), item.request.sources.end(),
                                [&](const SourceArrival& arrival) {
                                  return record->find(to_json(arrival)) != std::string::npos;
                                });
      if (known) return answer;
      const auto confirmed = confirm_unchanged(effects_, journal_, place(output), item.request,
                                               std::nullopt, context_.run);
      if (!confirmed) return failed(confirmed.error());
    }
    return answer;
  }
  auto files = files_of(output, graph);
  if (!files) return failed(files.error());
  item.request.files = std::move(*files);
  for (const StagedFile& file : item.request.files) item.rows += file.rows;
  TG_TRY(add_promises(output, graph, item));
  auto publication_of = publication(output);
  if (!publication_of) return failed(publication_of.error());
  auto staged = (*publication_of)->stage(item.request);
  if (!staged) return failed(staged.error());
  item.generation = staged->generation;
  item.files = staged->paths;
  item.rows = staged->rows;
  item.files_shared = staged->files_shared;
  item.staged = true;
  return answer;
}

Result<TaskSpec> Outputs::verify_spec(uint32_t index, const Graph& graph,
                                      const std::string& attempt) {
  const Output& output = plan_.pipeline.outputs[index];
  const Item& item = items_[index];
  const uint32_t g = graph.outputs[index].group;
  TaskSpec spec;
  spec.identity = IdentityHash().add("verify").add(item.generation).add(attempt).hex();
  spec.attempt = attempt;
  spec.label = "checks of " + output.name.value;
  spec.stage = output.name.value;
  spec.memory_bytes = graph.groups[g].memory_bytes;
  spec.run_time_us = plan_.run_time_us;
  spec.state_dir = plan_.state->path();
  VerifyWork work;
  work.output = output.name.value;
  work.pipeline_text = plan_.pipeline.text->text();
  work.pipeline_path =
      path_join(plan_.pipeline.directory, path_basename(plan_.pipeline.text->path()));
  work.files = item.files;
  work.schema = sql::parquet_schema(plan_.groups[g].schema);
  TG_ASSIGN(const auto standing, journal_.output_record(output.name.value));
  if (standing) {
    TG_ASSIGN(const GenerationRecord record, generation_record_from_json(*standing));
    if (!item.reaudit) work.rows_before = record.rows;
  }
  for (const Check& check : output.checks) {
    if (check.kind != CheckKind::kReferences) continue;
    const std::string& to = check.references_to.value;
    for (uint32_t s = 0; s < plan_.pipeline.sources.size(); ++s) {
      if (plan_.pipeline.sources[s].name.value != to) continue;
      work.sources.emplace_back(to, whole_scan(plan_.sources[s], {}));
    }
    for (uint32_t o = 0; o < graph.outputs.size(); ++o) {
      if (graph.outputs[o].name != to) continue;
      TG_ASSIGN(const auto other, files_of(o, graph));
      std::vector<std::string> files;
      for (const StagedFile& file : other) files.push_back(file.path);
      work.outputs.emplace_back(to, std::move(files));
    }
  }
  spec.verify = std::move(work);
  return spec;
}

Result<bool> Outputs::verified(uint32_t output, std::vector<CheckOutcome> checks,
                               const Emit& emit) {
  Item& item = items_[output];
  item.checks = item.promises;
  item.checks.insert(item.checks.end(), checks.begin(), checks.end());
  for (const CheckOutcome& check : item.checks) {
    TG_TRY(
        emit("check_finished", fmt::format(R"({{"output":{},{})", quote_json(item.request.output),
                                           to_json(check).substr(1))));
    if (counts_as_failed(check)) item.reasons.push_back(check.message);
  }
  if (item.reasons.empty()) return true;
  if (planted(Mistake::kChecksIgnored)) {
    for (CheckOutcome& check : item.checks) check.status = "pass";
    return true;
  }
  // The standing bytes break what is promised now: they stay, and trust says so.
  if (item.reaudit)
    TG_TRY(confirm_unchanged(effects_, journal_, place(output), item.request, item.checks,
                             context_.run));
  return false;
}

std::optional<Failure> Outputs::commit_group(const std::vector<uint32_t>& outputs,
                                             const Emit& emit) {
  const auto made = publication(outputs.front());
  if (!made) return made.error();
  for (uint32_t output : outputs)
    if (const auto status = (*made)->audited(items_[output].request.output, items_[output].checks);
        !status)
      return status.error();
  auto status = (*made)->commit();
  if (!status && status.error().cls == FailureClass::kUncertain &&
      planted(Mistake::kUncertainIsDone))
    return std::nullopt;
  if (!status && status.error().cls == FailureClass::kUncertain) {
    // The answer was lost: what lies on disk says whether it stands.
    for (uint32_t output : outputs) {
      const auto recovered = recover_output(effects_, journal_, place(output), context_.state_id,
                                            context_.fence, context_.run);
      if (!recovered) return recovered.error();
      const auto standing = resolve_current(effects_, place(output).root);
      if (!standing) return standing.error();
      if (!*standing || (*standing)->record.generation != items_[output].generation)
        return status.error();
    }
    status = {};
  }
  if (!status) return status.error();
  (void)emit;
  if (const auto durable = journal_.commit(); !durable) return durable.error();
  return std::nullopt;
}

std::optional<Failure> Outputs::commit_one(uint32_t output, const Emit& emit) {
  Item& item = items_[output];
  if (!item.reaudit) return commit_group({output}, emit);
  const auto status =
      confirm_unchanged(effects_, journal_, place(output), item.request, item.checks, context_.run);
  if (!status) return status.error();
  if (const auto durable = journal_.commit(); !durable) return durable.error();
  return std::nullopt;
}

std::vector<OutputCommitted> Outputs::commit(const std::vector<uint32_t>& outputs,
                                             const Emit& emit) {
  std::vector<OutputCommitted> answers;
  std::vector<uint32_t> together;
  for (uint32_t output : outputs) {
    if (plan_.pipeline.publish_together && !items_[output].reaudit)
      together.push_back(output);
    else
      answers.push_back({output, commit_one(output, emit)});
  }
  if (!together.empty()) {
    const auto failure = commit_group(together, emit);
    for (uint32_t output : together) answers.push_back({output, failure});
  }
  for (OutputCommitted& answer : answers) {
    if (answer.failure) {
      items_[answer.output].reasons.push_back(answer.failure->message);
      continue;
    }
    // What stands is published; old generations that stay too long are the next run's to drop.
    (void)after_publish(answer.output);
  }
  return answers;
}

Status Outputs::after_publish(uint32_t output) {
  if (items_[output].reaudit) return {};
  const auto dropped = drop_old_generations(effects_, journal_, place(output),
                                            plan_.pipeline.outputs[output].keep, {}, context_.run);
  if (!dropped) return std::unexpected(dropped.error());
  return {};
}

Status Outputs::drop(uint32_t output, std::string_view why, const Emit& emit) {
  Item& item = items_[output];
  std::vector<std::string> quoted;
  for (const std::string& reason : item.reasons) quoted.push_back(quote_json(reason));
  if (quoted.empty()) quoted.push_back(quote_json(why));
  TG_TRY(emit("output_refused", fmt::format(R"({{"output":{},"generation":{},"reasons":[{}]}})",
                                            quote_json(item.request.output),
                                            quote_json(item.generation), join(quoted, ","))));
  if (item.reaudit) return journal_.commit();
  auto& slot = publications_[plan_.pipeline.publish_together ? 0 : output];
  item.staged = false;
  // A set is staged as one: its files go when no member's checks read them any more.
  const bool read = plan_.pipeline.publish_together && std::ranges::any_of(items_, &Item::staged);
  if (slot && !read) {
    TG_TRY(slot->abort());
    slot.reset();
  }
  return journal_.commit();
}

OutputSummary Outputs::summary(uint32_t index, OutputState state,
                               const std::optional<Failure>& failure) const {
  const Item& item = items_[index];
  OutputSummary summary;
  summary.output = plan_.pipeline.outputs[index].name.value;
  summary.state = to_string(state);
  summary.generation = item.generation;
  summary.rows = item.rows;
  summary.files = item.files.size();
  summary.files_shared = item.reaudit ? summary.files : item.files_shared;
  const std::string root = place(index).root;
  summary.path = item.generation.empty() ? root : generation_directory(root, item.generation);
  summary.reasons = item.reasons;
  if (failure) summary.reason = failure->message;
  if (summary.reason.empty() && !item.reasons.empty()) summary.reason = item.reasons.front();
  return summary;
}

}  // namespace tidegate
