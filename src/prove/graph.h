#pragma once

#include <map>
#include <string>
#include <vector>

#include "contract/contract.h"
#include "prove/tree.h"

namespace tidegate::prove {

/// One stage with what its SQL says it reads.
struct GraphStage {
  const Stage* stage = nullptr;
  SyntaxTree tree;
  bool broken = false;              ///< has errors: neither it nor what reads it is proven
  std::vector<std::string> inputs;  ///< lower case, distinct, in order of first use
};

/// Resolves the tables of all stages: unknown names, cycles, unused stages and sources, broadcast
/// and partition_by entries that the SQL does not read. Returns indices in topological order
/// (stages on cycles left out and marked broken).
std::vector<size_t> resolve_graph(const Pipeline& pipeline, std::vector<GraphStage>& stages,
                                  Diagnostics& diagnostics);

/// The diagnostic for a problem in a stage's SQL.
Diagnostic to_diagnostic(const Problem& problem, const SqlText& sql, const SyntaxTree& tree);

}  // namespace tidegate::prove
