#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "denormals.hpp"
#include "contract.hpp"
#include "finite.hpp"
#include "thread_clock.hpp"

#ifndef _WIN32
#include <pthread.h>
#endif

namespace marssep {

namespace {

constexpr double RING_SECONDS = 2.0;
constexpr unsigned FADE = 64; // frames over which a target that is missing goes and comes
constexpr unsigned TRIALS = 3; // of a stream of several sounds, before it is used

float gainOf(float db)
{
    return std::pow(10.0f, db / 20.0f);
}

// What a query makes of the user's choice between target and residual: which of four mixes it takes.
unsigned kindOf(const Query& query)
{
    return (query.remove ? 1 : 0) + (query.complement ? 2 : 0);
}

std::vector<float*> rows(std::vector<std::vector<float>>& data)
{
    std::vector<float*> pointers;
    for (auto& row : data)
        pointers.push_back(row.data());
    return pointers;
}

} // namespace

Coefficients Controls::coefficients() const
{
    if (output == Output::Bypass)
        return {0.0f, 1.0f};
    const float leak = limitDb >= NO_LIMIT ? 0.0f : gainOf(-limitDb), gain = gainOf(gainDb);
    const float target = output == Output::Residual ? leak : 1.0f, rest = output == Output::Residual ? 1.0f : leak;
    return {gain * wet * (target - rest), gain * (wet * rest + 1.0f - wet)};
}

Delays Delays::of(const GraphInfo& graph, unsigned hostRate, unsigned longestBlock, unsigned spareHops, std::uint64_t& ticks)
{
    Delays delays;
    ticks = 0;
    const std::uint64_t hop = (std::uint64_t(graph.hop) * hostRate + graph.sampleRate - 1) / graph.sampleRate;
    delays.worker = unsigned(std::max<std::uint64_t>(longestBlock, hop * (1 + spareHops)));
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

Engine::Engine(std::shared_ptr<const Model> with, unsigned channelCount, const std::vector<Query>& choices, unsigned spare)
    : model(std::move(with))
    , channels(channelCount)
    , queries([&] {
        std::vector<Sounds> all;
        for (const Query& query : choices)
            all.push_back(soundsOf(query));
        return all;
    }())
    , kinds([&] {
        std::vector<unsigned> all;
        for (const Query& query : choices)
            all.push_back(kindOf(query));
        return all;
    }())
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
    now = end = wantedMix();
    rampLeft = 0;
    rampLength = std::max(1u, unsigned(contract::mixer::RAMP_SECONDS * rate));
    owed = 0;
    lead = 0.0;
    fade = 1.0f;
    begun = pending = false;
    power = inputPower = 0.0f;
    reduced = 0.0f;
    pushed = consumed = 0;
    restart = restarted = 0;
    restartAt = freshAt = 0;
    missedSamples = 0;
    level = -120.0f;
    present = 0.0f;
    ready = false;
    if (model == nullptr)
        return;
    prepare(ticks);
    ready = true;
    quit = false;
    thread = std::thread([this] { work(); });
}

// The model's side. ``ticks``: where the output resampler begins.
void Engine::prepare(std::uint64_t ticks)
{
    const GraphInfo& graph = model->info;
    {
        const std::lock_guard<std::mutex> guard(queryLock);
        streams.clear();
        streams.resize(contract::query::MOST_SOUNDS);
        makeStream(1);
        for (const Sounds& sounds : queries)
            makeStream(sounds.vectors.size());
        if (!loaded.vectors.empty())
            makeStream(loaded.vectors.size());
        stream = streams[0].stream.get();
        heard = NONE;
        silent = true; // until there is a query
        overloaded = false;
    }
    presenceMeter = std::make_unique<PresenceMeter>(graph.presence, float(graph.hop) / float(graph.sampleRate), graph.latency / graph.hop);
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
    refresh();
}

// Prepare the model for a query of so many sounds, if it is not.
void Engine::makeStream(std::size_t sounds)
{
    Prepared& place = streams[sounds - 1];
    if (place.stream != nullptr)
        return;
    auto made = std::make_unique<Stream>(model, channels, sounds);
    const double most = contract::latency::HOP_SHARE * model->info.hop / model->info.sampleRate;
    double least = sounds > 1 ? 2 * most : 0.0;
    try {
        made->run(); // the first run is slow: it finds out how much memory the graph takes
        for (unsigned i = 0; sounds > 1 && i < TRIALS; ++i) {
            const double begin = threadSeconds();
            made->run();
            least = std::min(least, threadSeconds() - begin);
        }
    } catch (const std::exception&) { // said by silence, as later on
    }
    made->reset();
    place = {std::move(made), least <= most};
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
    Query query;
    for (unsigned kind = 0; kind < KINDS; ++kind) {
        query.remove = (kind & 1) != 0;
        query.complement = (kind & 2) != 0;
        Controls turned = controls;
        if (controls.output != Output::Bypass)
            turned.output = query.removes(controls.output == Output::Residual) ? Output::Residual : Output::Target;
        const Coefficients pair = turned.coefficients();
        if (isFinite(pair.target) && isFinite(pair.dry))
            mixes[kind].store(pair);
    }
}

// For the chosen query.
Coefficients Engine::wantedMix() const
{
    const unsigned index = selected.load(std::memory_order_relaxed);
    return mixes[index < kinds.size() ? kinds[index] : ownKind.load(std::memory_order_relaxed)].load();
}

void Engine::setQuery(const Query& query)
{
    const std::lock_guard<std::mutex> guard(queryLock);
    loaded = {};
    changed = true;
    own.store(false, std::memory_order_relaxed);
    ownKind.store(0, std::memory_order_relaxed);
    if (query.vector.empty())
        return;
    Sounds sounds = soundsOf(query);
    if (!streams.empty()) // else the start prepares them
        makeStream(sounds.vectors.size());
    loaded = std::move(sounds);
    ownKind.store(kindOf(query), std::memory_order_relaxed);
    own.store(true, std::memory_order_relaxed);
}

// A graph that cannot put masks together takes the query as one vector.
Sounds Engine::soundsOf(const Query& query) const
{
    if (model == nullptr || !model->mixes)
        return {{query.vector}, 1};
    Sounds sounds{query.kept(), 0};
    sounds.kept = sounds.vectors.size();
    sounds.vectors.insert(sounds.vectors.end(), query.drop.begin(), query.drop.end());
    return sounds;
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
    presenceMeter->reset();
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
                row[i] = sampleOf(row[i]);
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

// Hand the chosen query to the model; false where there is none.
bool Engine::takeQuery()
{
    const unsigned index = selected.load(std::memory_order_relaxed);
    const bool waits = offline.load(std::memory_order_relaxed), isOwn = index >= queries.size();
    std::unique_lock<std::mutex> guard(queryLock, std::defer_lock);
    if (isOwn && !guard.try_lock())
        return !silent; // it is being changed: the query of the hop before goes on
    const bool another = index != heard || (isOwn && changed);
    if (another || waits != waited)
        listenTo(isOwn ? loaded : queries[index], waits);
    if (another)
        presenceMeter->reset();
    heard = index;
    waited = waits;
    if (isOwn)
        changed = false;
    return !silent;
}

// ``waits``: the host waits for the model, however long that takes.
void Engine::listenTo(const Sounds& sounds, bool waits)
{
    const std::size_t count = sounds.vectors.size();
    const bool tooMany = count > 0 && !waits && !streams[count - 1].fast;
    overloaded.store(tooMany, std::memory_order_relaxed);
    silent = count == 0 || tooMany;
    Stream* next = streams[silent ? 0 : count - 1].stream.get();
    if (next != stream)
        next->continueFrom(*std::exchange(stream, next));
    if (count > 0)
        stream->setSounds(sounds);
}

void Engine::hop()
{
    const bool wantsTarget = takeQuery();
    if (!broken)
        try {
            stream->run();
        } catch (const std::exception&) {
            broken = true; // a graph that fails once fails again: silence, not an exception in a host
        }
    if (!wantsTarget || broken)
        stream->mute();
    measureTarget();
    const float* target[2] = {stream->target(0), stream->target(channels - 1)};
    const float* const* result = target;
    std::size_t count = model->info.hop;
    if (outward) {
        count = outward->process(target, count, givenRows.data());
        result = givenRows.data();
    }
    output->push(result, std::min(count, output->writable()));
}

void Engine::measureTarget()
{
    const unsigned size = model->info.hop;
    float kept = 0.0f, whole = 0.0f;
    for (unsigned c = 0; c < channels; ++c)
        for (unsigned i = 0; i < size; ++i) {
            kept += stream->target(c)[i] * stream->target(c)[i];
            whole += stream->audio(c)[i] * stream->audio(c)[i];
        }
    if (!isFinite(kept)) { // a state that is no number would stay so: the hop is silent, and the next begins afresh
        stream->reset();
        kept = 0.0f;
    }
    presenceMeter->add(kept / float(size * channels), whole / float(size * channels));
    present.store(presenceMeter->presence(), std::memory_order_relaxed);
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
    power = inputPower = 0.0f;
    if (ready)
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
    std::size_t got = 0;
    if (ready) {
        const bool exact = offline.load(std::memory_order_relaxed);
        // a host at real time may come early by a little; one that is ahead by more loses nothing by waiting that long
        const double spare = exact ? 10.0 : lead - std::max(0.002, 0.25 * n / rate);
        const bool room = feed(in, n);
        got = fetchTarget(n, spare, exact);
        if (got < n && room)
            countMissing(n - got);
    }
    fadeGaps(got, n);
    delayInput(in, n);
    mixBlock(out, n);
    meter(out, n);
}

// Hand the block to the model's thread; false where that has been away for so long that there is no room.
bool Engine::feed(const float* const* in, unsigned n)
{
    const bool room = input->writable() >= n;
    if (room) {
        input->push(in, n);
        pushed.store(pushed.load(std::memory_order_relaxed) + n, std::memory_order_release);
    } else if (!pending) {
        askForRestart(); // the model's thread has been away for seconds: it restarts when it is back
    }
    wake.release();
    return room;
}

// Read as much of the block's target as is there, into ``wanted``; waits up to ``spare`` seconds. ``exact``: for all of the input.
std::size_t Engine::fetchTarget(unsigned n, double spare, bool exact)
{
    if (pending)
        waitUntil([&] { return answered(); }, spare);
    if (pending && answered()) {
        pending = false;
        output->skipTo(freshAt.load(std::memory_order_relaxed));
    }
    if (pending)
        return 0;
    waitUntil(
        [&] {
            return exact ? consumed.load(std::memory_order_acquire) == pushed.load(std::memory_order_relaxed)
                         : output->readable() >= owed + n;
        },
        spare);
    const std::size_t late = std::min<std::size_t>(owed, output->readable());
    output->pop(nullptr, late);
    owed -= late;
    const std::size_t got = std::min<std::size_t>(n, output->readable());
    output->pop(wantedRows.data(), got);
    return got;
}

void Engine::countMissing(std::size_t missing)
{
    owed += missing;
    if (!pending || owed > delays.blocks + delays.worker) // a restart is silent that long
        missedSamples.fetch_add(unsigned(missing), std::memory_order_relaxed);
}

// Fill ``wanted`` with silence from ``got`` on; what is missing fades out and in.
void Engine::fadeGaps(std::size_t got, unsigned n)
{
    for (unsigned c = 0; c < channels; ++c)
        std::fill(wanted[c].begin() + std::ptrdiff_t(got), wanted[c].begin() + n, 0.0f);
    for (unsigned i = 0; i < n; ++i) {
        const bool ends = got < n && i + FADE >= got;
        fade = std::clamp(fade + (i >= got || ends ? -1.0f : 1.0f) / FADE, 0.0f, 1.0f);
        if (fade < 1.0f)
            for (unsigned c = 0; c < channels; ++c)
                wanted[c][i] *= fade;
    }
}

// Write the block into the circle of the delayed input.
void Engine::delayInput(const float* const* in, unsigned n)
{
    const std::size_t circle = dry[0].size();
    for (unsigned c = 0; c < channels; ++c) {
        std::size_t at = dryAt;
        for (unsigned i = 0; i < n; ++i, at = at + 1 == circle ? 0 : at + 1)
            dry[c][at] = sampleOf(in[c][i]);
    }
}

// Target and delayed input -> output; changed coefficients are ramped. Without a model only a bypass is heard.
void Engine::mixBlock(float* const* out, unsigned n)
{
    if (const Coefficients next = wantedMix(); next != end) {
        rampLeft = rampLength;
        step = {(next.target - now.target) / float(rampLength), (next.dry - now.dry) / float(rampLength)};
        end = next;
    }
    const std::size_t circle = dry[0].size();
    std::size_t at = (dryAt + circle - delays.total()) % circle;
    for (unsigned i = 0; i < n; ++i, at = at + 1 == circle ? 0 : at + 1) {
        if (rampLeft > 0) {
            now = --rampLeft == 0 ? end : Coefficients{now.target + step.target, now.dry + step.dry};
        }
        const bool bypass = now == Coefficients{0.0f, 1.0f};
        for (unsigned c = 0; c < channels; ++c)
            out[c][i] = ready ? now.target * wanted[c][i] + now.dry * dry[c][at] : bypass ? dry[c][at] : 0.0f;
    }
    dryAt = (dryAt + n) % circle;
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
    const std::size_t circle = dry[0].size(), begin = (dryAt + 2 * circle - n - delays.total()) % circle;
    float sum = 0.0f, before = 0.0f;
    for (unsigned c = 0; c < channels; ++c) {
        std::size_t at = begin;
        for (unsigned i = 0; i < n; ++i, at = at + 1 == circle ? 0 : at + 1) {
            sum += out[c][i] * out[c][i];
            before += dry[c][at] * dry[c][at];
        }
    }
    const float keep = std::exp(-float(n) / (0.3f * float(rate))), share = (1.0f - keep) / float(n * channels);
    power = keep * power + share * sum;
    inputPower = keep * inputPower + share * before;
    level.store(power > 1e-12f ? 10.0f * std::log10(power) : -120.0f, std::memory_order_relaxed);
    reduced.store(inputPower > 1e-12f ? std::clamp(10.0f * std::log10(inputPower / (power + 1e-18f)), 0.0f, 60.0f) : 0.0f, std::memory_order_relaxed);
}

} // namespace marssep
