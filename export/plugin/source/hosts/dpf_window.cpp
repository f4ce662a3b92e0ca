// The window: a text field for the query, the choices that are built in, the mixer, and meters.

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "DistrhoPluginUtils.hpp"
#include "DistrhoUI.hpp"

#include "parameters.hpp"
#include "sentence.hpp"
#include "words.hpp"

START_NAMESPACE_DISTRHO

using namespace marssep;

namespace {

struct Area {
    float x, y, w, h;

    bool has(const Point<double>& at) const { return at.getX() >= x && at.getX() < x + w && at.getY() >= y && at.getY() < y + h; }
    Area part(unsigned index, unsigned count) const { return {x + w * float(index) / float(count), y, w / float(count) - 4, h}; }
};

// in a window of the default size
constexpr Area FIELD{16, 42, 404, 32}, FILE_BUTTON{428, 42, 76, 32}, CHOICE{16, 84, 488, 28}, OUTPUT_ROW{16, 122, 492, 28};
constexpr Area SLIDERS[] = {{136, 164, 300, 16}, {136, 188, 300, 16}, {136, 212, 300, 16}}, METERS{16, 244, 492, 34};
constexpr unsigned SLIDER_PARAMETERS[] = {MIX, LIMIT, GAIN}, METER_PARAMETERS[] = {LEVEL, REDUCTION, PRESENCE};
constexpr std::size_t LONGEST_TEXT = marssep::contract::query::LONGEST_TEXT; // in bytes here, of which a character has one or more

Words packedWords()
{
    try {
        return Words::beside(std::filesystem::path(getBinaryFilename()).parent_path());
    } catch (const std::exception& e) {
        d_stderr2("marssep: %s", e.what());
        return {};
    }
}

} // namespace

class MarssepWindow : public UI {
public:
    MarssepWindow()
        : UI(DISTRHO_UI_DEFAULT_WIDTH, DISTRHO_UI_DEFAULT_HEIGHT, true)
        , words(packedWords())
    {
        loadSharedResources();
        for (std::size_t i = 0; i < PARAMETERS; ++i)
            values[i] = DESCRIBED[i].normal;
    }

protected:
    void parameterChanged(uint32_t index, float value) override
    {
        if (index < PARAMETERS && values[index] != value) {
            values[index] = value;
            repaint();
        }
    }

    void stateChanged(const char* key, const char* value) override
    {
        const std::string name = key;
        if (name == STATE_KEYS[2])
            know(typed = value);
        else if (name == STATE_KEYS[1] && *value != 0)
            choose(OWN_QUERY);
        repaint();
    }

    void onResize(const ResizeEvent& event) override
    {
        UI::onResize(event);
        unsettled = SETTLING;
    }

    // A frame that is drawn before the display server has the new size is cut off.
    void uiIdle() override
    {
        if (unsettled > 0) {
            --unsettled;
            repaint();
        }
    }

    void onNanoDisplay() override
    {
        fontFace(NANOVG_DEJAVU_SANS_TTF);
        box({0, 0, DISTRHO_UI_DEFAULT_WIDTH, DISTRHO_UI_DEFAULT_HEIGHT}, GROUND, 0);
        char latency[32];
        std::snprintf(latency, sizeof(latency), "%.0f ms", double(values[LATENCY]));
        write(MARSSEP_NAME, 16, 22, 17, BRIGHT, ALIGN_LEFT);
        write(latency, 504, 22, 13, DIM, ALIGN_RIGHT);
        showQuery();
        showOutputs();
        for (unsigned i = 0; i < std::size(SLIDERS); ++i)
            showSlider(SLIDERS[i], SLIDER_PARAMETERS[i]);
        for (unsigned i = 0; i < std::size(METER_PARAMETERS); ++i)
            showMeter(METERS.part(i, std::size(METER_PARAMETERS)), METER_PARAMETERS[i]);
        writeStatus();
    }

    bool onMouse(const MouseEvent& event) override
    {
        const Point<double> at = unscaled(event.pos);
        dragged = -1;
        if (!event.press || event.button != 1)
            return false;
        writing = FIELD.has(at);
        if (FILE_BUTTON.has(at))
            requestStateFile(STATE_KEYS[1]);
        else if (CHOICE.has(at))
            step(at.getX() < CHOICE.x + CHOICE.w / 2 ? -1 : 1);
        for (unsigned i = 0; i < 3; ++i) {
            if (OUTPUT_ROW.part(i, 3).has(at)) {
                turned = false;
                set(OUTPUT, float(i));
            }
            if (SLIDERS[i].has(at)) {
                dragged = int(i);
                drag(at);
            }
        }
        repaint();
        return true;
    }

    bool onMotion(const MotionEvent& event) override
    {
        if (dragged < 0)
            return false;
        drag(unscaled(event.pos));
        return true;
    }

