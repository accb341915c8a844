#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "contract/diagnostic.h"

namespace tidegate {

/// One row of the table of diagnostic codes. Codes are public: they are never renumbered or reused.
struct CodeInfo {
  const char* code;     ///< "T0101"
  const char* name;     ///< "unknown-key"
  const char* summary;  ///< one line
  const char* meaning;  ///< a paragraph or two: what it means and why it matters
  const char* wrong;    ///< an example that gets it ("" where it does not come from the text)
  const char* right;    ///< the same, made right
};

/// All codes, ordered. Rows live in codes_*.cc, one file a range.
const std::vector<CodeInfo>& all_codes();
/// The row of that code ("T0101", case ignored) or name ("unknown-key"); null if there is none.
const CodeInfo* find_code(std::string_view code);
/// The page of `tidegate check --explain CODE`.
std::string explain_code(const CodeInfo& info);
/// The list of codes as it stands in docs/errors.md between its two markers.
std::string codes_as_markdown();

/// T00 YAML and shape, T01 names, fields and units, T02 graph, T03 SQL, T04 safe to split,
/// T05 repeatable, T06 sources, T07 outputs, T08 not honoured by this version.
namespace codes {
inline constexpr const char* kYamlSyntax = "T0001";
inline constexpr const char* kNotUtf8 = "T0002";
inline constexpr const char* kControlCharacter = "T0003";
inline constexpr const char* kFileTooLarge = "T0004";
inline constexpr const char* kTooManyNodes = "T0005";
inline constexpr const char* kTooDeep = "T0006";
inline constexpr const char* kDuplicateKey = "T0007";
inline constexpr const char* kAnchor = "T0008";
inline constexpr const char* kTag = "T0009";
inline constexpr const char* kManyDocuments = "T0010";
inline constexpr const char* kEmptyFile = "T0011";
inline constexpr const char* kWrongType = "T0012";
inline constexpr const char* kKeyNotScalar = "T0013";
inline constexpr const char* kEmptyValue = "T0014";
inline constexpr const char* kMissingKey = "T0015";
inline constexpr const char* kVersion = "T0016";
inline constexpr const char* kMergeKey = "T0017";

inline constexpr const char* kUnknownKey = "T0101";
inline constexpr const char* kInvalidName = "T0102";
inline constexpr const char* kDuplicateName = "T0103";
inline constexpr const char* kConflictingKeys = "T0104";
inline constexpr const char* kBadSize = "T0105";
inline constexpr const char* kBadDuration = "T0106";
inline constexpr const char* kBadPercent = "T0107";
inline constexpr const char* kBadInteger = "T0108";
inline constexpr const char* kOutOfRange = "T0109";
inline constexpr const char* kBadBoolean = "T0110";
inline constexpr const char* kBadTimestamp = "T0111";
inline constexpr const char* kUnknownWord = "T0112";
inline constexpr const char* kPathTemplate = "T0113";
inline constexpr const char* kDuplicateItem = "T0114";
inline constexpr const char* kSecretReference = "T0115";
inline constexpr const char* kSecretInClear = "T0116";
inline constexpr const char* kSecretSyntax = "T0117";
inline constexpr const char* kReversedRange = "T0118";
inline constexpr const char* kReservedName = "T0119";
inline constexpr const char* kBadPath = "T0120";

inline constexpr const char* kUnknownInput = "T0201";
inline constexpr const char* kCycle = "T0202";
inline constexpr const char* kUnusedStage = "T0203";
inline constexpr const char* kUnusedSource = "T0204";
inline constexpr const char* kUnknownStage = "T0205";
inline constexpr const char* kOutputFromSource = "T0206";
inline constexpr const char* kNoOutputs = "T0207";
inline constexpr const char* kNoStages = "T0208";
inline constexpr const char* kNoSources = "T0209";
inline constexpr const char* kUnknownBroadcast = "T0210";
inline constexpr const char* kUnknownPartitionInput = "T0211";
inline constexpr const char* kUnknownReference = "T0212";
inline constexpr const char* kSelfReference = "T0213";
inline constexpr const char* kUnusedBroadcast = "T0214";
inline constexpr const char* kPartitionedBroadcast = "T0215";
inline constexpr const char* kKeyCountsDiffer = "T0216";
inline constexpr const char* kInputWithoutKeys = "T0217";
inline constexpr const char* kStageWithoutInput = "T0218";
inline constexpr const char* kUnusedPartitionInput = "T0219";

inline constexpr const char* kSqlSyntax = "T0301";
inline constexpr const char* kSqlManyStatements = "T0302";
inline constexpr const char* kSqlNotSelect = "T0303";
inline constexpr const char* kUnknownColumn = "T0304";
inline constexpr const char* kAmbiguousColumn = "T0305";
inline constexpr const char* kSqlTypes = "T0306";
inline constexpr const char* kSqlBinding = "T0307";
inline constexpr const char* kFunctionNotAllowed = "T0308";
inline constexpr const char* kTableFunctionNotAllowed = "T0309";
inline constexpr const char* kUnknownFunction = "T0310";
inline constexpr const char* kSqlReadsFile = "T0311";
inline constexpr const char* kDuplicateColumn = "T0312";
inline constexpr const char* kUnnamedColumn = "T0313";
inline constexpr const char* kUnknownKeyColumn = "T0314";
inline constexpr const char* kUnsupportedType = "T0315";
inline constexpr const char* kSqlParameter = "T0316";
inline constexpr const char* kSqlEmpty = "T0317";
inline constexpr const char* kSqlSystemTable = "T0318";
inline constexpr const char* kSqlTooLarge = "T0319";
inline constexpr const char* kColumnCaseClash = "T0320";
inline constexpr const char* kShadowedInput = "T0321";
inline constexpr const char* kSqlQualifiedTable = "T0322";
inline constexpr const char* kSqlConstructNotAllowed = "T0323";
inline constexpr const char* kAggregateMisuse = "T0324";

inline constexpr const char* kGroupByMissesKey = "T0401";
inline constexpr const char* kAggregateWithoutGroupBy = "T0402";
inline constexpr const char* kDistinctMissesKey = "T0403";
inline constexpr const char* kDistinctOnMissesKey = "T0404";
inline constexpr const char* kWindowMissesKey = "T0405";
inline constexpr const char* kJoinMissesKey = "T0406";
inline constexpr const char* kJoinWithoutEquality = "T0407";
inline constexpr const char* kJoinPreservesBroadcast = "T0408";
inline constexpr const char* kPositionalJoin = "T0409";
inline constexpr const char* kAsofNotAllowed = "T0410";
inline constexpr const char* kKeyTypesDiffer = "T0411";
inline constexpr const char* kSubqueryMissesKey = "T0412";
inline constexpr const char* kInAsValue = "T0413";
inline constexpr const char* kNotInOverPartitions = "T0414";
inline constexpr const char* kUnionWithBroadcast = "T0415";
inline constexpr const char* kSetOperationMissesKey = "T0416";
inline constexpr const char* kExceptFromBroadcast = "T0417";
inline constexpr const char* kOrderByAtTop = "T0418";
inline constexpr const char* kLimitOverPartitions = "T0419";
inline constexpr const char* kSampleOverPartitions = "T0420";
inline constexpr const char* kPivotMissesKey = "T0421";
inline constexpr const char* kRecursiveCte = "T0422";
inline constexpr const char* kTopIsBroadcast = "T0423";
inline constexpr const char* kGroupingSetMissesKey = "T0424";
inline constexpr const char* kNeedsPartitionBy = "T0425";
inline constexpr const char* kMapJoinsInputs = "T0426";
inline constexpr const char* kKeyNotPlain = "T0427";
inline constexpr const char* kCollation = "T0428";
inline constexpr const char* kBroadcastOrder = "T0429";
inline constexpr const char* kNotProven = "T0430";
inline constexpr const char* kKeyHashedOtherwise = "T0431";
inline constexpr const char* kKeyTypeUnhashable = "T0432";
inline constexpr const char* kNeedlessPartitionBy = "T0433";
inline constexpr const char* kSortColumn = "T0434";
inline constexpr const char* kSortType = "T0435";
inline constexpr const char* kSortDiffers = "T0436";

inline constexpr const char* kVolatileFunction = "T0501";
inline constexpr const char* kWallClock = "T0502";
inline constexpr const char* kUnordered = "T0503";
inline constexpr const char* kFloatOrder = "T0504";
inline constexpr const char* kSampleNotRepeatable = "T0505";
inline constexpr const char* kRunTimeUsed = "T0506";
inline constexpr const char* kUnorderedBroadcast = "T0507";
inline constexpr const char* kApproximate = "T0508";
inline constexpr const char* kSessionFunction = "T0509";

inline constexpr const char* kNoFiles = "T0601";
inline constexpr const char* kFileUnreadable = "T0602";
inline constexpr const char* kFileIsDirectory = "T0603";
inline constexpr const char* kFileEmpty = "T0604";
inline constexpr const char* kNoRows = "T0605";
inline constexpr const char* kNotThisFormat = "T0606";
inline constexpr const char* kFileTruncated = "T0607";
inline constexpr const char* kColumnMissingInFile = "T0608";
inline constexpr const char* kColumnsReordered = "T0609";
inline constexpr const char* kColumnTypeDiffers = "T0610";
inline constexpr const char* kUnknownFormat = "T0611";
inline constexpr const char* kMixedFormats = "T0612";
inline constexpr const char* kUnknownOption = "T0613";
inline constexpr const char* kBadOption = "T0614";
inline constexpr const char* kBadCsvRow = "T0615";
inline constexpr const char* kBadEncoding = "T0616";
inline constexpr const char* kBadJsonRow = "T0617";
inline constexpr const char* kValueTooLarge = "T0618";
inline constexpr const char* kQuarantineFormat = "T0619";
inline constexpr const char* kQuarantineColumns = "T0620";
inline constexpr const char* kQuarantineExceeded = "T0621";
inline constexpr const char* kEventTimeColumn = "T0622";
inline constexpr const char* kEventTimeType = "T0623";
inline constexpr const char* kDeclaredColumn = "T0624";
inline constexpr const char* kManifestMissing = "T0625";
inline constexpr const char* kManifestInvalid = "T0626";
inline constexpr const char* kManifestFile = "T0627";
inline constexpr const char* kManifestMismatch = "T0628";
inline constexpr const char* kArrivesNoMatch = "T0629";
inline constexpr const char* kUnknownUpstream = "T0630";
inline constexpr const char* kOwnOutput = "T0631";
inline constexpr const char* kFileChanged = "T0632";
inline constexpr const char* kBadGlob = "T0633";
inline constexpr const char* kSourceWithoutInput = "T0634";
inline constexpr const char* kUnknownType = "T0635";
inline constexpr const char* kRowsQuarantined = "T0636";
inline constexpr const char* kSecretMissing = "T0637";
inline constexpr const char* kTooManyFiles = "T0638";
inline constexpr const char* kFileTwice = "T0639";
inline constexpr const char* kFileNotRegular = "T0640";
inline constexpr const char* kExtraColumnInFile = "T0641";

inline constexpr const char* kSamePath = "T0701";
inline constexpr const char* kPathInsideInput = "T0702";
inline constexpr const char* kPathInsideOutput = "T0703";
inline constexpr const char* kBadOutputPath = "T0704";
inline constexpr const char* kNoPublishTarget = "T0705";
inline constexpr const char* kCheckColumn = "T0706";
inline constexpr const char* kCheckType = "T0707";
inline constexpr const char* kPromiseUnknown = "T0708";
inline constexpr const char* kDuplicateCheck = "T0709";
inline constexpr const char* kUnknownCheck = "T0710";
inline constexpr const char* kSeveralKinds = "T0711";
inline constexpr const char* kBadRegex = "T0712";
inline constexpr const char* kSchemaMismatch = "T0713";
inline constexpr const char* kReferenceColumns = "T0714";
inline constexpr const char* kReferenceUnpublished = "T0715";
inline constexpr const char* kEmptyCheck = "T0716";
inline constexpr const char* kExpectNotBoolean = "T0717";
inline constexpr const char* kOutputOwned = "T0718";
inline constexpr const char* kDirectoryNotOurs = "T0719";
inline constexpr const char* kTolerance = "T0720";
inline constexpr const char* kSeveralTargets = "T0721";
inline constexpr const char* kPublishTogether = "T0722";
inline constexpr const char* kCheckValue = "T0723";
inline constexpr const char* kExpectSql = "T0724";
inline constexpr const char* kMemoryAboveHost = "T0725";
inline constexpr const char* kPublishByColumn = "T0726";
inline constexpr const char* kPublishByType = "T0727";
inline constexpr const char* kRollbackRule = "T0728";
inline constexpr const char* kNotifyTarget = "T0729";

inline constexpr const char* kRetryNotYet = "T0803";
inline constexpr const char* kWatermarkNotYet = "T0804";
inline constexpr const char* kSourceKindNotYet = "T0805";
inline constexpr const char* kRemoteNotYet = "T0806";
inline constexpr const char* kSinkNotYet = "T0808";
inline constexpr const char* kFieldNotYet = "T0809";
inline constexpr const char* kOdcsNotYet = "T0810";
}  // namespace codes

}  // namespace tidegate
