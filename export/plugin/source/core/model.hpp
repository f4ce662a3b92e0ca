// The streaming graph, run through ONNX Runtime's C API. The library is opened at run time, so that a plug-in without it still loads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <onnxruntime_c_api.h>

#include "presence.hpp"

namespace marssep {

// An object of ONNX Runtime's C API with the function that releases it. (The library's own C++ header keeps its API table in a variable that
// all plug-ins of a process would share, whatever their versions.)
template <class T> using Owned = std::unique_ptr<T, void(ORT_API_CALL*)(T*)>;

// ONNX Runtime's shared library and its environment; stays loaded until the process ends.
class Runtime {
public:
    // Throws std::runtime_error when the library is missing, is none, or is older than the header that this was built with.
    explicit Runtime(const std::filesystem::path& library);
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    // Throws std::runtime_error with the library's own words.
    void check(OrtStatus* status) const;

    const OrtApi* api = nullptr;
    Owned<OrtEnv> env{nullptr, nullptr};
};

// A graph, run by one thread without spinning: that keeps a real-time worker's times short and even.
using Session = Owned<OrtSession>;
// Throws std::runtime_error when the file is missing or damaged.
Session openSession(const Runtime& runtime, const std::filesystem::path& file);

// What a graph says of itself in its metadata property "marssep".
struct GraphInfo {
    struct State {
        std::string name;
        std::vector<std::int64_t> shape; // STREAMS and CHANNELS stand for the numbers of streams and channels
    };
    static constexpr std::int64_t STREAMS = -1, CHANNELS = -2;

    unsigned sampleRate = 0, hop = 0, latency = 0, queryDim = 0;
    std::string encoder;
    PresenceCurve presence;
    std::vector<State> states;

    // Throws std::runtime_error for what is no such property, or of a newer format.
    static GraphInfo parse(const std::string& json);
};

// A loaded separator.onnx; streams share it.
class Model {
public:
    // Throws std::runtime_error when the file is missing or damaged.
    Model(std::shared_ptr<const Runtime> runtime, const std::filesystem::path& file);
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const std::shared_ptr<const Runtime> runtime;
    const Session session;
    GraphInfo info;
    std::size_t vectors = 0; // inputs that say what is asked for: the query, and what to push away
    bool baked = false; // no query input: it is part of the graph
    bool mixes = false; // the graph puts the masks of its streams together
};

// The unit vectors of a query: the masks of the first ``kept`` sounds are united, and those of the others taken out.
struct Sounds {
    std::vector<std::vector<float>> vectors;
    std::size_t kept = 1;
};

// The state of one stream of hops, which goes through the graph once for every sound. Everything is allocated in the constructor; used by
// one thread at a time.
class Stream {
public:
    // More than one sound: only of a graph that mixes. Throws std::runtime_error.
    Stream(std::shared_ptr<const Model> model, unsigned channels, std::size_t sounds = 1);
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    float* audio(unsigned channel) { return audioData.data() + channel * model->info.hop; }
    const float* target(unsigned channel) const { return targetData.data() + channel * model->info.hop; }
    // As many of the sounds as this stream has; there are no fewer.
    void setSounds(const Sounds& given);
    // Go on where a stream of as many channels is, its last input with it.
    void continueFrom(const Stream& other);

    // One hop: audio and sounds are read, target is written, the state moves on. Throws std::runtime_error.
    void run();
    void mute() { std::fill(targetData.begin(), targetData.end(), 0.0f); } // the hop that was run last
    // The state returns to zero.
    void reset();

private:
    void tellWhatIsDropped(std::size_t kept);
    void bindStates();
    void bindInput(const char* name, std::vector<float>& data, const std::vector<std::int64_t>& shape);
    OrtValue* tensor(std::vector<float>& data, const std::vector<std::int64_t>& shape);

    const std::shared_ptr<const Model> model;
    const unsigned channels;
    const std::size_t sounds;
    std::vector<float> audioData, targetData; // sound by sound; the first one's target is that of the query
    std::vector<float> queryData, otherData, alsoData, dropData;
    std::vector<std::vector<float>> states[2];
    Owned<OrtMemoryInfo> memory{nullptr, nullptr};
    std::vector<Owned<OrtValue>> owned;
    std::vector<std::string> names;
    std::vector<const char*> inputNames, outputNames;
    std::vector<const OrtValue*> inputs[2]; // state is read from one set and written to the other; the two take turns
    std::vector<OrtValue*> outputs[2];
    unsigned turn = 0;
};

} // namespace marssep
