// The engine's pure functions as plain C ones, for the golden vectors.

#include <algorithm>
#include <exception>

#include "engine.hpp"
#include "query_file.hpp"
#include "resampler.hpp"

using namespace marssep;

extern "C" {

void golden_mixer(float wet, float limitDb, float gainDb, int output, float* pair)
{
    const Coefficients found = Controls{wet, limitDb, gainDb, Output(output)}.coefficients();
    pair[0] = found.target;
    pair[1] = found.dry;
}

// Returns the samples written.
unsigned golden_resample(unsigned source, unsigned target, const float* in, unsigned n, float* out)
{
    Resampler resampler(source, target, 1);
    return unsigned(resampler.process(&in, n, &out));
}

unsigned golden_latency(unsigned rate, unsigned hop, unsigned latency, unsigned hostRate, unsigned block, unsigned extraHops)
{
    GraphInfo graph;
    graph.sampleRate = rate;
    graph.hop = hop;
    graph.latency = latency;
    std::uint64_t ticks = 0;
    return Delays::of(graph, hostRate, block, extraHops, ticks).total();
}

// Returns 0 when the file was taken; ``vector`` [dim] is then its unit vector, ``more`` its limit, remove, complement.
int golden_query(const char* file, const char* encoder, unsigned dim, float* vector, float* more)
{
    try {
        const Query query = readQuery(file, encoder, dim);
        std::copy(query.vector.begin(), query.vector.end(), vector);
        more[0] = query.limitDb;
        more[1] = query.remove ? 1.0f : 0.0f;
        more[2] = query.complement ? 1.0f : 0.0f;
        return 0;
    } catch (const std::exception&) {
        return 1;
    }
}
}