    bool onCharacterInput(const CharacterInputEvent& event) override
    {
        if (!writing || event.character < 32 || event.character == 127 || typed.size() >= LONGEST_TEXT)
            return false;
        typed += event.string;
        refusal.clear();
        repaint();
        return true;
    }

    bool onKeyboard(const KeyboardEvent& event) override
    {
        if (!writing || !event.press)
            return false;
        refusal.clear();
        if (event.key == kKeyBackspace) {
            while (!typed.empty() && (static_cast<unsigned char>(typed.back()) & 0xC0) == 0x80)
                typed.pop_back(); // the later bytes of a character
            if (!typed.empty())
                typed.pop_back();
        } else if (event.key == kKeyEscape) {
            typed = text;
        } else if (event.key == '\r' || event.key == '\n') {
            take();
        } else {
            return event.key < 0xE000; // letters come as character input; a host must not take them for shortcuts
        }
        repaint();
        return true;
    }

private:
    using Shade = std::array<int, 3>;
    static constexpr Shade GROUND{27, 30, 36}, PANEL{42, 47, 56}, BRIGHT{236, 240, 245}, DIM{150, 160, 172}, ACCENT{76, 175, 130},
        WARNING{240, 180, 80};

    // The framework scales what is drawn to the size of the window, but not where the mouse is.
    Point<double> unscaled(const Point<double>& at) const
    {
        const double scale = double(getWidth()) / DISTRHO_UI_DEFAULT_WIDTH;
        return {at.getX() / scale, at.getY() / scale};
    }

    // The sentence that was typed. "no dog" is the dog's residual, "background noise" that of speech and music.
    void take()
    {
        Wish wish;
        try {
            wish = words.resolved(understand(typed));
        } catch (const std::exception& e) { // it can be read in two ways
            refusal = e.what();
            return;
        }
        if (wish.remove)
            typed = joined(wish.keep);
        if (wish.remove || (turned && values[OUTPUT] == 1.0f))
            set(OUTPUT, wish.remove ? 1.0f : 0.0f);
        turned = wish.remove;
        know(typed);
        setState(STATE_KEYS[2], text.c_str());
        choose(OWN_QUERY);
    }

    void step(int by) { choose(std::clamp(values[QUERY] + float(by), 0.0f, OWN_QUERY)); }
    void choose(float query) { set(QUERY, query); }

    void set(unsigned parameter, float value)
    {
        values[parameter] = value;
        editParameter(parameter, true);
        setParameterValue(parameter, value);
        editParameter(parameter, false);
        repaint();
    }

    void drag(const Point<double>& at)
    {
        const Area& area = SLIDERS[dragged];
        const Described& described = DESCRIBED[SLIDER_PARAMETERS[dragged]];
        const float share = std::clamp(float(at.getX() - area.x) / area.w, 0.0f, 1.0f);
        set(SLIDER_PARAMETERS[dragged], described.low + share * (described.high - described.low));
    }

    // The text of the own query, as the plug-in has it.
    void know(const std::string& taken)
    {
        text = taken;
        warning.clear();
        refusal.clear();
        try {
            for (const std::string& sound : words.resolved(understand(text)).keep)
                if (warning.empty())
                    warning = words.ownWarning(sound);
        } catch (const std::exception& e) {
            refusal = e.what();
        }
    }

    bool warns() const { return values[STATUS] < 0.5f && values[QUERY] == OWN_QUERY && !warning.empty(); }

    void writeStatus()
    {
        const std::string said = status();
        const float size = 12, room = DISTRHO_UI_DEFAULT_WIDTH - 32;
        Rectangle<float> bounds;
        fontSize(size);
        const float width = textBounds(0, 0, said.c_str(), nullptr, bounds);
        const bool serious = values[STATUS] > 0.5f || warns() || !refusal.empty();
        write(said.c_str(), 16, 290, width > room ? size * room / width : size, serious ? WARNING : DIM, ALIGN_LEFT);
    }

    std::string status() const
    {
        if (!refusal.empty())
            return refusal;
        switch (Status(values[STATUS] + 0.5f)) {
        case NO_QUERY:
            return "no query: type a sound and press Enter";
        case NO_MODEL:
            return "no model: the plug-in is incomplete, install it again";
        case TOO_MANY_SOUNDS:
            return "too many sounds for this computer in real time: name fewer, or render offline";
        case DOUBTED_WORDS:
            return "unlike the sounds that the model was trained on: lower Max Attenuation";
        case READY:
            break;
        }
        if (warns())
            return warning;
        const auto missed = static_cast<unsigned long>(values[MISSED]);
        return missed == 0 ? "ready" : std::to_string(missed) + " samples missed: increase the block size, or export with --extra-latency 2";
    }

