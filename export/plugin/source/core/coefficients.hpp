// The mixer's two coefficients: output = target * Coefficients::target + dry * Coefficients::dry.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace marssep {

struct Coefficients {
    float target = 1.0f, dry = 0.0f;

    bool operator==(const Coefficients&) const = default;
};

// A pair of coefficients that one thread writes and another reads. Both change together: the reader never sees one of an old pair and one
// of a new pair. Neither side waits.
class AtomicCoefficients {
public:
    void store(const Coefficients& pair) { bits.store(std::bit_cast<std::uint64_t>(pair), std::memory_order_relaxed); }
    Coefficients load() const { return std::bit_cast<Coefficients>(bits.load(std::memory_order_relaxed)); }

private:
    static_assert(sizeof(Coefficients) == sizeof(std::uint64_t));
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    std::atomic<std::uint64_t> bits{std::bit_cast<std::uint64_t>(Coefficients{})};
};

} // namespace marssep
