// libFuzzer's entry for one target: TIDEGATE_FUZZ_TARGET.
#include <cstddef>
#include <cstdint>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tidegate::fuzz::TIDEGATE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
