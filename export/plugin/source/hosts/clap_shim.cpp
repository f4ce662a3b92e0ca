// CLAP's reset, which the framework leaves empty; states in streams that move a few bytes at a time, of which it loses some; and hosts without the extensions for latency or parameters, which the framework takes to
// be there; parameters that are for old projects only are hidden; factory presets. Everything else passes through.

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "config.h"
#include "src/clap/entry.h"
#include "src/clap/ext/gui.h"
#include "src/clap/ext/latency.h"
#include "src/clap/ext/params.h"
#include "src/clap/ext/state.h"
#include "src/clap/ext/thread-check.h"
#include "src/clap/ext/timer-support.h"
#include "src/clap/plugin-factory.h"

#include "clap_presets.hpp"
#include "engine.hpp"
#include "parameters.hpp"

// the makefile renames the framework's own entry to this
extern "C" const clap_plugin_entry_t marssep_framework_clap_entry;

extern thread_local marssep::Engine* marssepLatestEngine; // dpf_plugin.cpp

namespace {

// One plug-in: as the host sees it, which must come first, and what is behind it.
struct Instance {
    clap_plugin_t shown{};
    const clap_plugin_t* inner = nullptr;
    marssep::Engine* engine = nullptr;
    const clap_plugin_params_t* parameters = nullptr; // the framework's
    clap_plugin_params_t shownParameters{};
    const clap_plugin_state_t* state = nullptr; // the framework's

