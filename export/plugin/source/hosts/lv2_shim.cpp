// LV2 hosts that offer none of the optional features (lv2apply and other small ones): the framework's plug-in insists on a URID map, options
// and a worker, and on its ports for events being connected. Here they get plain ones. The framework keeps texts of a state that a host's
// worker writes and its main thread saves: here one waits for the other. Values of a state need not end in a zero. Everything else passes
// through.

#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "config.h"
#include "src/lv2/atom.h"
#include "src/lv2/buf-size.h"
#include "src/lv2/lv2.h"
#include "src/lv2/options.h"
#include "src/lv2/state.h"
#include "src/lv2/urid.h"
#include "src/lv2/worker.h"

// the makefile renames the framework's own entry to this
extern "C" const LV2_Descriptor* marssep_framework_lv2_descriptor(std::uint32_t index);

namespace {

constexpr std::uint32_t EVENTS_IN = 2 * MARSSEP_CHANNELS, EVENTS_OUT = EVENTS_IN + 1;
constexpr std::int32_t LONGEST_BLOCK = 4096; // where the host does not say

LV2_URID mapUri(LV2_URID_Map_Handle, const char* uri)
{
    static std::mutex lock;
    static std::map<std::string, LV2_URID> known;
    const std::lock_guard<std::mutex> guard(lock);
    return known.try_emplace(uri, LV2_URID(known.size() + 1)).first->second;
}

LV2_Worker_Status noWork(LV2_Worker_Schedule_Handle, std::uint32_t, const void*)
{
    return LV2_WORKER_ERR_UNKNOWN;
}

struct alignas(8) Events {
    LV2_Atom_Sequence sequence;
    char room[2048];
};

// What stands in for a host's event ports, and a lock around its instance's state.
struct StandIn {
    Events in{}, out{};
    std::mutex state; // never taken by the audio thread

