// Lines of text -> what the plug-in makes of them.
//   words WORDPIECE.json              token ids, a line each
//   words                             JSON [keep, drop, remove], a line each
//   words LIBRARY FOLDER ENCODER DIM  JSON {remove, label, vector, keep, drop, warning, limit}, a line each, as the window and then the
//                                     plug-in take it; FOLDER: the resources of a plug-in

#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>

#include "sentence.hpp"
#include "text_encoder.hpp"
#include "wordpiece.hpp"
#include "words.hpp"

using namespace marssep;

namespace {

nlohmann::json queryOf(const TextEncoder& encoder, const Words& words, const std::string& line)
{
    const Wish wish = words.resolved(understand(line));
    std::string taken = line;
    if (wish.remove) {
        taken.clear();
        for (const std::string& sound : wish.keep)
            taken += (taken.empty() ? "" : " and ") + sound;
    }
    const Query query = encoder.query(taken);
    return {{"remove", wish.remove}, {"label", query.label}, {"vector", query.vector}, {"keep", query.kept()}, {"drop", query.drop}, {"warning", query.warning}, {"limit", query.limitDb}};
}

} // namespace

int main(int count, char** arguments)
{
    std::string line;
    if (count > 4) {
        const std::filesystem::path folder = arguments[2];
        const TextEncoder encoder(std::make_shared<const Runtime>(arguments[1]), folder, arguments[3], unsigned(std::stoul(arguments[4])));
        const Words words = Words::beside(folder);
        while (std::getline(std::cin, line))
            std::cout << queryOf(encoder, words, line) << "\n";
        return 0;
    }
    if (count < 2) {
        while (std::getline(std::cin, line)) {
            const Wish wish = understand(line);
            std::cout << nlohmann::json::array({wish.keep, wish.drop, wish.remove}) << "\n";
        }
        return 0;
    }
    const WordPiece tokenizer(arguments[1]);
    while (std::getline(std::cin, line)) {
        for (const std::int64_t id : tokenizer.ids(line))
            std::cout << id << " ";
        std::cout << "\n";
    }
    return 0;
}
