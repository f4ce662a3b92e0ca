#include "query_file.hpp"

#include <algorithm>
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

// The list ``key`` of vectors; none where there is no such list.
std::vector<std::vector<float>> vectorsOf(const Json& data, const char* key)
{
    const auto found = data.find(key);
    return found == data.end() || found->is_null() ? std::vector<std::vector<float>>() : found->get<std::vector<std::vector<float>>>();
}

// The attenuation limit; ``otherwise`` where there is none.
float limitOf(const Json& data, const std::string& name, float otherwise)
{
    const auto found = data.find("limit_db");
    if (found == data.end() || found->is_null())
        return otherwise;
    const float limit = found->is_number() ? found->get<float>() : -1.0f;
    if (!isFinite(limit) || limit < contract::mixer::LIMIT_DB_MIN)
        throw std::runtime_error(name + " is no query file");
    return std::min(limit, otherwise);
}

Query queryOf(const Json& data, const std::string& name, const std::string& encoder, unsigned dim)
{
    Query query;
    std::vector<std::vector<float>*> all{&query.vector};
    try {
        if (data.at("format").get<int>() > contract::formats::QUERY)
            throw std::runtime_error(name + " has a newer format than this plug-in understands");
        query.label = data.at("label").get<std::string>();
        query.encoder = data.at("encoder").get<std::string>();
        query.vector = data.at("vector").get<std::vector<float>>();
        query.keep = vectorsOf(data, "keep");
        query.drop = vectorsOf(data, "drop");
        query.remove = data.value("remove", false);
        query.complement = data.value("complement", false);
        query.limitDb = limitOf(data, name, query.limitDb);
        for (auto* some : {&query.keep, &query.drop})
            for (std::vector<float>& vector : *some)
                all.push_back(&vector);
        for (const std::vector<float>* vector : all)
            if (data.at("dim").get<std::size_t>() != vector->size())
                throw std::runtime_error(name + " holds another number of dimensions than it says");
    } catch (const Json::exception&) {
        throw std::runtime_error(name + " is no query file");
    }
    if (query.encoder != encoder || query.vector.size() != dim)
        throw std::runtime_error(name + " was made by encoder " + query.encoder + ", this plug-in listens to " + encoder);
    for (std::vector<float>* vector : all)
        if (!makeUnit(*vector))
            throw std::runtime_error(name + " holds no direction to listen in");
    checkSounds(query, name);
    if (query.limitDb < Query().limitDb)
        query.warning = doubtOf(query.label, query.limitDb);
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

std::string doubtOf(const std::string& words, float limitDb)
{
    return "“" + words + "” is unlike the sounds that the model was trained on; a Max Attenuation of " + std::to_string(int(limitDb))
        + " dB keeps what it takes away by mistake";
}

void checkSounds(const Query& query, const std::string& name)
{
    const std::size_t count = query.kept().size() + query.drop.size();
    if (count > contract::query::MOST_SOUNDS)
        throw std::runtime_error(name + " names " + std::to_string(count) + " sounds; name at most " + std::to_string(contract::query::MOST_SOUNDS));
}

Query parseQuery(const std::string& json, const std::string& name, const std::string& encoder, unsigned dim)
{
    return queryOf(parsed(json, name), name, encoder, dim);
}

std::string writeQuery(const Query& query)
{
    const int format = query.remove ? contract::formats::QUERY : contract::formats::QUERY_OF_SOUNDS;
    Json data = {{"format", format}, {"encoder", query.encoder}, {"dim", query.vector.size()}, {"label", query.label}, {"vector", query.vector}};
    if (!query.keep.empty())
        data["keep"] = query.keep;
    if (!query.drop.empty())
        data["drop"] = query.drop;
    if (query.limitDb < Query().limitDb)
        data["limit_db"] = query.limitDb;
    if (query.remove)
        data["remove"] = true;
    if (query.complement)
        data["complement"] = true;
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
