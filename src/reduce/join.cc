#include "reduce/join.h"

#include <nlohmann/json.hpp>

#include "batch/type.h"

namespace tidegate::reduce {
namespace {

using nlohmann::json;

json side_json(const JoinSpec::Side& side) {
  return {{"input", side.input},
          {"relation", side.relation},
          {"keys", side.keys},
          {"columns", side.columns}};
}

JoinSpec::Side side_from(const json& j) {
  return {j.at("input"), j.at("relation"), j.at("keys").get<std::vector<std::string>>(),
          j.at("columns").get<std::vector<std::string>>()};
}

}  // namespace

std::string_view to_string(JoinSpec::Kind kind) {
  switch (kind) {
    case JoinSpec::Kind::kInner:
      return "inner";
    case JoinSpec::Kind::kLeft:
      return "left";
    case JoinSpec::Kind::kRight:
      return "right";
    case JoinSpec::Kind::kFull:
      return "full";
    case JoinSpec::Kind::kSemi:
      return "semi";
    case JoinSpec::Kind::kAnti:
      return "anti";
  }
  return "";
}

std::string to_json(const JoinSpec& join) {
  const json out = {{"kind", static_cast<int>(join.kind)},
                    {"left", side_json(join.left)},
                    {"right", side_json(join.right)},
                    {"merged", join.merged}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<JoinSpec> join_from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    JoinSpec join;
    join.kind = static_cast<JoinSpec::Kind>(j.at("kind").get<int>());
    join.left = side_from(j.at("left"));
    join.right = side_from(j.at("right"));
    join.merged = j.at("merged");
    return join;
  } catch (const json::exception& error) {
    return fail(FailureClass::kDefect, "task.bad_message",
                std::string("cannot read a join: ") + error.what());
  }
}

std::string to_json(const JoinLookup& lookup) {
  const json out = {{"kind", static_cast<int>(lookup.kind)},
                    {"input", lookup.input},
                    {"keys", lookup.keys},
                    {"held", lookup.held},
                    {"held_keys", lookup.held_keys},
                    {"columns", lookup.columns},
                    {"relation", lookup.relation},
                    {"partner", lookup.partner},
                    {"sql", lookup.sql}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<JoinLookup> join_lookup_from_json(const std::string& text) {
  try {
    const json j = json::parse(text);
    JoinLookup lookup;
    lookup.kind = static_cast<JoinSpec::Kind>(j.at("kind").get<int>());
    lookup.input = j.at("input");
    lookup.keys = j.at("keys").get<std::vector<std::string>>();
    lookup.held = j.at("held");
    lookup.held_keys = j.at("held_keys").get<std::vector<std::string>>();
    lookup.columns = j.at("columns").get<std::vector<std::string>>();
    lookup.relation = j.at("relation");
    lookup.partner = j.at("partner");
    lookup.sql = j.at("sql");
    return lookup;
  } catch (const json::exception& error) {
    return fail(FailureClass::kDefect, "task.bad_message",
                std::string("cannot read a join: ") + error.what());
  }
}

bool can_join_by(std::string_view left, std::string_view right) {
  const auto parts = batch::parse_scalar_type(left);
  if (!parts || parts->storage == batch::Storage::kNull || parts->is_nested()) return false;
  if (left != right) {
    const auto others = batch::parse_scalar_type(right);
    return others && parts->meaning == batch::Meaning::kInteger &&
           others->meaning == batch::Meaning::kInteger &&
           parts->is_signed_integer() == others->is_signed_integer();
  }
  switch (parts->meaning) {
    case batch::Meaning::kInterval:  // equal values of unequal bytes
    case batch::Meaning::kTimeTz:
    case batch::Meaning::kBit:
    case batch::Meaning::kBignum:
    case batch::Meaning::kNull:
      return false;
    default:
      return true;
  }
}

bool can_carry(std::string_view type) {
  const auto parts = batch::parse_scalar_type(type);
  return parts && parts->storage != batch::Storage::kNull && !parts->is_nested();
}

}  // namespace tidegate::reduce
