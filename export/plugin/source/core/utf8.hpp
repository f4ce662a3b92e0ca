// Characters of UTF-8; what is none becomes U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace marssep {

inline constexpr char32_t NO_CHARACTER = 0xFFFD;

// The character at ``at``, which moves behind it.
inline char32_t nextCharacter(std::string_view text, std::size_t& at)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(at++);
    if (first < 0x80)
        return first;
    const unsigned more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4)
        return NO_CHARACTER;
    char32_t code = first & (0x3Fu >> more);
    for (unsigned i = 0; i < more; ++i, ++at) {
        if (at >= text.size() || (byte(at) & 0xC0) != 0x80)
            return NO_CHARACTER;
        code = code << 6 | (byte(at) & 0x3Fu);
    }
    constexpr char32_t least[] = {0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    return code < least[more - 1] || code > 0x10FFFF || surrogate ? NO_CHARACTER : code;
}

inline void append(std::string& text, char32_t code)
{
    if (code < 0x80) {
        text += char(code);
        return;
    }
    const unsigned more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    text += char((0xFF00u >> (more + 1) & 0xFFu) | code >> 6 * more);
    for (unsigned i = more; i-- > 0;)
        text += char(0x80u | (code >> 6 * i & 0x3Fu));
}

// The text with nothing in it that is not UTF-8.
inline std::string valid(std::string_view text)
{
    std::string result;
    for (std::size_t at = 0; at < text.size();)
        append(result, nextCharacter(text, at));
    return result;
}

} // namespace marssep
