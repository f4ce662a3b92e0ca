#include "engine.hpp"

#include <algorithm>
#include <cmath>

#include "denormals.hpp"

#ifndef _WIN32
#include <pthread.h>
#endif

namespace marssep {

namespace {

constexpr double RING_SECONDS = 2.0;
constexpr unsigned FADE = 64; // frames over which a target that is missing goes and comes

float gainOf(float db)
{
    return std::pow(10.0f, db / 20.0f);
}

std::vector<float*> rows(std::vector<std::vector<float>>& data)
{
    std::vector<float*> pointers;
    for (auto& row : data)
        pointers.push_back(row.data());
    return pointers;
}

} // namespace

void Controls::coefficients(float& a, float& b) const
{
    if (output == Output::Bypass) {
        a = 0.0f;
        b = 1.0f;
        return;
    }
    const float leak = limitDb >= NO_LIMIT ? 0.0f : gainOf(-limitDb), gain = gainOf(gainDb);
    const float target = output == Output::Residual ? leak : 1.0f, rest = output == Output::Residual ? 1.0f : leak;
    a = gain * wet * (target - rest);
    b = gain * (wet * rest + 1.0f - wet);
}

Delays Delays::of(const GraphInfo& graph, unsigned hostRate, unsigned longestBlock, unsigned spareHops, std::uint64_t& ticks)
{
    Delays delays;
    ticks = 0;
    const std::uint64_t hop = (std::uint64_t(graph.hop) * hostRate + graph.sampleRate - 1) / graph.sampleRate;
    delays.worker = unsigned(std::max<std::uint64_t>(longestBlock, hop) + spareHops * hop);
    if (hostRate == graph.sampleRate) {
        delays.conversion = graph.latency;
        delays.blocks = graph.hop - 1;
        return delays;
    }
    const Resampler back(graph.sampleRate, hostRate, 0);
    const std::uint64_t inside = (Resampler::HALF_WIDTH + graph.latency) * back.up;
    ticks = inside % back.down;
    delays.conversion = unsigned(Resampler::HALF_WIDTH + inside / back.down);
    // hop - 1 samples of the model can be waiting, and less than one of the host's before the output resampler's first
    delays.blocks = unsigned((std::uint64_t(graph.hop - 1) * hostRate + graph.sampleRate - 1) / graph.sampleRate + 1);
    return delays;
}

Engine::Engine(std::shared_ptr<const Model> with, unsigned channelCount, std::vector<std::vector<float>> vectors, unsigned spare)
    : model(std::move(with))
    , channels(channelCount)
    , queries(std::move(vectors))
    , spareHops(spare)
{
    setControls(Controls());
}

Engine::~Engine()
{
    stop();
}

void Engine::start(unsigned sampleRate, unsigned longestBlock)
{
    stop();
    rate = sampleRate;
    block = std::max(1u, longestBlock);
    std::uint64_t ticks = 0;
    delays = Delays();
    if (model != nullptr)
        delays = Delays::of(model->info, rate, block, spareHops, ticks);
    const std::size_t room = std::size_t(RING_SECONDS * rate) + 2 * block + delays.total();
    input = std::make_unique<Ring>(channels, room);
    output = std::make_unique<Ring>(channels, room);
    dry.assign(channels, std::vector<float>(delays.total() + block, 0.0f));
    dryAt = 0;
    wanted.assign(channels, std::vector<float>(block, 0.0f));
    wantedRows = rows(wanted);
    a = endA = wantedA.load();
    b = endB = wantedB.load();
    rampLeft = 0;
    rampLength = std::max(1u, rate / 100);
    owed = 0;
    lead = 0.0;
    fade = 1.0f;
    begun = pending = false;
    power = 0.0f;
    pushed = consumed = 0;
    restart = restarted = 0;
    restartAt = freshAt = 0;
    missedSamples = 0;
    level = -120.0f;
    present = 0.0f;
    if (model == nullptr)
        return;
    const GraphInfo& graph = model->info;
    stream = std::make_unique<Stream>(model, channels);
    inward.reset();
    outward.reset();
    if (rate != graph.sampleRate) {
        inward = std::make_unique<Resampler>(rate, graph.sampleRate, channels);
        outward = std::make_unique<Resampler>(graph.sampleRate, rate, channels, ticks);
    }
    const std::size_t most = inward ? inward->outputs(graph.hop) + 2 : graph.hop;
    taken.assign(channels, std::vector<float>(graph.hop, 0.0f));
    converted.assign(channels, std::vector<float>(most, 0.0f));
    given.assign(channels, std::vector<float>(outward ? outward->outputs(graph.hop) + outward->up + 2 : graph.hop, 0.0f));
    takenRows = rows(taken);
    convertedRows = rows(converted);
    givenRows = rows(given);
    try {
        stream->run(); // the first run is slow: it finds out how much memory the graph takes
    } catch (const std::exception&) { // said by silence, as later on
    }
    refresh();
    quit = false;
    thread = std::thread([this] { work(); });
}

unsigned Engine::latencyAt(unsigned sampleRate, unsigned longestBlock) const
{
    std::uint64_t ticks = 0;
    return model == nullptr ? 0 : Delays::of(model->info, sampleRate, std::max(1u, longestBlock), spareHops, ticks).total();
}

void Engine::stop()
{
    if (!thread.joinable())
        return;
    quit = true;
    wake.release();
    thread.join();
    while (wake.try_acquire() || done.try_acquire()) { }
}

void Engine::setControls(const Controls& controls)
{
    float newA, newB;
    controls.coefficients(newA, newB);
    wantedA.store(newA, std::memory_order_relaxed);
    wantedB.store(newB, std::memory_order_relaxed);
}

void Engine::setQuery(const std::vector<float>& vector)
{
    const std::lock_guard<std::mutex> guard(queryLock);
    loaded = vector;
}

// ---------------------------------------------------------------------------------------------------------------- the model's thread

void Engine::work()
{
    const NoDenormals guard;
#ifndef _WIN32
    // before windows and everything else that is in no hurry, behind the host's own threads; where the system does not allow it, as any
    sched_param priority{};
    priority.sched_priority = sched_get_priority_min(SCHED_RR) + 4;
    pthread_setschedparam(pthread_self(), SCHED_RR, &priority);
#endif
    while (true) {
        wake.acquire();
        if (quit)
            return;
        if (const unsigned asked = restart.load(std::memory_order_acquire); asked != restarted.load(std::memory_order_relaxed)) {
            refresh(); // the host's thread reads nothing until it is told
            restarted.store(asked, std::memory_order_release);
            if (waiting.load(std::memory_order_acquire))
                done.release();
        }
        drain();
    }
}

// As at the start, from a place in the input on.
void Engine::refresh()
{
    const std::size_t from = restartAt.load(std::memory_order_relaxed);
    input->skipTo(from);
    freshAt.store(output->position(), std::memory_order_relaxed);
    output->push(nullptr, delays.blocks + delays.worker);
    consumed.store(from);
    stream->reset();
    if (inward) {
        inward->reset();
        outward->reset();
    }
    filled = 0;
    targetEnergy = inputEnergy = 0.0f;
    broken = false;
}

void Engine::drain()
{
    const unsigned size = model->info.hop;
    while (!quit) {
        // with resamplers a little at a time, so that a block of them never holds more than one hop's end
        const std::size_t n = std::min<std::size_t>(input->readable(), inward ? 32 : size - filled);
        // in this order: input that came after the wish for a restart must not be taken before it is granted
        if (n == 0 || restart.load(std::memory_order_acquire) != restarted.load(std::memory_order_relaxed))
            break;
        input->pop(takenRows.data(), n);
        for (auto& row : taken)
            for (std::size_t i = 0; i < n; ++i)
                row[i] = std::isfinite(row[i]) ? std::clamp(row[i], -1e6f, 1e6f) : 0.0f;
        const std::size_t count = inward ? inward->process(takenRows.data(), n, convertedRows.data()) : n;
        const auto& source = inward ? converted : taken;
        for (std::size_t at = 0; at < count;) {
            const std::size_t some = std::min<std::size_t>(count - at, size - filled);
            for (unsigned c = 0; c < channels; ++c)
                std::copy_n(source[c].data() + at, some, stream->audio(c) + filled);
            filled += unsigned(some);
            at += some;
            if (filled == size) {
                hop();
                filled = 0;
            }
        }
        consumed.store(consumed.load(std::memory_order_relaxed) + n, std::memory_order_release);
        if (waiting.load(std::memory_order_acquire))
            done.release();
    }
}

void Engine::hop()
{
    const unsigned size = model->info.hop, index = selected.load(std::memory_order_relaxed);
    if (index < queries.size()) {
        std::copy(queries[index].begin(), queries[index].end(), stream->query());
    } else if (const std::unique_lock<std::mutex> guard(queryLock, std::try_to_lock); guard.owns_lock() && !loaded.empty()) {
        std::copy(loaded.begin(), loaded.end(), stream->query());
    }
    const float* target[2] = {nullptr, nullptr};
    if (!broken)
        try {
            stream->run();
        } catch (const std::exception&) {
            broken = true; // a graph that fails once fails again: silence, not an exception in a host
        }
    float kept = 0.0f, whole = 1e-9f;
    for (unsigned c = 0; c < channels; ++c) {
        target[c] = stream->target(c);
        for (unsigned i = 0; i < size; ++i) {
            kept += target[c][i] * target[c][i];
            whole += stream->audio(c)[i] * stream->audio(c)[i];
        }
    }
    constexpr float smooth = 0.97f; // per hop of 10 ms: about a third of a second
    targetEnergy = smooth * targetEnergy + (1 - smooth) * kept;
    inputEnergy = smooth * inputEnergy + (1 - smooth) * whole;
    present.store(std::min(1.0f, targetEnergy / inputEnergy), std::memory_order_relaxed);
    const float* const* result = target;
    std::size_t count = size;
    if (outward) {
        count = outward->process(target, size, givenRows.data());
        result = givenRows.data();
    }
    if (broken)
        result = nullptr;
    output->push(result, std::min(count, output->writable()));
}

// ----------------------------------------------------------------------------------------------------------------- the host's thread

void Engine::process(const float* const* in, float* const* out, unsigned n)
{
    const NoDenormals guard;
    const Clock::time_point now = Clock::now();
    if (begun) // a host's clock may run a little faster than this one: two per cent are not counted as ahead
        lead = std::max(0.0, lead + 0.98 * n / rate - std::chrono::duration<double>(now - last).count());
    begun = true;
    last = now;
    const float* from[2];
    float* to[2];
    for (unsigned at = 0; at < n; at += block) {
        for (unsigned c = 0; c < channels; ++c) {
            from[c] = in[c] + at;
            to[c] = out[c] + at;
        }
        part(from, to, std::min(block, n - at));
    }
}

void Engine::reset()
{
    for (auto& row : dry)
        std::fill(row.begin(), row.end(), 0.0f);
    fade = 1.0f;
    power = 0.0f;
    if (model != nullptr)
        askForRestart();
}

void Engine::askForRestart()
{
    restartAt.store(input->position(), std::memory_order_relaxed);
    output->pop(nullptr, output->readable());
    owed = 0;
    pending = true;
    restart.fetch_add(1, std::memory_order_release);
    wake.release();
}

// A block no longer than the host announced.
void Engine::part(const float* const* in, float* const* out, unsigned n)
{
    const std::size_t circle = dry[0].size();
    std::size_t got = 0;
    if (model != nullptr) {
        const bool exact = offline.load(std::memory_order_relaxed);
        // a host at real time may come early by a little; one that is ahead by more loses nothing by waiting that long
        const double spare = exact ? 10.0 : lead - std::max(0.002, 0.25 * n / rate);
        const bool room = input->writable() >= n;
        if (room) {
            input->push(in, n);
            pushed.store(pushed.load(std::memory_order_relaxed) + n, std::memory_order_release);
        } else if (!pending) {
            askForRestart(); // the model's thread has been away for seconds: begin afresh when it is back
        }
        wake.release();
        if (pending)
            waitUntil([&] { return answered(); }, spare);
        if (pending && answered()) {
            pending = false;
            output->skipTo(freshAt.load(std::memory_order_relaxed));
        }
        if (!pending) {
            waitUntil(
                [&] {
                    return exact ? consumed.load(std::memory_order_acquire) == pushed.load(std::memory_order_relaxed)
                                 : output->readable() >= owed + n;
                },
                spare);
            const std::size_t late = std::min<std::size_t>(owed, output->readable());
            output->pop(nullptr, late);
            owed -= late;
            got = std::min<std::size_t>(n, output->readable());
            output->pop(wantedRows.data(), got);
        }
        if (got < n && room) {
            owed += n - got;
            if (!pending || owed > delays.blocks + delays.worker) // a fresh start is silent that long
                missedSamples.fetch_add(unsigned(n - got), std::memory_order_relaxed);
        }
    }
    for (unsigned c = 0; c < channels; ++c)
        std::fill(wanted[c].begin() + std::ptrdiff_t(got), wanted[c].begin() + n, 0.0f);
    // what is missing goes and comes softly
    for (unsigned i = 0; i < n; ++i) {
        const bool ends = got < n && i + FADE >= got;
        fade = std::clamp(fade + (i >= got || ends ? -1.0f : 1.0f) / FADE, 0.0f, 1.0f);
        if (fade < 1.0f)
            for (unsigned c = 0; c < channels; ++c)
                wanted[c][i] *= fade;
    }
    for (unsigned c = 0; c < channels; ++c) {
        std::size_t at = dryAt;
        for (unsigned i = 0; i < n; ++i, at = at + 1 == circle ? 0 : at + 1)
            dry[c][at] = std::isfinite(in[c][i]) ? in[c][i] : 0.0f;
    }
    const float nextA = wantedA.load(std::memory_order_relaxed), nextB = wantedB.load(std::memory_order_relaxed);
    if (nextA != endA || nextB != endB) {
        rampLeft = rampLength;
        aStep = (nextA - a) / float(rampLength);
        bStep = (nextB - b) / float(rampLength);
        endA = nextA;
        endB = nextB;
    }
    std::size_t at = (dryAt + circle - delays.total()) % circle;
    for (unsigned i = 0; i < n; ++i, at = at + 1 == circle ? 0 : at + 1) {
        if (rampLeft > 0) {
            a += aStep;
            b += bStep;
            if (--rampLeft == 0) {
                a = endA;
                b = endB;
            }
        }
        for (unsigned c = 0; c < channels; ++c)
            out[c][i] = model != nullptr ? a * wanted[c][i] + b * dry[c][at] : b == 1.0f && a == 0.0f ? dry[c][at] : 0.0f;
    }
    dryAt = (dryAt + n) % circle;
    meter(out, n);
}

// Where the host has time to spare (seconds), until what it asks for is there.
template <class There> void Engine::waitUntil(There there, double spare)
{
    if (spare <= 0.0 || there())
        return;
    const Clock::time_point until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(spare));
    waiting.store(true, std::memory_order_release);
    while (!there() && Clock::now() < until)
        (void)done.try_acquire_for(std::chrono::milliseconds(2));
    waiting.store(false, std::memory_order_release);
    while (done.try_acquire()) { }
}

void Engine::meter(const float* const* out, unsigned n)
{
    float sum = 0.0f;
    for (unsigned c = 0; c < channels; ++c)
        for (unsigned i = 0; i < n; ++i)
            sum += out[c][i] * out[c][i];
    const float keep = std::exp(-float(n) / (0.3f * float(rate)));
    power = keep * power + (1.0f - keep) * sum / float(n * channels);
    level.store(power > 1e-12f ? 10.0f * std::log10(power) : -120.0f, std::memory_order_relaxed);
}

} // namespace marssep
