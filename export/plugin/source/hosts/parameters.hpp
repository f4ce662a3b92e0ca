// The parameters as hosts see them. Numbers, symbols and ranges are in saved projects: new ones go to the end.
#pragma once

#include <cstddef>
#include <iterator>

#include "config.h"
#include "contract.hpp"

namespace marssep {

enum Parameter { QUERY, WET, LIMIT, GAIN, OUTPUT, OFFLINE, LEVEL, PRESENCE, MISSED, STATUS, REDUCTION, MIX, LATENCY, PARAMETERS };

enum Status { READY, NO_QUERY, NO_MODEL, TOO_MANY_SOUNDS, DOUBTED_WORDS };

enum class Role { Knob, Choice, Switch, Meter, Hidden };

struct Choices {
    std::size_t count;
    const char* const* names; // of the values 0, 1, ...
};

struct Described {
    const char *name, *symbol, *unit;
    float normal, low, high;
    Role role;
    Choices choices;
    const char* description;
};

namespace mixer = contract::mixer;

inline constexpr float NO_LIMIT_DB = mixer::NO_LIMIT_DB;
inline constexpr const char* QUERIES[] = {MARSSEP_QUERIES, "Own query"}; // the last one is typed or loaded
inline constexpr const char* OUTPUTS[] = {"Target", "Residual", "Bypass"};
inline constexpr const char* STATUSES[] = {"ready", "no query", "no model", "too many sounds", "doubted words"};
inline constexpr float OWN_QUERY = MARSSEP_QUERY_COUNT;

inline constexpr Described DESCRIBED[PARAMETERS] = {
    {"Query", "query", "", 0, 0, OWN_QUERY, Role::Choice, {MARSSEP_QUERY_COUNT + 1, QUERIES}, "The sound; Own query is typed or loaded"},
    {"Wet", "wet", "", mixer::WET_DEFAULT, mixer::WET_MIN, mixer::WET_MAX, Role::Hidden, {}, "Mix as earlier versions had it, 0 to 1; for their projects"},
    {"Max Attenuation", "limit", "dB", NO_LIMIT_DB, mixer::LIMIT_DB_MIN, NO_LIMIT_DB, Role::Knob, {}, "The attenuation limit"},
    {"Gain", "gain", "dB", mixer::GAIN_DB_DEFAULT, mixer::GAIN_DB_MIN, mixer::GAIN_DB_MAX, Role::Knob, {}, "The output gain"},
    {"Output", "output", "", 0, 0, 2, Role::Choice, {3, OUTPUTS}, "Target, everything else, or the input"},
    {"Offline Render", "offline", "", 0, 0, 1, Role::Switch, {}, "Wait for the model instead of dropping what comes late: for rendering"},
    {"Output level", "level", "dB", -120, -120, mixer::GAIN_DB_MAX, Role::Meter, {}, "The output level"},
    {"Presence", "presence", "", 0, 0, 1, Role::Meter, {}, "How likely the target is in the input"},
    {"Dropped Samples", "missed", "", 0, 0, 1e9f, Role::Meter, {}, "Samples that came too late"},
    {"Status", "status", "", 0, 0, std::size(STATUSES) - 1, Role::Meter, {std::size(STATUSES), STATUSES}, "Whether there is a query and a model"},
    {"Reduction", "reduction", "dB", 0, 0, 60, Role::Meter, {}, "How far the output is below the input"},
    {"Mix", "mix", "%", 100, 0, 100, Role::Knob, {}, "From dry to wet"},
    {"Latency", "latency_ms", "ms", 0, 0, 10000, Role::Meter, {}, "What the host is told"},
};

// States. Hosts restore them in the order of these keys.
inline constexpr const char* STATE_KEYS[] = {"query", "query_file", "query_text"};

} // namespace marssep
