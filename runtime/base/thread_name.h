// Names for threads, as `top -H` and debuggers show them.
#pragma once

#include <pthread.h>

namespace cleave {

// At most 15 characters. Called by the thread itself.
inline void NameThisThread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace cleave
