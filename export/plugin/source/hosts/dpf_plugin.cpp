// The shell that DISTRHO Plugin Framework turns into VST3, CLAP, LV2 and a JACK program. What sounds is in engine.cpp.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "DistrhoPlugin.hpp"

#include "engine.hpp"
#include "finite.hpp"
#include "own_query.hpp"
#include "parameters.hpp"
#include "resources.hpp"
#include "utf8.hpp"

thread_local marssep::Engine* marssepLatestEngine = nullptr; // of the instance that this thread made last: clap_shim.cpp asks

START_NAMESPACE_DISTRHO

using namespace marssep;

namespace {

void choose(ParameterEnumerationValues& to, const Choices& choices)
{
    to.values = new ParameterEnumerationValue[choices.count];
    for (; to.count < choices.count; ++to.count) {
        to.values[to.count].value = float(to.count);
        to.values[to.count].label = choices.names[to.count];
    }
    to.restrictedMode = true;
}

} // namespace

class MarssepPlugin : public Plugin {
public:
    MarssepPlugin()
        : Plugin(PARAMETERS, 0, std::size(STATE_KEYS))
        , resources(Resources::shared())
        , engine(resources->model, MARSSEP_CHANNELS, resources->queries, MARSSEP_SPARE_HOPS)
        , own([this](const std::string& json) { return resources->parse(json); },
              [this](const std::string& path) { return warned(resources->readFile(path)); },
              [this](const std::string& sentence) { return warned(resources->embed(sentence)); },
              [this](const Query& query) { use(query); })
    {
        for (std::size_t i = 0; i < PARAMETERS; ++i)
            values[i] = DESCRIBED[i].normal;
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

    void initParameter(uint32_t index, DISTRHO_NAMESPACE::Parameter& parameter) override
    {
        const Described& described = DESCRIBED[index];
        parameter.name = described.name;
        parameter.symbol = described.symbol;
        parameter.unit = described.unit;
        parameter.description = described.description;
        parameter.ranges = ParameterRanges(described.normal, described.low, described.high);
        parameter.hints = described.role == Role::Meter ? kParameterIsOutput : kParameterIsAutomatable;
        if (described.role == Role::Switch)
            parameter.hints |= kParameterIsBoolean | kParameterIsInteger;
        if (described.choices.count > 0) {
            parameter.hints |= kParameterIsInteger;
            choose(parameter.enumValues, described.choices);
        } else if (index == LIMIT) {
            parameter.enumValues.values = new ParameterEnumerationValue[1]{{NO_LIMIT_DB, "off"}};
            parameter.enumValues.count = 1;
        }
    }

    void initState(uint32_t index, State& state) override
    {
        state.key = STATE_KEYS[index];
        state.defaultValue = "";
        switch (index) {
        case 0:
            state.hints = kStateIsOnlyForDSP;
            state.label = "Query";
            state.description = "The own query as it is saved";
            break;
        case 1:
            state.hints = kStateIsFilenamePath;
            state.label = "Query file";
            state.description = "A .query file of marssep query; choose Own query to hear it";
            break;
        case 2:
            state.hints = kStateIsHostWritable;
            state.label = "Query text";
            state.description = "The sound in words; choose Own query to hear it";
            break;
        }
    }

    float getParameterValue(uint32_t index) const override
    {
        switch (index) {
        case LEVEL:
            return std::clamp(engine.levelDb(), DESCRIBED[LEVEL].low, DESCRIBED[LEVEL].high);
        case PRESENCE:
            return engine.presence();
        case MISSED:
            return float(engine.missed());
        case STATUS:
            if (resources->model == nullptr)
                return NO_MODEL;
            if (!engine.hasQuery())
                return NO_QUERY;
            return engine.tooManySounds() ? TOO_MANY_SOUNDS : doubted() ? DOUBTED_WORDS : READY;
        case REDUCTION:
            return engine.reductionDb();
        case LATENCY:
            return float(1000.0 * told / getSampleRate());
        default:
            return values[index];
        }
    }

    void setParameterValue(uint32_t index, float value) override
    {
        const Described& described = DESCRIBED[index];
        if (described.role == Role::Meter || !isFinite(value))
            return;
        values[index] = std::clamp(value, described.low, described.high);
        if (index == QUERY) {
            engine.selectQuery(unsigned(values[QUERY] + 0.5f));
        } else if (index == OFFLINE) {
            engine.setOffline(values[OFFLINE] > 0.5f);
        } else {
            const float wet = values[WET] * values[MIX] / 100.0f;
            engine.setControls({wet, values[LIMIT], values[GAIN], marssep::Output(int(values[OUTPUT] + 0.5f))});
        }
    }

    String getState(const char* key) const override
    {
        const std::size_t index = stateOf(key);
        return String(index == 0 ? own.json().c_str() : index == 1 ? own.file().c_str() : index == 2 ? own.text().c_str() : "");
    }

    void setState(const char* key, const char* value) override
    {
        try {
            switch (stateOf(key)) {
            case 0:
                return own.restore(value);
            case 1:
                return own.setFile(value);
            case 2:
                return own.setText(valid(value));
            }
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
    static std::size_t stateOf(const char* key)
    {
        std::size_t index = 0;
        while (index < std::size(STATE_KEYS) && std::strcmp(key, STATE_KEYS[index]) != 0)
            ++index;
        return index;
    }

    static Query warned(const Query& query)
    {
        if (!query.warning.empty())
            d_stderr2("marssep: %s", query.warning.c_str());
        return query;
    }

    void use(const Query& query)
    {
        engine.setQuery(query);
        advisedDb = query.limitDb;
    }

    // Whether the words of the chosen query are unlike what the model knows, and attenuate more than they should.
    bool doubted() const
    {
        const auto index = std::size_t(values[QUERY] + 0.5f);
        return values[LIMIT] > (index < resources->queries.size() ? resources->queries[index].limitDb : advisedDb.load());
    }

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
            setLatency(told = engine.latencyAt(rate(), getBufferSize()));
    }

    std::array<float, PARAMETERS> values{};
    const std::shared_ptr<const Resources> resources;
    Engine engine;
    OwnQuery own;
    std::atomic<float> advisedDb{NO_LIMIT_DB}; // the attenuation limit that the own query asks for
    unsigned told = 0; // the latency
    bool active = false;

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(MarssepPlugin)
};

Plugin* createPlugin()
{
    return new MarssepPlugin();
}

END_NAMESPACE_DISTRHO
