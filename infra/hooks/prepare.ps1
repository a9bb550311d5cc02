# What `make .venv/run-ready` does, where there is no make; with -Dev what `make .venv/dev-ready` does, without its Node packages.
param([switch]$Dev)
$ErrorActionPreference = 'Stop'
if (-not (Test-Path .venv)) { python -m venv .venv }
$files = @('-r', 'requirements.txt', '-r', 'requirements/local.txt')
if ($Dev) { $files += @('-r', 'requirements/dev.txt') }
.venv/Scripts/python -m pip install --disable-pip-version-check --quiet --require-hashes @files
exit $LASTEXITCODE
