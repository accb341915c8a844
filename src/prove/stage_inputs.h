#pragma once

#include <map>
#include <string>

#include "contract/diagnostic.h"
#include "prove/derive.h"
#include "prove/graph.h"
#include "prove/prove.h"
#include "sql/sql.h"

namespace tidegate::prove {

/// What later stages know of a table: a source, or a stage that was proven.
struct Known {
  std::string name;
  bool is_source = false;
  sql::Schema schema;
  const CheckedStage* stage = nullptr;
};

/// By name in lower case.
using KnownTables = std::map<std::string, Known>;

/// How a stage reads each of its inputs: fills `out.inputs` with modes, keys and the types that
/// keys are hashed as, and the request with what that says of their rows. False: the diagnostics
/// say why its `partition_by` does not do. All of the graph stage's inputs are known.
bool settle_inputs(const GraphStage& graph, const KnownTables& known, Diagnostics& diagnostics,
                   CheckedStage& out, DeriveRequest& request);

}  // namespace tidegate::prove
