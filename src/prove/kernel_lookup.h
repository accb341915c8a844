#pragma once

#include <optional>
#include <string>
#include <vector>

#include "prove/kernel_tree.h"
#include "reduce/join.h"
#include "sql/sql.h"

namespace tidegate::prove {

/// A join that was taken out of a stage, and where it stood. By side: left, right.
struct JoinSite {
  const Json& tree;  ///< the stage
  Json::json_pointer node, join;
  const Json& where;  ///< what is left of the node's WHERE
  const reduce::JoinSpec& spec;
  Json tables[2];
  const sql::Schema* schemas[2];
};

/// What a table of FROM is called by the names of its columns.
std::string name_in_from(const Json& table);

/// The stage over the rows of one side with their partners of the other one, for each side that may
/// be held. Left out where a name might not mean what it meant. The relations become tables of
/// `scratch`.
std::vector<reduce::JoinLookup> choose_lookups(sql::Connection& scratch, const std::string& stage,
                                               const JoinSite& site, const sql::Schema& schema);

}  // namespace tidegate::prove
