#include "sentence.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "grammar.hpp"

namespace marssep {

namespace {

std::regex pattern(const char* text)
{
    return std::regex(text, std::regex::ECMAScript | std::regex::icase | std::regex::optimize);
}

// Compiled once; grammar.py says what each is.
struct Grammar {
    const std::regex leading = pattern(grammar::LEADING), trailing = pattern(grammar::TRAILING), around = pattern(grammar::AROUND),
        keepOnly = pattern(grammar::KEEP_ONLY), twice = pattern(grammar::TWICE), keepNot = pattern(grammar::KEEP_NOT),
        everything = pattern(grammar::EVERYTHING), notKeep = pattern(grammar::NOT_KEEP), notOnly = pattern(grammar::NOT_ONLY),
        butNot = pattern(grammar::BUT_NOT), signFirst = pattern(grammar::SIGN_FIRST), signInside = pattern(grammar::SIGN_INSIDE),
        signAfter = pattern(grammar::SIGN_AFTER), aside = pattern(grammar::ASIDE), asking = pattern(grammar::ASKING),
        thanks = pattern(grammar::THANKS), onlyBehind = pattern(grammar::ONLY_BEHIND), article = pattern(grammar::ARTICLE),
        several = pattern(grammar::SEVERAL), noAgain = pattern(grammar::NO_AGAIN), noInside = pattern(grammar::NO_INSIDE),
        listed = pattern(grammar::OR), stop = pattern(grammar::STOP);
    const std::set<std::string> names{std::begin(grammar::NAMES), std::end(grammar::NAMES)};
};

const Grammar& grammarOnce()
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

std::string without(const std::string& text, const std::regex& some)
{
    return std::regex_replace(text, some, "", std::regex_constants::format_first_only);
}

} // namespace

std::string lower(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    return text;
}

std::string joined(const std::vector<std::string>& names, const std::string& between)
{
    std::string all;
    for (const std::string& name : names)
        all += (all.empty() ? "" : between) + name;
    return all;
}

std::string withoutArticle(const std::string& text)
{
    const std::string tidied = tidy(text), rest = without(tidied, grammarOnce().article);
    return rest.empty() ? tidied : rest;
}

namespace {

bool isName(const std::string& text)
{
    return grammarOnce().names.count(lower(text)) > 0;
}

std::vector<std::string> parts(const std::string& text)
{
    const std::string whole = withoutArticle(text);
    if (isName(text) || isName(whole))
        return {whole};
    std::vector<std::string> found;
    for (std::sregex_token_iterator part(text.begin(), text.end(), grammarOnce().several, -1), end; part != end; ++part)
        if (const std::string name = withoutArticle(*part); !name.empty())
            found.push_back(name);
    return found.empty() ? std::vector<std::string>{whole} : found;
}

// The sounds of a list that is to go: "or" lists them too, and "no" may come again.
std::vector<std::string> unwanted(const std::string& text)
{
    const Grammar& of = grammarOnce();
    const std::string listed = std::regex_replace(std::regex_replace(text, of.noAgain, "$1"), of.noInside, ", ");
    return parts(std::regex_replace(listed, of.listed, " and "));
}

// Words for signs ("-dog" is "no dog"), in one piece, with a negated aside at the end.
std::string withoutSigns(const std::string& given)
{
    const Grammar& of = grammarOnce();
    const std::string whole = std::regex_replace(given, of.stop, ", ");
    const std::string text = std::regex_replace(std::regex_replace(whole, of.signFirst, "no "), of.signAfter, ", no ");
    const std::string inside = std::regex_replace(text, of.signInside, "(no ");
    std::smatch match;
    if (!std::regex_match(inside, match, of.aside))
        return text;
    const std::string named = tidy(match.str(1) + match.str(3));
    return named.empty() ? match.str(2) : named + ", " + match.str(2);
}

// Without "please", "I want to hear" and the like.
std::string withoutAsking(const std::string& text)
{
    const std::string shorter = without(without(text, grammarOnce().asking), grammarOnce().thanks);
    return shorter == text ? text : withoutAsking(shorter);
}

// The description in "the dog only"; after words that ask for it, without its article.
std::string wanted(const std::string& text, bool asked)
{
    std::smatch match;
    if (std::regex_match(text, match, grammarOnce().onlyBehind))
        return withoutArticle(match[1]);
    return asked ? withoutArticle(text) : text;
}

std::runtime_error unclear(const std::string& text, const std::string& rest)
{
    const std::string name = joined(unwanted(rest));
    return std::runtime_error("“" + text + "” can be read in two ways; say “" + name + "” to hear it, or “no " + name + "” to take it out");
}

// The wish of a sentence in which ``rest`` is to go.
Wish removing(const std::string& text, const std::string& rest)
{
    std::smatch match;
    if (std::regex_match(rest, match, grammarOnce().trailing))
        throw unclear(text, match[1]);
    for (const std::regex* some : {&grammarOnce().notKeep, &grammarOnce().notOnly})
        if (std::regex_match(rest, match, *some))
            return {parts(match[2]), unwanted(match[1])};
    return {unwanted(without(rest, grammarOnce().butNot)), {}, true};
}

} // namespace

Wish understand(const std::string& sentence)
{
    const Grammar& of = grammarOnce();
    std::string given = tidy(sentence);
    given.erase(given.find_last_not_of(".!?") + 1);
    given = withoutSigns(given);
    const std::string text = withoutAsking(given);
    const bool asked = text != given;
    if (isName(text))
        return {{text}, {}};
    std::smatch match, again;
    if (std::regex_match(text, match, of.keepOnly))
        return understand("only " + match.str(1));
    if (std::regex_match(text, match, of.twice))
        throw unclear(text, match[1]);
    for (const std::regex* some : {&of.leading, &of.trailing, &of.around})
        if (std::regex_match(text, match, *some))
            return removing(text, match[1]);
    if (std::regex_match(text, match, of.keepNot)) {
        const std::string drop = match[2], kept = wanted(withoutAsking(match[1]), asked);
        if (std::regex_match(drop, again, of.leading))
            throw unclear(text, again[1]);
        if (std::regex_match(kept, of.everything))
            return {unwanted(drop), {}, true};
        return {parts(kept), unwanted(drop)};
    }
    const std::string named = wanted(text, asked);
    const std::vector<std::string> several = parts(named);
    return {several.size() > 1 ? several : std::vector<std::string>{named}, {}};
}

} // namespace marssep
