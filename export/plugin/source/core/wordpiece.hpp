// A tokenizer of BERT's kind. Its rules come from wordpiece.json, which export/plugin/wordpiece.py makes of the bundle's tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace marssep {

class WordPiece {
public:
    // Throws std::runtime_error, in one sentence, when the file is missing, damaged or of a newer format.
    explicit WordPiece(const std::filesystem::path& file);

    // UTF-8 -> token ids with those that stand before and after every text, as marssep_rt/query/encoders.py gets them.
    std::vector<std::int64_t> ids(std::string_view text) const;

private:
    enum class Kind { Letter, Removed, Space, Alone, Foreign };
    struct Range {
        char32_t first, last;
        Kind kind;
    };
    using Word = std::vector<std::string>; // of characters; an empty one is foreign

    Kind kindOf(char32_t code) const;
    void split(std::string_view text, std::vector<std::int64_t>& out) const;
    void place(char32_t code, Word& word, std::vector<std::int64_t>& out) const;
    void finish(Word& word, std::vector<std::int64_t>& out) const;

    std::unordered_map<std::string, std::int64_t> vocabulary, special;
    std::unordered_map<char32_t, std::u32string> replaced;
    std::vector<Range> ranges; // rising
    std::string prefix;
    std::int64_t unknown = 0;
    std::size_t longestWord = 0, longest = 0;
    std::vector<std::int64_t> before, after;
};

} // namespace marssep
