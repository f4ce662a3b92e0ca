// CLAP's reset, which the framework leaves empty, and hosts without the extensions for latency or parameters, which the framework takes to
// be there. Everything else passes through.

#include <cstring>
#include <memory>

#include "config.h"
#include "src/clap/entry.h"
#include "src/clap/ext/latency.h"
#include "src/clap/ext/params.h"
#include "src/clap/ext/thread-check.h"
#include "src/clap/plugin-factory.h"

#include "engine.hpp"

// the makefile renames the framework's own entry to this
extern "C" const clap_plugin_entry_t marssep_framework_clap_entry;

extern thread_local marssep::Engine* marssepLatestEngine; // dpf_plugin.cpp

namespace {

// One plug-in: as the host sees it, which must come first, and what is behind it.
struct Instance {
    clap_plugin_t shown{};
    const clap_plugin_t* inner = nullptr;
    marssep::Engine* engine = nullptr;

    const clap_host_t* host = nullptr; // the real one
    clap_host_t standIn{};             // the framework's
    const clap_host_latency_t* latency = nullptr;
    const clap_host_params_t* params = nullptr;
    const clap_host_thread_check_t* threads = nullptr;

    static Instance& of(const clap_plugin_t* plugin) { return *reinterpret_cast<Instance*>(const_cast<clap_plugin_t*>(plugin)); }
    static Instance& of(const clap_host_t* standIn) { return *static_cast<Instance*>(standIn->host_data); }
};

// ------------------------------------------------------------------------------------------------------- the framework asks its host

void CLAP_ABI latencyChanged(const clap_host_t* standIn)
{
    const Instance& own = Instance::of(standIn);
    if (own.latency != nullptr)
        own.latency->changed(own.host);
}

void CLAP_ABI rescan(const clap_host_t* standIn, clap_param_rescan_flags flags)
{
    const Instance& own = Instance::of(standIn);
    if (own.params != nullptr)
        own.params->rescan(own.host, flags);
}

void CLAP_ABI clear(const clap_host_t* standIn, clap_id parameter, clap_param_clear_flags flags)
{
    const Instance& own = Instance::of(standIn);
    if (own.params != nullptr)
        own.params->clear(own.host, parameter, flags);
}

void CLAP_ABI requestFlush(const clap_host_t* standIn)
{
    const Instance& own = Instance::of(standIn);
    if (own.params != nullptr)
        own.params->request_flush(own.host);
}

bool CLAP_ABI isMainThread(const clap_host_t* standIn)
{
    return Instance::of(standIn).threads->is_main_thread(Instance::of(standIn).host);
}

bool CLAP_ABI isAudioThread(const clap_host_t* standIn)
{
    return Instance::of(standIn).threads->is_audio_thread(Instance::of(standIn).host);
}

const void* CLAP_ABI hostExtension(const clap_host_t* standIn, const char* id)
{
    static const clap_host_latency_t latency{latencyChanged};
    static const clap_host_params_t params{rescan, clear, requestFlush};
    static const clap_host_thread_check_t threads{isMainThread, isAudioThread};
    if (std::strcmp(id, CLAP_EXT_LATENCY) == 0)
        return &latency;
    if (std::strcmp(id, CLAP_EXT_PARAMS) == 0)
        return &params;
    return std::strcmp(id, CLAP_EXT_THREAD_CHECK) == 0 && Instance::of(standIn).threads != nullptr ? &threads : nullptr;
}

void CLAP_ABI requestRestart(const clap_host_t* standIn)
{
    Instance::of(standIn).host->request_restart(Instance::of(standIn).host);
}

void CLAP_ABI requestProcess(const clap_host_t* standIn)
{
    Instance::of(standIn).host->request_process(Instance::of(standIn).host);
}

void CLAP_ABI requestCallback(const clap_host_t* standIn)
{
    Instance::of(standIn).host->request_callback(Instance::of(standIn).host);
}

// --------------------------------------------------------------------------------------------------------- the host asks the plug-in

bool CLAP_ABI init(const clap_plugin_t* plugin)
{
    Instance& own = Instance::of(plugin);
    const auto find = [&](const char* id) { return own.host->get_extension(own.host, id); };
    own.latency = static_cast<const clap_host_latency_t*>(find(CLAP_EXT_LATENCY));
    own.params = static_cast<const clap_host_params_t*>(find(CLAP_EXT_PARAMS));
    own.threads = static_cast<const clap_host_thread_check_t*>(find(CLAP_EXT_THREAD_CHECK));
    return own.inner->init(own.inner);
}

void CLAP_ABI destroy(const clap_plugin_t* plugin)
{
    const std::unique_ptr<Instance> own(&Instance::of(plugin));
    own->inner->destroy(own->inner);
}

void CLAP_ABI reset(const clap_plugin_t* plugin)
{
    if (marssep::Engine* engine = Instance::of(plugin).engine)
        engine->reset();
}

const clap_plugin_factory_t* framework()
{
    return static_cast<const clap_plugin_factory_t*>(marssep_framework_clap_entry.get_factory(CLAP_PLUGIN_FACTORY_ID));
}

std::uint32_t CLAP_ABI count(const clap_plugin_factory_t*)
{
    return framework()->get_plugin_count(framework());
}

const clap_plugin_descriptor_t* CLAP_ABI descriptor(const clap_plugin_factory_t*, std::uint32_t index)
{
    return framework()->get_plugin_descriptor(framework(), index);
}

const clap_plugin_t* CLAP_ABI create(const clap_plugin_factory_t*, const clap_host_t* host, const char* id)
{
    auto own = std::make_unique<Instance>();
    own->host = host;
    own->standIn = {host->clap_version, own.get(), host->name, host->vendor, host->url, host->version,
        hostExtension, requestRestart, requestProcess, requestCallback};
    marssepLatestEngine = nullptr;
    own->inner = framework()->create_plugin(framework(), &own->standIn, id);
    if (own->inner == nullptr)
        return nullptr;
    own->engine = marssepLatestEngine;
    own->shown = *own->inner;
    own->shown.init = init;
    own->shown.destroy = destroy;
    own->shown.reset = reset;
    return &own.release()->shown;
}

const void* CLAP_ABI factory(const char* id)
{
    static const clap_plugin_factory_t ours{count, descriptor, create};
    return std::strcmp(id, CLAP_PLUGIN_FACTORY_ID) == 0 ? &ours : nullptr;
}

bool CLAP_ABI enter(const char* path)
{
    return marssep_framework_clap_entry.init(path);
}

void CLAP_ABI leave()
{
    marssep_framework_clap_entry.deinit();
}

} // namespace

#undef clap_entry

extern "C" __attribute__((visibility("default"))) const clap_plugin_entry_t clap_entry{CLAP_VERSION, enter, leave, factory};
