// A small LV2 host with a worker: a query is typed through patch:Set, saved, and restored in another instance.
//   lv2_host LIBRARY BUNDLE URI TEXT
// prints "when status level" (of the ports "status" and "level") before, after the text, and after the restored state.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <lv2/atom/forge.h>
#include <lv2/core/lv2.h>
#include <lv2/patch/patch.h>
#include <lv2/state/state.h>
#include <lv2/urid/urid.h>
#include <lv2/worker/worker.h>

namespace {

constexpr unsigned AUDIO = 4, EVENTS_IN = 4, EVENTS_OUT = 5, LATENCY = 6, CONTROLS = 7, COUNT = 32, BLOCK = 512;
constexpr unsigned QUERY = CONTROLS, OFFLINE = CONTROLS + 5, LEVEL = CONTROLS + 6, STATUS = CONTROLS + 9;
constexpr float OWN_QUERY = 2, DEFAULTS[] = {OWN_QUERY, 1, 100, 0, 0, 1, 0, 0, 0, 0, 0, 100};

std::map<std::string, LV2_URID> known;

LV2_URID map(LV2_URID_Map_Handle, const char* uri)
{
    return known.try_emplace(uri, LV2_URID(known.size() + 1)).first->second;
}

struct Value {
    std::string data;
    LV2_URID type;
};
using State = std::map<LV2_URID, Value>;

class Host {
public:
    Host(const LV2_Descriptor* of, const char* bundle)
        : descriptor(of)
    {
        LV2_Worker_Schedule schedule{this, [](LV2_Worker_Schedule_Handle self, uint32_t size, const void* data) {
            static_cast<Host*>(self)->work.emplace_back(static_cast<const char*>(data), size);
            return LV2_WORKER_SUCCESS;
        }};
        worker = schedule;
        const LV2_Feature mapFeature{LV2_URID__map, &urids}, workFeature{LV2_WORKER__schedule, &worker};
        const LV2_Feature* features[] = {&mapFeature, &workFeature, nullptr};
        handle = descriptor->instantiate(descriptor, 48000, bundle, features);
        for (unsigned i = 0; i < AUDIO; ++i)
            descriptor->connect_port(handle, i, audio[i]);
        for (unsigned i = 0; i < std::size(DEFAULTS); ++i)
            controls[CONTROLS + i] = DEFAULTS[i];
        for (unsigned i = LATENCY; i < COUNT; ++i)
            descriptor->connect_port(handle, i, &controls[i]);
        descriptor->connect_port(handle, EVENTS_IN, in);
        descriptor->connect_port(handle, EVENTS_OUT, out);
        lv2_atom_forge_init(&forge, &urids);
        descriptor->activate(handle);
    }

    ~Host()
    {
        descriptor->deactivate(handle);
        descriptor->cleanup(handle);
    }

    // Some seconds of noise, with a text set at the beginning if there is one.
    void run(const char* uri, const char* text)
    {
        for (unsigned block = 0; block < 150; ++block) {
            LV2_Atom_Forge_Frame sequence, object;
            lv2_atom_forge_set_buffer(&forge, in, sizeof(in));
            lv2_atom_forge_sequence_head(&forge, &sequence, 0);
            if (block == 0 && text != nullptr) {
                lv2_atom_forge_frame_time(&forge, 0);
                lv2_atom_forge_object(&forge, &object, 0, map(nullptr, LV2_PATCH__Set));
                lv2_atom_forge_key(&forge, map(nullptr, LV2_PATCH__property));
                lv2_atom_forge_urid(&forge, map(nullptr, (std::string(uri) + "#query_text").c_str()));
                lv2_atom_forge_key(&forge, map(nullptr, LV2_PATCH__value));
                lv2_atom_forge_string(&forge, text, uint32_t(std::strlen(text)));
                lv2_atom_forge_pop(&forge, &object);
            }
            lv2_atom_forge_pop(&forge, &sequence);
            reinterpret_cast<LV2_Atom*>(out)->size = sizeof(out) - sizeof(LV2_Atom);
            for (unsigned i = 0; i < BLOCK; ++i)
                audio[0][i] = audio[1][i] = 0.1f * float(int((seed = seed * 1664525u + 1013904223u) >> 16) - 32768) / 32768.0f;
            descriptor->run(handle, BLOCK);
            const auto* worker = static_cast<const LV2_Worker_Interface*>(descriptor->extension_data(LV2_WORKER__interface));
            for (const std::string& some : std::exchange(work, {}))
                worker->work(handle, nullptr, nullptr, uint32_t(some.size()), some.data());
        }
    }

    State save()
    {
        State state;
        states()->save(handle, [](LV2_State_Handle to, uint32_t key, const void* value, size_t size, uint32_t type, uint32_t) {
            (*static_cast<State*>(to))[key] = {std::string(static_cast<const char*>(value), size), type};
            return LV2_STATE_SUCCESS;
        }, &state, 0, nullptr);
        return state;
    }

    void restore(State state)
    {
        states()->restore(handle, [](LV2_State_Handle from, uint32_t key, size_t* size, uint32_t* type, uint32_t*) -> const void* {
            const auto& all = *static_cast<State*>(from);
            const auto found = all.find(key);
            if (found == all.end())
                return nullptr;
            *size = found->second.data.size();
            *type = found->second.type;
            return found->second.data.data();
        }, &state, 0, nullptr);
    }

    void say(const char* when) const { std::printf("%s %g %g\n", when, controls[STATUS], controls[LEVEL]); }

private:
    const LV2_State_Interface* states() const
    {
        return static_cast<const LV2_State_Interface*>(descriptor->extension_data(LV2_STATE__interface));
    }

    const LV2_Descriptor* descriptor;
    LV2_Handle handle = nullptr;
    LV2_URID_Map urids{nullptr, map};
    LV2_Worker_Schedule worker{};
    LV2_Atom_Forge forge{};
    std::vector<std::string> work;
    float audio[AUDIO][BLOCK] = {}, controls[COUNT] = {};
    alignas(8) uint8_t in[4096] = {}, out[4096] = {};
    unsigned seed = 1;
};

} // namespace

int main(int, char** arguments)
{
    void* library = dlopen(arguments[1], RTLD_NOW);
    const auto find = reinterpret_cast<const LV2_Descriptor* (*)(uint32_t)>(dlsym(library, "lv2_descriptor"));
    Host first(find(0), arguments[2]), second(find(0), arguments[2]);
    first.run(arguments[3], nullptr);
    first.say("before");
    first.run(arguments[3], arguments[4]);
    first.run(arguments[3], nullptr); // once more: the model remembers seconds of what it was asked before
    first.say("typed");
    second.restore(first.save());
    second.run(arguments[3], nullptr);
    second.run(arguments[3], nullptr);
    second.say("restored");
    return 0;
}
