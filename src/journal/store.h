#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "journal/database.h"
#include "journal/journal.h"

namespace tidegate {

/// SHA-256 (32 bytes) that binds an event to all before it: over the hash before and every field.
std::string chain_hash(std::string_view before, const Event& event);
/// What the first event is bound to.
std::string chain_genesis();

/// The events table: append-only rows, each with its chain hash. Knows nothing of heads.
class EventStore {
 public:
  explicit EventStore(Database& database) : db_(database) {}

  Status create_table();
  /// Inside the caller's transaction. `hash` is event's chain hash.
  Status insert(const Event& event, std::string_view hash);

  /// The end of the chain.
  struct Tail {
    uint64_t sequence = 0;
    std::string hash = chain_genesis();
  };
  Result<Tail> tail();
  /// Verifies the newest `most` events. Empty if all is well, else what is wrong.
  Result<std::string> check_tail(size_t most);
  /// Verifies all; journal.corrupt names the first bad sequence.
  Status verify();
  /// Calls `visit` for the events from the first on whose chain holds, ending quietly at the first
  /// that is damaged or cannot be read. Returns what was wrong there, "" if nothing.
  Result<std::string> each_proven(
      const std::function<Status(const Event&, const std::string& hash)>& visit);

  /// The event, or nothing. It is verified against both neighbours; journal.corrupt if they differ.
  Result<std::optional<Event>> read_verified(uint64_t sequence);
  /// A page of events in order, unverified.
  Result<std::vector<Event>> page(uint64_t after, uint64_t until, std::string_view run,
                                  size_t most);
  /// By filter. `output` needs the heads table output_events.
  Result<std::vector<Event>> select(const EventQuery& query);

 private:
  struct Row {
    Event event;
    std::string hash;
  };
  static Row read_row(Statement& statement);
  Result<std::optional<Row>> row(uint64_t sequence);

  Database& db_;
  std::optional<Statement> insert_;
  std::optional<Statement> row_;
};

}  // namespace tidegate