    void fill(const Shade& shade)
    {
        fillColor(shade[0], shade[1], shade[2]);
        NanoVG::fill();
    }

    void box(const Area& area, const Shade& shade, float round)
    {
        beginPath();
        roundedRect(area.x, area.y, area.w, area.h, round);
        fill(shade);
    }

    void write(const char* words, float x, float y, float size, const Shade& shade, int align)
    {
        fontSize(size);
        textAlign(align | ALIGN_MIDDLE);
        fillColor(shade[0], shade[1], shade[2]);
        NanoVG::text(x, y, words, nullptr);
    }

    void button(const Area& area, const char* words, bool on)
    {
        box(area, on ? ACCENT : PANEL, 4);
        write(words, area.x + area.w / 2, area.y + area.h / 2, 13, BRIGHT, ALIGN_CENTER);
    }

    void showQuery()
    {
        const bool own = values[QUERY] > OWN_QUERY - 0.5f;
        box(FIELD, writing ? ACCENT : PANEL, 4);
        box({FIELD.x + 1, FIELD.y + 1, FIELD.w - 2, FIELD.h - 2}, PANEL, 4);
        scissor(FIELD.x + 8, FIELD.y, FIELD.w - 16, FIELD.h);
        const bool hint = typed.empty() && !writing;
        const std::string shown = hint ? "type a sound, then Enter: rain on a roof" : writing ? typed + "|" : typed;
        write(shown.c_str(), FIELD.x + 10, FIELD.y + FIELD.h / 2, 15, hint || !own ? DIM : BRIGHT, ALIGN_LEFT);
        resetScissor();
        button(FILE_BUTTON, "File", false);
        box(CHOICE, PANEL, 4);
        const auto index = std::size_t(values[QUERY] + 0.5f);
        write("‹", CHOICE.x + 14, CHOICE.y + 13, 18, DIM, ALIGN_CENTER);
        write("›", CHOICE.x + CHOICE.w - 14, CHOICE.y + 13, 18, DIM, ALIGN_CENTER);
        write(QUERIES[std::min(index, std::size(QUERIES) - 1)], CHOICE.x + CHOICE.w / 2, CHOICE.y + 14, 14, BRIGHT, ALIGN_CENTER);
    }

    void showOutputs()
    {
        for (unsigned i = 0; i < std::size(OUTPUTS); ++i)
            button(OUTPUT_ROW.part(i, 3), OUTPUTS[i], unsigned(values[OUTPUT] + 0.5f) == i);
    }

    void showSlider(const Area& area, unsigned parameter)
    {
        const Described& described = DESCRIBED[parameter];
        const float share = (values[parameter] - described.low) / (described.high - described.low);
        char number[32];
        std::snprintf(number, sizeof(number), "%.0f %s", double(values[parameter]), described.unit);
        const bool off = parameter == LIMIT && values[parameter] >= NO_LIMIT_DB;
        write(described.name, 16, area.y + 8, 13, DIM, ALIGN_LEFT);
        box(area, PANEL, 3);
        box({area.x, area.y, std::max(3.0f, area.w * share), area.h}, ACCENT, 3);
        write(off ? "off" : number, 504, area.y + 8, 13, BRIGHT, ALIGN_RIGHT);
    }

    void showMeter(const Area& area, unsigned parameter)
    {
        const Described& described = DESCRIBED[parameter];
        const float low = parameter == LEVEL ? -60.0f : described.low, high = parameter == LEVEL ? 0.0f : described.high;
        const float share = std::clamp((values[parameter] - low) / (high - low), 0.0f, 1.0f);
        char words[64];
        if (parameter == PRESENCE)
            std::snprintf(words, sizeof(words), "%s %.2f", described.name, double(values[parameter]));
        else
            std::snprintf(words, sizeof(words), "%s %.0f dB", described.name, double(values[parameter]));
        write(words, area.x, area.y + 8, 12, DIM, ALIGN_LEFT);
        box({area.x, area.y + 20, area.w - 8, 10}, PANEL, 3);
        if (share > 0) // a box without a width is drawn as a line
            box({area.x, area.y + 20, (area.w - 8) * share, 10}, ACCENT, 3);
    }

    std::array<float, PARAMETERS> values{};
    std::string typed, text, warning; // in the field; as it was taken; one sentence on it, or empty
    std::string refusal;              // why the sentence in the field cannot be taken, or empty
    const Words words;
    bool writing = false;
    bool turned = false; // whether the sentence, not the user, chose the residual
    int dragged = -1; // a slider
    static constexpr int SETTLING = 60; // calls, of which hosts make some 25 a second
    int unsettled = SETTLING;

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(MarssepWindow)
};

UI* createUI()
{
    return new MarssepWindow();
}

END_NAMESPACE_DISTRHO
