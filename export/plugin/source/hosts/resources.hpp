// Everything that lies beside the plug-in, loaded once for all instances in a process.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model.hpp"
#include "text_encoder.hpp"

namespace marssep {

struct Resources {
    std::shared_ptr<const Model> model; // null: something is missing, and a line on stderr said what
    std::vector<Query> queries;

    // Those of the folder that the plug-in's binary is in.
    static std::shared_ptr<const Resources> shared();

    explicit Resources(const std::filesystem::path& folder);

    // Each throws std::runtime_error, in one sentence.
    Query parse(const std::string& json) const;
    Query readFile(const std::string& path) const;
    Query embed(const std::string& sentence) const; // the encoder is loaded with the first one

private:
    const GraphInfo& graph() const;

    const std::filesystem::path folder;
    mutable std::mutex lock;
    mutable std::unique_ptr<const TextEncoder> text;
};

} // namespace marssep
