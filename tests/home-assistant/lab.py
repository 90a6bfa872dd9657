"""A real Home Assistant, a real broker, a house with recordings and the real worker, on loopback.

Only what is started here is ended here. Standard library alone, and ffmpeg and mosquitto.
"""

import base64
import json
import os
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

PROJECT = Path(__file__).resolve().parents[2]
BASE = "frigate_replay/frigate"
DEVICE_TOPIC = "homeassistant/device/frigate_replay_frigate/config"

# What a Home Assistant without any device says at a start like ours.
USUAL_NOISE = (r"Skipping pip installation", r"FFmpeg|ffmpeg")
# That it was not installed as an appliance or a container.
USUAL_ISSUES = ("deprecated_method",)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, look, seconds=60.0):
    """Looks until `look` gives something, and gives that."""
    end = time.monotonic() + seconds
    seen = None
    while time.monotonic() < end:
        try:
            seen = look()
            if seen:
                return seen
        except (OSError, Refused) as error:
            seen = error
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}; last seen: {seen!r}")


def end(process, seconds=30):
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Refused(Exception):
    pass


class WebSocket:
    """As much of RFC 6455 as Home Assistant and Chromium's DevTools need."""

    def __init__(self, url, seconds=20.0):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), seconds)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise Refused(head.decode(errors="replace"))

    def _more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Refused("the websocket was closed")
        self.buffer += data

    def _take(self, count):
        while len(self.buffer) < count:
            self._more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _frame(self, kind, data):
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | kind, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, size)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        self.socket.sendall(head + mask + masked)

    def send(self, message):
        self._frame(1, json.dumps(message).encode())

    def receive(self):
        text = b""
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._take(8))[0]
            data = self._take(size)
            kind = first & 0x0F
            if kind == 9:
                self._frame(10, data)
            elif kind == 8:
                raise Refused("the websocket was closed")
            elif kind in (0, 1, 2):
                text += data
                if first & 0x80:
                    return json.loads(text)

    def close(self):
        self.socket.close()


class Broker:
    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        folder.mkdir(parents=True)

    def start(self):
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"set_tcp_nodelay true\npersistence false\nlog_dest file {self.folder}/mosquitto.log\n"
            "log_type error\nlog_type warning\nlog_type subscribe\nlog_type unsubscribe\n"
        )
        self.process = subprocess.Popen(["mosquitto", "-c", config], stderr=subprocess.DEVNULL)
        wait("the broker", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None)

    def restart(self):
        """Everything that it retained is gone."""
        end(self.process)
        self.start()

    def publish(self, topic, payload, retain=False):
        text = payload if isinstance(payload, str) else json.dumps(payload)
        command = ["mosquitto_pub", "-V", "5", "-p", str(self.port), "-q", "1", "-t", topic, "-s"]
        subprocess.run(command + (["-r"] if retain else []), input=text, text=True, check=True)

    def retained(self, topic):
        """What a topic holds, parsed; `None` for nothing."""
        command = ["mosquitto_sub", "-V", "5", "-p", str(self.port), "-t", topic, "-C", "1", "-W", "2",
                   "--retained-only"]
        text = subprocess.run(command, capture_output=True, text=True).stdout.strip()
        return json.loads(text) if text else None

    def subscribed(self, topic):
        """Whether somebody subscribed to exactly this since the broker's start."""
        log = (self.folder / "mosquitto.log").read_text(errors="replace")
        return re.search(rf" \d {re.escape(topic)}$", log, re.M) is not None


