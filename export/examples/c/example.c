/* A raw float32 mono stream at the graph's rate through a graph with its query baked in:
 *     cc example.c -o example -lonnxruntime
 *     ./example marssep-dog-barking.onnx < in.f32 > out.f32
 * The output is as long as the input and late by the graph's latency. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <onnxruntime_c_api.h>

enum { MOST = 64 };

static const OrtApi *api;

static void check(OrtStatus *status)
{
    if (status == NULL)
        return;
    fprintf(stderr, "%s\n", api->GetErrorMessage(status));
    exit(1);
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: example GRAPH.onnx < in.f32 > out.f32\n");
        return 2;
    }
    api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtAllocator *allocator;
    OrtMemoryInfo *memory;
    check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "example", &env));
    check(api->CreateSessionOptions(&options));
    check(api->SetIntraOpNumThreads(options, 1));
    check(api->CreateSession(env, arguments[1], options, &session));
    check(api->GetAllocatorWithDefaultOptions(&allocator));
    check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));

    /* the hop stands in the metadata property "marssep", which is JSON */
    OrtModelMetadata *metadata;
    char *json;
    check(api->SessionGetModelMetadata(session, &metadata));
    check(api->ModelMetadataLookupCustomMetadataMap(metadata, allocator, "marssep", &json));
    const char *found = json != NULL ? strstr(json, "\"hop\": ") : NULL;
    if (found == NULL) {
        fprintf(stderr, "%s is no marssep graph\n", arguments[1]);
        return 1;
    }
    const size_t hop = (size_t)atoi(found + 7);

    /* inputs: audio and the state; the output of a state is called as its input, with _next */
    const char *inputs[MOST], *outputs[MOST];
    OrtValue *given[MOST], *taken[MOST];
    size_t inputCount;
    check(api->SessionGetInputCount(session, &inputCount));
    float *audio = NULL;
    for (size_t i = 0; i < inputCount; ++i) {
        char *name;
        check(api->SessionGetInputName(session, i, allocator, &name));
        inputs[i] = name;
        const int isAudio = strcmp(name, "audio") == 0;
        char *output = malloc(strlen(name) + 8);
        sprintf(output, isAudio ? "target" : "%s_next", name);
        outputs[i] = output;
        OrtTypeInfo *type;
        const OrtTensorTypeAndShapeInfo *tensor;
        size_t rank, size = 1;
        int64_t shape[8];
        check(api->SessionGetInputTypeInfo(session, i, &type));
        check(api->CastTypeInfoToTensorInfo(type, &tensor));
        check(api->GetDimensionsCount(tensor, &rank));
        check(api->GetDimensions(tensor, shape, rank));
        for (size_t d = 0; d < rank; ++d) {
            if (shape[d] < 0) /* streams, channels: one of each; samples: one hop */
                shape[d] = isAudio && d == 2 ? (int64_t)hop : 1;
            size *= (size_t)shape[d];
        }
        float *data = calloc(size, sizeof(float));
        if (isAudio)
            audio = data;
        check(api->CreateTensorWithDataAsOrtValue(memory, data, size * sizeof(float), shape, rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &given[i]));
        api->ReleaseTypeInfo(type);
    }

    size_t got;
    while (memset(audio, 0, hop * sizeof(float)), (got = fread(audio, sizeof(float), hop, stdin)) > 0) {
        for (size_t i = 0; i < inputCount; ++i)
            taken[i] = NULL; /* let the runtime make them */
        check(api->Run(session, NULL, inputs, (const OrtValue *const *)given, inputCount, outputs, inputCount, taken));
        for (size_t i = 0; i < inputCount; ++i) {
            if (strcmp(inputs[i], "audio") == 0) {
                float *target;
                check(api->GetTensorMutableData(taken[i], (void **)&target));
                fwrite(target, sizeof(float), got, stdout);
                api->ReleaseValue(taken[i]);
            } else { /* the state moves on */
                api->ReleaseValue(given[i]);
                given[i] = taken[i];
            }
        }
    }
    return 0;
}
