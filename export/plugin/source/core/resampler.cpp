#include "resampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace marssep {

namespace {

// Modified Bessel function of the first kind, order 0 (std::cyl_bessel_i is missing from some C++ libraries).
double bessel(double x)
{
    double sum = 1.0, term = 1.0;
    for (int k = 1; term > 1e-17 * sum; ++k) {
        term *= (x / 2 / k) * (x / 2 / k);
        sum += term;
    }
    return sum;
}

double sinc(double x)
{
    return x == 0.0 ? 1.0 : std::sin(M_PI * x) / (M_PI * x);
}

} // namespace

Resampler::Resampler(unsigned source, unsigned target, unsigned channelCount, std::uint64_t ticks)
    : up(target / std::gcd(source, target))
    , down(source / std::gcd(source, target))
    , channels(channelCount)
    , first(ticks)
    , phase(ticks)
    , kernel(up * TAPS)
    , joined(channelCount, std::vector<float>(TAPS - 1 + MOST, 0.0f))
{
    constexpr double beta = contract::resampler::KAISER_BETA; // of the Kaiser window
    const double cutoff = contract::resampler::CUTOFF * std::min(1.0, double(target) / source);
    for (std::uint64_t p = 0; p < up; ++p) {
        double row[TAPS], sum = 0.0;
        for (unsigned i = 0; i < TAPS; ++i) {
            const double position = double(i) - (HALF_WIDTH - 1) - double(p) / double(up), edge = position / HALF_WIDTH;
            const double window = std::abs(edge) < 1.0 ? bessel(beta * std::sqrt(1.0 - edge * edge)) / bessel(beta) : 1.0 / bessel(beta);
            sum += row[i] = cutoff * sinc(cutoff * position) * window;
        }
        for (unsigned i = 0; i < TAPS; ++i)
            kernel[p * TAPS + i] = float(row[i] / sum);
    }
}

std::size_t Resampler::process(const float* const* in, std::size_t n, float* const* out)
{
    const std::size_t count = outputs(n);
    for (unsigned c = 0; c < channels; ++c) {
        float* line = joined[c].data();
        std::copy_n(in[c], n, line + TAPS - 1);
        std::uint64_t tick = phase;
        for (std::size_t m = 0; m < count; ++m, tick += down) {
            const float* samples = line + tick / up;
            const float* weights = kernel.data() + tick % up * TAPS;
            float sum = 0.0f;
            for (unsigned i = 0; i < TAPS; ++i)
                sum += samples[i] * weights[i];
            out[c][m] = sum;
        }
        std::copy_n(line + n, TAPS - 1, line);
    }
    phase = phase + down * count - up * n;
    return count;
}

void Resampler::reset()
{
    phase = first;
    for (auto& line : joined)
        std::fill(line.begin(), line.end(), 0.0f);
}

} // namespace marssep
