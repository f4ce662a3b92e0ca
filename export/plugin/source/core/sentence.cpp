#include "sentence.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

namespace marssep {

namespace {

std::regex pattern(const std::string& text)
{
    return std::regex(text, std::regex::ECMAScript | std::regex::icase | std::regex::optimize);
}

// The patterns of language.py, one by one; tests/export/plugin/test_query.py holds both to the same sentences.
const std::string ALL_BUT = R"((?:everything|anything|all|all sounds?|all (?:the )?rest)\s+)"
                            R"((?:but|except(?:\s+for)?|besides|without|minus|other than|apart from))";
const std::string REMOVE = R"((?:please\s+)?(?:remove|removing|delete|drop|mute|silence|suppress|reduce|cancel|kill|eliminate|exclude|)"
                           R"(discard|stop|get rid of|cut(?:\s+out)?|take\s+(?:out|away)|filter\s+out|leave\s+out|clean\s+(?:up|out)|turn\s+off))";
const std::string UNWANTED = R"((?:i\s+)?(?:do\s+not|don(?:'|’)?t|never)\s+(?:want|need|like|play|keep|hear|let\s+me\s+hear))"
                             R"((?:\s+to\s+hear)?)";
const std::string BARE = "(?:" + UNWANTED + R"(|no|not|less|without|except(?:\s+for)?|minus|non|never|neither))";

struct Grammar {
    const std::regex leading = pattern("^(?:" + ALL_BUT + "|" + REMOVE + "|" + BARE + R"()\s+(.+)$)");
    const std::regex trailing = pattern(R"(^(.+?)\s+(?:removal|removed|remover|suppression|reduction|cancellation)$)");
    const std::regex keepNot = pattern(R"(^(.+?)(?:[,;]\s*(?:(?:and|but)\s+)?(?:no|)" + REMOVE + R"()|)"
        R"([,;]?\s+(?:but\s+(?:not|no|without|neither)|and\s+(?:not|no)|not|without|except(?:\s+for)?|minus|)"
        R"(rather\s+than|instead\s+of))\s+(.+)$)");
    const std::regex noAgain = pattern(R"((^|[\s,;])(?:no|not|without)\s+)");
    const std::regex listed = pattern(R"(\s+or\s+)");
    const std::regex nothingElse = pattern(R"([,;]?\s+(?:and\s+)?nothing\s+else$)");
    const std::regex want = pattern(R"(^(?:please\s+)?(?:only|just|keep|isolate|extract|solo|separate|give\s+me|i\s+(?:only\s+)?want(?:\s+to\s+hear)?|)"
                                    R"(let\s+me\s+hear|play|hear)\s+(?:only\s+|just\s+)?(.+)$)");
    const std::regex onlyBehind = pattern(R"(^(.+?)\s+(?:only|alone)$)");
    const std::regex article = pattern(R"(^(?:(?:all|any|of|the|a|an|that|those|these|this|my|some|other)\s+)+(?=\S))");
    const std::regex several = pattern(R"(\s*(?:,\s*(?:and\s+)?|;\s*|\s+(?:and|nor)\s+|\s*&\s*|\s+plus\s+|\s*\+\s*)\s*)");
    const std::set<std::string> names = {"bits and pieces", "call and response", "cats and dogs", "crashes and hats", "dogs and wolves",
        "drum & bass", "drum and bass", "hustle and bustle", "knife and fork", "lambs and kids", "lions and tigers", "marimba and xylophone",
        "nuts and bolts", "planes and helicopters", "pots and pans", "r and b", "r&b", "rhythm and blues", "rock and roll", "sheep and goats",
        "song and dance", "violins and cellos"};
};

const Grammar& grammar()
{
    static const Grammar made;
    return made;
}

// White space at the ends goes, white space inside is one blank.
std::string tidy(const std::string& text)
{
    std::istringstream words(text);
    std::string result;
    for (std::string word; words >> word;)
        result += (result.empty() ? "" : " ") + word;
    return result;
}

} // namespace

std::string lower(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    return text;
}

std::string withoutArticle(const std::string& text)
{
    const std::string tidied = tidy(text), rest = std::regex_replace(tidied, grammar().article, "", std::regex_constants::format_first_only);
    return rest.empty() ? tidied : rest;
}

namespace {

bool isName(const std::string& text)
{
    return grammar().names.count(lower(text)) > 0;
}

std::vector<std::string> parts(const std::string& text)
{
    const std::string whole = withoutArticle(text);
    if (isName(text) || isName(whole))
        return {whole};
    std::vector<std::string> found;
    for (std::sregex_token_iterator part(text.begin(), text.end(), grammar().several, -1), end; part != end; ++part)
        if (const std::string name = withoutArticle(*part); !name.empty())
            found.push_back(name);
    return found.empty() ? std::vector<std::string>{whole} : found;
}

// The sounds of a list that is to go: "or" lists them too, and "no" may come again.
std::vector<std::string> unwanted(const std::string& text)
{
    return parts(std::regex_replace(std::regex_replace(text, grammar().noAgain, "$1"), grammar().listed, " and "));
}

// The description in "only the dog", "I want to hear a dog", "dog alone".
std::string wanted(const std::string& text)
{
    std::smatch match;
    for (const std::regex* some : {&grammar().want, &grammar().onlyBehind})
        if (std::regex_match(text, match, *some))
            return withoutArticle(match[1]);
    return text;
}

} // namespace

Wish understand(const std::string& sentence)
{
    std::string text = tidy(sentence);
    text.erase(text.find_last_not_of(".!?") + 1);
    text = std::regex_replace(text, grammar().nothingElse, "");
    if (isName(text))
        return {{text}, {}, false};
    std::smatch match;
    for (const std::regex* some : {&grammar().leading, &grammar().trailing})
        if (std::regex_match(text, match, *some))
            return {unwanted(match[1]), {}, true};
    if (std::regex_match(text, match, grammar().keepNot)) {
        const std::string kept = wanted(match[1]);
        if (std::set<std::string>{"everything", "anything", "all", "all sounds"}.count(lower(kept)))
            return {unwanted(match[2]), {}, true};
        return {parts(kept), unwanted(match[2]), false};
    }
    const std::string named = wanted(text);
    const std::vector<std::string> several = parts(named);
    return {several.size() > 1 ? several : std::vector<std::string>{named}, {}, false};
}

} // namespace marssep
