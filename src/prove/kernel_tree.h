#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "prove/derivation.h"  // Json
#include "prove/kernel.h"

// Internal to kernel*.cc: DuckDB's syntax tree as JSON, read, made and written.
namespace tidegate::prove {

/// The tree of one SELECT without locations, in the form that survives being written and read
/// again: DuckDB writes a DOUBLE constant like a DECIMAL, so here it is a cast of its text. Null if
/// it cannot be read.
Json parse_select(sql::Connection& scratch, const std::string& sql);

/// The SQL of each tree (query nodes). Nothing if one of the texts does not read back as its tree.
std::optional<std::vector<std::string>> print_selects(sql::Connection& scratch,
                                                      const std::vector<Json>& nodes);

std::string text_in(const Json& json, const char* key);
bool is_class(const Json& expression, const char* name);
bool is_select(const Json& node);
/// A call of an aggregate, or of a macro that is one.
bool is_aggregate_call(const Json& expression);

Json column_ref(const std::string& name);
Json cast_to(Json expression, const char* type);
Json bigint_one();
/// hash(x), NULL where x is.
Json hash_of(const Json& expression);
Json base_table(const std::string& name);
/// SELECT items FROM from.
Json select_of(Json items, Json from);
/// The expression under that name.
Json named(Json expression, const std::string& name);

/// Whether anything below (the node itself included) fits. Subqueries in expressions are passed
/// over unless `deep`.
bool any_below(const Json& json, bool deep, const std::function<bool(const Json&)>& fits);
bool has_aggregate(const Json& json);
bool has_window(const Json& json);
bool has_class(const Json& json, const char* name);

/// Names of all base tables below, lower case, with how often.
std::map<std::string, int> tables_below(const Json& json);
/// Drops the entries of the node's WITH that nothing in it reads.
void prune_ctes(Json& node);
/// Puts each entry of the top WITH that is read once in the place where it is read.
void inline_ctes(Json& node);

/// The relations of a FROM and how their columns are named.
class Scope {
 public:
  /// `ctes`: the WITH that is in force. All are kept by reference.
  Scope(sql::Connection& scratch, const std::vector<KernelInput>& inputs, const Json& ctes,
        const Json& from);
  /// Whether FROM has a column of that lower-case name; nothing if that is not known.
  std::optional<bool> has(const std::string& lower);
  /// The columns that `relation.*` or `*` (relation "") stands for, as references; nothing if
  /// that is not known.
  std::optional<Json> star(const std::string& relation);
  /// A text that is equal for expressions that are equal: cases and qualifiers of columns settled.
  std::string canon(const Json& expression);

 private:
  struct Relation {
    std::string alias, lower;
    std::vector<std::string> columns;
    bool known = false, tried = false;
    const Json* ref = nullptr;
  };
  void add(const Json& ref);
  void settle(Relation& relation);
  void canon_below(Json& json);
  std::string owner(const std::string& lower);

  sql::Connection& scratch_;
  const std::vector<KernelInput>& inputs_;
  const Json& ctes_;
  std::vector<Relation> relations_;
  std::set<std::string> merged_;  ///< USING columns
  bool natural_ = false;
};

}  // namespace tidegate::prove
