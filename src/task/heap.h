#pragma once

#include <cstdint>

namespace tidegate {

/// From now on memory that is freed stays with this process, for the next task: new pages cost more
/// than what most tasks do with them. DuckDB, which trims the heap whenever a database closes, is
/// kept from it. Without effect under a sanitizer.
void keep_freed_memory();
/// Gives it back after all.
void return_freed_memory();
/// What is freed and kept.
uint64_t freed_memory_bytes();

}  // namespace tidegate
