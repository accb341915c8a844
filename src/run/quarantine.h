#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/effects.h"
#include "journal/journal.h"
#include "plan/plan.h"

namespace tidegate {

/// A run opens at most so many entries; what is beyond opens when these are settled. What counts as
/// missing is counted in full whether an entry tells of it or not.
inline constexpr size_t kQuarantineOpenedMax = 1'000;

/// Losses that a person has accepted: source, file, the file's identity -> rows.
using DroppedRows = std::map<std::tuple<std::string, std::string, std::string>, uint64_t>;
Result<DroppedRows> dropped_rows(Journal& journal, const std::string& pipeline);

/// Sets rows_read and what is quarantined or dropped of an arrival by what the tasks of these
/// groups have set aside of that source. Each group that reads it is asked, and the worst counts:
/// which rows are bad depends on the columns that are read. All tasks of the groups must be done; a
/// result that has gone is a failure of class lost (publish.result_missing).
Status count_set_aside(Effects& effects, const Plan& plan, const Graph& graph,
                       const std::vector<uint32_t>& groups, uint32_t source,
                       const DroppedRows& dropped, SourceArrival& arrival);

/// Brings the quarantine in line with what the tasks of a run have set aside: an entry for each
/// input file with bad rows, opened where it is new, closed where its file was mended or has gone.
/// A source of which not all is read tells of no repair. Nothing is committed.
Status record_quarantine(Effects& effects, const Plan& plan, const Graph& graph, Journal& journal,
                         const std::string& run);

}  // namespace tidegate
