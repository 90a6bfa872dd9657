"""Runs in Home Assistant's own Python: prints, as JSON, the keys that its MQTT discovery knows for
the platforms that we use, and the words that some of them allow. `keys.json` holds the answer."""

import importlib
import json

import homeassistant.const
from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.mqtt import schemas
from homeassistant.components.number import NumberDeviceClass
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.components.sensor.const import DEVICE_CLASS_UNITS
from homeassistant.const import EntityCategory

PLATFORMS = ("binary_sensor", "button", "event", "image", "number", "select", "sensor")


def keys(validator):
    """The keys of a schema, or of the first schema that a chain of validators holds."""
    schema = validator if isinstance(validator, dict) else getattr(validator, "schema", None)
    if isinstance(schema, dict):
        return {str(getattr(key, "schema", key)): type(key).__name__ == "Required" for key in schema}
    for part in getattr(validator, "validators", ()):
        found = keys(part)
        if found:
            return found
    return {}


def listed(validator):
    known = keys(validator)
    return {
        "known": sorted(known),
        "required": sorted(key for key, required in known.items() if required),
    }


def platform(name):
    module = importlib.import_module(f"homeassistant.components.mqtt.{name}")
    return listed(module.PLATFORM_SCHEMA_MODERN)


print(json.dumps({
    "home_assistant": homeassistant.const.__version__,
    "discovery": listed(schemas.DEVICE_DISCOVERY_SCHEMA),
    "device": listed(schemas.MQTT_DEVICE_INFO_SCHEMA),
    "origin": listed(schemas.MQTT_ORIGIN_INFO_SCHEMA),
    "platforms": {name: platform(name) for name in PLATFORMS},
    "entity_categories": sorted(category.value for category in EntityCategory),
    "device_classes": {
        "binary_sensor": sorted(known.value for known in BinarySensorDeviceClass),
        "number": sorted(known.value for known in NumberDeviceClass),
        "sensor": sorted(known.value for known in SensorDeviceClass),
    },
    "units": {
        known.value: sorted(unit for unit in units if unit)
        for known, units in DEVICE_CLASS_UNITS.items()
        if known.value in ("data_size", "duration")
    },
}, indent=1, sort_keys=True))
