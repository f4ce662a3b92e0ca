#include "words.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace marssep {

namespace {

template <class Value> Value valueOf(const std::map<std::string, Value>& words, const std::string& word, const Value& otherwise)
{
    const auto found = words.find(word);
    return found == words.end() ? otherwise : found->second;
}

std::string plain(const std::string& text)
{
    return lower(withoutArticle(text));
}

// What a text means, or what it speaks of ("the sound of a geyser", "animal sounds"); none for others.
Words::Sounds found(const std::map<std::string, Words::Sounds>& words, const std::string& text)
{
    static const std::regex speakingOf("^(?:sounds?|noises?) of | (?:sounds?|noises?|sound effects?)$");
    const std::string word = plain(text);
    return valueOf(words, word, valueOf(words, plain(std::regex_replace(word, speakingOf, "")), {}));
}

} // namespace

Words Words::beside(const std::filesystem::path& folder)
{
    const std::filesystem::path file = folder / "words.json";
    Words words;
    if (!std::filesystem::exists(file))
        return words;
    std::ifstream stream(file);
    try {
        const auto data = nlohmann::json::parse(stream);
        data.at("families").get_to(words.families);
        data.at("residual").get_to(words.residual);
        data.at("own").get_to(words.own);
        words.alike = data.value("alike", words.alike);
    } catch (const nlohmann::json::exception&) {
        throw std::runtime_error(file.string() + " cannot be read");
    }
    return words;
}

Words::Sounds Words::labelsOf(const std::string& text) const
{
    const Sounds family = familyOf(text);
    return family.empty() ? found(alike, text) : family;
}

Words::Sounds Words::familyOf(const std::string& text) const
{
    return found(families, valueOf(own, lower(text), text));
}

Words::Sounds Words::keptOf(const std::string& text) const
{
    return valueOf(residual, plain(text), {});
}

std::string Words::ownWarning(const std::string& text) const
{
    const std::string nearest = valueOf(own, lower(text), {});
    return nearest.empty() ? "" : "“" + text + "” is every " + nearest + " to the model; a .query file of a recording may tell it from others";
}

Wish Words::resolved(const Wish& wish) const
{
    const auto isResidual = [this](const std::string& text) { return !keptOf(text).empty(); };
    Wish result = wish;
    if (!wish.keep.empty() && wish.drop.empty() && std::all_of(wish.keep.begin(), wish.keep.end(), isResidual)) {
        result = {{}, {}, !wish.remove, true};
        for (const std::string& text : wish.keep)
            for (const std::string& sound : keptOf(text))
                if (std::find(result.keep.begin(), result.keep.end(), sound) == result.keep.end())
                    result.keep.push_back(sound);
        return result;
    }
    result.drop.clear();
    std::remove_copy_if(wish.drop.begin(), wish.drop.end(), std::back_inserter(result.drop), isResidual);
    return result;
}

} // namespace marssep
