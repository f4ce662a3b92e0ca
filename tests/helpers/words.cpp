// Lines of text -> what the plug-in makes of them.
//   words WORDPIECE.json   token ids, a line each
//   words                  JSON [keep, drop, remove], a line each

#include <iostream>

#include <nlohmann/json.hpp>

#include "sentence.hpp"
#include "wordpiece.hpp"

int main(int count, char** arguments)
{
    std::string line;
    if (count < 2) {
        while (std::getline(std::cin, line)) {
            const marssep::Wish wish = marssep::understand(line);
            std::cout << nlohmann::json::array({wish.keep, wish.drop, wish.remove}) << "\n";
        }
        return 0;
    }
    const marssep::WordPiece tokenizer(arguments[1]);
    while (std::getline(std::cin, line)) {
        for (const std::int64_t id : tokenizer.ids(line))
            std::cout << id << " ";
        std::cout << "\n";
    }
    return 0;
}
