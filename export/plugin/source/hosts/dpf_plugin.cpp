// The shell that DISTRHO Plugin Framework turns into VST3, CLAP, LV2 and a JACK program. What sounds is in engine.cpp.

#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>

#include "DistrhoPlugin.hpp"
#include "DistrhoPluginUtils.hpp"

#include "engine.hpp"
#include "query_file.hpp"

thread_local marssep::Engine* marssepLatestEngine = nullptr; // of the instance that this thread made last: clap_shim.cpp asks

START_NAMESPACE_DISTRHO

namespace {

enum Parameters { QUERY, WET, LIMIT, GAIN, OUTPUT, OFFLINE, LEVEL, PRESENCE, MISSED, COUNT };

namespace mixer = marssep::contract::mixer;

constexpr const char* FILE_STATE = "query_file";

// Everything that lies beside the plug-in, loaded once for all instances in a process.
struct Resources {
    std::shared_ptr<const marssep::Model> model;
    std::vector<std::vector<float>> queries;

    static std::shared_ptr<const Resources> shared()
    {
        static std::mutex lock;
        static std::weak_ptr<const Resources> kept;
        const std::lock_guard<std::mutex> guard(lock);
        if (auto there = kept.lock())
            return there;
        auto loaded = std::make_shared<const Resources>();
        kept = loaded;
        return loaded;
    }

    Resources()
    {
        try {
            const std::filesystem::path folder = std::filesystem::path(getBinaryFilename()).parent_path();
            auto runtime = std::make_shared<const marssep::Runtime>(folder / MARSSEP_LIBRARY);
            auto opened = std::make_shared<const marssep::Model>(std::move(runtime), folder / "separator.onnx");
            for (const marssep::Query& query : marssep::readQueries(folder / "queries.json", opened->info.encoder, opened->info.queryDim))
                queries.push_back(query.vector);
            model = std::move(opened);
        } catch (const std::exception& e) {
            d_stderr2("marssep: %s; the plug-in is silent", e.what());
        }
    }
};

} // namespace

class MarssepPlugin : public Plugin {
public:
    MarssepPlugin()
        : Plugin(COUNT, 0, 1)
        , resources(Resources::shared())
        , engine(resources->model, MARSSEP_CHANNELS, resources->queries, MARSSEP_SPARE_HOPS)
    {
        const marssep::Controls fresh;
        values = {0.0f, fresh.wet, fresh.limitDb, fresh.gainDb, 0.0f, 0.0f, -120.0f, 0.0f, 0.0f};
        marssepLatestEngine = &engine;
        report();
    }

protected:
    const char* getLabel() const override { return MARSSEP_LABEL; }
    const char* getDescription() const override { return "Lets through one sound out of a mixture: " MARSSEP_NAME; }
    const char* getMaker() const override { return "marssep"; }
    const char* getLicense() const override { return "Apache-2.0"; }
    uint32_t getVersion() const override { return d_version(MARSSEP_VERSION); }
    int64_t getUniqueId() const override { return d_cconst(MARSSEP_UNIQUE_CHARACTERS); }

    void initAudioPort(bool input, uint32_t index, AudioPort& port) override
    {
        port.groupId = MARSSEP_CHANNELS == 1 ? kPortGroupMono : kPortGroupStereo;
        Plugin::initAudioPort(input, index, port);
    }

