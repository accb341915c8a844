#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "prove/derive.h"
#include "prove/problem.h"
#include "prove/relation.h"

// Internal to derive*.cc; kernel_tree.h takes Json from here.
namespace tidegate::prove {

using Json = nlohmann::json;
using Derived = std::expected<Relation, Problem>;
using Checked = std::expected<void, Problem>;

/// A column behind a chain of casts: casts[n](... casts[0](column)).
struct Side {
  uint32_t column = 0;
  std::string type;  ///< of the column
  std::vector<std::string> casts;
};

/// "left = right" or "left IS NOT DISTINCT FROM right", known to hold for every row above.
struct Edge {
  Side left, right;
};
using Edges = std::vector<Edge>;

/// Column numbers from here on stand for expressions (COALESCE of a USING), see Product::virtuals.
inline constexpr uint32_t kVirtualColumn = 1u << 24;
/// Where a function keeps its lambda's body.
inline constexpr const char* kLambdaBody = "lambda_expr";
/// Nested operators in a plan; deeper plans are refused.
inline constexpr size_t kPlanDepthMax = 1000;

// derive_expressions.cc
std::string type_text(const Json& type);
std::string type_of(const Json& expression);
bool is_ref(const Json& expression);
uint32_t ref_index(const Json& expression);
const std::string& class_of(const Json& expression);
/// All column numbers that the expression reads. What a lambda captures stands among its function's
/// arguments; the references in its body count its parameters and captures and are no columns.
void collect_refs(const Json& expression, ColumnSet& refs);
/// The expression as a column behind casts, if it is one.
bool as_side(const Json& expression, Side& out);
/// True for `=` and IS NOT DISTINCT FROM.
bool is_equality(const std::string& comparison);
/// The equality that a conjunct states, if it is one between two columns.
bool as_edge(const Json& conjunct, Edge& out);
/// Calls `take` for every conjunct of an AND tree.
void each_conjunct(const Json& expression, const std::function<void(const Json&)>& take);
/// True if the value of an expression over these columns is proven not to be NULL.
bool is_never_null(const Json& expression, const std::vector<RelationColumn>& columns);
/// Marks the columns (counted from `offset`) that are not NULL in rows where all of `expression`'s
/// conjuncts are TRUE.
void mark_never_null(const Json& expression, std::vector<RelationColumn>& columns,
                     uint32_t offset = 0);
/// True if the side has the hashed value of `key` when its column has.
bool keeps_key(const Side& side, const std::string& hash_type);
/// True if `expression` (columns counted from `offset`) has the hashed value of key `j`.
bool is_key_member(const Json& expression, const Relation& relation, size_t j, uint32_t offset = 0);
/// Adds the columns that `edges` make equal to members of the keys.
void grow_keys(std::vector<KeyClass>& keys, const Edges& edges);
/// Names for anchors: aliases and functions in it.
void names_of(const Json& expression, std::set<std::string>& names);
ColumnSet shifted(const ColumnSet& set, uint32_t by);
bool subset(const ColumnSet& small, const ColumnSet& large);
/// Number of output columns of a plan operator; 0 if it is not known.
size_t width_of(const Json& op);
/// The refusal of what this version does not understand.
Problem not_proven(const std::string& what);
/// The column numbers of a JSON array ("projection_map").
std::vector<uint32_t> numbers(const Json& op, const char* key);

/// One walk over a bound plan; each member function is one operator.
class Derivation {
 public:
  Derivation(const DeriveRequest& request, std::vector<Problem>& problems)
      : request_(request), problems_(problems) {}

  /// The properties of `op`, above which the `edges` hold.
  Derived derive(const Json& op, const Edges& edges);
  DeriveResult take_result(Relation top) {
    result_.top = std::move(top);
    return std::move(result_);
  }

 private:
  struct Domain {
    int id;
    Relation relation;  ///< what DELIM_GET gives
  };
  /// Leaves of a tree of cross products and inner joins, flattened.
  struct Product {
    struct Leaf {
      const Json* op;
      uint32_t first, count;
      Relation relation;
    };
    struct Virtual {
      const Json* expression;
      uint32_t offset;
    };
    struct Pending {
      const Json* expression;
      uint32_t offset;
      bool filter;  ///< a conjunct of WHERE, where a kTrueOnly column may stand alone
    };
    std::vector<Leaf> leaves;
    Edges edges;
    std::vector<Virtual> virtuals;
    std::vector<Pending> pending;
    std::set<std::string> names;
  };

  // derive.cc: operators that look at one row
  Derived projection(const Json& op, const Edges& edges);
  Derived filter(const Json& op, const Edges& edges);
  Derived unnest(const Json& op, const Edges& edges);
  Derived order_by(const Json& op);

  // derive_leaves.cc
  Derived get(const Json& op);
  Derived table_function(const Json& op);
  Derived constant_rows(const Json& op);
  Derived domain_get(const Json& op);
  Derived cte(const Json& op, const Edges& edges);
  Derived cte_ref(const Json& op);
  Derived recursive_cte(const Json& op);

  // derive_expressions.cc
  Checked check_expression(const Json& expression, const std::vector<RelationColumn>& columns,
                           uint32_t offset = 0, bool conjunct = false);
  /// The same; without `columns`, in a lambda's body, where references are no columns.
  Checked check_part(const Json& expression, const std::vector<RelationColumn>* columns,
                     uint32_t offset, bool conjunct);
  Checked check_reference(const Json& reference, const std::vector<RelationColumn>& columns,
                          uint32_t offset, bool conjunct) const;

  // derive_forms.cc
  /// Notes if the expression can tell the forms of a column apart (RelationColumn::any_form).
  void look_at_forms(const Json& expression, const std::vector<RelationColumn>& columns,
                     uint32_t offset);
  void forms_matter(std::string reason);
  /// Notes if DISTINCT inside of an aggregate makes values one that it can tell apart.
  void look_at_distinct(const Json& aggregate);
  /// Equal values of the column became one; `made_by`: by this expression's value.
  void merge_forms(RelationColumn& column, const Json* made_by = nullptr);
  /// True if the expression's value has several forms because a column's has.
  static bool keeps_forms(const Json& expression, const std::vector<RelationColumn>& columns);

  // derive_products.cc: inner and cross joins
  Derived product(const Json& op, const Edges& edges);
  Checked collect(const Json& op, Product& product, size_t depth);

  // derive_joins.cc: all others
  Derived outer_join(const Json& op, const Edges& edges);
  Derived positional_join(const Json& op);

  // derive_groups.cc
  Derived aggregate(const Json& op);
  Derived window(const Json& op);
  Derived distinct(const Json& op);
  Derived limit(const Json& op);
  Checked order_matters(const Relation& relation, std::string reason, AnchorKind anchor,
                        std::set<std::string> names);
  bool is_total(const Relation& relation, const ColumnSet& covered) const;
  std::string missing_columns(const Relation& relation, const ColumnSet& covered) const;
  std::string key_name(size_t j) const;
  Problem misses_key(const char* code, const Relation& relation, const std::string& what, size_t j,
                     AnchorKind anchor, std::set<std::string> names) const;

  // derive_sets.cc
  Derived set_operation(const Json& op);

  const DeriveRequest& request_;
  std::vector<Problem>& problems_;
  DeriveResult result_;
  std::map<uint64_t, Relation> ctes_;
  std::vector<Domain> domains_;
  int domain_count_ = 0;
  ColumnSet sorted_lists_;  ///< of the aggregate just below: columns that are sorted above
  size_t depth_ = 0;
};

}  // namespace tidegate::prove
