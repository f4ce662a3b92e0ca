// Presence as marssep_rt/dsp/presence.py measures it without an audio encoder: how likely the target sound is in the input right now.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "contract.hpp"

namespace marssep {

// A logistic curve of one model over the target's share of the input's energy in dB.
struct PresenceCurve {
    // of graphs that bring none
    float constant = contract::old_bundles::PRESENCE_SHARE[0], perDb = contract::old_bundles::PRESENCE_SHARE[1];
};

class PresenceMeter {
public:
    // ``hopSeconds``: between two calls of ``add``; ``delay``: of the target against the input, in hops.
    PresenceMeter(const PresenceCurve& ofModel, float hopSeconds, unsigned delay)
        : curve(ofModel)
        , keep(std::exp(-hopSeconds / SMOOTHING_SECONDS))
        , waiting(delay, 0.0f)
    {
    }

    // One hop's energies, a sample.
    void add(float ofTarget, float ofInput)
    {
        if (!waiting.empty()) {
            std::swap(ofInput, waiting[at]);
            at = (at + 1) % waiting.size();
        }
        target = keep * target + (1 - keep) * ofTarget;
        input = keep * input + (1 - keep) * ofInput;
        weight = keep * weight + 1 - keep;
    }

    // 0..1; 0 where the input is silent.
    float presence() const
    {
        if (weight < 1e-6f || 10 * std::log10(input / weight + 1e-12f) < FLOOR_DB)
            return 0.0f;
        const float share = std::clamp(10 * std::log10((target + 1e-12f) / (input + 1e-12f)), -60.0f, 0.0f);
        return 1 / (1 + std::exp(-std::clamp(curve.constant + curve.perDb * share, -50.0f, 50.0f)));
    }

    // For another query.
    void reset()
    {
        target = input = weight = 0.0f;
        std::fill(waiting.begin(), waiting.end(), 0.0f);
    }

private:
    static constexpr float SMOOTHING_SECONDS = contract::presence::SMOOTHING_SECONDS, FLOOR_DB = contract::presence::FLOOR_DB;

    const PresenceCurve curve;
    const float keep;
    std::vector<float> waiting; // energies of the input whose target is still to come, a circle
    std::size_t at = 0;
    float target = 0.0f, input = 0.0f, weight = 0.0f;
};

} // namespace marssep
