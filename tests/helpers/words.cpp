// Lines of text -> what the plug-in makes of them.
//   words WORDPIECE.json              token ids, a line each
//   words                             JSON [keep, drop, remove], a line each
//   words LIBRARY FOLDER ENCODER DIM  JSON {remove, complement, label, vector, keep, drop, warning, limit}, a line each; FOLDER: the
//                                     resources of a plug-in
// A sentence that is refused: a JSON string that says why.

#include <exception>
#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>

#include "sentence.hpp"
#include "text_encoder.hpp"
#include "wordpiece.hpp"

using namespace marssep;

namespace {

nlohmann::json queryOf(const TextEncoder& encoder, const std::string& line)
{
    const Query query = encoder.query(line);
    return {{"remove", query.remove}, {"complement", query.complement}, {"label", query.label}, {"vector", query.vector}, {"keep", query.kept()}, {"drop", query.drop}, {"warning", query.warning}, {"limit", query.limitDb}};
}

nlohmann::json wishOf(const std::string& line)
try {
    const Wish wish = understand(line);
    return nlohmann::json::array({wish.keep, wish.drop, wish.remove});
} catch (const std::exception& e) {
    return e.what();
}

} // namespace

int main(int count, char** arguments)
{
    std::string line;
    if (count > 4) {
        const std::filesystem::path folder = arguments[2];
        const TextEncoder encoder(std::make_shared<const Runtime>(arguments[1]), folder, arguments[3], unsigned(std::stoul(arguments[4])));
        while (std::getline(std::cin, line))
            std::cout << queryOf(encoder, line) << "\n";
        return 0;
    }
    if (count < 2) {
        while (std::getline(std::cin, line))
            std::cout << wishOf(line) << "\n";
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