class House:
    """A folder as Frigate has it, whose camera `front` was recorded for the last `count` x 10 s."""

    def __init__(self, folder, broker, binary, count=12):
        self.folder, self.broker, self.binary, self.process = folder, broker, binary, None
        for name in ("config", "media/recordings", "data"):
            (folder / name).mkdir(parents=True)
        camera = (
            "    ffmpeg:\n      inputs:\n        - path: rtsp://127.0.0.1/{0}\n"
            "          roles: [detect, record]\n"
            "    detect:\n      enabled: true\n      width: 640\n      height: 360\n"
        )
        cameras = "".join(f"  {name}:\n{camera.format(name)}" for name in ("front", "yard"))
        (folder / "config/config.yml").write_text(
            f"mqtt:\n  host: 127.0.0.1\n  port: {broker.port}\ncameras:\n{cameras}"
        )
        self._record(count)

    def _record(self, count):
        video = self.folder / "video"
        video.mkdir()
        subprocess.run(
            ["ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i",
             f"testsrc2=s=320x180:r=5:d={count * 10}", "-c:v", "libx264", "-preset", "ultrafast",
             "-g", "10", "-pix_fmt", "yuv420p", "-f", "segment", "-segment_time", "10",
             "-reset_timestamps", "1", "-segment_format_options", "movflags=+faststart",
             str(video / "%d.mp4")],
            check=True,
        )
        database = sqlite3.connect(self.folder / "config/frigate.db")
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript((PROJECT / "tests/frigate/schema.sql").read_text())
        self.end = time.time() - 1
        self.begin = self.end - count * 10
        for n in range(count):
            name = f"recordings/2026-01-01/00/front/{n // 6:02}.{n % 6 * 10:02}.mp4"
            path = self.folder / "media" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(video / f"{n}.mp4", path)
            start = self.begin + 10 * n
            database.execute(
                "INSERT INTO recordings (id, camera, path, start_time, end_time, duration, segment_size)"
                " VALUES (?, 'front', ?, ?, ?, 10, 0.1)",
                (f"front-{n}", f"/media/frigate/{name}", start, start + 10),
            )
        database.commit()
        database.close()

    def record_again(self):
        """The same videos once more, as recordings that end now."""
        front = self.folder / "media/recordings/2026-01-01/00/front"
        database = sqlite3.connect(self.folder / "config/frigate.db", timeout=30)
        videos = sorted(front.glob("[0-9]*.mp4"))
        begin = time.time() - 1 - 10 * len(videos)
        for n, video in enumerate(videos):
            again = video.with_name(f"{time.time_ns()}.mp4")
            shutil.copy(video, again)
            name = f"/media/frigate/{again.relative_to(self.folder / 'media')}"
            start = begin + 10 * n
            database.execute(
                "INSERT INTO recordings (id, camera, path, start_time, end_time, duration, segment_size)"
                " VALUES (?, 'front', ?, ?, ?, 10, 0.1)", (again.stem, name, start, start + 10))
        database.commit()
        database.close()

    def command(self, name, *flags, data="data"):
        return [self.binary, name, "--frigate-config", self.folder / "config/config.yml",
                "--media-dir", self.folder / "media", "--data-dir", self.folder / data, *flags]

    def start(self, *flags):
        self.process = self.worker(*flags)

    def worker(self, *flags, data="data"):
        command = self.command("run", "--watchdog-interval", "1s", *flags, data=data)
        with open(self.folder / "worker.log", "a") as log:
            env = {"PATH": os.environ["PATH"], "RUST_LOG": "info"}
            return subprocess.Popen(command, stderr=log, env=env)

    def restart(self, *flags):
        end(self.process)
        self.start(*flags)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        return (self.folder / "worker.log").read_text()


