#include "resources.hpp"

#include <stdexcept>

#include "DistrhoPluginUtils.hpp"

#include "config.h"
#include "query_file.hpp"

namespace marssep {

std::shared_ptr<const Resources> Resources::shared()
{
    static std::mutex lock;
    static std::weak_ptr<const Resources> kept;
    const std::lock_guard<std::mutex> guard(lock);
    if (auto there = kept.lock())
        return there;
    auto loaded = std::make_shared<const Resources>(std::filesystem::path(DISTRHO_NAMESPACE::getBinaryFilename()).parent_path());
    kept = loaded;
    return loaded;
}

Resources::Resources(const std::filesystem::path& place)
    : folder(place)
{
    try {
        auto runtime = std::make_shared<const Runtime>(folder / MARSSEP_LIBRARY);
        auto opened = std::make_shared<const Model>(std::move(runtime), folder / "separator.onnx");
        queries = readQueries(folder / "queries.json", opened->info.encoder, opened->info.queryDim);
        model = std::move(opened);
    } catch (const std::exception& e) {
        d_stderr2("marssep: %s; the plug-in is silent", e.what());
    }
}

const GraphInfo& Resources::graph() const
{
    if (model == nullptr)
        throw std::runtime_error("the plug-in has no model");
    return model->info;
}

Query Resources::parse(const std::string& json) const
{
    return parseQuery(json, "the saved query", graph().encoder, graph().queryDim);
}

Query Resources::readFile(const std::string& path) const
{
    return readQuery(path, graph().encoder, graph().queryDim);
}

Query Resources::embed(const std::string& sentence) const
{
    const std::lock_guard<std::mutex> guard(lock);
    if (text == nullptr && !std::filesystem::exists(folder / "text.onnx"))
        throw std::runtime_error("this plug-in has no text encoder; load a .query file");
    const GraphInfo& info = graph();
    if (text == nullptr)
        text = std::make_unique<const TextEncoder>(model->runtime, folder, info.encoder, info.queryDim);
    return text->query(sentence);
}

} // namespace marssep
