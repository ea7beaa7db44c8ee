#!/bin/sh
# Playwright's Chromium and the libraries that it needs, where that was asked for. Root, in a build.
# Call: install_browser.sh playwright|debian|none
set -eu
[ "$1" = playwright ] || exit 0
export DEBIAN_FRONTEND=noninteractive
playwright install --with-deps --no-shell chromium
chmod -R a+rX "$PLAYWRIGHT_BROWSERS_PATH"
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/* /var/log/apt /var/log/dpkg.log
