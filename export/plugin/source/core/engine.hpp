// One stream from a host: any block size and sample rate in and out, the model on a thread of its own.
//
// The host's thread (process) only moves samples between the host and preallocated rings. It never takes a lock, allocates, or runs the
// model; it waits for the model's thread only where the host is ahead of real time anyway (a bounce, an export) or said so (offline).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <semaphore>
#include <thread>
#include <vector>

#include "coefficients.hpp"
#include "contract.hpp"
#include "model.hpp"
#include "presence.hpp"
#include "query_file.hpp"
#include "resampler.hpp"
#include "ring_buffer.hpp"

namespace marssep {

enum class Output { Target, Residual, Bypass };

struct Controls {
    float wet = contract::mixer::WET_DEFAULT; // 0..1
    float limitDb = NO_LIMIT;                 // the most that is taken away
    float gainDb = contract::mixer::GAIN_DB_DEFAULT;
    Output output = Output::Target;

    static constexpr float NO_LIMIT = contract::mixer::NO_LIMIT_DB; // from here on there is no limit

    // The formula of marssep_rt/dsp/mixer.py, solved for target and delayed input; bypass is the delayed input alone.
    Coefficients coefficients() const;
};

// Lengths in samples at the host's rate.
struct Delays {
    unsigned conversion = 0; // the graph's own, and the resamplers' where there are any
    unsigned blocks = 0;     // any sequence of block sizes against the model's hop
    unsigned worker = 0;     // what the model's thread may take: the longest block, at least a hop and what is spared beside it

    unsigned total() const { return conversion + blocks + worker; }
    // ``ticks``: where the output resampler has to begin so that ``conversion`` is a whole number.
    static Delays of(const GraphInfo& graph, unsigned hostRate, unsigned longestBlock, unsigned spareHops, std::uint64_t& ticks);
};

class Engine {
public:
    // Without a model the engine is silent, but for the delayed input in bypass. ``spareHops``: more latency for systems that let the
    // model's thread wait at times, in hops of the model.
    // A query that asks for a residual gives it as its target.
    Engine(std::shared_ptr<const Model> model, unsigned channels, const std::vector<Query>& queries, unsigned spareHops = 0);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Return to the initial state and start the model's thread. Not for the host's audio thread; neither runs while ``process`` does.
    // ``start`` throws std::runtime_error if the model cannot be prepared; the engine is then silent, as without a model.
    void start(unsigned sampleRate, unsigned longestBlock);
    void stop();

    unsigned latency() const { return delays.total(); }
    unsigned latencyAt(unsigned sampleRate, unsigned longestBlock) const; // once started so

    // On the host's audio thread: what comes from now on is separated as if nothing had been before; what is still inside is gone.
    void reset();

    // [channels][n] -> [channels][n], late by ``latency``; in and out may be the same.
    void process(const float* const* in, float* const* out, unsigned n);

    // From any thread. ``selectQuery``: one of the constructor's, or queries.size() for the one of ``setQuery``.
    void selectQuery(unsigned index) { selected.store(index, std::memory_order_relaxed); }
    void setOffline(bool on) { offline.store(on, std::memory_order_relaxed); }
    void setControls(const Controls& controls);
    // Not from the host's audio thread; takes effect with the next hop. An empty vector is no query: the target is silent. Throws
    // std::runtime_error if the model cannot be prepared for so many sounds; there is no query then.
    void setQuery(const Query& query);
    bool hasQuery() const { return selected.load(std::memory_order_relaxed) < queries.size() || own.load(std::memory_order_relaxed); }

    // The chosen query names more sounds than this machine separates in real time: the target is silent, but for offline rendering.
    bool tooManySounds() const { return overloaded.load(std::memory_order_relaxed); }

    float levelDb() const { return level.load(std::memory_order_relaxed); }      // of the output, dBFS
    float reductionDb() const { return reduced.load(std::memory_order_relaxed); } // how far the output is below the input, dB
    float presence() const { return present.load(std::memory_order_relaxed); }    // how likely the target is in the input, 0..1
    unsigned missed() const { return missedSamples.load(std::memory_order_relaxed); } // samples that came too late

private:
    using Clock = std::chrono::steady_clock;
    static constexpr unsigned NONE = ~0u, KINDS = 4;

