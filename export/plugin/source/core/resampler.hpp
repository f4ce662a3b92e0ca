// Streaming sample-rate conversion with little delay: the windowed-sinc polyphase filter of marssep_rt/dsp/resampler.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "contract.hpp"

namespace marssep {

class Resampler {
public:
    static constexpr unsigned HALF_WIDTH = contract::resampler::HALF_WIDTH; // input samples on either side; also its delay

    // ``ticks``: position of the first output, in 1/up input samples after the first input.
    Resampler(unsigned source, unsigned target, unsigned channels, std::uint64_t ticks = 0);

    // Frames that come out when n more go in.
    std::size_t outputs(std::size_t n) const { return n * up > phase ? (n * up - phase + down - 1) / down : 0; }
    // [channels][n] -> [channels][outputs(n)]; n at most ``most``. Returns the frames written.
    std::size_t process(const float* const* in, std::size_t n, float* const* out);
    void reset();

    static constexpr std::size_t MOST = 4096; // frames a call

    const std::uint64_t up, down;

private:
    static constexpr unsigned TAPS = 2 * HALF_WIDTH;

    const unsigned channels;
    const std::uint64_t first;
    std::uint64_t phase;
    std::vector<float> kernel; // [up][TAPS]
    std::vector<std::vector<float>> joined; // history of TAPS - 1 frames, then the new ones
};

} // namespace marssep