    explicit StandIn(LV2_URID sequenceType)
    {
        in.sequence.atom = {sizeof(LV2_Atom_Sequence_Body), sequenceType};
        out.sequence.atom = {sizeof(Events) - sizeof(LV2_Atom), sequenceType};
    }
};

std::mutex standInLock;
std::map<LV2_Handle, StandIn> standIns;

StandIn* standInOf(LV2_Handle handle)
{
    const std::lock_guard<std::mutex> guard(standInLock);
    const auto found = standIns.find(handle);
    return found == standIns.end() ? nullptr : &found->second;
}

LV2_Handle instantiate(const LV2_Descriptor*, double rate, const char* bundle, const LV2_Feature* const* features)
{
    static LV2_URID_Map map{nullptr, mapUri};
    static LV2_Worker_Schedule worker{nullptr, noWork};
    static const std::int32_t block = LONGEST_BLOCK;
    LV2_URID_Map* chosen = &map;
    bool hasMap = false, hasOptions = false, hasWorker = false;
    std::vector<const LV2_Feature*> all;
    for (; features != nullptr && *features != nullptr; ++features) {
        all.push_back(*features);
        if (std::strcmp((*features)->URI, LV2_URID__map) == 0) {
            hasMap = true;
            chosen = static_cast<LV2_URID_Map*>((*features)->data);
        }
        hasOptions = hasOptions || std::strcmp((*features)->URI, LV2_OPTIONS__options) == 0;
        hasWorker = hasWorker || std::strcmp((*features)->URI, LV2_WORKER__schedule) == 0;
    }
    const auto id = [&](const char* uri) { return chosen->map(chosen->handle, uri); };
    const LV2_Options_Option options[] = {
        {LV2_OPTIONS_INSTANCE, 0, id(LV2_BUF_SIZE__maxBlockLength), sizeof(block), id(LV2_ATOM__Int), &block},
        {LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, nullptr},
    };
    const LV2_Feature mapFeature{LV2_URID__map, chosen}, workerFeature{LV2_WORKER__schedule, &worker},
        optionsFeature{LV2_OPTIONS__options, const_cast<LV2_Options_Option*>(options)};
    if (!hasMap)
        all.push_back(&mapFeature);
    if (!hasOptions)
        all.push_back(&optionsFeature);
    if (!hasWorker)
        all.push_back(&workerFeature);
    all.push_back(nullptr);
    const LV2_Descriptor* inner = marssep_framework_lv2_descriptor(0);
    const LV2_Handle handle = inner->instantiate(inner, rate, bundle, all.data());
    if (handle == nullptr)
        return nullptr;
    StandIn* standIn = nullptr;
    {
        const std::lock_guard<std::mutex> guard(standInLock);
        standIn = &standIns.try_emplace(handle, id(LV2_ATOM__Sequence)).first->second;
    }
    inner->connect_port(handle, EVENTS_IN, &standIn->in);
    inner->connect_port(handle, EVENTS_OUT, &standIn->out);
    return handle;
}

void connectPort(LV2_Handle handle, std::uint32_t port, void* data)
{
    if (data == nullptr && (port == EVENTS_IN || port == EVENTS_OUT))
        if (StandIn* standIn = standInOf(handle))
            data = port == EVENTS_IN ? &standIn->in : &standIn->out;
    marssep_framework_lv2_descriptor(0)->connect_port(handle, port, data);
}

template <class Interface> const Interface& framework(const char* uri)
{
    return *static_cast<const Interface*>(marssep_framework_lv2_descriptor(0)->extension_data(uri));
}

LV2_Worker_Status work(LV2_Handle handle, LV2_Worker_Respond_Function respond, LV2_Worker_Respond_Handle to, std::uint32_t size, const void* data)
{
    const std::lock_guard<std::mutex> guard(standInOf(handle)->state);
    return framework<LV2_Worker_Interface>(LV2_WORKER__interface).work(handle, respond, to, size, data);
}

LV2_Worker_Status workResponse(LV2_Handle handle, std::uint32_t size, const void* body)
{
    return framework<LV2_Worker_Interface>(LV2_WORKER__interface).work_response(handle, size, body);
}

LV2_State_Status save(LV2_Handle handle, LV2_State_Store_Function store, LV2_State_Handle to, std::uint32_t flags, const LV2_Feature* const* features)
{
    const std::lock_guard<std::mutex> guard(standInOf(handle)->state);
    return framework<LV2_State_Interface>(LV2_STATE__interface).save(handle, store, to, flags, features);
}

// A host's values, each copied with a zero behind it.
struct Values {
    LV2_State_Retrieve_Function retrieve;
    LV2_State_Handle from;
    std::list<std::string> copies{};
};

const void* valueOf(LV2_State_Handle handle, std::uint32_t key, std::size_t* size, std::uint32_t* type, std::uint32_t* flags)
{
    Values& values = *static_cast<Values*>(handle);
    const void* data = values.retrieve(values.from, key, size, type, flags);
    return data == nullptr ? nullptr : values.copies.emplace_back(static_cast<const char*>(data), *size).c_str();
}

LV2_State_Status restore(LV2_Handle handle, LV2_State_Retrieve_Function retrieve, LV2_State_Handle from, std::uint32_t flags, const LV2_Feature* const* features)
{
    const std::lock_guard<std::mutex> guard(standInOf(handle)->state);
    Values values{retrieve, from};
    return framework<LV2_State_Interface>(LV2_STATE__interface).restore(handle, valueOf, &values, flags, features);
}

const void* extensionData(const char* uri)
{
    static const LV2_Worker_Interface worker{work, workResponse, nullptr};
    static const LV2_State_Interface state{save, restore};
    if (std::strcmp(uri, LV2_WORKER__interface) == 0)
        return &worker;
    if (std::strcmp(uri, LV2_STATE__interface) == 0)
        return &state;
    return marssep_framework_lv2_descriptor(0)->extension_data(uri);
}

void cleanup(LV2_Handle handle)
{
    marssep_framework_lv2_descriptor(0)->cleanup(handle);
    const std::lock_guard<std::mutex> guard(standInLock);
    standIns.erase(handle);
}

} // namespace

#undef lv2_descriptor

extern "C" __attribute__((visibility("default"))) const LV2_Descriptor* lv2_descriptor(std::uint32_t index)
{
    if (index != 0)
        return nullptr;
    static const LV2_Descriptor own = [] {
        LV2_Descriptor changed = *marssep_framework_lv2_descriptor(0);
        changed.instantiate = instantiate;
        changed.connect_port = connectPort;
        changed.cleanup = cleanup;
        changed.extension_data = extensionData;
        return changed;
    }();
    return &own;
}
