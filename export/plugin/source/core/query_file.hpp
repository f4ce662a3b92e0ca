// What a plug-in can listen for: the queries that were baked in, and .query files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace marssep {

struct Query {
    std::string label, encoder;
    std::vector<float> vector; // unit norm
};

// A .query file of marssep-query. Throws std::runtime_error, in one sentence, when it is missing, damaged, of a newer format, or not for
// ``encoder`` and ``dim``.
Query readQuery(const std::filesystem::path& file, const std::string& encoder, unsigned dim);

// queries.json beside the plug-in: a list of what .query files hold. The same errors.
std::vector<Query> readQueries(const std::filesystem::path& file, const std::string& encoder, unsigned dim);

} // namespace marssep
