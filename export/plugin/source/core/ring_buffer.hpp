// A ring of frames between one writing and one reading thread: no locks, nothing allocated after the constructor.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <vector>

namespace marssep {

class Ring {
public:
    Ring(unsigned channelCount, std::size_t frames)
        : channels(channelCount)
        , capacity(frames)
        , data(channelCount * frames, 0.0f)
    {
    }

    std::size_t readable() const { return written.load(std::memory_order_acquire) - read.load(std::memory_order_relaxed); }
    std::size_t writable() const { return capacity - (written.load(std::memory_order_relaxed) - read.load(std::memory_order_acquire)); }

    // Writer: n <= writable() frames; a null source is silence.
    void push(const float* const* source, std::size_t n)
    {
        const std::size_t at = written.load(std::memory_order_relaxed);
        each(at, n, [&](unsigned c, std::size_t place, std::size_t from, std::size_t count) {
            float* to = data.data() + c * capacity + place;
            if (source != nullptr)
                std::copy_n(source[c] + from, count, to);
            else
                std::fill_n(to, count, 0.0f);
        });
        written.store(at + n, std::memory_order_release);
    }

    // Reader: n <= readable() frames; a null destination drops them.
    void pop(float* const* destination, std::size_t n)
    {
        const std::size_t at = read.load(std::memory_order_relaxed);
        if (destination != nullptr)
            each(at, n, [&](unsigned c, std::size_t place, std::size_t to, std::size_t count) {
                std::copy_n(data.data() + c * capacity + place, count, destination[c] + to);
            });
        read.store(at + n, std::memory_order_release);
    }

    // Frames written since the beginning.
    std::size_t position() const { return written.load(std::memory_order_acquire); }
    // Reader: drop everything before a position that is not yet read and not yet past the end.
    void skipTo(std::size_t to) { read.store(to, std::memory_order_release); }

private:
    template <class Copy> void each(std::size_t at, std::size_t n, Copy copy)
    {
        const std::size_t place = at % capacity, first = std::min(n, capacity - place);
        for (unsigned c = 0; c < channels; ++c) {
            copy(c, place, 0, first);
            if (first < n)
                copy(c, std::size_t(0), first, n - first);
        }
    }

    const unsigned channels;
    const std::size_t capacity;
    std::vector<float> data;
    std::atomic<std::size_t> written{0}, read{0};
};

} // namespace marssep
