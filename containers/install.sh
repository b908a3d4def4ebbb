#!/bin/sh
# Called by %post of an image: install a lock and the package into /opt/gipo. Every file has the hash that a lock says.
#   install.sh LOCK [INDEX]    torch comes from INDEX; without one, from where pip looks by itself
set -eu
lock=$1
index=${2:-}
source=/opt/gipo/source
pip() { /opt/gipo/bin/pip --no-cache-dir --disable-pip-version-check "$@"; }
install() { pip install --require-hashes --no-build-isolation --use-pep517 "$@"; }

install --requirement /opt/gipo/build.lock
# where pip's find-links have it, as on the machine; else from the index
install --quiet --no-deps --no-index --requirement /opt/gipo/torch.lock 2>/dev/null || [ -z "$index" ] ||
    install --no-deps --index-url "$index" --requirement /opt/gipo/torch.lock
install --requirement "$lock" --constraint /opt/gipo/cuda.lock
pip install --no-build-isolation --no-deps "$source"
rm -rf "$source"
# the libraries' own tests, hundreds of megabytes that nothing imports
find /opt/gipo/lib -type d \( -name tests -o -path '*/torch/test' \) -prune -exec rm -rf {} +
echo "gipo.torch $(/opt/gipo/bin/python -c 'import torch; print(torch.__version__)')" >>"$APPTAINER_LABELS"