    const clap_host_t* host = nullptr; // the real one
    clap_host_t standIn{};             // the framework's
    const clap_host_latency_t* latency = nullptr;
    const clap_host_params_t* params = nullptr;
    const clap_host_thread_check_t* threads = nullptr;
    const clap_host_gui_t* window = nullptr;
    const clap_host_timer_support_t* timers = nullptr;
    const marssep::presets::HostLoad* presets = nullptr;

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

const clap_host_gui_t windows{
    [](const clap_host_t* standIn) { Instance::of(standIn).window->resize_hints_changed(Instance::of(standIn).host); },
    [](const clap_host_t* standIn, std::uint32_t width, std::uint32_t height) {
        return Instance::of(standIn).window->request_resize(Instance::of(standIn).host, width, height);
    },
    [](const clap_host_t* standIn) { return Instance::of(standIn).window->request_show(Instance::of(standIn).host); },
    [](const clap_host_t* standIn) { return Instance::of(standIn).window->request_hide(Instance::of(standIn).host); },
    [](const clap_host_t* standIn, bool destroyed) { Instance::of(standIn).window->closed(Instance::of(standIn).host, destroyed); },
};

const clap_host_timer_support_t timers{
    [](const clap_host_t* standIn, std::uint32_t period, clap_id* timer) {
        return Instance::of(standIn).timers->register_timer(Instance::of(standIn).host, period, timer);
    },
    [](const clap_host_t* standIn, clap_id timer) { return Instance::of(standIn).timers->unregister_timer(Instance::of(standIn).host, timer); },
};

const void* CLAP_ABI hostExtension(const clap_host_t* standIn, const char* id)
{
    static const clap_host_latency_t latency{latencyChanged};
    static const clap_host_params_t params{rescan, clear, requestFlush};
    static const clap_host_thread_check_t threads{isMainThread, isAudioThread};
    if (std::strcmp(id, CLAP_EXT_LATENCY) == 0)
        return &latency;
    if (std::strcmp(id, CLAP_EXT_PARAMS) == 0)
        return &params;
    const Instance& own = Instance::of(standIn);
    if (std::strcmp(id, CLAP_EXT_GUI) == 0)
        return own.window != nullptr ? &windows : nullptr;
    if (std::strcmp(id, CLAP_EXT_TIMER_SUPPORT) == 0)
        return own.timers != nullptr ? &timers : nullptr;
    return std::strcmp(id, CLAP_EXT_THREAD_CHECK) == 0 && own.threads != nullptr ? &threads : nullptr;
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
    own.window = static_cast<const clap_host_gui_t*>(find(CLAP_EXT_GUI));
    own.timers = static_cast<const clap_host_timer_support_t*>(find(CLAP_EXT_TIMER_SUPPORT));
    for (const char* id : {"clap.preset-load/2", "clap.preset-load.draft/2"})
        if (own.presets == nullptr)
            own.presets = static_cast<const marssep::presets::HostLoad*>(find(id));
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

bool CLAP_ABI parameterInfo(const clap_plugin_t* plugin, std::uint32_t index, clap_param_info_t* info)
{
    if (!Instance::of(plugin).parameters->get_info(plugin, index, info))
        return false;
    if (info->id < marssep::PARAMETERS && marssep::DESCRIBED[info->id].role == marssep::Role::Hidden)
        info->flags |= CLAP_PARAM_IS_HIDDEN;
    return true;
}

bool CLAP_ABI save(const clap_plugin_t* plugin, const clap_ostream_t* stream)
{
    std::string whole;
    const clap_ostream_t memory{&whole, [](const clap_ostream_t* own, const void* data, std::uint64_t size) {
        static_cast<std::string*>(own->ctx)->append(static_cast<const char*>(data), size);
        return std::int64_t(size);
    }};
    if (!Instance::of(plugin).state->save(plugin, &memory))
        return false;
    for (std::size_t at = 0; at < whole.size();) {
        const std::int64_t written = stream->write(stream, whole.data() + at, whole.size() - at);
        if (written <= 0)
            return false;
        at += std::size_t(written);
    }
    return true;
}

// Hand a state to the framework.
bool take(const clap_plugin_t* plugin, std::string_view left)
{
    const clap_istream_t memory{&left, [](const clap_istream_t* own, void* data, std::uint64_t size) {
        auto& rest = *static_cast<std::string_view*>(own->ctx);
        const std::size_t some = rest.copy(static_cast<char*>(data), std::min<std::uint64_t>(size, rest.size()));
        rest.remove_prefix(some);
        return std::int64_t(some);
    }};
    const auto* state = static_cast<const clap_plugin_state_t*>(Instance::of(plugin).inner->get_extension(Instance::of(plugin).inner, CLAP_EXT_STATE));
    return state->load(plugin, &memory);
}

bool CLAP_ABI load(const clap_plugin_t* plugin, const clap_istream_t* stream)
{
    std::string whole;
    char part[4096];
    std::int64_t count = 0;
    while ((count = stream->read(stream, part, sizeof(part))) > 0)
        whole.append(part, std::size_t(count));
    whole.erase(whole.find_last_not_of('\0') + 1);
    if (count < 0 || !whole.starts_with("__dpf_") || !whole.ends_with('\xfe'))
        return false; // a part of a state, or none at all
    return take(plugin, whole);
}

// Only the parameters that a preset names change: a state without the query leaves it as it is.
bool CLAP_ABI loadPreset(const clap_plugin_t* plugin, std::uint32_t kind, const char* path, const char* key)
{
    namespace presets = marssep::presets;
    const Instance& own = Instance::of(plugin);
    const std::string state = kind == presets::IN_THE_PLUGIN ? presets::stateOf(key) : "";
    const bool loaded = !state.empty() && take(plugin, state);
    if (own.presets != nullptr && loaded)
        own.presets->loaded(own.host, kind, path, key);
    else if (own.presets != nullptr)
        own.presets->error(own.host, kind, path, key, 0, "there is no such preset");
    return loaded;
}

const void* CLAP_ABI extension(const clap_plugin_t* plugin, const char* id)
{
    static const clap_plugin_state_t states{save, load};
    static const marssep::presets::Load presets{loadPreset};
    if (marssep::presets::isExtensionId(id))
        return &presets;
    Instance& own = Instance::of(plugin);
    const void* found = own.inner->get_extension(own.inner, id);
    if (found != nullptr && std::strcmp(id, CLAP_EXT_STATE) == 0) {
        own.state = static_cast<const clap_plugin_state_t*>(found);
        return &states;
    }
    if (found == nullptr || std::strcmp(id, CLAP_EXT_PARAMS) != 0)
        return found;
    own.parameters = static_cast<const clap_plugin_params_t*>(found);
    own.shownParameters = *own.parameters;
    own.shownParameters.get_info = parameterInfo;
    return &own.shownParameters;
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
    if (index != 0)
        return nullptr;
    static const clap_plugin_descriptor_t own = [] {
        clap_plugin_descriptor_t changed = *framework()->get_plugin_descriptor(framework(), 0);
        changed.version = MARSSEP_VERSION_TEXT;
        return changed;
    }();
    return &own;
}

const clap_plugin_t* CLAP_ABI create(const clap_plugin_factory_t* ours, const clap_host_t* host, const char* id)
{
    if (std::strcmp(id, descriptor(ours, 0)->id) != 0)
        return nullptr; // the framework would not ask
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
    own->shown.desc = descriptor(ours, 0);
    own->shown.init = init;
    own->shown.destroy = destroy;
    own->shown.reset = reset;
    own->shown.get_extension = extension;
    return &own.release()->shown;
}

const void* CLAP_ABI factory(const char* id)
{
    static const clap_plugin_factory_t ours{count, descriptor, create};
    if (marssep::presets::isFactoryId(id))
        return &marssep::presets::DISCOVERY;
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
