#include "doubt.hpp"

#include <algorithm>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace marssep {

Doubt Doubt::beside(const std::filesystem::path& folder)
{
    const std::filesystem::path file = folder / "doubt.json";
    Doubt doubt;
    if (!std::filesystem::exists(file))
        return doubt;
    std::ifstream stream(file);
    try {
        const auto data = nlohmann::json::parse(stream);
        data.at("cosine").get_to(doubt.cosine);
        data.at("limit_db").get_to(doubt.limit);
        data.at("vectors").get_to(doubt.asked);
    } catch (const nlohmann::json::exception&) {
        throw std::runtime_error(file.string() + " cannot be read");
    }
    return doubt;
}

float Doubt::limitDb(const std::vector<float>& vector) const
{
    const auto isNear = [&](const std::vector<float>& other) {
        return other.size() == vector.size() && std::inner_product(vector.begin(), vector.end(), other.begin(), 0.0f) >= cosine;
    };
    return asked.empty() || std::any_of(asked.begin(), asked.end(), isNear) ? float(contract::mixer::NO_LIMIT_DB) : limit;
}

} // namespace marssep
