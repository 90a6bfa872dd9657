"""Runs in Home Assistant's own Python: prints what its core integrations and ours need, for a start
with `--skip-pip`."""

import json
from pathlib import Path

import homeassistant
from homeassistant import bootstrap

COMPONENTS = Path(homeassistant.__file__).parent / "components"
OURS = {"mqtt", "hassio", "recorder", "history", "logbook", "template", "input_boolean", "automation",
        "script", "api", "http", "websocket_api", "lovelace", "blueprint"}
SETS = ("CORE_INTEGRATIONS", "LOGGING_AND_HTTP_DEPS_INTEGRATIONS", "FRONTEND_INTEGRATIONS",
        "DEFAULT_INTEGRATIONS")

waiting = OURS.union(*(set(getattr(bootstrap, name, ())) for name in SETS)) - {"sentry"}
seen, needed = set(), set()
while waiting:
    name = waiting.pop()
    manifest = COMPONENTS / name / "manifest.json"
    if name in seen or not manifest.exists():
        continue
    seen.add(name)
    manifest = json.loads(manifest.read_text())
    needed.update(manifest.get("requirements", ()))
    waiting.update(manifest.get("dependencies", ()))
print("\n".join(sorted(needed)))
