#pragma once

#include <memory>
#include <vector>

#include "reduce/group_table.h"

namespace tidegate::reduce {

/// For several columns of which some are texts and the others small: keys of up to 24 bytes, in
/// which a text has room for 7 to 12 bytes. Rows with longer texts are looked up in a table of
/// their own. Null where the columns are not so.
std::unique_ptr<GroupTable> make_short_text_table(const std::vector<batch::ColumnType>& keys);

}  // namespace tidegate::reduce
