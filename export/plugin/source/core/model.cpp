#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "contract.hpp"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace marssep {

namespace {

#ifdef _WIN32
void* openHandle(const std::filesystem::path& library)
{
    return LoadLibraryW(library.c_str());
}

void* findSymbol(void* handle, const char* name)
{
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle), name));
}

void closeHandle(void* handle)
{
    FreeLibrary(static_cast<HMODULE>(handle));
}
#else
void* openHandle(const std::filesystem::path& library)
{
    return dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
}

void* findSymbol(void* handle, const char* name)
{
    return dlsym(handle, name);
}

void closeHandle(void* handle)
{
    dlclose(handle);
}
#endif

// The library's functions. The library stays loaded, unless it is of no use.
const OrtApi* openApi(const std::filesystem::path& library)
{
    std::unique_ptr<void, decltype(&closeHandle)> handle(openHandle(library), closeHandle);
    using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();
    auto* symbol = handle ? reinterpret_cast<GetApiBase>(findSymbol(handle.get(), "OrtGetApiBase")) : nullptr;
    if (symbol == nullptr)
        throw std::runtime_error("ONNX Runtime cannot be loaded from " + library.string());
    const OrtApi* api = symbol()->GetApi(ORT_API_VERSION);
    if (api == nullptr)
        throw std::runtime_error(library.string() + " is older than the ONNX Runtime that this plug-in was built for");
    (void)handle.release();
    return api;
}

} // namespace

Runtime::Runtime(const std::filesystem::path& library)
    : api(openApi(library))
{
    OrtEnv* made = nullptr;
    check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "marssep", &made));
    env = {made, api->ReleaseEnv};
}

void Runtime::check(OrtStatus* status) const
{
    if (status == nullptr)
        return;
    const Owned<OrtStatus> kept(status, api->ReleaseStatus);
    throw std::runtime_error(api->GetErrorMessage(status));
}

GraphInfo GraphInfo::parse(const std::string& json)
{
    try {
        const auto data = nlohmann::ordered_json::parse(json);
        if (data.at("format").get<int>() > contract::formats::GRAPH)
            throw std::runtime_error("the graph has a newer format than this plug-in understands");
        GraphInfo info;
        info.sampleRate = data.at("sample_rate");
        info.hop = data.at("hop");
        info.latency = data.at("latency");
        info.queryDim = data.at("query_dim");
        info.encoder = data.at("encoder");
        if (const auto presence = data.find("presence"); presence != data.end() && !presence->empty())
            info.presence = {presence->at("share").at(0), presence->at("share").at(1)};
        for (const auto& [name, shape] : data.at("states").items()) {
            State state{name, {}};
            for (const auto& size : shape)
                state.shape.push_back(size.is_number() ? size.get<std::int64_t>() : size == "C" ? CHANNELS : STREAMS);
            info.states.push_back(state);
        }
        return info;
    } catch (const nlohmann::json::exception& e) {
        throw std::runtime_error(std::string("the graph has no usable marssep metadata: ") + e.what());
    }
}

