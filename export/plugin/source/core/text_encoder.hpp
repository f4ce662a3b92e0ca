// The bundle's text encoder: text.onnx and its tokenizer.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "doubt.hpp"
#include "model.hpp"
#include "query_file.hpp"
#include "words.hpp"
#include "wordpiece.hpp"

namespace marssep {

class TextEncoder {
public:
    // The folder has text.onnx, wordpiece.json and may have words.json and doubt.json. ``encoder``, ``dim``: of the separator that the vectors are for. Throws std::runtime_error when a file is missing or damaged.
    TextEncoder(std::shared_ptr<const Runtime> runtime, const std::filesystem::path& folder, std::string encoder, unsigned dim);

    // A description of one sound -> unit vector. Takes tens of milliseconds: not for the host's audio thread. Throws std::runtime_error.
    std::vector<float> embed(const std::string& text) const;

    // A sentence as a user types it: "the dog and the rain but not the wind" keeps two sounds and drops one, "no dog" asks for the residual,
    // as in marssep_rt/query/build.py. Throws std::runtime_error, in one sentence, for what names no sound.
    Query query(const std::string& sentence) const;

private:
    std::vector<float> named(const std::string& text) const; // as embed, but a family lies in the middle of its labels
    void judge(Query& query, const Wish& wish) const;        // its warning and its limit, once it has its vectors

    const std::shared_ptr<const Runtime> runtime;
    const Session session;
    const WordPiece tokenizer;
    const Words words;
    const Doubt doubt;
    const std::string encoder;
    const unsigned dim;
};

} // namespace marssep
