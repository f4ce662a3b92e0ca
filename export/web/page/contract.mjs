// Written by python -m export.contract from marssep_rt/contract.json; do not edit.
// marssep_rt/contract.py says what each constant means.

export const FORMATS = Object.freeze({
  bundle: 1,
  graph: 1,
  query: 2,
  query_of_sounds: 1,
  metadata_key: "marssep",
  query_suffix: ".query",
});

export const MIXER = Object.freeze({
  wet_min: 0.0,
  wet_max: 1.0,
  wet_default: 1.0,
  limit_db_min: 0.0,
  no_limit_db: 100.0,
  gain_db_min: -60.0,
  gain_db_max: 40.0,
  gain_db_default: 0.0,
  strength_db: 30.0,
  ramp_seconds: 0.01,
  largest_sample: 1000000.0,
});

export const QUERY = Object.freeze({
  negative_weight: 0.5,
  most_sounds: 16,
  longest_text: 500,
  min_vector_length: 1e-06,
});

export const RESAMPLER = Object.freeze({
  half_width: 32,
  cutoff: 0.94,
  kaiser_beta: 9.0,
});

export const LATENCY = Object.freeze({
  hop_share: 0.8,
  live_hop_factor: 2.0,
  live_oversleep_seconds: 0.003,
  plugin_extra_hops: 1,
  page_extra_hops: 2,
});

export const PRESENCE = Object.freeze({
  smoothing_seconds: 0.7,
  floor_db: -60.0,
  window_seconds: 2.0,
  threshold: 0.5,
  unmatched_seconds: 3.0,
});