namespace {

// The graph's metadata property "marssep", empty where it has none.
std::string readMetadata(const Runtime& runtime, OrtSession* session)
{
    const OrtApi& api = *runtime.api;
    OrtAllocator* allocator = nullptr;
    runtime.check(api.GetAllocatorWithDefaultOptions(&allocator));
    OrtModelMetadata* metadata = nullptr;
    runtime.check(api.SessionGetModelMetadata(session, &metadata));
    const Owned<OrtModelMetadata> kept(metadata, api.ReleaseModelMetadata);
    char* text = nullptr;
    runtime.check(api.ModelMetadataLookupCustomMetadataMap(metadata, allocator, contract::formats::METADATA_KEY, &text));
    const auto release = [allocator](char* found) { allocator->Free(allocator, found); };
    const std::unique_ptr<char, decltype(release)> keptText(text, release);
    return text != nullptr ? text : "";
}

// Optional inputs of a graph: whose masks are united, and whose are taken out.
constexpr const char* MIXING[] = {"also", "drop"};

bool isOptionalInput(const Runtime& runtime, const OrtSession* session, const std::string& name)
{
    const OrtApi& api = *runtime.api;
    OrtAllocator* allocator = nullptr;
    runtime.check(api.GetAllocatorWithDefaultOptions(&allocator));
    std::size_t count = 0;
    runtime.check(api.SessionGetOverridableInitializerCount(session, &count));
    for (std::size_t i = 0; i < count; ++i) {
        char* found = nullptr;
        runtime.check(api.SessionGetOverridableInitializerName(session, i, allocator, &found));
        const bool same = name == found;
        allocator->Free(allocator, found);
        if (same)
            return true;
    }
    return false;
}

std::size_t sizeOf(const std::vector<std::int64_t>& shape)
{
    return std::size_t(std::accumulate(shape.begin(), shape.end(), std::int64_t(1), std::multiplies<>()));
}

// The first of ``from``'s rows becomes every row of ``to``, which may be the same.
void repeat(const std::vector<float>& from, std::size_t fromRows, std::vector<float>& to, std::size_t toRows)
{
    const std::size_t size = from.size() / fromRows;
    for (std::size_t row = &from == &to ? 1 : 0; row < toRows; ++row)
        std::copy_n(from.begin(), size, to.begin() + std::ptrdiff_t(row * size));
}

} // namespace

Session openSession(const Runtime& runtime, const std::filesystem::path& file)
{
    const OrtApi& api = *runtime.api;
    OrtSessionOptions* options = nullptr;
    runtime.check(api.CreateSessionOptions(&options));
    const Owned<OrtSessionOptions> kept(options, api.ReleaseSessionOptions);
    runtime.check(api.SetIntraOpNumThreads(options, 1));
    runtime.check(api.SetInterOpNumThreads(options, 1));
    runtime.check(api.SetSessionExecutionMode(options, ORT_SEQUENTIAL));
    runtime.check(api.AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
    OrtSession* made = nullptr;
    runtime.check(api.CreateSession(runtime.env.get(), file.c_str(), options, &made));
    return {made, api.ReleaseSession};
}

Model::Model(std::shared_ptr<const Runtime> with, const std::filesystem::path& file)
    : runtime(std::move(with))
    , session(openSession(*runtime, file))
    , info(GraphInfo::parse(readMetadata(*runtime, session.get())))
{
    std::size_t count = 0;
    runtime->check(runtime->api->SessionGetInputCount(session.get(), &count));
    // beside audio and states: nothing, the query, or the query and what to push away
    vectors = count > info.states.size() ? count - info.states.size() - 1 : 0;
    baked = vectors == 0;
    mixes = isOptionalInput(*runtime, session.get(), MIXING[0]) && isOptionalInput(*runtime, session.get(), MIXING[1]);
}

Stream::Stream(std::shared_ptr<const Model> of, unsigned channelCount, std::size_t soundCount)
    : model(std::move(of))
    , channels(channelCount)
    , sounds(soundCount)
{
    const GraphInfo& info = model->info;
    const OrtApi& api = *model->runtime->api;
    OrtMemoryInfo* made = nullptr;
    model->runtime->check(api.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &made));
    memory = {made, api.ReleaseMemoryInfo};
    const auto count = std::int64_t(sounds);
    bindInput("audio", audioData, {count, channels, info.hop});
    targetData.assign(audioData.size(), 0.0f);
    OrtValue* targetValue = tensor(targetData, {count, channels, info.hop});
    outputNames = {"target"};
    outputs[0] = outputs[1] = {targetValue};
    if (!model->baked)
        bindInput("query", queryData, {count, info.queryDim});
    if (model->vectors == 2)
        bindInput("other", otherData, {count, info.queryDim});
    if (model->mixes) {
        bindInput(MIXING[0], alsoData, {count, count});
        bindInput(MIXING[1], dropData, {count, count});
    }
    bindStates();
}

void Stream::bindInput(const char* name, std::vector<float>& data, const std::vector<std::int64_t>& shape)
{
    data.assign(sizeOf(shape), 0.0f);
    OrtValue* value = tensor(data, shape);
    inputNames.push_back(name);
    for (auto& set : inputs)
        set.push_back(value);
}

