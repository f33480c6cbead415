#!/bin/sh
# Install what napari needs from Debian or Ubuntu: Python's venv, Qt's and OpenGL's
# libraries, and a virtual display. Does nothing where all of it is there already.
set -eu
PYTHON=${PYTHON:-python3}
[ "$(uname -s)" = Linux ] || exit 0
packages="xvfb xauth libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libxcb-cursor0
libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
libxcb-xinerama0 libdbus-1-3 libfontconfig1 fonts-dejavu-core"
libraries="libEGL.so.1 libGL.so.1 libxkbcommon-x11.so.0 libxcb-cursor.so.0 libxcb-icccm.so.4
libxcb-image.so.0 libxcb-keysyms.so.1 libxcb-randr.so.0 libxcb-render-util.so.0
libxcb-shape.so.0 libxcb-xinerama.so.0 libdbus-1.so.3 libfontconfig.so.1"

complete=yes
for library in $libraries; do
    /sbin/ldconfig -p | grep -q "$library" || complete=no
done
command -v xvfb-run >/dev/null && command -v xauth >/dev/null || complete=no
"$PYTHON" -c 'import ensurepip' 2>/dev/null || { complete=no; packages="$packages python3-venv"; }
[ $complete = no ] || exit 0

packages=$(echo $packages)
if ! command -v apt-get >/dev/null; then
    echo "Some system libraries are missing. On Debian these are: $packages" >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    run=
elif sudo -n true 2>/dev/null; then
    run=sudo
else
    echo "Some system libraries are missing. Run this line, then try again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y $packages" >&2
    exit 1
fi
$run apt-get update -qq
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