    void initParameter(uint32_t index, Parameter& parameter) override
    {
        const auto describe = [&](const char* name, const char* symbol, const char* unit, float normal, float low, float high) {
            parameter.hints |= kParameterIsAutomatable;
            parameter.name = name;
            parameter.symbol = symbol;
            parameter.unit = unit;
            parameter.ranges = ParameterRanges(normal, low, high);
        };
        const auto choose = [&](std::initializer_list<const char*> names) {
            parameter.hints |= kParameterIsInteger;
            auto* entries = new ParameterEnumerationValue[names.size()];
            float number = 0.0f;
            for (const char* name : names) {
                entries[std::size_t(number)].label = name;
                entries[std::size_t(number)].value = number;
                number += 1.0f;
            }
            parameter.enumValues.count = uint8_t(names.size());
            parameter.enumValues.restrictedMode = true;
            parameter.enumValues.values = entries;
        };
        switch (index) {
        case QUERY:
            describe("Query", "query", "", 0.0f, 0.0f, float(MARSSEP_QUERY_COUNT));
            choose({MARSSEP_QUERIES, "Query file"});
            break;
        case WET:
            describe("Mix", "wet", "", mixer::WET_DEFAULT, mixer::WET_MIN, mixer::WET_MAX);
            break;
        case LIMIT:
            describe("Max Attenuation", "limit", "dB", mixer::NO_LIMIT_DB, mixer::LIMIT_DB_MIN, mixer::NO_LIMIT_DB);
            parameter.description = "The attenuation limit; 100 dB is no limit";
            break;
        case GAIN:
            describe("Gain", "gain", "dB", mixer::GAIN_DB_DEFAULT, mixer::GAIN_DB_MIN, mixer::GAIN_DB_MAX);
            break;
        case OUTPUT:
            describe("Output", "output", "", 0.0f, 0.0f, 2.0f);
            choose({"Target", "Residual", "Bypass"});
            break;
        case OFFLINE:
            describe("Offline Render", "offline", "", 0.0f, 0.0f, 1.0f);
            parameter.hints |= kParameterIsBoolean | kParameterIsInteger;
            parameter.description = "Wait for the model instead of dropping what comes late: for rendering";
            break;
        case LEVEL:
            describe("Level", "level", "dB", -120.0f, -120.0f, mixer::GAIN_DB_MAX);
            parameter.hints = kParameterIsOutput;
            break;
        case PRESENCE:
            describe("Target Level", "presence", "", 0.0f, 0.0f, 1.0f);
            parameter.hints = kParameterIsOutput;
            parameter.description = "The target's share of the input energy";
            break;
        case MISSED:
            describe("Dropped Samples", "missed", "", 0.0f, 0.0f, 1e9f);
            parameter.hints = kParameterIsOutput;
            parameter.description = "Samples that were not ready in time and are silent";
            break;
        }
    }

    void initState(uint32_t, State& state) override
    {
        state.hints = kStateIsFilenamePath;
        state.key = FILE_STATE;
        state.label = "Query file";
        state.description = "A .query file of marssep-query";
        state.defaultValue = "";
    }

    float getParameterValue(uint32_t index) const override
    {
        switch (index) {
        case LEVEL:
            return std::max(-120.0f, engine.levelDb());
        case PRESENCE:
            return engine.presence();
        case MISSED:
            return float(engine.missed());
        default:
            return values[index];
        }
    }

    void setParameterValue(uint32_t index, float value) override
    {
        values[index] = value;
        if (index == QUERY) {
            engine.selectQuery(unsigned(std::max(0.0f, value + 0.5f)));
        } else if (index == OFFLINE) {
            engine.setOffline(value > 0.5f);
        } else {
            const auto output = marssep::Output(std::clamp(int(values[OUTPUT] + 0.5f), 0, 2));
            engine.setControls({values[WET], values[LIMIT], values[GAIN], output});
        }
    }

    String getState(const char* key) const override
    {
        return std::strcmp(key, FILE_STATE) == 0 ? queryFile : String();
    }

    void setState(const char* key, const char* value) override
    {
        if (std::strcmp(key, FILE_STATE) != 0)
            return;
        queryFile = value;
        if (queryFile.isEmpty() || resources->model == nullptr)
            return;
        try {
            const marssep::GraphInfo& info = resources->model->info;
            engine.setQuery(marssep::readQuery(value, info.encoder, info.queryDim).vector);
        } catch (const std::exception& e) {
            d_stderr2("marssep: %s", e.what());
        }
    }

    void activate() override
    {
        active = true;
        try {
            engine.start(rate(), getBufferSize());
        } catch (const std::exception& e) {
            d_stderr2("marssep: %s; the plug-in is silent", e.what());
        }
        report();
    }

    void deactivate() override
    {
        active = false;
        engine.stop();
    }

    void bufferSizeChanged(uint32_t) override { changed(); }
    void sampleRateChanged(double) override { changed(); }

    void run(const float** inputs, float** outputs, uint32_t frames) override
    {
        if (frames > 0)
            engine.process(inputs, outputs, frames);
    }

private:
    unsigned rate() const { return unsigned(getSampleRate() + 0.5); }

    void changed()
    {
        if (active)
            activate();
        else
            report();
    }

    void report()
    {
        if (!isDummyInstance()) // else it is only asked what it is
            setLatency(engine.latencyAt(rate(), getBufferSize()));
    }

    std::array<float, COUNT> values;
    String queryFile;
    const std::shared_ptr<const Resources> resources;
    marssep::Engine engine;
    bool active = false;

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(MarssepPlugin)
};

Plugin* createPlugin()
{
    return new MarssepPlugin();
}

END_NAMESPACE_DISTRHO