class Frigate:
    """As much of a running Frigate 0.18 as a replay needs: cameras come and go, and have a picture."""

    version = "0.18.0-test"

    def __init__(self, config):
        self.config, self.added, self.asked = config, {}, 0
        frigate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                frigate.get(self)

            def do_PUT(self):
                frigate.put(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def picture(self, camera):
        self.asked += 1
        return b"\xff\xd8" + f"{camera} {self.asked}".encode()

    def get(self, request):
        path = urlsplit(request.path).path
        latest = re.fullmatch(r"/api/(\w+)/latest\.jpg", path)
        if path == "/api/version":
            self.answer(request, 200, self.version.encode(), "text/plain")
        elif path == "/api/config/raw":
            cameras = "".join(f"  {name}:\n    enabled: true\n" for name in self.added)
            self.answer(request, 200, json.dumps(self.config.read_text() + cameras).encode())
        elif path == "/api/config":
            self.answer(request, 200, b'{"cameras": {}}')
        elif path == "/api/debug_replay/status":
            self.answer(request, 200, b'{"active": false}')
        elif latest and latest[1] in self.added:
            self.answer(request, 200, self.picture(latest[1]), "image/jpeg")
        else:
            self.answer(request, 404, b"{}")

    def put(self, request):
        body = json.loads(request.rfile.read(int(request.headers["content-length"])))
        _, _, camera, update = body["update_topic"].split("/")
        if update == "add":
            self.added[camera] = body["config_data"]["cameras"][camera]
        else:
            self.added.pop(camera, None)
        self.answer(request, 200, b'{"success": true}')

    def answer(self, request, status, body, kind="application/json"):
        request.send_response(status)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


CONFIGURATION = """
homeassistant:
  name: Test
  latitude: 52.0
  longitude: 5.0
  elevation: 0
  unit_system: metric
  time_zone: UTC
  currency: EUR
  country: NL
  internal_url: "http://127.0.0.1:{port}"
  external_url: "http://127.0.0.1:{port}"
  packages: !include_dir_named packages
api:
history:
logbook:
frontend:
recorder:
  commit_interval: 1
automation: !include automations.yaml
logger:
  default: warning
lovelace:
  dashboards:
    frigate-replay:
      mode: yaml
      title: Frigate Replay
      icon: mdi:replay
      filename: frigate_replay.yaml
input_boolean:
  door:
    name: Door
  person:
    name: Person
"""
HTTP = """
http:
  server_host: 127.0.0.1
  server_port: {port}
"""


class HomeAssistant:
    """Runs from the folder that install.sh made, with a configuration of its own."""

    user = {"username": "test", "password": "only-for-this-test"}

    def __init__(self, installed, folder, broker):
        self.root = installed / "root"
        self.folder, self.broker, self.process, self.token = folder, broker, None, None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "config"
        for name in (".storage", "packages", "blueprints/automation/frigate_replay"):
            (self.config / name).mkdir(parents=True)
        store = {
            # Its step core_config would add integrations that want the internet.
            "onboarding": {"version": 4, "minor_version": 1, "data": {"done": ["core_config"]}},
            # Its own discovery would bind every interface.
            "core.network": {"version": 1, "minor_version": 1,
                             "data": {"configured_adapters": ["lo"]}},
        }
        for name, content in store.items():
            (self.config / ".storage" / name).write_text(json.dumps({"key": name, **content}))
        self.write("automations.yaml", "[]\n")

    def write(self, name, text):
        (self.config / name).write_text(text)

    def start(self):
        """Starts it and waits until it runs with MQTT; the first time it is set up on the way."""
        self._launch()
        if self.token is None:
            self._onboard()
            wait("Home Assistant", lambda: self.get("/api/config")["state"] == "RUNNING", 180)
            self._add_mqtt()
            # Automations with MQTT triggers load with the next start.
            end(self.process, 60)
            self._launch()
        wait("Home Assistant", lambda: self.get("/api/config")["state"] == "RUNNING", 180)
        wait("MQTT", lambda: any(entry["domain"] == "mqtt" and entry["state"] == "loaded"
                                 for entry in self.get("/api/config/config_entries/entry")))
        try:  # Its settings of http are on trial until they are confirmed.
            if self.ask("http/config").get("pending"):
                self.ask("http/config/promote")
        except Refused as error:
            if "unknown_command" not in str(error):
                raise

    def restart(self):
        self.stop()
        self.start()

    def stop(self):
        end(self.process, 60)

    def _launch(self):
        for log in self.config.glob("home-assistant.log*"):
            log.unlink()
        kept = self.config / ".storage/http"
        migrated = kept.exists() and '"yaml_migration_done": true' in kept.read_text()
        self.write("configuration.yaml", (CONFIGURATION + ("" if migrated else HTTP)).format(port=self.port))
        (self.folder / "resolv.conf").write_text("")
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n")
        # A mount namespace of its own: nothing is left to be unmounted.
        script = (
            'mount -t proc proc "$ROOT/proc"\n'
            'mount --bind "$RUN/config" "$ROOT/hass-config"\n'
            'mount --bind "$RUN/resolv.conf" "$ROOT/etc/resolv.conf"\n'
            'mount --bind "$RUN/hosts" "$ROOT/etc/hosts"\n'
            'mount -t tmpfs tmpfs "$ROOT/tmp"\n'
            'exec chroot "$ROOT" /usr/bin/env -i PATH=/opt/ha/bin:/usr/local/bin:/usr/bin:/bin '
            "HOME=/hass-config LANG=C.UTF-8 TZ=UTC /opt/ha/bin/hass --config /hass-config "
            "--skip-pip --log-no-color\n"
        )
        with open(self.folder / "stdout", "a") as out:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-ec", script],
                env={"PATH": os.environ["PATH"], "ROOT": str(self.root), "RUN": str(self.folder)},
                stdout=out, stderr=subprocess.STDOUT,
            )

    def _onboard(self):
        wait("onboarding", lambda: self.get("/api/onboarding"), 180)
        client = self.url + "/"
        code = self.post("/api/onboarding/users", {
            "client_id": client, "name": "Test", "language": "en", **self.user})["auth_code"]
        self.refresh = self.request("POST", "/auth/token", form={
            "client_id": client, "grant_type": "authorization_code", "code": code})
        self.token = self.refresh["access_token"]
        for step, body in (("core_config", {}), ("analytics", {}),
                           ("integration", {"client_id": client, "redirect_uri": client})):
            done = {entry["step"]: entry["done"] for entry in self.get("/api/onboarding")}
            if not done.get(step, True):
                self.post(f"/api/onboarding/{step}", body)
        self.token = self.ask("auth/long_lived_access_token", client_name="test", lifespan=365)

    def _add_mqtt(self):
        flow = self.post("/api/config/config_entries/flow",
                         {"handler": "mqtt", "show_advanced_options": False})
        while flow["type"] == "form" and not flow.get("errors"):
            flow = self.post(f"/api/config/config_entries/flow/{flow['flow_id']}",
                             self._filled(flow["data_schema"]))
        if flow["type"] != "create_entry":
            raise Refused(json.dumps(flow)[:1000])

    def _filled(self, fields):
        filled = {}
        for field in fields:
            name = field["name"]
            if name in ("broker", "port"):
                filled[name] = "127.0.0.1" if name == "broker" else self.broker.port
            elif field.get("type") == "expandable":
                filled[name] = self._filled(field["schema"])
            elif field.get("required"):
                filled[name] = field.get("default", "off" if name == "set_ca_cert" else False)
        return filled

    # Asking it.

    def request(self, method, path, data=None, form=None, raw=False):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        body = None
        if form is not None:
            body = urlencode(form).encode()
        elif data is not None:
            body, headers["Content-Type"] = json.dumps(data).encode(), "application/json"
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None
        return text if raw else json.loads(text or "null")

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, data):
        return self.request("POST", path, data)

    def ask(self, command, **fields):
        """One command over the websocket."""
        line = WebSocket(self.url.replace("http", "ws") + "/api/websocket")
        try:
            line.receive()
            line.send({"type": "auth", "access_token": self.token})
            line.receive()
            line.send({"id": 1, "type": command, **fields})
            while True:
                answer = line.receive()
                if answer.get("id") == 1 and answer["type"] == "result":
                    if not answer["success"]:
                        raise Refused(json.dumps(answer["error"]))
                    return answer["result"]
        finally:
            line.close()

    def call(self, service, give_response=False, **data):
        path = f"/api/services/{service.replace('.', '/')}"
        return self.post(path + ("?return_response" if give_response else ""), data)

    def states(self):
        return {state["entity_id"]: state for state in self.get("/api/states")}

    def entity(self, entity_id):
        try:
            return self.get(f"/api/states/{entity_id}")
        except Refused:
            return None

    def state(self, entity_id):
        entity = self.entity(entity_id)
        return entity and entity["state"]

    def wait_state(self, entity_id, *wanted, seconds=60):
        return wait(
            f"{entity_id} to be {' or '.join(wanted)}",
            lambda: (seen := self.entity(entity_id)) and seen["state"] in wanted and seen,
            seconds,
        )

    def registered(self):
        """What it keeps of our entities, by unique id."""
        return {entry["unique_id"]: entry for entry in self.ask("config/entity_registry/list")
                if entry["platform"] == "mqtt"}

    def device(self):
        devices = self.ask("config/device_registry/list")
        ours = [d for d in devices if ["mqtt", "frigate_replay_frigate"] in d["identifiers"]]
        return ours[0] if ours else None

    def template(self, text):
        return self.request("POST", "/api/template", {"template": text}, raw=True)

    def complaints(self):
        """Every warning and worse of its log since its start, without the usual noise, and every
        issue of its repairs."""
        time.sleep(0.5)
        lines = (self.config / "home-assistant.log").read_text(errors="replace").splitlines()
        found, mark = [], re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL|INFO|DEBUG) ")
        for line in lines:
            started = mark.match(line)
            if started:
                found.append([started[1], line])
            elif found:
                found[-1][1] += "\n" + line
        loud = [text for level, text in found if level in ("WARNING", "ERROR", "CRITICAL")
                and not any(re.search(noise, text) for noise in USUAL_NOISE)]
        issues = [json.dumps(issue) for issue in self.ask("repairs/list_issues")["issues"]
                  if issue["issue_id"] not in USUAL_ISSUES]
        return loud + issues
