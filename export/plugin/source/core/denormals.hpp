// Numbers too small to be normal count as zero while this lives: they would slow arithmetic a hundredfold.
#pragma once

#include <cstdint>

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace marssep {

class NoDenormals {
public:
#if defined(__SSE2__) || defined(_M_X64)
    NoDenormals()
        : before(_mm_getcsr())
    {
        _mm_setcsr(before | 0x8040); // flush to zero, denormals are zero
    }
    ~NoDenormals() { _mm_setcsr(before); }

private:
    const unsigned before;
#elif defined(__aarch64__)
    NoDenormals()
    {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" : : "r"(before | (std::uint64_t(1) << 24)));
    }
    ~NoDenormals() { asm volatile("msr fpcr, %0" : : "r"(before)); }

private:
    std::uint64_t before;
#endif

public:
    NoDenormals(const NoDenormals&) = delete;
    NoDenormals& operator=(const NoDenormals&) = delete;
};

} // namespace marssep
