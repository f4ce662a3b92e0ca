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
        std::vector<std::int64_t> shape; // CHANNELS stands for the number of channels; streams are one
    };
    static constexpr std::int64_t CHANNELS = -1;

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
};

// The state of one stream of hops. Everything is allocated in the constructor; used by one thread at a time.
class Stream {
public:
    // Throws std::runtime_error.
    Stream(std::shared_ptr<const Model> model, unsigned channels);
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    float* audio(unsigned channel) { return audioData.data() + channel * model->info.hop; }
    const float* target(unsigned channel) const { return targetData.data() + channel * model->info.hop; }
    float* query() { return queryData.data(); }

    // One hop: audio and query are read, target is written, the state moves on. Throws std::runtime_error.
    void run();
    void mute() { std::fill(targetData.begin(), targetData.end(), 0.0f); } // the hop that was run last
    // The state returns to zero.
    void reset();

private:
    void bindStates(unsigned channels);
    OrtValue* tensor(std::vector<float>& data, const std::vector<std::int64_t>& shape);

    const std::shared_ptr<const Model> model;
    std::vector<float> audioData, targetData, queryData, otherData;
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
