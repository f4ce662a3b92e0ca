// What a sentence asks for, as marssep_rt/query/language.py reads it: negation and "and" are read before anything is embedded.
#pragma once

#include <string>
#include <vector>

namespace marssep {

struct Wish {
    std::vector<std::string> keep; // the sounds that it names; with ``remove`` those that are to go
    std::vector<std::string> drop; // sounds to steer away from
    bool remove = false;           // whether the residual is asked for: everything but ``keep``
    bool complement = false;       // whether it was said in words for everything else, as "background noise"
};

// Throws std::runtime_error, in one sentence, where a sentence can be read in two ways: "don't remove the dog".
Wish understand(const std::string& sentence);

// A description without the words before its noun.
std::string withoutArticle(const std::string& text);

// ASCII letters in lower case.
std::string lower(std::string text);

// "dog and rain".
std::string joined(const std::vector<std::string>& names, const std::string& between = " and ");

} // namespace marssep
