#include "text_encoder.hpp"

#include <algorithm>
#include <stdexcept>

#include "contract.hpp"
#include "sentence.hpp"
#include "utf8.hpp"

namespace marssep {

namespace {

constexpr float NEGATIVE_WEIGHT = contract::query::NEGATIVE_WEIGHT;

// The normalised mean.
std::vector<float> mean(const std::vector<std::vector<float>>& vectors)
{
    std::vector<float> sum(vectors.at(0).size(), 0.0f);
    for (const std::vector<float>& vector : vectors)
        std::transform(sum.begin(), sum.end(), vector.begin(), sum.begin(), std::plus<>());
    if (!makeUnit(sum))
        throw std::runtime_error("these sounds leave no direction to listen in");
    return sum;
}

// Several sounds as one vector, for graphs that cannot put masks together.
std::vector<float> inOne(const std::vector<std::vector<float>>& keep, const std::vector<std::vector<float>>& drop)
{
    std::vector<float> vector = mean(keep);
    if (drop.empty())
        return vector;
    const std::vector<float> away = mean(drop);
    for (std::size_t i = 0; i < away.size(); ++i)
        vector[i] = (1 + NEGATIVE_WEIGHT) * vector[i] - NEGATIVE_WEIGHT * away[i];
    if (!makeUnit(vector))
        throw std::runtime_error("these sounds leave no direction to listen in");
    return vector;
}

} // namespace

TextEncoder::TextEncoder(std::shared_ptr<const Runtime> with, const std::filesystem::path& folder, std::string id, unsigned size)
    : runtime(std::move(with))
    , session(openSession(*runtime, folder / "text.onnx"))
    , tokenizer(folder / "wordpiece.json")
    , words(Words::beside(folder))
    , doubt(Doubt::beside(folder))
    , encoder(std::move(id))
    , dim(size)
{
}

std::vector<float> TextEncoder::embed(const std::string& text) const
{
    const OrtApi& api = *runtime->api;
    std::vector<std::int64_t> ids = tokenizer.ids(text), mask(ids.size(), 1);
    OrtMemoryInfo* made = nullptr;
    runtime->check(api.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &made));
    const Owned<OrtMemoryInfo> memory(made, api.ReleaseMemoryInfo);
    const auto tensor = [&](std::vector<std::int64_t>& data) {
        const std::int64_t shape[] = {1, std::int64_t(data.size())};
        OrtValue* value = nullptr;
        runtime->check(api.CreateTensorWithDataAsOrtValue(memory.get(), data.data(), data.size() * sizeof(std::int64_t), shape, 2,
                                                          ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &value));
        return Owned<OrtValue>(value, api.ReleaseValue);
    };
    const Owned<OrtValue> idsValue = tensor(ids), maskValue = tensor(mask);
    const char *names[] = {"input_ids", "attention_mask"}, *result[] = {"embedding"};
    const OrtValue* inputs[] = {idsValue.get(), maskValue.get()};
    OrtValue* output = nullptr;
    runtime->check(api.Run(session.get(), nullptr, names, inputs, 2, result, 1, &output));
    const Owned<OrtValue> kept(output, api.ReleaseValue);
    OrtTensorTypeAndShapeInfo* shape = nullptr;
    runtime->check(api.GetTensorTypeAndShape(output, &shape));
    const Owned<OrtTensorTypeAndShapeInfo> keptShape(shape, api.ReleaseTensorTypeAndShapeInfo);
    std::size_t count = 0;
    runtime->check(api.GetTensorShapeElementCount(shape, &count));
    float* values = nullptr;
    runtime->check(api.GetTensorMutableData(output, reinterpret_cast<void**>(&values)));
    std::vector<float> vector(values, values + count);
    if (count != dim || !makeUnit(vector))
        throw std::runtime_error("the text encoder gives no query for this separator");
    return vector;
}

std::vector<float> TextEncoder::named(const std::string& text) const
{
    const Words::Sounds labels = words.labelsOf(text);
    if (labels.empty())
        return embed(text);
    std::vector<std::vector<float>> vectors(labels.size());
    std::transform(labels.begin(), labels.end(), vectors.begin(), [this](const std::string& label) { return embed(label); });
    return mean(vectors);
}

void TextEncoder::judge(Query& query, const Wish& wish) const
{
    for (std::size_t i = 0; i < wish.keep.size(); ++i) {
        const std::string& text = wish.keep[i];
        const float limit = words.familyOf(text).empty() ? doubt.limitDb(query.keep[i]) : query.limitDb;
        std::string warning = words.ownWarning(text);
        if (limit < query.limitDb) {
            query.limitDb = limit;
            warning = doubtOf(text, limit);
        }
        if (query.warning.empty())
            query.warning = warning;
    }
}

Query TextEncoder::query(const std::string& sentence) const
{
    using contract::query::LONGEST_TEXT;
    const auto begins = [](unsigned char c) { return (c & 0xC0) != 0x80; }; // a character
    if (std::count_if(sentence.begin(), sentence.end(), begins) > LONGEST_TEXT)
        throw std::runtime_error("the query is longer than " + std::to_string(LONGEST_TEXT) + " characters; a few words work best");
    const auto isWord = [](unsigned char c) { return c >= 0x80 || std::isalnum(c) != 0; };
    if (std::none_of(sentence.begin(), sentence.end(), isWord))
        throw std::runtime_error("the query is empty; say what to hear, like dog barking");
    const Wish wish = words.resolved(understand(valid(sentence)));
    Query query;
    query.remove = wish.remove;
    query.complement = wish.complement;
    query.label = joined(wish.keep, " + ");
    query.encoder = encoder;
    query.keep.resize(wish.keep.size());
    query.drop.resize(wish.drop.size());
    checkSounds(query, "the query");
    const auto vectorOf = [this](const std::string& text) { return named(text); };
    std::transform(wish.keep.begin(), wish.keep.end(), query.keep.begin(), vectorOf);
    std::transform(wish.drop.begin(), wish.drop.end(), query.drop.begin(), vectorOf);
    judge(query, wish);
    query.vector = inOne(query.keep, query.drop);
    if (!wish.drop.empty())
        query.label += " - " + joined(wish.drop, " - ");
    else if (wish.keep.size() == 1)
        query.keep.clear(); // the vector says it all
    return query;
}

} // namespace marssep
