// The query that a user brings: typed, from a .query file, or out of a saved state.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "query_file.hpp"

namespace marssep {

// A state is three values, which hosts restore in this order: the query itself, the path of its file, its text; two of them may be empty.
// The query travels in the state, so that neither the file nor the encoder has to be there again. The methods may be called from any
// thread but the host's audio thread.
class OwnQuery {
public:
    using Read = std::function<Query(const std::string&)>; // throws std::runtime_error
    using Use = std::function<void(const Query&)>; // no vector: there is none

    // ``parse``: a query out of a state; ``readFile``: out of a file; ``embed``: out of a sentence.
    OwnQuery(Read parse, Read readFile, Read embed, Use use);

    // Each throws std::runtime_error, in one sentence, where there is no query in it; there is none then.
    void restore(const std::string& json);
    void setFile(const std::string& path) { set(Source::File, path); }
    void setText(const std::string& text) { set(Source::Text, text); }

    std::string json() const; // empty: there is none
    std::string file() const { return valueOf(Source::File); }
    std::string text() const { return valueOf(Source::Text); }

private:
    enum class Source { None, File, Text };

    void set(Source kind, const std::string& value);
    void adopt(Query query);
    std::string valueOf(Source kind) const;

    const Read parse, readFile, embed;
    const Use use;
    mutable std::mutex lock;
    Query query; // no vector: there is none
    Source source = Source::None;
    std::string value;     // of the source
    bool restored = false; // with its source's value still to come
};

} // namespace marssep
