// CHECK ends the process when our own invariant is broken: going on would serve wrong tokens, and
// the gateway continues elsewhere what this process held. Never for input, peers or files.
#pragma once

namespace cleave {

// Prints "file:line: CHECK failed: condition" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace cleave

#define CHECK(condition)                                     \
  do {                                                       \
    if (!(condition)) [[unlikely]]                           \
      ::cleave::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