// Two sets of state tensors: a run reads one and writes the other.
void Stream::bindStates()
{
    const GraphInfo& info = model->info;
    for (const GraphInfo::State& state : info.states) {
        names.push_back(state.name);
        names.push_back(state.name + "_next");
    }
    for (auto& set : states)
        set.resize(info.states.size());
    for (std::size_t s = 0; s < info.states.size(); ++s) {
        inputNames.push_back(names[2 * s].c_str());
        outputNames.push_back(names[2 * s + 1].c_str());
        std::vector<std::int64_t> sizes = info.states[s].shape;
        std::replace(sizes.begin(), sizes.end(), GraphInfo::CHANNELS, std::int64_t(channels));
        std::replace(sizes.begin(), sizes.end(), GraphInfo::STREAMS, std::int64_t(sounds));
        OrtValue* values[2];
        for (unsigned i = 0; i < 2; ++i) {
            states[i][s].assign(sizeOf(sizes), 0.0f);
            values[i] = tensor(states[i][s], sizes);
        }
        for (unsigned i = 0; i < 2; ++i) {
            inputs[i].push_back(values[i]);
            outputs[i].push_back(values[1 - i]);
        }
    }
}

OrtValue* Stream::tensor(std::vector<float>& data, const std::vector<std::int64_t>& shape)
{
    const OrtApi& api = *model->runtime->api;
    OrtValue* value = nullptr;
    model->runtime->check(api.CreateTensorWithDataAsOrtValue(
        memory.get(), data.data(), data.size() * sizeof(float), shape.data(), shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
    Owned<OrtValue> kept(value, api.ReleaseValue);
    owned.push_back(std::move(kept));
    return value;
}

void Stream::setSounds(const Sounds& given)
{
    std::fill(alsoData.begin(), alsoData.end(), 0.0f);
    std::fill(dropData.begin(), dropData.end(), 0.0f);
    for (std::size_t i = 0; i < sounds; ++i) {
        std::copy(given.vectors[i].begin(), given.vectors[i].end(), queryData.begin() + std::ptrdiff_t(i * model->info.queryDim));
        if (i > 0)
            (i < given.kept ? alsoData : dropData)[i] = 1.0f;
    }
    if (!otherData.empty())
        tellWhatIsDropped(given.kept);
}

// The kept sounds' streams know what else is there: the normalised mean of the sounds that are dropped.
void Stream::tellWhatIsDropped(std::size_t kept)
{
    const auto dim = std::ptrdiff_t(model->info.queryDim);
    const auto begin = otherData.begin();
    std::fill(begin, otherData.end(), 0.0f);
    for (auto dropped = queryData.begin() + std::ptrdiff_t(kept) * dim; kept < sounds && dropped != queryData.end(); dropped += dim)
        std::transform(dropped, dropped + dim, begin, begin, std::plus<>());
    const float length = std::sqrt(std::inner_product(begin, begin + dim, begin, 0.0f));
    if (length == 0.0f)
        return; // nothing is dropped
    std::transform(begin, begin + dim, begin, [length](float x) { return x / length; });
    for (std::size_t i = 1; i < kept; ++i)
        std::copy(begin, begin + dim, begin + std::ptrdiff_t(i) * dim);
}

void Stream::continueFrom(const Stream& other)
{
    repeat(other.audioData, other.sounds, audioData, sounds);
    for (std::size_t s = 0; s < states[turn].size(); ++s)
        repeat(other.states[other.turn][s], other.sounds, states[turn][s], sounds);
}

void Stream::run()
{
    const OrtApi& api = *model->runtime->api;
    repeat(audioData, sounds, audioData, sounds);
    model->runtime->check(api.Run(model->session.get(), nullptr, inputNames.data(), inputs[turn].data(), inputNames.size(), outputNames.data(),
                                  outputNames.size(), outputs[turn].data()));
    turn = 1 - turn;
}

void Stream::reset()
{
    for (auto& set : states)
        for (auto& state : set)
            std::fill(state.begin(), state.end(), 0.0f);
    std::fill(audioData.begin(), audioData.end(), 0.0f);
    std::fill(targetData.begin(), targetData.end(), 0.0f);
}

} // namespace marssep
