// The JACK program with a window, on a machine without a display: a sentence, where the framework crashes.

#include <cstdio>

#include "config.h"

#if MARSSEP_WINDOW && defined(__linux__)
#include <X11/Xlib.h>
#endif

// the makefile renames the framework's own to this
int marssep_framework_main(int count, char** arguments);

#undef main

int main(int count, char** arguments)
{
#if MARSSEP_WINDOW && defined(__linux__)
    Display* display = XOpenDisplay(nullptr);
    if (display == nullptr) {
        std::fprintf(stderr, "%s: there is no display for the window; export the plug-in with --no-window\n", MARSSEP_NAME);
        return 1;
    }
    XCloseDisplay(display);
#endif
    return marssep_framework_main(count, arguments);
}
