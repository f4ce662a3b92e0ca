// Factory presets for CLAP hosts: the plug-in's binary holds them. The framework's copy of CLAP is older than its presets, so what a host and
// a plug-in call of each other is described here (CLAP 1.2: preset discovery and preset load).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "config.h"
#include "src/clap/plugin.h"

namespace marssep::presets {

// A preset is the parameters' part of a saved state, a line for each of its texts.
struct Preset {
    const char *name, *state;
};

inline constexpr Preset FACTORY[] = {MARSSEP_PRESETS};

// The state as the framework reads it; empty where there is no such preset.
inline std::string stateOf(const char* name)
{
    for (const Preset& preset : FACTORY)
        if (name != nullptr && std::strcmp(preset.name, name) == 0) {
            std::string state = std::string(preset.state) + "\n\xfe";
            for (char& letter : state)
                letter = letter == '\n' ? '\0' : letter;
            return state;
        }
    return "";
}

// Both names of each are of the same version; hosts of before 2024 know the second one.
inline bool isFactoryId(const char* id)
{
    return std::strcmp(id, "clap.preset-discovery-factory/2") == 0 || std::strcmp(id, "clap.preset-discovery-factory/draft-2") == 0;
}

inline bool isExtensionId(const char* id)
{
    return std::strcmp(id, "clap.preset-load/2") == 0 || std::strcmp(id, "clap.preset-load.draft/2") == 0;
}

// ------------------------------------------------------------------------------------- what CLAP prescribes, as far as it is used here

constexpr std::uint32_t IN_THE_PLUGIN = 1; // a location without a path
constexpr std::uint32_t FACTORY_CONTENT = 1;

struct PluginId {
    const char *kind, *id;
};

struct Receiver {
    void* data;
    void(CLAP_ABI* error)(const Receiver*, std::int32_t number, const char* words);
    bool(CLAP_ABI* begin)(const Receiver*, const char* name, const char* key); // false: no more
    void(CLAP_ABI* addPlugin)(const Receiver*, const PluginId*);
    void(CLAP_ABI* setSoundpack)(const Receiver*, const char* id);
    void(CLAP_ABI* setFlags)(const Receiver*, std::uint32_t flags);
    void(CLAP_ABI* addCreator)(const Receiver*, const char* name);
    // more follows
};

struct Location {
    std::uint32_t flags;
    const char* name;
    std::uint32_t kind;
    const char* path;
};

struct Indexer {
    clap_version_t version;
    const char *name, *vendor, *url, *ofHost;
    void* data;
    bool(CLAP_ABI* declareFiletype)(const Indexer*, const void*);
    bool(CLAP_ABI* declareLocation)(const Indexer*, const Location*);
    // more follows
};

struct ProviderDescriptor {
    clap_version_t version;
    const char *id, *name, *vendor;
};

struct Provider {
    const ProviderDescriptor* descriptor;
    void* data; // the indexer
    bool(CLAP_ABI* init)(const Provider*);
    void(CLAP_ABI* destroy)(const Provider*);
    bool(CLAP_ABI* metadata)(const Provider*, std::uint32_t kind, const char* path, const Receiver*);
    const void*(CLAP_ABI* extension)(const Provider*, const char* id);
};

struct Discovery {
    std::uint32_t(CLAP_ABI* count)(const Discovery*);
    const ProviderDescriptor*(CLAP_ABI* descriptor)(const Discovery*, std::uint32_t index);
    const Provider*(CLAP_ABI* create)(const Discovery*, const Indexer*, const char* id);
};

struct Load {
    bool(CLAP_ABI* from)(const clap_plugin_t*, std::uint32_t kind, const char* path, const char* key);
};

struct HostLoad {
    void(CLAP_ABI* error)(const clap_host_t*, std::uint32_t kind, const char* path, const char* key, std::int32_t number, const char* words);
    void(CLAP_ABI* loaded)(const clap_host_t*, std::uint32_t kind, const char* path, const char* key);
};

// ---------------------------------------------------------------------------------------------------------------- the host looks for them

inline constexpr ProviderDescriptor PROVIDER{CLAP_VERSION_INIT, MARSSEP_CLAP_ID ".presets", MARSSEP_NAME, "marssep"};

inline bool CLAP_ABI declare(const Provider* provider)
{
    const auto* indexer = static_cast<const Indexer*>(provider->data);
    const Location inside{FACTORY_CONTENT, MARSSEP_NAME, IN_THE_PLUGIN, nullptr};
    return indexer->declareLocation(indexer, &inside);
}

inline bool CLAP_ABI describe(const Provider*, std::uint32_t kind, const char*, const Receiver* receiver)
{
    if (kind != IN_THE_PLUGIN)
        return false;
    const PluginId plugin{"clap", MARSSEP_CLAP_ID};
    for (const Preset& preset : FACTORY) {
        if (!receiver->begin(receiver, preset.name, preset.name))
            break;
        receiver->addPlugin(receiver, &plugin);
        receiver->setFlags(receiver, FACTORY_CONTENT);
        receiver->addCreator(receiver, "marssep");
    }
    return true;
}

inline const Provider* CLAP_ABI provider(const Discovery*, const Indexer* indexer, const char* id)
{
    if (std::strcmp(id, PROVIDER.id) != 0)
        return nullptr;
    return new Provider{&PROVIDER, const_cast<Indexer*>(indexer), declare, [](const Provider* own) { delete own; }, describe,
        [](const Provider*, const char*) -> const void* { return nullptr; }};
}

inline constexpr Discovery DISCOVERY{
    [](const Discovery*) -> std::uint32_t { return 1; },
    [](const Discovery*, std::uint32_t index) { return index == 0 ? &PROVIDER : nullptr; },
    provider,
};

} // namespace marssep::presets
