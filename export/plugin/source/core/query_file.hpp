// What a plug-in can listen for: the queries that were baked in, and .query files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "contract.hpp"

namespace marssep {

struct Query {
    std::string label, encoder;
    std::vector<float> vector; // unit norm: the whole query as one vector
    std::vector<std::vector<float>> keep, drop; // of unit norm: the sounds whose sum is the target, and those that are taken out of it
    std::string warning; // one sentence on the words that it was made of, or empty
    float limitDb = contract::mixer::NO_LIMIT_DB; // the attenuation limit that doubted words ask for, in dB
    bool remove = false;     // whether its words ask for everything but the sounds: "no dog"
    bool complement = false; // whether they are words for everything else: "background noise"; to remove them is to keep the sounds

    // Whether the residual is heard; ``wanted``: whether the user chose it.
    bool removes(bool wanted) const { return complement ? remove && !wanted : remove || wanted; }

    // Of a query of one sound, ``keep`` may be empty, as in a file.
    std::vector<std::vector<float>> kept() const { return keep.empty() ? std::vector<std::vector<float>>{vector} : keep; }
};

// Scale to length one; false where there is no direction.
bool makeUnit(std::vector<float>& vector);

// What to say of doubted words; ``limitDb``: their attenuation limit.
std::string doubtOf(const std::string& words, float limitDb);

// Throws std::runtime_error where a query names more sounds than work at once; ``name`` stands for it.
void checkSounds(const Query& query, const std::string& name);

// The content of a .query file, which ``name`` stands for in what is thrown. The same errors as for a file.
Query parseQuery(const std::string& json, const std::string& name, const std::string& encoder, unsigned dim);
std::string writeQuery(const Query& query);

// A .query file of marssep query. Throws std::runtime_error, in one sentence, when it is missing, damaged, of a newer format, or not for
// ``encoder`` and ``dim``.
Query readQuery(const std::filesystem::path& file, const std::string& encoder, unsigned dim);

// queries.json beside the plug-in: a list of what .query files hold. The same errors.
std::vector<Query> readQueries(const std::filesystem::path& file, const std::string& encoder, unsigned dim);

} // namespace marssep
