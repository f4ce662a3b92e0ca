// Words that people type and that are no label, as marssep_rt/query/words.py reads them: words.json beside the plug-in.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "sentence.hpp"

namespace marssep {

class Words {
public:
    using Sounds = std::vector<std::string>;

    Words() = default; // none: every word is embedded

    // Those of words.json in a folder, none where there is no such file. Throws std::runtime_error for a damaged one.
    static Words beside(const std::filesystem::path& folder);

    // The labels of a family; else those that a sound without a label is like; none for other texts.
    Sounds labelsOf(const std::string& text) const;

    // The labels of a family, and of the nearest one for one's own voice; none for other texts.
    Sounds familyOf(const std::string& text) const;

    // One sentence if a text means one person's voice, which no word can name; else empty.
    std::string ownWarning(const std::string& text) const;

    // "background noise" as everything but speech and music. Beside other sounds, to leave it out says nothing new.
    Wish resolved(const Wish& wish) const;

private:
    Sounds keptOf(const std::string& text) const; // what a word for everything else leaves

    std::map<std::string, Sounds> families, residual, alike; // all words in lower case
    std::map<std::string, std::string> own;                  // one person's voice -> the word that is nearest to it
};

} // namespace marssep
