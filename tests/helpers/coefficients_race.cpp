// One thread sets pairs whose sum is one, another reads: prints how often the pair changed between two reads, and how many pairs were
// never set.

#include <cstdio>
#include <thread>

#include "coefficients.hpp"

int main()
{
    marssep::AtomicCoefficients shared;
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (unsigned i = 0; !done; ++i)
            shared.store(i % 2 ? marssep::Coefficients{1.0f, 0.0f} : marssep::Coefficients{0.0f, 1.0f});
    });
    unsigned changed = 0, torn = 0;
    marssep::Coefficients last;
    for (unsigned i = 0; i < 20'000'000 || (changed == 0 && i < 2'000'000'000); ++i) {
        const marssep::Coefficients pair = shared.load();
        changed += !(pair == last);
        torn += pair.target + pair.dry != 1.0f;
        last = pair;
    }
    done = true;
    writer.join();
    std::printf("%u %u\n", changed, torn);
    return 0;
}
