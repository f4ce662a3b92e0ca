/* The separation engine behind plain C functions: for hosts and plug-ins of other kinds, and for the tests.
 *
 * Functions that can fail say so by their result; marssep_error() then gives the reason in one sentence. An engine belongs to one caller:
 * marssep_start, marssep_stop and marssep_close must not run while marssep_process does. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* The last error of the calling thread. */
const char* marssep_error(void);

/* Open an engine. ``library``: ONNX Runtime's shared library; ``graph``: separator.onnx; ``channels``: 1 or 2; ``vectors``: unit vectors
 * [count][query_dim]; ``spare_hops``: additional latency in hops. Returns null where something is missing. */
void* marssep_open(const char* library, const char* graph, unsigned channels, const float* vectors, unsigned count, unsigned spare_hops);
void marssep_close(void* handle);

/* Start at this sample rate in Hz with blocks of at most ``longest_block`` samples. Returns 0, or 1 if the model cannot be prepared; the
 * output is then silent. */
int marssep_start(void* handle, unsigned rate, unsigned longest_block);
void marssep_stop(void* handle);

/* Drop everything that is inside: the state returns to zero. Safe on the audio thread. */
void marssep_reset(void* handle);

/* The latency in samples at the rate of marssep_start. */
unsigned marssep_latency(void* handle);

/* Offline rendering on (1) or off (0): on, marssep_process waits for the model instead of dropping samples. */
void marssep_offline(void* handle, int on);

/* Choose a query: an index into ``vectors``, or ``count`` for the one of marssep_query_file; the target is silent where there is none. */
void marssep_select(void* handle, unsigned index);

/* ``wet`` 0..1; ``limit_db`` >= 0, from 100 on no limit; ``gain_db``; ``output`` 0 target, 1 residual, 2 bypass. */
void marssep_controls(void* handle, float wet, float limit_db, float gain_db, int output);

/* Read a .query file; returns 0 when it was taken. Else there is no query of a file any more. */
int marssep_query_file(void* handle, const char* file);

/* Process one block: ``in`` and ``out`` are [channels][n], one row after the other. Never allocates and never locks. */
void marssep_process(void* handle, const float* in, float* out, unsigned channels, unsigned n);

/* Samples that were dropped, the output level in dBFS, and the presence: how likely the target is in the input, 0..1. */
unsigned marssep_missed(void* handle);
float marssep_level(void* handle);
float marssep_presence(void* handle);

/* 1 while the query names more sounds than this machine separates in real time: the target is silent, but for offline rendering. */
int marssep_too_many(void* handle);

/* How far the output is below the input, in dB, 0..60. */
float marssep_reduction(void* handle);

#ifdef __cplusplus
}
#endif
