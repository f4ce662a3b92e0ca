#include "own_query.hpp"

#include <utility>

#include <nlohmann/json.hpp>

namespace marssep {

OwnQuery::OwnQuery(Read parseWith, Read readWith, Read embedWith, Use useWith)
    : parse(std::move(parseWith))
    , readFile(std::move(readWith))
    , embed(std::move(embedWith))
    , use(std::move(useWith))
{
}

void OwnQuery::restore(const std::string& json)
{
    const std::lock_guard<std::mutex> guard(lock);
    if (json.empty()) // what there is goes with its file or its text, which come as empty, too
        return;
    source = Source::None;
    value.clear();
    adopt({});
    adopt(parse(json));
    const auto data = nlohmann::json::parse(json);
    source = data.contains("text") ? Source::Text : data.contains("file") ? Source::File : Source::None;
    if (source != Source::None)
        value = data.at(source == Source::Text ? "text" : "file").get<std::string>();
    restored = source != Source::None;
}

void OwnQuery::set(Source kind, const std::string& given)
{
    const std::lock_guard<std::mutex> guard(lock);
    const bool own = source == kind, repeats = own && restored && value == given;
    restored = restored && !own;
    if (repeats || (given.empty() && !own))
        return;
    source = given.empty() ? Source::None : kind;
    value = given;
    adopt({});
    if (!given.empty())
        adopt(kind == Source::File ? readFile(given) : embed(given));
}

void OwnQuery::adopt(Query found)
{
    query = std::move(found);
    use(query);
}

std::string OwnQuery::json() const
{
    const std::lock_guard<std::mutex> guard(lock);
    if (query.vector.empty())
        return "";
    nlohmann::json data = nlohmann::json::parse(writeQuery(query));
    if (source != Source::None)
        data[source == Source::Text ? "text" : "file"] = value;
    return data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string OwnQuery::valueOf(Source kind) const
{
    const std::lock_guard<std::mutex> guard(lock);
    return source == kind ? value : "";
}

} // namespace marssep
