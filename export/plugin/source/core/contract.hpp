// Written by python -m export.contract from marssep_rt/contract.json; do not edit.
// marssep_rt/contract.py says what each constant means.
#pragma once

namespace marssep::contract::formats {
inline constexpr int BUNDLE = 1;
inline constexpr int GRAPH = 1;
inline constexpr int QUERY = 2;
inline constexpr int QUERY_OF_SOUNDS = 1;
inline constexpr const char* METADATA_KEY = "marssep";
inline constexpr const char* QUERY_SUFFIX = ".query";
} // namespace marssep::contract::formats

namespace marssep::contract::mixer {
inline constexpr double WET_MIN = 0.0;
inline constexpr double WET_MAX = 1.0;
inline constexpr double WET_DEFAULT = 1.0;
inline constexpr double LIMIT_DB_MIN = 0.0;
inline constexpr double NO_LIMIT_DB = 100.0;
inline constexpr double GAIN_DB_MIN = -60.0;
inline constexpr double GAIN_DB_MAX = 40.0;
inline constexpr double GAIN_DB_DEFAULT = 0.0;
inline constexpr double STRENGTH_DB = 30.0;
inline constexpr double RAMP_SECONDS = 0.01;
inline constexpr double LARGEST_SAMPLE = 1000000.0;
} // namespace marssep::contract::mixer

namespace marssep::contract::query {
inline constexpr double NEGATIVE_WEIGHT = 0.5;
inline constexpr int MOST_SOUNDS = 16;
inline constexpr int LONGEST_TEXT = 500;
inline constexpr double MIN_VECTOR_LENGTH = 1e-06;
} // namespace marssep::contract::query

namespace marssep::contract::resampler {
inline constexpr int HALF_WIDTH = 32;
inline constexpr double CUTOFF = 0.94;
inline constexpr double KAISER_BETA = 9.0;
} // namespace marssep::contract::resampler

namespace marssep::contract::latency {
inline constexpr double HOP_SHARE = 0.8;
inline constexpr double LIVE_HOP_FACTOR = 2.0;
inline constexpr double LIVE_OVERSLEEP_SECONDS = 0.003;
inline constexpr int PLUGIN_EXTRA_HOPS = 1;
inline constexpr int PAGE_EXTRA_HOPS = 2;
} // namespace marssep::contract::latency

namespace marssep::contract::presence {
inline constexpr double SMOOTHING_SECONDS = 0.7;
inline constexpr double FLOOR_DB = -60.0;
inline constexpr double WINDOW_SECONDS = 2.0;
inline constexpr double THRESHOLD = 0.5;
inline constexpr double UNMATCHED_SECONDS = 3.0;
} // namespace marssep::contract::presence

namespace marssep::contract::old_bundles {
inline constexpr double PRESENCE_SHARE[] = {1.823, 0.207};
} // namespace marssep::contract::old_bundles