    void work();
    void drain();
    void hop();
    bool takeQuery();
    void listenTo(const Sounds& sounds, bool waits);
    Sounds soundsOf(const Query& query) const;
    Coefficients wantedMix() const;
    void makeStream(std::size_t sounds);
    void measureTarget();
    void refresh();
    void part(const float* const* in, float* const* out, unsigned n);
    bool feed(const float* const* in, unsigned n);
    std::size_t fetchTarget(unsigned n, double spare, bool exact);
    void countMissing(std::size_t missing);
    void fadeGaps(std::size_t got, unsigned n);
    void delayInput(const float* const* in, unsigned n);
    void mixBlock(float* const* out, unsigned n);
    void prepare(std::uint64_t ticks);
    void askForRestart();
    bool answered() const { return restarted.load(std::memory_order_acquire) == restart.load(std::memory_order_relaxed); }
    template <class There> void waitUntil(There there, double spare);
    void meter(const float* const* out, unsigned n);

    const std::shared_ptr<const Model> model;
    const unsigned channels;
    const std::vector<Sounds> queries;
    const std::vector<unsigned> kinds; // of the queries
    const unsigned spareHops;

    // set by start
    bool ready = false; // there is a model, and its thread runs
    unsigned rate = 48000, block = 0;
    Delays delays;
    std::unique_ptr<Ring> input, output;
    std::vector<std::vector<float>> dry; // delayed input, a circle of latency + block
    std::size_t dryAt = 0;
    std::vector<std::vector<float>> wanted; // the target of the present block
    std::vector<float*> wantedRows;

    // the host's thread
    Coefficients now, step, end; // the ramp
    float fade = 1.0f;
    unsigned rampLeft = 0, rampLength = 1;
    std::uint64_t owed = 0; // samples for which silence was given, still to be thrown away
    double lead = 0.0;      // seconds by which the host is ahead of real time
    Clock::time_point last;
    bool begun = false;
    bool pending = false; // the model's thread was asked to begin afresh and has not answered
    float power = 0.0f, inputPower = 0.0f;
    std::array<AtomicCoefficients, KINDS> mixes; // for each kind of query

    // the model's thread
    struct Prepared {
        std::unique_ptr<Stream> stream;
        bool fast = false; // enough for real time
    };
    std::vector<Prepared> streams; // at i one of i + 1 sounds, where there is a query of so many
    Stream* stream = nullptr;      // the one in use
    std::unique_ptr<Resampler> inward, outward;
    std::vector<std::vector<float>> taken, converted, given;
    std::vector<float*> takenRows, convertedRows, givenRows;
    unsigned filled = 0; // frames of the present hop
    std::unique_ptr<PresenceMeter> presenceMeter;
    unsigned heard = NONE; // the query of the hop before, as selected
    bool waited = false;   // offline at the hop before
    std::thread thread;
    std::mutex queryLock; // between the model's thread, start and setQuery; the host's audio thread never takes it
    Sounds loaded;        // of setQuery
    bool changed = false; // by setQuery since the hop before
    bool silent = false;  // no query, or more of one than the machine can do: what the model gives is not heard
    bool broken = false;

    std::counting_semaphore<> wake{0}, done{0};
    std::atomic<bool> quit{false}, waiting{false}, offline{false};
    std::atomic<unsigned> selected{0}, restart{0}, restarted{0}, missedSamples{0};
    std::atomic<bool> own{false}; // there is a query of setQuery
    std::atomic<unsigned> ownKind{0};
    std::atomic<bool> overloaded{false};
    std::atomic<std::size_t> restartAt{0}, freshAt{0}; // where the input counts from, where the output for it begins
    std::atomic<std::uint64_t> pushed{0}, consumed{0};
    std::atomic<float> level{-120.0f}, present{0.0f}, reduced{0.0f};
};

} // namespace marssep
