#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/changer.h"
#include "publish/audit.h"
#include "publish/keep.h"
#include "publish/recover.h"
#include "publish/rollback.h"
#include "publish/share.h"
#include "publish/standing.h"
#include "respond/verdicts.h"
#include "store/results.h"
#include "trust/trust.h"

namespace tidegate::cli {
namespace {

/// Makes a published directory this state directory's own; makes the state directory if there is
/// none.
Status take_over(Effects& effects, const Common& common, const std::string& root) {
  TG_ASSIGN(const auto owner, read_owner(effects, root));
  if (!owner)
    return fail(FailureClass::kDefect, "output.unknown",
                fmt::format("no output is published in the directory \"{}\"", root));
  TG_ASSIGN(const StateDir state,
            StateDir::open(effects, state_directory(common, working_directory()),
                           StateDir::Mode::kWrite));
  TG_ASSIGN(const ConductorLock lock, ConductorLock::take(effects, state, "audit --take-over"));
  Owner next = *owner;
  next.state_id = state.id();
  return take_over_place(effects, {owner->output, root}, next);
}

/// The contract that an output was published by, as its file stands now; nothing, and said so, if
/// it cannot be read.
std::optional<Pipeline> contract_of(Effects& effects, const Common& common, Journal& journal,
                                    const std::string& output) {
  const auto stored = journal.output_record(output);
  if (!stored || !*stored) return std::nullopt;
  const auto record = generation_record_from_json(**stored);
  if (!record) return std::nullopt;
  Diagnostics diagnostics;
  auto pipeline = load_pipeline(effects, record->pipeline_file, diagnostics);
  if (pipeline && !diagnostics.has_errors()) return std::move(*pipeline);
  if (!common.quiet)
    err(fmt::format(
        "{}: its pipeline file does not hold or cannot be read, so neither its rollback "
        "rule nor whom to notify is known: {}\n",
        output, record->pipeline_file));
  return std::nullopt;
}

/// Rolls the journal forward if it does not know what stands: a rollback's conductor died after its
/// swap.
Status catch_up(Effects& effects, Changer& changer, const OutputPlace& place,
                const std::string& run) {
  TG_ASSIGN(const auto stored, changer.journal->output_record(place.output));
  TG_ASSIGN(const auto standing, resolve_current(effects, place.root));
  if (!stored || !standing) return {};
  TG_ASSIGN(const GenerationRecord record, generation_record_from_json(*stored));
  if (record.generation == standing->record.generation) return {};
  TG_ASSIGN(const RecoverReport report,
            recover_output(effects, *changer.journal, place, changer.state.id(),
                           changer.lock.fence(), run));
  (void)report;
  return {};
}

/// Opens or closes an incident by how the output stands, and rolls it back if its rule says so. The
/// contract goes to `told`, for whom to notify when the lock is free.
Result<Response> respond(Effects& effects, const Common& common, Changer& changer,
                         const TrustAnswer& answer, const std::string& run,
                         std::map<std::string, Pipeline>& told) {
  auto contract = contract_of(effects, common, *changer.journal, answer.output);
  Responder by{effects, *changer.journal, changer.state.id(), changer.lock.fence(), run};
  TG_ASSIGN(Response done, respond_to_verdict(by, answer, contract ? &*contract : nullptr));
  if (!done.said.empty() && !common.quiet) err(fmt::format("{}: {}\n", answer.output, done.said));
  if (contract) told.insert_or_assign(contract->text->path(), std::move(*contract));
  return done;
}

void notify_all(Effects& effects, const Common& common,
                const std::map<std::string, Pipeline>& told) {
  const std::string state = state_directory(common, working_directory());
  for (const auto& [file, contract] : told) notify_after(effects, common, state, file, contract);
}

/// `trust --record`: how the outputs stand after what had to be done about them was done.
Result<std::vector<TrustAnswer>> judge_and_respond(Effects& effects, const Common& common,
                                                   const std::vector<std::string>& outputs,
                                                   const TrustOptions& options) {
  std::map<std::string, Pipeline> told;
  std::vector<TrustAnswer> answers;
  {
    TG_ASSIGN(Changer changer, open_changer(effects, common, "trust --record"));
    const std::string run = manual_run(effects, "trust");
    TG_ASSIGN(const auto known, changer.journal->output_names());
    for (const std::string& output : outputs.empty() ? known : outputs) {
      const auto place = place_of(effects, *changer.journal, output);
      if (place) TG_TRY(catch_up(effects, changer, *place, run));
    }
    TG_ASSIGN(const auto before, judge(effects, *changer.journal, outputs, options));
    for (const TrustAnswer& answer : before) {
      TG_ASSIGN(const Response done, respond(effects, common, changer, answer, run, told));
      (void)done;
    }
    TG_ASSIGN(answers, judge(effects, *changer.journal, outputs, options));
  }
  notify_all(effects, common, told);
  return answers;
}

/// Journals that these tasks have no result any more, a page of them in an event.
Status tell_dropped(Journal& journal, const std::string& run,
                    const std::vector<std::string>& identities) {
  constexpr size_t kPage = 1000;
  for (size_t begin = 0; begin < identities.size(); begin += kPage) {
    std::vector<std::string> quoted;
    for (size_t i = begin; i < std::min(identities.size(), begin + kPage); ++i)
      quoted.push_back(quote_json(identities[i]));
    TG_TRY(journal.append("results_dropped", run,
                          fmt::format(R"({{"identities":[{}]}})", join(quoted, ","))));
  }
  return {};
}

}  // namespace

int command_trust(Effects& effects, const Common& common, const TrustArguments& arguments) {
  TrustOptions options{.at_us = std::nullopt, .verify_bytes = arguments.verify};
  if (!arguments.at.empty()) {
    const auto at = parse_timestamp_us(arguments.at);
    if (!at) return tell_failure(common, at.error(), kExitUsage);
    options.at_us = *at;
  }
  if (arguments.record && options.at_us)
    return tell_failure(common,
                        {FailureClass::kDefect, "usage", "--record is about now: leave out --at"},
                        kExitUsage);
  std::vector<TrustAnswer> answers;
  if (arguments.record) {
    auto judged = judge_and_respond(effects, common, arguments.outputs, options);
    if (!judged) return tell_failure(common, judged.error(), kExitUsage);
    answers = std::move(*judged);
  } else {
    auto journal = open_journal(effects, common);
    if (!journal && journal.error().code == "state.missing")
      return tell_failure(common, journal.error(), kExitUsage);
    if (!journal) {
      answers = unknown_answers(arguments.outputs, journal.error().message);
    } else {
      auto judged = judge(effects, **journal, arguments.outputs, options);
      if (!judged) return tell_failure(common, judged.error(), kExitUsage);
      answers = std::move(*judged);
    }
  }
  bool trusted = true;
  for (const TrustAnswer& answer : answers) trusted &= answer.verdict == Verdict::kTrusted;
  if (common.json) {
    out(render_json(answers) + "\n");
  } else {
    for (const TrustAnswer& answer : answers) out(render(answer, common.colour_out));
    if (answers.empty()) out("nothing is published from this state directory yet\n");
  }
  return trusted && !answers.empty() ? kExitDone : kExitNotTrusted;
}

int command_rollback(Effects& effects, const Common& common, const OutputArguments& arguments) {
  auto changer = open_changer(effects, common, "rollback");
  if (!changer) return tell_failure(common, changer.error(), kExitUsage);
  const auto place = place_of(effects, *changer->journal, arguments.output);
  if (!place) return tell_failure(common, place.error(), kExitUsage);
  const auto report =
      rollback_output(effects, *changer->journal, *place, changer->state.id(),
                      changer->lock.fence(), manual_run(effects, "rollback"), arguments.to);
  if (!report) return tell_failure(common, report.error(), kExitFailed);
  if (common.json)
    out(fmt::format("{{\"output\":{},\"from\":\"{}\",\"to\":\"{}\",\"damaged\":{}}}\n",
                    quote_json(place->output), report->from, report->to, report->damaged));
  else
    out(fmt::format(
        "{}: {} stands again instead of {}{}\n", place->output, report->to, report->from,
        report->damaged ? ", whose files are damaged: the next run makes them again" : ""));
  return kExitDone;
}

int command_audit(Effects& effects, const Common& common, const OutputArguments& arguments) {
  if (arguments.take_over) {
    const Status taken =
        take_over(effects, common, path_absolute(arguments.output, working_directory()));
    if (!taken) return tell_failure(common, taken.error(), kExitUsage);
  }
  auto changer = open_changer(effects, common, "audit");
  if (!changer) return tell_failure(common, changer.error(), kExitUsage);
  const auto place = place_of(effects, *changer->journal, arguments.output);
  if (!place) return tell_failure(common, place.error(), kExitUsage);
  const std::string run = manual_run(effects, "audit");
  if (const Status caught_up = catch_up(effects, *changer, *place, run); !caught_up)
    return tell_failure(common, caught_up.error(), kExitFailed);
  const auto report = audit_output(effects, *changer->journal, *place, changer->state.id(), run);
  if (!report) return tell_failure(common, report.error(), kExitFailed);
  const auto judged = judge(effects, *changer->journal, {place->output}, {});
  if (!judged) return tell_failure(common, judged.error(), kExitFailed);
  std::map<std::string, Pipeline> told;
  const auto done = respond(effects, common, *changer, judged->at(0), run, told);
  if (!done) return tell_failure(common, done.error(), kExitFailed);
  {
    const Changer freed = std::move(*changer);
  }
  notify_all(effects, common, told);
  if (common.json) {
    std::vector<std::string> broken;
    for (const std::string& line : report->broken) broken.push_back(quote_json(line));
    out(fmt::format(
        "{{\"output\":{},\"generation\":\"{}\",\"files\":{},\"bytes\":{},\"broken\":[{}],"
        "\"incident\":{},\"rolled_back\":{}}}\n",
        quote_json(place->output), report->generation, report->files, report->bytes,
        join(broken, ","), done->incident ? fmt::format("{}", done->incident) : "null",
        done->rolled_back));
  } else {
    out(fmt::format("{}: generation {}, {} files, {}: {}\n", place->output, report->generation,
                    report->files, format_size(report->bytes),
                    report->broken.empty() ? "as published" : "BROKEN"));
    for (const std::string& line : report->broken) out(fmt::format("  {}\n", line));
  }
  return report->broken.empty() ? kExitDone : kExitFailed;
}

int command_path(Effects& effects, const Common& common, const OutputArguments& arguments) {
  auto journal = open_journal(effects, common);
  if (!journal) return tell_failure(common, journal.error(), kExitUsage);
  const auto place = place_of(effects, **journal, arguments.output);
  if (!place) return tell_failure(common, place.error(), kExitUsage);
  const auto standing = resolve_current(effects, place->root);
  if (!standing) return tell_failure(common, standing.error(), kExitFailed);
  if (!*standing)
    return tell_failure(
        common,
        {FailureClass::kDependency, "output.unpublished", "nothing is published at " + place->root},
        kExitUsage);
  if (common.json)
    out(fmt::format("{{\"output\":{},\"generation\":\"{}\",\"path\":{}}}\n",
                    quote_json(place->output), (*standing)->record.generation,
                    quote_json((*standing)->directory)));
  else
    out((*standing)->directory + "\n");
  return kExitDone;
}

int command_gc(Effects& effects, const Common& common, const GcArguments& arguments) {
  constexpr uint64_t kKeepBytes = uint64_t{10} << 30;
  EvictionLimits limits{.bytes_max = kKeepBytes};
  if (!arguments.limit.empty()) {
    const auto given = parse_size(arguments.limit);
    if (!given) return tell_failure(common, given.error(), kExitUsage);
    limits.bytes_max = *given;
  }
  if (!arguments.age.empty()) {
    const auto given = parse_duration_us(arguments.age);
    if (!given) return tell_failure(common, given.error(), kExitUsage);
    limits.age_us_max = *given;
  }
  limits.dry_run = arguments.dry_run;
  auto changer = open_changer(effects, common, "gc");
  if (!changer) return tell_failure(common, changer.error(), kExitUsage);
  const auto outputs = changer->journal->output_names();
  if (!outputs) return tell_failure(common, outputs.error(), kExitFailed);
  std::vector<LinkChange> links;
  for (const std::string& output : *outputs) {
    const auto place = place_of(effects, *changer->journal, output);
    if (!place || arguments.dry_run) continue;
    auto link = LinkChange::begin(effects, *changer->journal, *place);
    if (!link) return tell_failure(common, link.error(), kExitFailed);
    links.push_back(std::move(*link));
  }
  // Nothing published needs a result: generations hold their own links. An interrupted run's
  // results are only its work to do again.
  const auto report = evict_results(effects, changer->state, {}, limits);
  if (!report) return tell_failure(common, report.error(), kExitFailed);
  const std::string run = manual_run(effects, "gc");
  if (const Status told = tell_dropped(*changer->journal, run, report->identities_gone); !told)
    return tell_failure(common, told.error(), kExitFailed);
  for (LinkChange& link : links)
    if (const Status settled = link.settle(run); !settled)
      return tell_failure(common, settled.error(), kExitFailed);
  if (const Status durable = changer->journal->commit(); !durable)
    return tell_failure(common, durable.error(), kExitFailed);
  if (common.json)
    out(fmt::format(
        "{{\"results_removed\":{},\"bytes_removed\":{},\"results_kept\":{},\"bytes_kept\":{}}}\n",
        report->results_removed, report->bytes_removed, report->results_kept, report->bytes_kept));
  else
    out(fmt::format("{} {} results ({}); {} results ({}) stay\n",
                    arguments.dry_run ? "would drop" : "dropped", report->results_removed,
                    format_size(report->bytes_removed), report->results_kept,
                    format_size(report->bytes_kept)));
  return kExitDone;
}

}  // namespace tidegate::cli
