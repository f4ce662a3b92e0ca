// What a sentence asks for, as marssep_rt/query/language.py reads it: negation and "and" are read before anything is embedded.
#pragma once

#include <string>
#include <vector>

namespace marssep {

struct Wish {
    std::vector<std::string> keep; // the sounds that it names; with ``remove`` those that are to go
    std::vector<std::string> drop; // sounds to steer away from
    bool remove = false;           // whether the residual is asked for: everything but ``keep``
};

Wish understand(const std::string& sentence);

// A description without the words before its noun.
std::string withoutArticle(const std::string& text);

// ASCII letters in lower case.
std::string lower(std::string text);

} // namespace marssep
