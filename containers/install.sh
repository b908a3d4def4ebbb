#!/bin/sh
# Called by %post of an image: install a lock and the package into /opt/gipo.
#   install.sh LOCK [INDEX]    torch comes from INDEX; without one, from where pip looks by itself
set -eu
lock=$1
index=${2:-}
source=/opt/gipo/source
pip() { /opt/gipo/bin/pip --no-cache-dir --disable-pip-version-check "$@"; }

pip install --no-deps ${index:+--index-url "$index"} "$(grep '^torch==' "$lock")"
pip install --requirement "$lock"
pip install --no-deps "$source"
rm -rf "$source"
# the libraries' own tests, hundreds of megabytes that nothing imports
find /opt/gipo/lib -type d \( -name tests -o -path '*/torch/test' \) -prune -exec rm -rf {} +
echo "gipo.torch $(/opt/gipo/bin/python -c 'import torch; print(torch.__version__)')" >>"$APPTAINER_LABELS"
