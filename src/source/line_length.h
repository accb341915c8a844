#pragma once

#include "base/effects.h"
#include "source/snapshot.h"

namespace tidegate {

/// Refuses (source.bad_row, data) a CSV file of the partition with a line that is longer than the
/// reader's buffer: DuckDB 1.5 leaves out such a line at a file's end, and all of a file that is
/// one such line, without an error. Reads a little at every half buffer, so it costs nothing to
/// speak of; lines between the reader's `max_line_size` and its buffer are the reader's to refuse.
Status check_line_lengths(Effects& effects, const SourceSnapshot& snapshot,
                          const Partition& partition);

}  // namespace tidegate
