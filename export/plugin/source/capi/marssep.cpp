// The engine behind plain C functions; marssep.h says what each does.

#include "marssep.h"

#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "engine.hpp"
#include "query_file.hpp"

using namespace marssep;

namespace {

thread_local std::string lastError;

template <class Work> auto guarded(Work work, decltype(work()) failed) -> decltype(work())
{
    try {
        return work();
    } catch (const std::exception& e) {
        lastError = e.what();
        return failed;
    }
}

struct Handle {
    std::shared_ptr<const Model> model;
    std::unique_ptr<Engine> engine;
    Controls controls;
};

} // namespace

extern "C" {

const char* marssep_error() { return lastError.c_str(); }

void* marssep_open(const char* library, const char* graph, unsigned channels, const float* vectors, unsigned count, unsigned spareHops)
{
    return guarded(
        [&]() -> void* {
            auto handle = std::make_unique<Handle>();
            handle->model = std::make_shared<const Model>(std::make_shared<const Runtime>(library), graph);
            std::vector<Query> queries(count);
            for (unsigned i = 0; i < count; ++i)
                queries[i].vector.assign(vectors + i * handle->model->info.queryDim, vectors + (i + 1) * handle->model->info.queryDim);
            handle->engine = std::make_unique<Engine>(handle->model, channels, queries, spareHops);
            return handle.release();
        },
        nullptr);
}

void marssep_close(void* handle) { delete static_cast<Handle*>(handle); }

int marssep_start(void* handle, unsigned rate, unsigned longestBlock)
{
    return guarded(
        [&] {
            static_cast<Handle*>(handle)->engine->start(rate, longestBlock);
            return 0;
        },
        1);
}

void marssep_reset(void* handle) { static_cast<Handle*>(handle)->engine->reset(); }
void marssep_stop(void* handle) { static_cast<Handle*>(handle)->engine->stop(); }
unsigned marssep_latency(void* handle) { return static_cast<Handle*>(handle)->engine->latency(); }
void marssep_offline(void* handle, int on) { static_cast<Handle*>(handle)->engine->setOffline(on != 0); }
void marssep_select(void* handle, unsigned index) { static_cast<Handle*>(handle)->engine->selectQuery(index); }
unsigned marssep_missed(void* handle) { return static_cast<Handle*>(handle)->engine->missed(); }
float marssep_level(void* handle) { return static_cast<Handle*>(handle)->engine->levelDb(); }
float marssep_presence(void* handle) { return static_cast<Handle*>(handle)->engine->presence(); }
int marssep_too_many(void* handle) { return static_cast<Handle*>(handle)->engine->tooManySounds() ? 1 : 0; }
float marssep_reduction(void* handle) { return static_cast<Handle*>(handle)->engine->reductionDb(); }

void marssep_controls(void* handle, float wet, float limitDb, float gainDb, int output)
{
    static_cast<Handle*>(handle)->engine->setControls({wet, limitDb, gainDb, Output(output)});
}

int marssep_query_file(void* handle, const char* file)
{
    Handle& own = *static_cast<Handle*>(handle);
    own.engine->setQuery({});
    return guarded(
        [&] {
            own.engine->setQuery(readQuery(file, own.model->info.encoder, own.model->info.queryDim));
            return 0;
        },
        1);
}

void marssep_process(void* handle, const float* in, float* out, unsigned channels, unsigned n)
{
    const float* from[2] = {in, in + (channels - 1) * n};
    float* to[2] = {out, out + (channels - 1) * n};
    static_cast<Handle*>(handle)->engine->process(from, to, n);
}
}
