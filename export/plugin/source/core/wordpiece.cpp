#include "wordpiece.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "utf8.hpp"

namespace marssep {

WordPiece::WordPiece(const std::filesystem::path& file)
{
    std::ifstream stream(file);
    if (!stream)
        throw std::runtime_error("cannot read " + file.string());
    try {
        const auto data = nlohmann::json::parse(stream);
        if (data.at("format").get<int>() > 1)
            throw std::runtime_error(file.string() + " has a newer format than this plug-in understands");
        for (const auto& token : data.at("vocabulary"))
            vocabulary.emplace(token.get<std::string>(), std::int64_t(vocabulary.size()));
        special = data.at("special").get<decltype(special)>();
        for (const auto& [from, to] : data.at("replaced").items()) {
            std::size_t at = 0;
            std::u32string& text = replaced[nextCharacter(from, at)];
            const std::string bytes = to.get<std::string>();
            for (at = 0; at < bytes.size();)
                text += nextCharacter(bytes, at);
        }
        prefix = data.at("prefix");
        unknown = data.at("unknown");
        longestWord = data.at("longest_word");
        longest = data.at("longest");
        before = data.at("before").get<std::vector<std::int64_t>>();
        after = data.at("after").get<std::vector<std::int64_t>>();
        for (const auto& [name, kind] : {std::pair{"removed", Kind::Removed}, std::pair{"space", Kind::Space},
                                         std::pair{"alone", Kind::Alone}, std::pair{"foreign", Kind::Foreign}})
            for (const auto& range : data.at(name))
                ranges.push_back({char32_t(range.at(0).get<unsigned>()), char32_t(range.at(1).get<unsigned>()), kind});
    } catch (const nlohmann::json::exception&) {
        throw std::runtime_error(file.string() + " is no tokenizer");
    }
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
}

std::vector<std::int64_t> WordPiece::ids(std::string_view text) const
{
    std::vector<std::int64_t> inner;
    while (!text.empty()) { // special tokens in the text stand for themselves
        std::size_t at = text.size(), length = 0;
        std::int64_t id = 0;
        for (const auto& [token, number] : special)
            if (const std::size_t found = text.find(token); found < at) {
                at = found;
                length = token.size();
                id = number;
            }
        split(text.substr(0, at), inner);
        if (length > 0)
            inner.push_back(id);
        text.remove_prefix(at + length);
    }
    inner.resize(std::min(inner.size(), longest - std::min(longest, before.size() + after.size())));
    inner.insert(inner.begin(), before.begin(), before.end());
    inner.insert(inner.end(), after.begin(), after.end());
    return inner;
}

WordPiece::Kind WordPiece::kindOf(char32_t code) const
{
    const auto next = std::upper_bound(ranges.begin(), ranges.end(), code, [](char32_t c, const Range& range) { return c < range.first; });
    return next != ranges.begin() && code <= std::prev(next)->last ? std::prev(next)->kind : Kind::Letter;
}

void WordPiece::split(std::string_view text, std::vector<std::int64_t>& out) const
{
    Word word;
    for (std::size_t at = 0; at < text.size();) {
        const char32_t code = nextCharacter(text, at);
        if (const auto other = replaced.find(code); other != replaced.end())
            for (const char32_t part : other->second)
                place(part, word, out);
        else
            place(code, word, out);
    }
    finish(word, out);
}

// One normalised character.
void WordPiece::place(char32_t code, Word& word, std::vector<std::int64_t>& out) const
{
    const Kind kind = code == 0 ? Kind::Removed : kindOf(code);
    if (kind == Kind::Removed)
        return;
    if (kind == Kind::Space || kind == Kind::Alone)
        finish(word, out);
    if (kind == Kind::Space)
        return;
    std::string character;
    if (kind != Kind::Foreign)
        append(character, code);
    word.push_back(character);
    if (kind == Kind::Alone)
        finish(word, out);
}

// The longest known beginning, then the longest known continuation, and so on; a word with any unknown part is unknown as a whole.
void WordPiece::finish(Word& word, std::vector<std::int64_t>& out) const
{
    const Word characters = std::exchange(word, {});
    if (characters.empty())
        return;
    std::vector<std::int64_t> found;
    const bool readable = characters.size() <= longestWord && std::none_of(characters.begin(), characters.end(), [](auto& c) { return c.empty(); });
    for (std::size_t begin = 0; readable && begin < characters.size();) {
        std::size_t end = characters.size();
        for (; end > begin; --end) {
            std::string piece = begin > 0 ? prefix : "";
            for (std::size_t i = begin; i < end; ++i)
                piece += characters[i];
            if (const auto token = vocabulary.find(piece); token != vocabulary.end()) {
                found.push_back(token->second);
                break;
            }
        }
        if (end == begin) {
            found.clear();
            break;
        }
        begin = end;
    }
    if (found.empty())
        found.push_back(unknown);
    out.insert(out.end(), found.begin(), found.end());
}

} // namespace marssep
