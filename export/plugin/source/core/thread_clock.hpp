// The processor's time of the calling thread: how long its work takes, whatever other programs run.
#pragma once

#ifdef _WIN32
#include <chrono>
#else
#include <ctime>
#endif

namespace marssep {

// Seconds since some moment. Windows counts a thread's time in steps of 16 ms, so there it is the time of day.
inline double threadSeconds()
{
#ifdef _WIN32
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#else
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
#endif
}

} // namespace marssep
