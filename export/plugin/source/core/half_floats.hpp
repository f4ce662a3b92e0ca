// Numbers as bundles pack them: half-precision floats, little-endian, in base64.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace marssep {

inline float halfFloat(std::uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31)
        throw std::runtime_error("a number is not finite");
    const float size = exponent == 0 ? std::ldexp(float(fraction), -24) : std::ldexp(float(fraction | 1024), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

// Throws std::runtime_error for what is no such text.
inline std::vector<float> halfFloats(std::string_view base64)
{
    static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (!base64.empty() && base64.back() == '=')
        base64.remove_suffix(1);
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned count = 0; // of the bits that are not taken yet
    for (const char digit : base64) {
        const std::size_t value = digits.find(digit);
        if (value == std::string_view::npos)
            throw std::runtime_error("a text is not base64");
        bits = bits << 6 | std::uint32_t(value);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes += char(bits >> count & 255);
        }
    }
    if (bytes.size() % 2 != 0)
        throw std::runtime_error("half a number is missing");
    std::vector<float> numbers(bytes.size() / 2);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = halfFloat(std::uint16_t(static_cast<unsigned char>(bytes[2 * i]) | static_cast<unsigned char>(bytes[2 * i + 1]) << 8));
    return numbers;
}

} // namespace marssep
