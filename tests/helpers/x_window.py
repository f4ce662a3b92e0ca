"""A display without a screen, and a user at it: windows are clicked and typed into through XTest."""

import contextlib
import ctypes as c
import os
import shutil
import subprocess
import time

import pytest

NAMES = {" ": "space", "\r": "Return", "\b": "BackSpace", ",": "comma"}


@contextlib.contextmanager
def display(size="800x600x24"):
    """The name of a fresh display; skips where there is no Xvfb."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", size, "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


class User:
    """Mouse and keyboard of a display."""

    def __init__(self, name):
        self.x, self.test = c.CDLL("libX11.so.6"), c.CDLL("libXtst.so.6")
        self.x.XOpenDisplay.restype = self.x.XGetImage.restype = c.c_void_p
        self.x.XDefaultRootWindow.restype = self.x.XGetPixel.restype = c.c_ulong
        self.x.XStringToKeysym.restype = c.c_ulong
        self.at = c.c_void_p(self.x.XOpenDisplay(name.encode()))
        assert self.at

    def click(self, x, y):
        self.test.XTestFakeMotionEvent(self.at, -1, x, y, c.c_ulong(0))
        for down in (1, 0):
            self.test.XTestFakeButtonEvent(self.at, 1, down, c.c_ulong(0))
            self.x.XFlush(self.at)
            time.sleep(0.1)

    def type(self, text):
        for character in text:
            symbol = self.x.XStringToKeysym(NAMES.get(character, character).encode())
            code = self.x.XKeysymToKeycode(self.at, c.c_ulong(symbol))
            assert code, character
            for down in (1, 0):
                self.test.XTestFakeKeyEvent(self.at, code, down, c.c_ulong(0))
                self.x.XFlush(self.at)
                time.sleep(0.02)

    def colour(self, x, y):
        """Red, green and blue of a point on the display, 0 to 255."""
        root, all_planes, pixmap = c.c_ulong(self.x.XDefaultRootWindow(self.at)), c.c_ulong(0xFFFFFF), 2
        image = c.c_void_p(self.x.XGetImage(self.at, root, x, y, 1, 1, all_planes, pixmap))
        pixel = self.x.XGetPixel(image, 0, 0)
        self.x.XDestroyImage(image)
        return pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255
