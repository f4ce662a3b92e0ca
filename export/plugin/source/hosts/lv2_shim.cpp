// LV2 hosts that offer none of the optional features (lv2apply and other small ones): the framework's plug-in insists on a URID map, options
// and a worker, and on its ports for events being connected. Here they get plain ones, and everything else passes through.

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "config.h"
#include "src/lv2/atom.h"
#include "src/lv2/buf-size.h"
#include "src/lv2/lv2.h"
#include "src/lv2/options.h"
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

// What stands in for a host's event ports.
struct StandIn {
    Events in{}, out{};

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
        return changed;
    }();
    return &own;
}
