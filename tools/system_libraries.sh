#!/bin/sh
# Make sure that Qt finds what it needs to open a window on Linux, Xvfb included: install it where that is allowed.
set -eu
[ "$(uname -s)" = Linux ] || exit 0

# Library or command, and the Debian or Ubuntu package it comes in. Without icccm or keysyms Qt names the wrong culprit.
NEEDED="
libEGL.so.1 libegl1
libGL.so.1 libgl1
libglib-2.0.so.0 libglib2.0-0
libfontconfig.so.1 libfontconfig1
libdbus-1.so.3 libdbus-1-3
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-xkb.so.1 libxcb-xkb1
Xvfb xvfb
xauth xauth
"

missing() {
    libraries=$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p)
    echo "$NEEDED" | while read -r name package; do
        [ -n "$name" ] || continue
        case $name in
            lib*) echo "$libraries" | grep -qF "$name " || echo "$package" ;;
            *) command -v "$name" >/dev/null || echo "$package" ;;
        esac
    done
}

packages=$(missing | tr '\n' ' ')
[ -n "$packages" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    as_root="none"
fi
if [ "$as_root" = none ] || ! command -v apt-get >/dev/null; then
    echo "Tests with a window need these system packages (Debian names): ${packages}. Install them, or run: make test-core" >&2
    exit 1
fi
echo "Installing system packages for Qt: $packages"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086 # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
