#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/effects.h"
#include "base/failure.h"
#include "journal/journal.h"
#include "journal/records.h"
#include "publish/commit_log.h"
#include "publish/place.h"

namespace tidegate {

/// A finished file that becomes part of a generation: immutable, in results/.
struct StagedFile {
  std::string path;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  std::string xxh3;
  std::string label = {};  ///< of an output `by` columns: what its name says of the rows
};

/// What one output is to become.
struct PublishRequest {
  std::string output;
  std::string identity;       ///< hash over the identities of the tasks that made it
  std::string contract_hash;  ///< of checks, freshness and schema
  std::vector<std::pair<std::string, std::string>> schema;
  std::vector<StagedFile> files;
  std::vector<SourceArrival> sources;
  std::optional<int64_t> max_age_us;
  std::optional<int64_t> through_us;
  std::optional<double> completeness;
  bool force = false;  ///< publish although this identity was rejected
};

/// A generation that is staged and durable but not committed: nobody reads it but the checks.
struct StagedGeneration {
  std::string generation;
  std::string directory;           ///< absolute
  std::vector<std::string> paths;  ///< of its data files, in order: what the checks must read
  uint64_t rows = 0;
  uint64_t bytes = 0;
  uint64_t files_shared = 0;  ///< links to files of the generation that stands
};

/// One commit of one output, or of a pipeline's outputs together:
///
///     begin -> stage (each output) -> [the checks read the staged bytes] -> audited (each) ->
///     commit
///
/// Order on disk: data files, generation directory, gen/, each fsynced; journal "output_audited";
/// link(2) of the log's next number, fsync; rename of `current`, fsync; read back; journal
/// "output_published" (appended: durable with the next Journal::commit; recovery rolls forward if
/// that never comes). Until link(2) the old generation stands and a failure leaves nothing behind
/// but what recovery removes. After it the new one stands, and a failure has class uncertain: call
/// recover_output before anything else.
///
/// The number of a commit is the largest of journal and log plus one, and deliberately not counted
/// from gen/: the name that two conductors race for must follow from what both saw committed.
/// (Recovery takes the numbers of uncommitted generations away by an entry of its own.)
///
/// Bytes are hashed as they are staged, against the checksums that the results came with: results
/// are never fsynced, so one that a power cut tore would be published otherwise. They are in the
/// page cache, and the record's `hashed_us` is then true. A file whose bytes the standing
/// generation has already is a link to that one, which is durable and hashed (StandingFiles); the
/// result is not looked at then. Not thread-safe.
class Publication {
 public:
  struct Options {
    std::string state_id;  ///< StateDir::id
    std::string pipeline;
    std::string pipeline_file;  ///< absolute
    std::string run;
    uint64_t fence = 0;               ///< ConductorLock::fence
    bool together = false;            ///< publish_together: one commit for all `places`
    std::vector<OutputPlace> places;  ///< exactly one unless together
  };

  /// Claims the places (see claim_place) and fixes the number. publish.fenced: a conductor with a
  /// newer token has published here. publish.set_parent: outputs published together do not share a
  /// parent directory or have one name.
  static Result<std::unique_ptr<Publication>> begin(Effects& effects, Journal& journal,
                                                    Options options);

  /// Makes the generation's directory, links (or copies, where links do not reach) the files into
  /// it, writes manifest.json, hashes, fsyncs. Failures: publish.rejected (this identity was rolled
  /// back, and force is off), publish.result_missing and publish.result_torn (class lost: make the
  /// result again), disk failures. What was begun is removed again.
  Result<StagedGeneration> stage(const PublishRequest& request);

  /// Takes the checks' outcome over exactly those bytes and appends "output_audited".
  /// publish.unverified if one of them failed: such a generation is aborted, never committed.
  Status audited(const std::string& output, std::vector<CheckOutcome> checks);

  /// Commits what was staged; each of it must have been audited. publish.lost_race or
  /// publish.fenced: another conductor was first; nothing of ours is left.
  Status commit();

  /// Removes what was staged and not committed.
  Status abort();

  /// The records as journaled by commit.
  const std::vector<GenerationRecord>& published() const { return published_; }

 private:
  struct Staged {
    OutputPlace place;
    GenerationRecord record;
    bool audited = false;
  };

  Publication(Effects& effects, Journal& journal, Options options, Site site);
  Status stage_files(const PublishRequest& request, const OutputPlace& place,
                     const std::string& directory, GenerationRecord& record);
  Status stage_result(const StagedFile& source, const std::string& path);
  Status check_predecessor();
  Result<Commit> next_commit();
  Status read_back(const Commit& commit);
  Status after_commit(const Commit& commit);
  std::unexpected<Failure> lose(const char* code, std::string message);

  Effects& effects_;
  Journal& journal_;
  const Options options_;
  const Site site_;
  CommitLog log_;
  std::optional<Commit> previous_;
  uint64_t number_ = 0;
  std::vector<Staged> staged_;
  std::vector<GenerationRecord> published_;
  bool committed_ = false;
};

/// The manifest that lies in a generation's directory: what is needed to check its files.
struct Manifest {
  std::string output;
  std::string pipeline;
  std::string generation;
  std::string run;
  std::string identity;
  std::vector<GenerationFile> files;  ///< without stat
};
std::string manifest_text(const GenerationRecord& record);
Result<Manifest> parse_manifest(const std::string& text);

/// Number of the commit that the next one of this site must have.
Result<uint64_t> next_commit_number(Effects& effects, Journal& journal, const Site& site,
                                    const std::vector<std::string>& outputs);

/// Makes the set's directory of links for a commit (a set's commits only) and makes it durable.
Status make_set_directory(Effects& effects, const Site& site, const Commit& commit);

}  // namespace tidegate
