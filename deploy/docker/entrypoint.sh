#!/bin/sh
# Numba must be able to write where it looks for compiled code, and the image's own file system may be read-only.
set -eu
mkdir -p "$NUMBA_CACHE_DIR"
# What was compiled for this processor since stays.
cp -Rn /opt/kernels/. "$NUMBA_CACHE_DIR"
exec "$@"
