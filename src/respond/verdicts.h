#pragma once

#include <cstdint>
#include <string>

#include "base/effects.h"
#include "base/failure.h"
#include "contract/contract.h"
#include "journal/journal.h"
#include "respond/incidents.h"
#include "trust/trust.h"

namespace tidegate {

/// Who acts: a writer of the journal that holds the state directory's lock.
struct Responder {
  Effects& effects;
  Journal& journal;
  std::string state_id;
  uint64_t fence = 0;
  std::string run;
};

/// What was done about an output.
struct Response {
  uint64_t incident = 0;  ///< that is open now, or was just closed; 0: none
  std::string said;       ///< in a sentence; "": nothing was done
  bool rolled_back = false;
};

/// True where what the rule waits for is so. UNTRUSTED counts where the generation itself, its
/// checks or what it was made from are the reason: an earlier one is never fresher or more
/// complete.
bool is_met(const RollbackRule& rule, const TrustAnswer& answer);

/// Rolls an output back to the generation before, if its rule is met by how it stands, or says by
/// which command a person does it (`mode: manual`). An incident is rolled back once: what is wrong
/// after that is a person's. A rollback that fails is added to the incident, and is no failure
/// here. What is appended is committed.
Result<Response> roll_back_by_rule(Responder& by, const RollbackRule& rule,
                                   const std::string& publish_root, const TrustAnswer& answer,
                                   const IncidentHead& incident);

/// How a run ended for an output: its incident is opened, added to or closed, with what stands
/// meanwhile, and its rollback rule is looked at. `end.stands` and `end.command` are filled in
/// here. Without a rule nothing is committed.
Result<Response> respond_to_run(Responder& by, const Output& output,
                                const std::string& publish_root, OutputEnd end);

/// Opens an incident for an output whose verdict is UNTRUSTED (publish.broken if its files are not
/// as published, else trust.untrusted), adds to the one that is open what it does not say yet, or
/// closes one that was opened in this way when all promises hold again. Then its rollback rule.
/// `contract` may be nullptr: then there is none. What is appended is committed.
Result<Response> respond_to_verdict(Responder& by, const TrustAnswer& answer,
                                    const Pipeline* contract);

}  // namespace tidegate
