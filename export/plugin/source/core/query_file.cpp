#include "query_file.hpp"

#include <cmath>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "finite.hpp"

namespace marssep {

namespace {

using Json = nlohmann::json;

Json readJson(const std::filesystem::path& file)
{
    std::ifstream stream(file);
    if (!stream)
        throw std::runtime_error("cannot read " + file.string());
    try {
        return Json::parse(stream);
    } catch (const Json::exception&) {
        throw std::runtime_error(file.string() + " is no query file");
    }
}

Query queryOf(const Json& data, const std::filesystem::path& file, const std::string& encoder, unsigned dim)
{
    Query query;
    try {
        if (data.at("format").get<int>() > 1)
            throw std::runtime_error(file.string() + " has a newer format than this plug-in understands");
        query.label = data.at("label").get<std::string>();
        query.encoder = data.at("encoder").get<std::string>();
        query.vector = data.at("vector").get<std::vector<float>>();
    } catch (const Json::exception&) {
        throw std::runtime_error(file.string() + " is no query file");
    }
    if (query.encoder != encoder || query.vector.size() != dim)
        throw std::runtime_error(file.string() + " was made by encoder " + query.encoder + ", this plug-in listens to " + encoder);
    double sum = 0.0;
    for (const float x : query.vector)
        sum += double(x) * x;
    if (!isFinite(sum) || sum <= 0.0)
        throw std::runtime_error(file.string() + " holds no direction to listen in");
    for (float& x : query.vector)
        x = float(x / std::sqrt(sum));
    return query;
}

} // namespace

Query readQuery(const std::filesystem::path& file, const std::string& encoder, unsigned dim)
{
    return queryOf(readJson(file), file, encoder, dim);
}

std::vector<Query> readQueries(const std::filesystem::path& file, const std::string& encoder, unsigned dim)
{
    std::vector<Query> queries;
    for (const Json& data : readJson(file))
        queries.push_back(queryOf(data, file, encoder, dim));
    return queries;
}

} // namespace marssep
