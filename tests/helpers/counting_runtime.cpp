// ONNX Runtime with a memory: counts the objects that were made and not released, and fails when it is told to.
// REAL is the path of the real library.

#include <atomic>

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

namespace {

const OrtApi* real = nullptr;
OrtApi counting;
std::atomic<int> live{0}, untilFailure{-1};

OrtStatus* made(OrtStatus* status)
{
    if (status == nullptr)
        ++live;
    return status;
}

template <class T> bool gone(T* object)
{
    if (object != nullptr)
        --live;
    return object != nullptr;
}

const OrtApi* ORT_API_CALL getApi(uint32_t version) noexcept
{
    const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(dlopen(REAL, RTLD_NOW | RTLD_LOCAL), "OrtGetApiBase"))();
    real = base->GetApi(version);
    counting = *real;
    counting.CreateEnv = [](OrtLoggingLevel level, const char* id, OrtEnv** out) noexcept { return made(real->CreateEnv(level, id, out)); };
    counting.ReleaseEnv = [](OrtEnv* x) noexcept { gone(x); real->ReleaseEnv(x); };
    counting.CreateSessionOptions = [](OrtSessionOptions** out) noexcept { return made(real->CreateSessionOptions(out)); };
    counting.ReleaseSessionOptions = [](OrtSessionOptions* x) noexcept { gone(x); real->ReleaseSessionOptions(x); };
    counting.CreateSession = [](const OrtEnv* env, const char* path, const OrtSessionOptions* options, OrtSession** out) noexcept {
        return made(real->CreateSession(env, path, options, out));
    };
    counting.ReleaseSession = [](OrtSession* x) noexcept { gone(x); real->ReleaseSession(x); };
    counting.SessionGetModelMetadata = [](const OrtSession* session, OrtModelMetadata** out) noexcept {
        return made(real->SessionGetModelMetadata(session, out));
    };
    counting.ReleaseModelMetadata = [](OrtModelMetadata* x) noexcept { gone(x); real->ReleaseModelMetadata(x); };
    counting.CreateCpuMemoryInfo = [](OrtAllocatorType kind, OrtMemType type, OrtMemoryInfo** out) noexcept {
        return made(real->CreateCpuMemoryInfo(kind, type, out));
    };
    counting.ReleaseMemoryInfo = [](OrtMemoryInfo* x) noexcept { gone(x); real->ReleaseMemoryInfo(x); };
    counting.CreateTensorWithDataAsOrtValue = [](const OrtMemoryInfo* info, void* data, size_t size, const int64_t* shape, size_t dims,
                                                 ONNXTensorElementDataType type, OrtValue** out) noexcept {
        if (untilFailure >= 0 && untilFailure-- == 0)
            return real->CreateStatus(ORT_FAIL, "no more tensors");
        return made(real->CreateTensorWithDataAsOrtValue(info, data, size, shape, dims, type, out));
    };
    counting.ReleaseValue = [](OrtValue* x) noexcept { gone(x); real->ReleaseValue(x); };
    counting.ReleaseStatus = [](OrtStatus* x) noexcept { real->ReleaseStatus(x); };
    return &counting;
}

const OrtApiBase base{getApi, []() noexcept -> const char* { return "counting"; }};

} // namespace

extern "C" {
const OrtApiBase* OrtGetApiBase() { return &base; }
int counting_live() { return live; }
void counting_fail_tensor(int number) { untilFailure = number; } // the first is 0; -1 is none
}
