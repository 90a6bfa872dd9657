"""The device in a real Home Assistant, from its first message to its removal.

    make test-home-assistant        installs Home Assistant (once) and runs this, as root

Each step says what it saw. The first thing that is not as it should be ends the test.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from lab import (BASE, DEVICE_TOPIC, PROJECT, Broker, Frigate, HomeAssistant, House, Refused, end,
                 wait)

SHIPPED = PROJECT / "home-assistant"
HERE = Path(__file__).resolve().parent

# What must be there: platform, key, device class, unit, category, state without a replay.
ENTITIES = [
    ("binary_sensor", "session_active", "running", None, None, "off"),
    ("binary_sensor", "live", None, None, None, "off"),
    ("sensor", "status", "enum", None, None, "idle"),
    ("sensor", "step", "enum", None, None, "idle"),
    ("sensor", "progress", None, "%", None, "unknown"),
    ("sensor", "source_camera", None, None, None, "unknown"),
    ("sensor", "replay_camera", None, None, None, "unknown"),
    ("sensor", "range_start", "timestamp", None, None, "unknown"),
    ("sensor", "range_end", "timestamp", None, None, "unknown"),
    ("sensor", "started_at", "timestamp", None, None, "unknown"),
    ("sensor", "auto_stop_at", "timestamp", None, None, "unknown"),
    ("sensor", "error", None, None, None, "unknown"),
    ("sensor", "last_response", None, None, None, "unknown"),
    ("sensor", "past_replays", None, "replays", None, "0"),
    ("select", "camera", None, None, None, "front"),
    ("number", "minutes", None, "min", None, "10"),
    ("button", "replay_the_last_minutes", None, None, None, "unknown"),
    ("button", "stop", None, None, None, "unknown"),
    ("event", "activity", None, None, None, "unknown"),
    ("sensor", "version", None, None, "diagnostic", None),
    ("sensor", "worker_started_at", "timestamp", None, "diagnostic", None),
    ("sensor", "clip_size", "data_size", "B", "diagnostic", "unknown"),
]


def unique(key):
    return f"frigate_replay_frigate_{key}"


def entity(platform, key):
    return f"{platform}.frigate_replay_{key}"


def same(what, seen, wanted):
    assert seen == wanted, f"{what}: {seen!r}, not {wanted!r}"


def seconds_of(state):
    return datetime.fromisoformat(state).timestamp()


class Test:
    def __init__(self, installed, binary, folder, screenshots):
        self.installed, self.screenshots = installed, screenshots
        self.broker = Broker(folder / "broker")
        self.broker.start()
        self.house = House(folder / "house", self.broker, binary)
        (folder / "ha").mkdir()
        self.ha = HomeAssistant(installed, folder / "ha", self.broker)
        shutil.copy(SHIPPED / "packages/frigate_replay.yaml", self.ha.config / "packages")
        shutil.copy(SHIPPED / "lovelace/frigate_replay.yaml", self.ha.config)

    def close(self):
        for process in (self.ha.process, self.house.process, self.broker.process):
            end(process)

    # Small helps.

    def settled(self, what, minutes=None):
        complaints = self.ha.complaints()
        assert not complaints, f"{what}: Home Assistant complains:\n" + "\n".join(complaints)
        print(f"  ok  {what}", flush=True)

    def press(self, key):
        self.ha.call("button.press", entity_id=entity("button", key))

    def live(self):
        self.ha.wait_state(entity("binary_sensor", "live"), "on")

    def idle(self):
        self.ha.wait_state(entity("binary_sensor", "session_active"), "off")
        wait("the stop's end", lambda: self.ha.state(entity("sensor", "status")) != "running")

    def stop(self):
        self.press("stop")
        self.idle()

    def wait_subscribed(self, topic):
        wait(f"a subscription to {topic}", lambda: self.broker.subscribed(topic))

    # The steps, in their order.

    def the_keys_are_still_those(self):
        root = self.installed / "root"
        shutil.copy(HERE / "keys.py", root / "opt/test/keys.py")
        told = subprocess.run(
            ["chroot", root, "/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "HOME=/root",
             "/opt/ha/bin/python", "/opt/test/keys.py"],
            check=True, capture_output=True, text=True,
        ).stdout
        kept = json.loads((HERE / "keys.json").read_text())
        same("keys.json", json.loads(told), kept)
        print(f"  ok  keys.json is what Home Assistant {kept['home_assistant']} says", flush=True)

    def the_device_is_found(self):
        self.house.start()
        self.ha.start()
        # All are there before anything is asked of them.
        wanted = {unique(key) for _, key, *_ in ENTITIES}
        wait("the entities", lambda: wanted <= set(self.ha.registered()))
        wait("a state", lambda: self.ha.state(entity("sensor", "status")) == "idle")
        self.entities_are_right()
        device = self.ha.device()
        same("name", device["name"], "Frigate Replay")
        same("manufacturer", device["manufacturer"], "frigate-replay")
        assert device["sw_version"] == self.ha.state(entity("sensor", "version")), device
        same("cameras", self.ha.entity(entity("select", "camera"))["attributes"]["options"],
             ["front", "yard"])
        minutes = self.ha.entity(entity("number", "minutes"))["attributes"]
        same("minutes", [minutes[k] for k in ("min", "max", "step", "mode")], [1, 1440, 1, "box"])
        started = seconds_of(self.ha.state(entity("sensor", "worker_started_at")))
        assert abs(started - time.time()) < 300, started
        self.settled("the device and its entities: ids, classes, units, categories, states")

    def entities_are_right(self):
        registered, states = self.ha.registered(), self.ha.states()
        ours = {uid for uid in registered if uid.startswith("frigate_replay_frigate_")}
        same("entities", ours, {unique(key) for _, key, *_ in ENTITIES})
        for platform, key, device_class, unit, category, state in ENTITIES:
            entry, shown = registered[unique(key)], states[entity(platform, key)]
            same(f"{key}: id", entry["entity_id"], entity(platform, key))
            same(f"{key}: category", entry["entity_category"], category)
            attributes = shown["attributes"]
            same(f"{key}: class", attributes.get("device_class"), device_class)
            same(f"{key}: unit", attributes.get("unit_of_measurement"), unit)
            assert attributes["icon"].startswith("mdi:"), key
            if state is not None:
                same(f"{key}: state", shown["state"], state)

    def the_buttons_start_and_stop_a_replay(self):
        self.ha.call("number.set_value", entity_id=entity("number", "minutes"), value=40)
        self.ha.wait_state(entity("number", "minutes"), "40")
        same("kept by the worker", self.broker.retained(f"{BASE}/form/minutes"), 40)
        self.press("replay_the_last_minutes")
        self.live()
        states = self.ha.states()
        show = {key: states[entity(platform, key)]["state"] for platform, key, *_ in ENTITIES}
        same("active", show["session_active"], "on")
        same("status", show["status"], "success")
        same("step", show["step"], "idle")
        same("progress", float(show["progress"]), 100.0)
        same("cameras", (show["source_camera"], show["replay_camera"]), ("front", "_replay_front"))
        same("error", show["error"], "unknown")
        same("last response", show["last_response"], "ok")
        session = self.broker.retained(f"{BASE}/session")
        for key, field in (("range_start", "start_time"), ("range_end", "end_time"),
                           ("started_at", "session_started_at"), ("auto_stop_at", "auto_stop_at")):
            assert abs(seconds_of(show[key]) - session[field]) < 1.0, (key, show[key], session[field])
        same("length", round(session["end_time"] - session["start_time"]), 2400)
        same("clip", float(show["clip_size"]), float(session["clip_bytes"]))
        attributes = states[entity("binary_sensor", "session_active")]["attributes"]
        same("attributes", attributes["job_id"], session["job_id"])
        same("event", states[entity("event", "activity")]["attributes"]["event_type"], "live")
        same("event's job", states[entity("event", "activity")]["attributes"]["job_id"], session["job_id"])
        answer = states[entity("sensor", "last_response")]["attributes"]
        same("answer", (answer["verb"], answer["data"]["job_id"]), ("start", session["job_id"]))
        if self.screenshots:
            self.take_pictures()
        self.stop()
        same("status", self.ha.state(entity("sensor", "status")), "cancelled")
        same("past", self.ha.state(entity("sensor", "past_replays")), "1")
        jobs = self.ha.entity(entity("sensor", "past_replays"))["attributes"]["jobs"]
        same("past job", (jobs[0]["job_id"], jobs[0]["reason"]), (session["job_id"], "stopped"))
        self.settled("the buttons start and stop a replay, and every entity shows it")

    def what_is_refused_is_shown(self):
        self.press("stop")
        answer = wait("the refusal", lambda: (seen := self.ha.entity(entity("sensor", "last_response")))
                      and seen["state"] == "error" and seen)
        same("code", answer["attributes"]["error"]["code"], "not_active")
        self.ha.call("select.select_option", entity_id=entity("select", "camera"), option="yard")
        self.ha.wait_state(entity("select", "camera"), "yard")
        self.press("replay_the_last_minutes")
        wait("the refusal", lambda: (self.ha.entity(entity("sensor", "last_response"))
                                     ["attributes"].get("error") or {}).get("code") == "no_recordings")
        event = self.ha.entity(entity("event", "activity"))["attributes"]
        same("event", event["event_type"], "refused")
        assert "yard" in event["message"], event
        self.ha.call("select.select_option", entity_id=entity("select", "camera"), option="front")
        self.ha.wait_state(entity("select", "camera"), "front")
        self.settled("a refusal shows in the last response and as an event")

    def the_traps_of_templates(self):
        """A dictionary without `to_json`, texts beyond what a state holds, an empty transaction."""
        sensor = entity("sensor", "last_response")
        self.ha.call("mqtt.publish", topic=f"{BASE}/request/start",
                     payload="{'camera': 'front', 'last_seconds': 60}")
        answer = wait("the hint", lambda: (error := self.ha.entity(sensor)["attributes"].get("error"))
                      and "to_json" in error["message"] and error)
        same("code", answer["code"], "invalid_request")
        long = "x" * 256
        self.broker.publish(f"{BASE}/request/stop", {"transaction": long})
        wait("the long transaction", lambda: self.ha.state(sensor) == long[:255])
        same("whole in the attributes", self.ha.entity(sensor)["attributes"]["transaction"], long)
        for transaction, state in ((0, "0"), ("", "error"), (7.5, "7.5"), (" ", "error")):
            self.broker.publish(f"{BASE}/request/stop", {"transaction": transaction})
            wait(f"the transaction {transaction!r}", lambda: self.ha.state(sensor) == state and
                 self.ha.entity(sensor)["attributes"]["transaction"] == transaction)
        self.settled("the traps of templates")

    def the_largest_messages_fit(self):
        """Home Assistant keeps states of 255 characters and attributes of 16 KiB, and complains of more."""
        sentence = "ä" * 1000
        sentences = [sentence] * 21
        session = {**self.broker.retained(f"{BASE}/session"), "warnings": sentences * 2}
        job = {"job_id": "k3v9x0q2m7ab", "source_camera": "c" * 200, "start_ts": 1.0, "end_ts": 2.0,
               "started_at": 3.0, "ended_at": 4.0, "status": "failed", "reason": "failed",
               "error_message": sentence}
        answer = {"verb": "start", "status": "ok", "transaction": "large", "ts": time.time(), "data": {
            "job_id": "k3v9x0q2m7ab", "replay_camera": "_replay_front", "warnings": sentences}}
        state = {"debug_replay": {
            "id": "k3v9x0q2m7ab", "job_type": "debug_replay", "status": "failed", "start_time": 1.0,
            "end_time": 2.0, "error_message": sentence, "results": {
                "current_step": "preparing_clip", "progress_percent": 4.5, "source_camera": "front",
                "replay_camera_name": "_replay_front", "start_ts": 1.0, "end_ts": 2.0}}}
        for topic, message in (("session", session), ("history", {"jobs": [job] * 50}),
                               ("last_response", answer), ("job_state", state)):
            self.broker.publish(f"{BASE}/{topic}", message, retain=True)
        self.ha.wait_state(entity("sensor", "last_response"), "large")
        self.ha.wait_state(entity("sensor", "past_replays"), "50")
        self.ha.wait_state(entity("sensor", "error"), "ä" * 255)
        self.ha.wait_state(entity("sensor", "progress"), "4.5")
        wait("ten warnings", lambda: len(self.ha.entity(entity("binary_sensor", "session_active"))
                                         ["attributes"]["warnings"]) == 10)
        refusal = {"verb": "start", "status": "error", "transaction": "refused", "ts": time.time(),
                   "error": {"code": "invalid_request", "message": sentence * 20}}
        self.broker.publish(f"{BASE}/last_response", refusal, retain=True)
        self.ha.wait_state(entity("sensor", "last_response"), "refused")
        # The recorder writes what it was given a moment ago.
        time.sleep(3)
        self.house.restart()
        self.ha.wait_state(entity("sensor", "past_replays"), "3")
        self.settled("the largest messages fit")

    def a_failed_replay_says_why(self):
        """The error is longer than a state; then it goes again."""
        front = self.house.folder / "media/recordings/2026-01-01/00/front"
        kept = {path: path.read_bytes() for path in front.iterdir()}
        for path in kept:
            path.write_bytes(b"no video")
        self.press("replay_the_last_minutes")
        self.ha.wait_state(entity("sensor", "status"), "failed")
        self.idle()
        error = self.ha.state(entity("sensor", "error"))
        assert error != "unknown" and len(error) <= 255, error
        same("event", self.ha.entity(entity("event", "activity"))["attributes"]["event_type"], "failed")
        for path, video in kept.items():
            path.write_bytes(video)
        self.press("replay_the_last_minutes")
        self.live()
        same("the error is gone", self.ha.state(entity("sensor", "error")), "unknown")
        self.stop()
        self.settled(f"a failed replay says why ({error[:60]} ...)")

    def everything_survives_restarts(self):
        self.press("replay_the_last_minutes")
        self.live()
        before = self.everything()
        self.ha.restart()
        self.live()
        wait("the same states", lambda: self.everything() == before)
        self.settled("after a restart of Home Assistant, with its device told again")
        # A broker without persistence: it has forgotten everything.
        self.broker.restart()
        wait("the device on the broker", lambda: self.broker.retained(DEVICE_TOPIC))
        wait("Home Assistant on the broker", lambda: self.broker.subscribed(f"{BASE}/session"))
        wait("the same states", lambda: self.everything() == before)
        self.ha.call("number.set_value", entity_id=entity("number", "minutes"), value=30)
        self.ha.wait_state(entity("number", "minutes"), "30")
        before = self.everything()
        self.connection_complaints_only("a restart of the broker")
        self.house.kill()
        self.ha.wait_state(entity("sensor", "status"), "unavailable")
        same("every entity", {self.ha.state(entity(p, k)) for p, k, *_ in ENTITIES}, {"unavailable"})
        self.house.start()
        self.live()
        wait("the same states", lambda: self.everything() == before)
        print("  ok  after a kill of the worker: unavailable, then as before", flush=True)
        self.stop()
        self.ha.restart()
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        self.settled("and calm after that")

    def connection_complaints_only(self, what):
        """That the broker is gone is worth a warning of Home Assistant's own; nothing else is."""
        others = [text for text in self.ha.complaints()
                  if not re.search(r"components[./]mqtt[./](async_)?client", text)]
        assert not others, f"{what}: " + "\n".join(others)
        print(f"  ok  after {what}", flush=True)

    def everything(self):
        """All states but those that tell when or how often something was."""
        fleeting = ("worker_started_at", "activity", "replay_the_last_minutes", "stop")
        return {key: self.ha.state(entity(platform, key))
                for platform, key, *_ in ENTITIES if key not in fleeting}

    def cameras_come_and_go(self):
        config = self.house.folder / "config/config.yml"
        usual = config.read_text()
        select = entity("select", "camera")
        options = lambda: self.ha.entity(select)["attributes"]["options"]  # noqa: E731
        config.write_text(usual.replace("  front:", "  porch:"))
        wait("the new camera", lambda: options() == ["porch", "yard"])
        self.ha.wait_state(select, "porch")
        config.write_text("cameras: {}\n")
        self.ha.wait_state(select, "unknown")
        same("no cameras", options(), [])
        config.write_text(usual)
        self.ha.wait_state(select, "front")
        same("the cameras", options(), ["front", "yard"])
        self.settled("cameras come and go in Frigate's config")

    def a_component_that_goes_is_removed(self):
        """As an earlier version left it, and as the present one is with a link to Frigate."""
        device = self.broker.retained(DEVICE_TOPIC)
        older = json.loads(json.dumps(device))
        for key in ("frigate_version", "frigate_link"):
            same(key, device["components"][key], {"platform": "sensor"})
            older["components"][key] = {
                "platform": "sensor", "name": key, "unique_id": unique(key),
                "state_topic": f"{BASE}/info", "value_template": "{{ value_json.version }}",
            }
        self.broker.publish(DEVICE_TOPIC, older, retain=True)
        wait("the older device", lambda: unique("frigate_link") in self.ha.registered())
        self.house.restart()
        wait("the removal", lambda: not {unique("frigate_link"), unique("frigate_version")}
             & set(self.ha.registered()))
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        self.ha.restart()
        wanted = {unique(key) for _, key, *_ in ENTITIES}
        wait("the entities", lambda: wanted == set(self.ha.registered()))
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        self.settled("a component that is gone in a new version is removed, and stays so")

    def the_scripts_answer(self):
        def run(script, **data):
            return self.ha.call(f"script.{script}", give_response=True, **data)["service_response"]

        for n in range(5):
            refused = run("frigate_replay_start", camera="shed", last_seconds=60)
            same(f"run {n}", refused["error"]["code"], "unknown_camera")
        started = run("frigate_replay_start", camera="front", start_time=str(self.house.begin),
                      end_time=str(self.house.end))
        same("started", started["status"], "ok")
        self.live()
        overridden = run("frigate_replay_start", camera="front", last_seconds=60, overrides={"detect": {"fps": 3}})
        same("a second one", overridden["error"]["code"], "already_active")
        stopped = run("frigate_replay_stop")
        same("stopped", (stopped["status"], stopped["data"]["job_id"]), ("ok", started["data"]["job_id"]))
        self.idle()
        overridden = run("frigate_replay_start", camera="front", last_seconds=1800,
                         overrides={"objects": {"filters": {"person": {"min_score": 0.4}}}})
        same("with overrides", overridden["status"], "ok")
        self.live()
        same("overridden", self.broker.retained(f"{BASE}/session")["overridden"], True)
        same("stopped", run("frigate_replay_stop")["status"], "ok")
        self.settled("the scripts give the worker's answer, also one that comes at once")

    def the_blueprints_fire(self):
        folder = self.ha.config / "blueprints/automation/frigate_replay"
        for path in sorted((SHIPPED / "blueprints").glob("*.yaml")):
            shutil.copy(path, folder)
        known = self.ha.ask("blueprint/list", domain="automation")
        ours = {path: told for path, told in known.items() if path.startswith("frigate_replay/")}
        same("blueprints", len(ours), 3)
        assert all("metadata" in told for told in ours.values()), ours

        def automation(name, **inputs):
            self.ha.post(f"/api/config/automation/config/{name}", {
                "alias": name, "use_blueprint": {"path": f"frigate_replay/{name}.yaml", "input": inputs}})
            self.ha.wait_state(f"automation.{name}", "on")

        self.a_review_is_replayed(automation)
        self.an_unseen_person_is_replayed(automation)
        self.a_replay_is_stopped_at_a_time(automation)

    def a_review_is_replayed(self, automation):
        automation("replay_after_review", camera="front", severity="alert", padding=3, delay=1)
        self.wait_subscribed("frigate/reviews")
        review = {"id": "1.5-abc", "camera": "front", "severity": "alert",
                  "start_time": self.house.begin + 20, "end_time": None, "data": {"objects": ["person"]}}
        ended = {**review, "end_time": self.house.begin + 50}
        say = lambda kind, after: self.broker.publish(  # noqa: E731
            "frigate/reviews", {"type": kind, "before": review, "after": after})
        say("new", review)
        say("end", {**ended, "camera": "yard", "id": "other"})
        say("end", {**ended, "severity": "detection", "id": "lesser"})
        say("end", ended)
        self.live()
        same("asked by", self.ha.state(entity("sensor", "last_response")), "review-1.5-abc")
        session = self.broker.retained(f"{BASE}/session")
        same("range", (round(session["start_time"] - self.house.begin),
                       round(session["end_time"] - self.house.begin)), (17, 53))
        self.stop()
        same("replays of it", len([job for job in self.broker.retained(f"{BASE}/history")["jobs"]
                                   if job["job_id"] == session["job_id"]]), 1)
        self.settled("blueprint: replay after a review ends")

    def an_unseen_person_is_replayed(self, automation):
        # The person's entity must not have changed within the minutes that are looked back upon.
        automation("replay_when_nothing_was_seen", sensor="input_boolean.door", minutes=5, patience=1,
                   seen="input_boolean.person", camera="front")
        shown = self.ha.entity("input_boolean.person")
        past = datetime.now(timezone.utc) - datetime.fromisoformat(shown["last_changed"])
        turn = lambda name, to: self.ha.call(  # noqa: E731
            f"input_boolean.turn_{to}", entity_id=f"input_boolean.{name}")
        assert past < timedelta(minutes=5), past
        turn("door", "on")
        time.sleep(2.5)
        same("somebody may have been seen just before", self.ha.state(entity("binary_sensor", "session_active")), "off")
        turn("door", "off")
        automation("replay_when_nothing_was_seen", sensor="input_boolean.door", minutes=1, patience=2,
                   seen="input_boolean.person", camera="front")
        wait("a calm minute", lambda: (datetime.now(timezone.utc) - datetime.fromisoformat(
            self.ha.entity("input_boolean.person")["last_changed"])) > timedelta(seconds=62), 90)
        # Frigate sees somebody while it is waited for.
        turn("door", "on")
        turn("person", "on")
        time.sleep(3)
        same("seen in time", self.ha.state(entity("binary_sensor", "session_active")), "off")
        turn("person", "off")
        turn("door", "off")
        wait("a calm minute", lambda: (datetime.now(timezone.utc) - datetime.fromisoformat(
            self.ha.entity("input_boolean.person")["last_changed"])) > timedelta(seconds=62), 90)
        before = self.broker.retained(f"{BASE}/last_response")["ts"]
        self.house.record_again()
        turn("door", "on")
        answer = wait("the request", lambda: (seen := self.broker.retained(f"{BASE}/last_response"))
                      and seen["ts"] > before and seen)
        assert answer["transaction"].startswith("unseen-"), answer
        same("answer", answer["status"], "ok")
        self.live()
        self.stop()
        turn("door", "off")
        self.settled("blueprint: a sensor fired, Frigate saw nobody")

    def a_replay_is_stopped_at_a_time(self, automation):
        self.broker.publish(f"{BASE}/request/start", {
            "camera": "front", "start_time": self.house.begin, "end_time": self.house.end})
        self.live()
        at = (datetime.now(timezone.utc) + timedelta(seconds=4)).strftime("%H:%M:%S")
        automation("stop_at", at=at)
        self.idle()
        same("stopped", self.broker.retained(f"{BASE}/history")["jobs"][0]["reason"], "stopped")
        self.settled("blueprint: stop at a time")

    def a_link_to_frigate_brings_more(self):
        linked = {unique(key) for key in ("frigate_reachable", "frigate_version", "frigate_link", "picture")}
        frigate = Frigate(self.house.folder / "config/config.yml")
        try:
            self.house.restart("--frigate-url", frigate.url)
            wait("the entities", lambda: linked <= set(self.ha.registered()))
            self.ha.wait_state(entity("binary_sensor", "frigate_reachable"), "on")
            same("version", self.ha.state(entity("sensor", "frigate_version")), Frigate.version)
            same("link", self.ha.state(entity("sensor", "frigate_link")), "unknown")
            same("no picture", self.ha.state(entity("image", "picture")), "unavailable")
            same("page", self.ha.device()["configuration_url"].rstrip("/"), frigate.url)
            self.press("replay_the_last_minutes")
            self.live()
            self.ha.wait_state(entity("sensor", "frigate_link"), "added")
            shown = wait("the picture", lambda: (seen := self.ha.entity(entity("image", "picture")))
                         and seen["state"] not in ("unavailable", "unknown") and seen)
            picture = self.ha.request("GET", shown["attributes"]["entity_picture"], raw=True)
            assert "_replay_front" in picture, picture
            self.stop()
            same("taken out", frigate.added, {})
            self.ha.wait_state(entity("image", "picture"), "unavailable")
        finally:
            frigate.close()
        self.ha.wait_state(entity("binary_sensor", "frigate_reachable"), "off", seconds=120)
        self.house.restart()
        wait("the removal", lambda: not linked & set(self.ha.registered()))
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        self.settled("a link to Frigate brings more entities and a picture, and takes them with it")

    def two_instances_stand_side_by_side(self):
        flags = ("--instance", "Cam-2")
        other = self.house.worker(*flags, data="other")
        try:
            wait("the second device", lambda: self.ha.state("sensor.frigate_replay_cam_2_status") == "idle")
            self.ha.call("number.set_value", entity_id="number.frigate_replay_cam_2_minutes", value=7)
            self.ha.wait_state("number.frigate_replay_cam_2_minutes", "7")
            same("the first's", self.ha.state(entity("number", "minutes")), "30")
        finally:
            end(other)
        command = self.house.command("purge", *flags, data="other")
        subprocess.run(command, check=True, capture_output=True)
        wait("only the first", lambda: len(self.ha.registered()) == len(ENTITIES))
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        self.settled("a second instance has a device of its own")

    def a_renamed_instance_moves(self):
        self.house.restart("--instance", "other")
        self.ha.wait_state("sensor.frigate_replay_other_status", "cancelled")
        wait("the old device's removal", lambda: self.ha.device() is None)
        same("entities", len(self.ha.registered()), len(ENTITIES))
        self.house.restart()
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        wait("the other's removal", lambda: len(self.ha.registered()) == len(ENTITIES))
        self.settled("a renamed instance takes its device with it")

    def the_view_shows_only_what_is_there(self):
        view = self.ha.ask("lovelace/config", url_path="frigate-replay")
        known = set(self.ha.states())
        named = set()

        def look(part):
            if isinstance(part, dict):
                for key, value in part.items():
                    if key in ("entity", "entity_id") and isinstance(value, str):
                        named.add(value)
                    elif key == "entities":
                        named.update(e if isinstance(e, str) else e["entity"] for e in value)
                    else:
                        look(value)
            elif isinstance(part, list):
                for one in part:
                    look(one)

        look(view)
        assert len(named) > 12, named
        same("unknown entities", named - known, set())
        texts = [card["content"] for section in view["views"][0]["sections"]
                 for card in section["cards"] if card["type"] == "markdown"]
        rendered = [self.ha.template(text) for text in texts]
        assert "front" in rendered[1], rendered
        if self.screenshots:
            self.take_picture(f"{self.ha.url}/frigate-replay/replay", "home-assistant-view")
        self.settled("the view's entities are all there, its texts can be rendered")

    def the_device_goes(self):
        self.house.restart("--discovery-prefix", "")
        wait("the removal", lambda: self.ha.device() is None and not self.ha.registered())
        self.settled("turned off, the device is gone")
        self.house.restart()
        wait("the device", lambda: len(self.ha.registered()) == len(ENTITIES))
        self.ha.wait_state(entity("sensor", "status"), "cancelled")
        end(self.house.process)
        subprocess.run(self.house.command("purge"), check=True, capture_output=True)
        wait("the removal", lambda: self.ha.device() is None and not self.ha.registered())
        same("on the broker", self.broker.retained(DEVICE_TOPIC), None)
        self.settled("purged, the device is gone")

    # Pictures, for the README and to be looked at.

    def take_pictures(self):
        device = self.ha.device()["id"]
        self.take_picture(f"{self.ha.url}/config/devices/device/{device}", "home-assistant-device")

    def take_picture(self, url, name):
        from picture import take
        take(self.ha, url, self.screenshots / f"{name}.png")

    def run(self, only):
        for step in (
            self.the_keys_are_still_those,
            self.the_device_is_found,
            self.the_buttons_start_and_stop_a_replay,
            self.what_is_refused_is_shown,
            self.the_traps_of_templates,
            self.a_failed_replay_says_why,
            self.the_largest_messages_fit,
            self.the_scripts_answer,
            self.everything_survives_restarts,
            self.cameras_come_and_go,
            self.a_component_that_goes_is_removed,
            self.a_link_to_frigate_brings_more,
            self.two_instances_stand_side_by_side,
            self.a_renamed_instance_moves,
            self.the_view_shows_only_what_is_there,
            self.the_blueprints_fire,
            self.the_device_goes,
        ):
            if not only or step.__name__ in (self.the_device_is_found.__name__, *only):
                step()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--installed", type=Path, required=True, help="the folder of install.sh")
    parser.add_argument("--binary", type=Path, required=True, help="the worker's binary")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures; needs chromium")
    parser.add_argument("--only", nargs="*", help="these steps, after the device was found")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="frigate-replay-ha-"))
    test = Test(arguments.installed.resolve(), arguments.binary.resolve(), folder, arguments.screenshots)
    try:
        test.run(arguments.only)
        print("everything is as it should be")
    except (AssertionError, Refused, subprocess.CalledProcessError) as error:
        print(f"FAILED: {error}\nthe run's folder is kept: {folder}", file=sys.stderr)
        arguments.keep = True
        raise
    finally:
        test.close()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
