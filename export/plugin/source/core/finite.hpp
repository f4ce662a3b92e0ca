// Tests of numbers that hold under -ffast-math. The framework builds plug-ins with it, and std::isfinite is then always true.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "contract.hpp"

namespace marssep {

inline bool isFinite(float x)
{
    constexpr std::uint32_t exponent = 0x7f800000u;
    return (std::bit_cast<std::uint32_t>(x) & exponent) != exponent;
}

inline bool isFinite(double x)
{
    constexpr std::uint64_t exponent = 0x7ff0000000000000u;
    return (std::bit_cast<std::uint64_t>(x) & exponent) != exponent;
}

// A sample as the engine takes it: NaN and infinities are silence, and nothing is so loud that its square overflows.
inline float sampleOf(float x)
{
    constexpr float largest = contract::mixer::LARGEST_SAMPLE;
    return isFinite(x) ? std::clamp(x, -largest, largest) : 0.0f;
}

} // namespace marssep
