#include "query_file.hpp"

#include <cmath>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "contract.hpp"
#include "finite.hpp"

namespace marssep {

namespace {

using Json = nlohmann::json;

template <class Input> Json parsed(Input&& input, const std::string& name)
{
    try {
        return Json::parse(input);
    } catch (const Json::exception&) {
        throw std::runtime_error(name + " is no query file");
    }
}

Json readJson(const std::filesystem::path& file)
{
    std::ifstream stream(file);
    if (!stream)
        throw std::runtime_error("cannot read " + file.string());
    return parsed(stream, file.string());
}

Query queryOf(const Json& data, const std::string& name, const std::string& encoder, unsigned dim)
{
    Query query;
    try {
        if (data.at("format").get<int>() > contract::formats::QUERY)
            throw std::runtime_error(name + " has a newer format than this plug-in understands");
        query.label = data.at("label").get<std::string>();
        query.encoder = data.at("encoder").get<std::string>();
        query.vector = data.at("vector").get<std::vector<float>>();
        if (data.at("dim").get<std::size_t>() != query.vector.size())
            throw std::runtime_error(name + " holds another number of dimensions than it says");
    } catch (const Json::exception&) {
        throw std::runtime_error(name + " is no query file");
    }
    if (query.encoder != encoder || query.vector.size() != dim)
        throw std::runtime_error(name + " was made by encoder " + query.encoder + ", this plug-in listens to " + encoder);
    if (!makeUnit(query.vector))
        throw std::runtime_error(name + " holds no direction to listen in");
    return query;
}

} // namespace

bool makeUnit(std::vector<float>& vector)
{
    double sum = 0.0;
    for (const float x : vector)
        sum += double(x) * x;
    if (!isFinite(sum) || std::sqrt(sum) < contract::query::MIN_VECTOR_LENGTH)
        return false;
    for (float& x : vector)
        x = float(x / std::sqrt(sum));
    return true;
}

Query parseQuery(const std::string& json, const std::string& name, const std::string& encoder, unsigned dim)
{
    return queryOf(parsed(json, name), name, encoder, dim);
}

std::string writeQuery(const Query& query)
{
    const Json data = {{"format", contract::formats::QUERY}, {"encoder", query.encoder}, {"dim", query.vector.size()}, {"label", query.label}, {"vector", query.vector}};
    return data.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Query readQuery(const std::filesystem::path& file, const std::string& encoder, unsigned dim)
{
    return queryOf(readJson(file), file.string(), encoder, dim);
}

std::vector<Query> readQueries(const std::filesystem::path& file, const std::string& encoder, unsigned dim)
{
    std::vector<Query> queries;
    for (const Json& data : readJson(file))
        queries.push_back(queryOf(data, file.string(), encoder, dim));
    return queries;
}

} // namespace marssep
