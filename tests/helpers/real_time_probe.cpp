// A host at real time that looks over its own shoulder: while a block is processed, its thread may neither allocate nor lock.
//   probe LIBRARY GRAPH VECTOR

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "engine.hpp"

namespace {

thread_local bool watched = false;
std::atomic<unsigned> seen{0};

[[maybe_unused]] void notice()
{
    if (watched)
        seen.fetch_add(1);
}

template <class Function> Function* next(const char* name)
{
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

} // namespace

#ifndef __SANITIZE_ADDRESS__ // the sanitizer has an allocator of its own
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t n) { notice(); return __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t m) { notice(); return __libc_calloc(n, m); }
void* realloc(void* p, std::size_t n) { notice(); return __libc_realloc(p, n); }
void free(void* p) { notice(); __libc_free(p); }

int pthread_mutex_lock(pthread_mutex_t* m)
{
    static auto* real = next<int(pthread_mutex_t*)>("pthread_mutex_lock");
    notice();
    return real(m);
}

int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m)
{
    static auto* real = next<int(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait");
    notice();
    return real(c, m);
}

int sem_wait(sem_t* s)
{
    static auto* real = next<int(sem_t*)>("sem_wait");
    notice();
    return real(s);
}
}
#endif

int main(int, char** arguments)
{
    std::mutex mutex;
    watched = true;
    { void* volatile p = std::malloc(10); std::free(p); const std::lock_guard<std::mutex> guard(mutex); }
    watched = false;
    std::printf("noticed %u\n", seen.exchange(0));

    auto model = std::make_shared<const marssep::Model>(std::make_shared<const marssep::Runtime>(arguments[1]), arguments[2]);
    std::vector<float> vector(model->info.queryDim);
    std::ifstream(arguments[3], std::ios::binary).read(reinterpret_cast<char*>(vector.data()), std::streamsize(vector.size() * 4));
    std::vector<float> other(vector.rbegin(), vector.rend());
    marssep::Query one, several;
    one.vector = several.vector = vector;
    several.keep = {vector, other};
    several.drop = {other};
    marssep::Engine engine(model, 2, {one, several});
    unsigned blocks = 0;
    for (const unsigned rate : {48000u, 44100u}) {
        const unsigned most = 256;
        engine.start(rate, most);
        std::vector<float> left(most), right(most);
        float* rows[] = {left.data(), right.data()};
        const auto begun = std::chrono::steady_clock::now();
        double time = 0.0;
        for (unsigned i = 0; i < 300; ++i, ++blocks) {
            const unsigned n = i % 3 == 0 ? most : 1 + i * 37 % most;
            for (unsigned k = 0; k < n; ++k)
                left[k] = right[k] = 0.1f * std::sin(float(i * most + k) * 0.05f);
            watched = true;
            if (i % 50 == 20)
                engine.setControls({0.5f, 20.0f, 3.0f, marssep::Output(i % 3)});
            if (i % 70 == 30)
                engine.reset();
            engine.selectQuery(i / 50 % 2);
            engine.process(rows, rows, n);
            watched = false;
            time += double(n) / rate;
            std::this_thread::sleep_until(begun + std::chrono::duration<double>(time));
        }
        engine.stop();
    }
    std::printf("forbidden %u\nblocks %u\nmissed %u\n", seen.load(), blocks, engine.missed());
    return 0;
}
