#include "reduce/join_run.h"

#include <algorithm>

#include "duckdb.h"

namespace tidegate::reduce {
namespace {

using batch::ColumnView;
using Kind = JoinSpec::Kind;

using shuffle::kNoColumn;
/// With less even one block would not fit.
constexpr uint64_t kMemoryMin = uint64_t{1} << 20;

bool has_bit(const std::vector<uint64_t>& bits, uint64_t at) {
  return at / 64 < bits.size() && (bits[at / 64] >> (at % 64) & 1) != 0;
}
void set_bit(std::vector<uint64_t>& bits, uint64_t at) {
  if (at / 64 >= bits.size()) bits.resize(at / 64 + 1);
  bits[at / 64] |= uint64_t{1} << (at % 64);
}

template <typename From, typename To>
void widen_as(const ColumnView& view, uint32_t rows, std::vector<char>& out) {
  out.resize(size_t{rows} * sizeof(To));
  const From* in = static_cast<const From*>(view.data);
  To* to = reinterpret_cast<To*>(out.data());
  for (uint32_t row = 0; row < rows; ++row)
    to[row] = static_cast<To>(in[row]);  // NOLINT(bugprone-signed-char-misuse): a number
}

template <typename From>
void widen_from(const ColumnView& view, uint32_t rows, batch::Storage to, std::vector<char>& out) {
  switch (to) {
    case batch::Storage::kI16:
      return widen_as<From, int16_t>(view, rows, out);
    case batch::Storage::kI32:
      return widen_as<From, int32_t>(view, rows, out);
    case batch::Storage::kI64:
      return widen_as<From, int64_t>(view, rows, out);
    case batch::Storage::kI128:
      return widen_as<From, batch::int128>(view, rows, out);
    case batch::Storage::kU16:
      return widen_as<From, uint16_t>(view, rows, out);
    case batch::Storage::kU32:
      return widen_as<From, uint32_t>(view, rows, out);
    case batch::Storage::kU64:
      return widen_as<From, uint64_t>(view, rows, out);
    default:
      return widen_as<From, batch::uint128>(view, rows, out);
  }
}

/// Integers of one width as those of a greater one, with or without sign as they are.
void widen(const ColumnView& view, uint32_t rows, batch::Storage from, batch::Storage to,
           std::vector<char>& out) {
  switch (from) {
    case batch::Storage::kI8:
      return widen_from<int8_t>(view, rows, to, out);
    case batch::Storage::kI16:
      return widen_from<int16_t>(view, rows, to, out);
    case batch::Storage::kI32:
      return widen_from<int32_t>(view, rows, to, out);
    case batch::Storage::kI64:
      return widen_from<int64_t>(view, rows, to, out);
    case batch::Storage::kU8:
      return widen_from<uint8_t>(view, rows, to, out);
    case batch::Storage::kU16:
      return widen_from<uint16_t>(view, rows, to, out);
    case batch::Storage::kU32:
      return widen_from<uint32_t>(view, rows, to, out);
    default:
      return widen_from<uint64_t>(view, rows, to, out);
  }
}

std::unexpected<Failure> out_of_turn(const char* what) {
  return fail(FailureClass::kDefect, "reduce.join_order",
              std::string("the halves of a join were not read side by side: ") + what);
}

}  // namespace

JoinRun::JoinRun(JoinSpec spec, Side left, Side right, JoinOptions options,
                 std::shared_ptr<JoinCounts> counts)
    : spec_(std::move(spec)), options_(std::move(options)), counts_(std::move(counts)) {
  options_.memory_bytes = std::max(options_.memory_bytes, kMemoryMin);
  halves_[kLeft].side = std::move(left);
  halves_[kRight].side = std::move(right);
}

Status JoinRun::start() {
  uint32_t buckets[2] = {0, 0};
  for (const Which which : {kLeft, kRight}) {
    const shuffle::BucketTable& table = halves_[which].side.table;
    buckets[which] = table.bucket_end - table.bucket_begin;
    auto& rows = halves_[which].bucket_rows;
    rows.assign(buckets[which], 0);
    for (const MapOutputRef& ref : table.files) {
      TG_ASSIGN(const auto file, shuffle::open_for(table, ref));
      TG_ASSIGN(const auto entries, file.entries(table.bucket_begin, table.bucket_end));
      for (size_t i = 0; i < entries.size() && i < rows.size(); ++i) rows[i] += entries[i].rows;
    }
  }
  by_bucket_ = buckets[kLeft] == buckets[kRight];
  parts_ = by_bucket_ ? buckets[kLeft] : 1;
  return {};
}

Status JoinRun::open(Which which, const std::vector<uint32_t>& columns) {
  Half& half = halves_[which];
  if (half.is_open) return out_of_turn("one of them was read twice at a time");
  half.asked.clear();
  for (const uint32_t column : columns)
    half.asked.push_back(column < half.side.shown.size() ? half.side.shown[column] : kNoColumn);
  half.is_open = true;
  half.served = 0;
  phase_ = Phase::kPart;
  part_ = 0;
  batches_ = 0;
  for (Half& each : halves_) each.scan.reset();
  stored_.reset();
  return {};
}

void JoinRun::close(Which which) { halves_[which].is_open = false; }

/// Settles which columns are read of each side.
Status JoinRun::begin_pass() {
  for (const Which which : {kLeft, kRight}) {
    Half& half = halves_[which];
    half.columns.clear();
    half.places.assign(half.side.table.schema.size(), kNoColumn);
    const auto add = [&](uint32_t column) {
      half.columns.push_back(column);
      if (half.places[column] == kNoColumn)
        half.places[column] = static_cast<uint32_t>(half.columns.size() - 1);
    };
    // The keys are the first ones, each in its place also where one stands twice.
    for (const uint32_t key : half.side.keys) add(key);
    if (half.is_open)
      for (const uint32_t column : half.asked)
        if (column != kNoColumn && half.places[column] == kNoColumn) add(column);
    half.scan.emplace(half.side.table, half.columns);
  }
  key_types_.clear();
  for (size_t key = 0; key < halves_[kLeft].side.keys.size(); ++key) {
    const auto type = [&](Which which) {
      const Side& side = halves_[which].side;
      return side.table.types[side.keys[key]];
    };
    key_types_.push_back(type(kLeft).width >= type(kRight).width ? type(kLeft) : type(kRight));
  }
  key_views_.resize(key_types_.size());
  widened_.resize(key_types_.size());
  groups_ = GroupTable::create(key_types_);
  return {};
}

void JoinRun::restart(Half& half) {
  const shuffle::BucketTable& table = half.side.table;
  const uint32_t bucket = table.bucket_begin + part_;
  half.scan->restart(by_bucket_ ? bucket : table.bucket_begin,
                     by_bucket_ ? bucket + 1 : table.bucket_end);
}

void JoinRun::begin_part() {
  uint64_t rows[2] = {0, 0};
  for (const Which which : {kLeft, kRight}) {
    const auto& counts = halves_[which].bucket_rows;
    if (by_bucket_)
      rows[which] = counts[part_];
    else
      for (const uint64_t count : counts) rows[which] += count;
  }
  kept_ = rows[kLeft] < rows[kRight] ? kLeft : kRight;
  const bool left_kept = kept_ == kLeft;
  const bool left_stays = spec_.kind == Kind::kLeft || spec_.kind == Kind::kFull;
  const bool right_stays = spec_.kind == Kind::kRight || spec_.kind == Kind::kFull;
  const bool semi = spec_.kind == Kind::kSemi, anti = spec_.kind == Kind::kAnti;
  pairs_ = !semi && !anti;
  kept_alone_ = left_kept ? left_stays || anti : right_stays;
  other_alone_ = left_kept ? right_stays : left_stays || anti;
  kept_found_ = left_kept && semi;
  other_found_ = !left_kept && semi;

  restart(kept());
  std::vector<batch::ColumnType> types;
  for (const uint32_t column : kept().columns) types.push_back(kept().side.table.types[column]);
  stored_.emplace(std::move(types));
  pending_rows_ = 0;
  kept_end_ = false;
  first_turn_ = true;
  found_other_.clear();
}

const ColumnView* JoinRun::keys_of(const Half& half, const std::vector<ColumnView>& views,
                                   uint32_t rows) {
  for (size_t key = 0; key < key_types_.size(); ++key) {
    key_views_[key] = views[key];
    const batch::ColumnType& type = half.side.table.types[half.side.keys[key]];
    if (type.width == key_types_[key].width) continue;
    widen(views[key], rows, type.storage, key_types_[key].storage, widened_[key]);
    key_views_[key].data = widened_[key].data();
  }
  return key_views_.data();
}

/// NULL is equal to nothing.
void JoinRun::without_nulls(const std::vector<ColumnView>& views, uint32_t rows, uint32_t* groups) {
  for (size_t key = 0; key < spec_.left.keys.size(); ++key) {
    if (views[key].validity == nullptr) continue;
    for (uint32_t row = 0; row < rows; ++row)
      if (!views[key].is_valid(row)) groups[row] = GroupTable::kNoGroup;
  }
}

/// Takes in rows of the kept side, as many as fit; at least a block.
Status JoinRun::keep_rows() {
  groups_->clear();
  stored_->clear();
  group_of_.clear();
  while (true) {
    if (pending_rows_ == 0) {
      TG_ASSIGN(pending_rows_, kept().scan->next(pending_));
      if (pending_rows_ == 0) {
        kept_end_ = true;
        break;
      }
      if (options_.progress) options_.progress(pending_rows_);
    }
    const uint32_t rows = pending_rows_;
    uint64_t text = 0;
    for (size_t c = 0; c < kept().columns.size(); ++c)
      text += text_bytes(kept().side.table.types[kept().columns[c]], pending_[c], rows);
    const uint64_t after = groups_->bytes_after(rows, text) + stored_->bytes_after(rows, text) +
                           (uint64_t{stored_->size()} + rows) * 24;
    if (stored_->size() > 0 && after > options_.memory_bytes) break;
    counts_->peak_bytes = std::max(counts_->peak_bytes, after);
    const size_t at = group_of_.size();
    group_of_.resize(at + rows);
    groups_->find_or_add(keys_of(kept(), pending_, rows), rows, group_of_.data() + at);
    without_nulls(pending_, rows, group_of_.data() + at);
    stored_->append(pending_.data(), rows);
    pending_rows_ = 0;
  }
  if (!first_turn_) ++counts_->turns;
  arrange();
  restart(other());
  block_rows_ = block_at_ = chain_at_ = 0;
  block_begin_ = 0;
  return {};
}

/// Puts the kept rows of each group side by side, in their order.
void JoinRun::arrange() {
  found_kept_.clear();
  kept_at_ = 0;
  kept_unique_ =
      groups_->size() == group_of_.size() &&
      std::find(group_of_.begin(), group_of_.end(), GroupTable::kNoGroup) == group_of_.end();
  if (gives_partners()) return;
  begin_.assign(size_t{groups_->size()} + 1, 0);
  for (const uint32_t group : group_of_)
    if (group != GroupTable::kNoGroup) ++begin_[group + 1];
  for (size_t group = 1; group < begin_.size(); ++group) begin_[group] += begin_[group - 1];
  rows_.resize(begin_.back());
  std::vector<uint32_t> at(begin_.begin(), begin_.end() - 1);
  for (uint32_t row = 0; row < group_of_.size(); ++row)
    if (group_of_[row] != GroupTable::kNoGroup) rows_[at[group_of_[row]]++] = row;
}

Status JoinRun::look_up() {
  block_begin_ += block_rows_;
  TG_ASSIGN(block_rows_, other().scan->next(block_));
  block_at_ = chain_at_ = 0;
  if (block_rows_ == 0) {
    phase_ = Phase::kKept;
    return {};
  }
  if (first_turn_ && options_.progress) options_.progress(block_rows_);
  block_groups_.resize(block_rows_);
  groups_->find(keys_of(other(), block_, block_rows_), block_rows_, block_groups_.data());
  without_nulls(block_, block_rows_, block_groups_.data());
  return {};
}

void JoinRun::push(uint32_t other_row, uint32_t kept_row) {
  other_rows_.push_back(other_row);
  kept_rows_.push_back(kept_row);
}

bool JoinRun::gives_partners() const {
  return kept_unique_ && pairs_ && !other_alone_ && !kept_alone_ && !kept_found_ && !other_found_;
}

void JoinRun::give_partners() {
  const uint32_t room = static_cast<uint32_t>(duckdb_vector_size());
  other_rows_.resize(room);
  kept_rows_.resize(room);
  uint32_t count = 0;
  for (; block_at_ < block_rows_ && count < room; ++block_at_) {
    const uint32_t group = block_groups_[block_at_];
    other_rows_[count] = block_at_;
    kept_rows_[count] = group;
    count += group != GroupTable::kNoGroup;
  }
  other_rows_.resize(count);
  kept_rows_.resize(count);
}

/// Rows of the current block that come out, up to a vector of them.
void JoinRun::give_pairs() {
  const size_t room = duckdb_vector_size();
  const bool again = !first_turn_ || !kept_end_;  // each row is looked at more than once
  for (; block_at_ < block_rows_ && other_rows_.size() < room; ++block_at_) {
    const uint32_t group = block_groups_[block_at_];
    const uint64_t row = block_begin_ + block_at_;
    if (group == GroupTable::kNoGroup) {
      if (other_alone_ && kept_end_ && !(again && has_bit(found_other_, row)))
        push(block_at_, kNoRow);
      continue;
    }
    const uint32_t begin = begin_[group], end = begin_[group + 1];
    if (chain_at_ == 0) {
      if (kept_alone_ || kept_found_)
        for (uint32_t i = begin; i < end; ++i) set_bit(found_kept_, rows_[i]);
      const bool found_before = again && has_bit(found_other_, row);
      if (other_found_ && !found_before) push(block_at_, kNoRow);
      if (again && (other_alone_ || other_found_)) set_bit(found_other_, row);
    }
    if (!pairs_) continue;
    while (begin + chain_at_ < end && other_rows_.size() < room)
      push(block_at_, rows_[begin + chain_at_++]);
    if (begin + chain_at_ < end) return;
    chain_at_ = 0;
  }
}

/// Kept rows that come out by themselves.
void JoinRun::give_kept() {
  const size_t room = duckdb_vector_size();
  if (kept_alone_ || kept_found_) {
    for (; kept_at_ < stored_->size() && kept_rows_.size() < room; ++kept_at_)
      if (has_bit(found_kept_, kept_at_) == kept_found_) push(kNoRow, kept_at_);
    if (kept_at_ < stored_->size() || !kept_rows_.empty()) return;
  }
  if (kept_end_) ++part_;
  phase_ = kept_end_ ? Phase::kPart : Phase::kBuild;
  first_turn_ = false;
}

Status JoinRun::advance() {
  other_rows_.clear();
  kept_rows_.clear();
  if (batches_ == 0) TG_TRY(begin_pass());
  while (other_rows_.empty()) {
    switch (phase_) {
      case Phase::kPart:
        if (part_ == parts_) {
          phase_ = Phase::kDone;
          break;
        }
        begin_part();
        phase_ = Phase::kBuild;
        break;
      case Phase::kBuild:
        TG_TRY(keep_rows());
        phase_ = Phase::kProbe;
        break;
      case Phase::kProbe:
        if (block_at_ == block_rows_)
          TG_TRY(look_up());
        else if (gives_partners())
          give_partners();
        else
          give_pairs();
        break;
      case Phase::kKept:
        give_kept();
        break;
      case Phase::kDone:
        return {};
    }
  }
  return {};
}

void JoinRun::write(Which which, _duckdb_data_chunk* chunk) {
  const Half& half = halves_[which];
  const bool is_kept = which == kept_;
  const auto count = static_cast<uint32_t>(other_rows_.size());
  const auto& rows = is_kept ? kept_rows_ : other_rows_;
  const auto& other_rows = is_kept ? other_rows_ : kept_rows_;
  const auto view = [&](bool of_kept, uint32_t place) {
    return of_kept ? stored_->column(place) : place < block_.size() ? block_[place] : ColumnView{};
  };
  for (size_t i = 0; i < half.asked.size(); ++i) {
    const uint32_t column = half.asked[i];
    if (column == kNoColumn) continue;
    duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
    const batch::ColumnType& type = half.side.table.types[column];
    const uint32_t place = half.places[column];
    const bool is_key = place < half.side.keys.size();
    if (spec_.merged && which == kLeft && is_key)
      gather_either(type, view(is_kept, place), rows.data(), view(!is_kept, place),
                    other_rows.data(), count, vector);
    else
      gather(type, view(is_kept, place), rows.data(), count, vector);
  }
  duckdb_data_chunk_set_size(chunk, count);
}

Status JoinRun::fill(Which which, _duckdb_data_chunk* chunk) {
  Half& half = halves_[which];
  if (half.served == batches_) {
    const Half& twin = halves_[1 - which];
    if (twin.is_open && twin.served != batches_) return out_of_turn("one ran ahead");
    TG_TRY(advance());
    ++batches_;
  }
  ++half.served;
  if (half.served != batches_) return out_of_turn("one lags behind");
  write(which, chunk);
  return {};
}

}  // namespace tidegate::reduce
