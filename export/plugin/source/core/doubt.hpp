// Which words the model is doubted to know, as marssep_rt/query/vocabulary.py judges: doubt.json beside the plug-in.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "contract.hpp"

namespace marssep {

class Doubt {
public:
    Doubt() = default; // never

    // That of doubt.json in a folder, never where there is no such file. Throws std::runtime_error for a damaged one.
    static Doubt beside(const std::filesystem::path& folder);

    // The attenuation limit in dB for words of a unit vector; NO_LIMIT_DB if they are not doubted.
    float limitDb(const std::vector<float>& vector) const;

private:
    float cosine = -1.0f; // words are doubted below this cosine similarity to all that training asked for
    float limit = contract::mixer::NO_LIMIT_DB;
    std::size_t dim = 0;
    std::vector<float> asked; // unit vectors of what training asked for, one after the other
};

} // namespace marssep
