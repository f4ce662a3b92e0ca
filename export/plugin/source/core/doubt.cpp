#include "doubt.hpp"

#include <cstddef>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "half_floats.hpp"

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
        data.at("dim").get_to(doubt.dim);
        doubt.asked = halfFloats(data.at("vectors").get<std::string>());
        if (doubt.dim == 0 || doubt.asked.size() % doubt.dim != 0)
            throw std::runtime_error("half a vector is missing");
    } catch (const std::exception&) {
        throw std::runtime_error(file.string() + " cannot be read");
    }
    return doubt;
}

float Doubt::limitDb(const std::vector<float>& vector) const
{
    if (asked.empty())
        return float(contract::mixer::NO_LIMIT_DB);
    for (auto other = asked.begin(); vector.size() == dim && other != asked.end(); other += std::ptrdiff_t(dim))
        if (std::inner_product(vector.begin(), vector.end(), other, 0.0f) >= cosine)
            return float(contract::mixer::NO_LIMIT_DB);
    return limit;
}

} // namespace marssep
