#!/bin/sh
# Makes a virtual environment in $1 with the best Python there is: 3.13 if possible, 3.11 at least.
set -eu
for python in ${PYTHON:-python3.13 python3 python3.12 python3.11 python}; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" -m venv "$1"
    fi
done
echo "This project needs Python 3.11 or newer (3.13 is best); none was found. Name one with: make PYTHON=/path/to/python3.13" >&2
exit 1
