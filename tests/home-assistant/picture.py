"""Pictures of Home Assistant's pages, by a headless Chromium."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

from lab import Refused, WebSocket, end, wait


class Page:
    def __init__(self, url):
        self.line, self.next_id = WebSocket(url, 60), 0

    def do(self, method, **params):
        self.next_id += 1
        self.line.send({"id": self.next_id, "method": method, "params": params})
        while True:
            answer = self.line.receive()
            if answer.get("id") == self.next_id:
                if "error" in answer:
                    raise Refused(json.dumps(answer["error"]))
                return answer["result"]

    def evaluate(self, script):
        return self.do("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")


def take(ha, url, path, width=1280, height=1100, dark=False):
    """Logs in as the user that set Home Assistant up, and writes what `url` shows to `path`."""
    folder = tempfile.mkdtemp(prefix="frigate-replay-chromium-")
    browser = subprocess.Popen(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--no-first-run", "--remote-debugging-port=0",
         "--remote-allow-origins=*", f"--user-data-dir={folder}", f"--window-size={width},{height}",
         "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        port = next(found[1] for line in browser.stderr
                    if (found := re.search(r"DevTools listening on ws://127.0.0.1:(\d+)/", line)))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = json.load(answer)
        page = Page(next(p for p in pages if p["type"] == "page")["webSocketDebuggerUrl"])
        page.do("Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        page.do("Page.navigate", url=f"{ha.url}/manifest.json")
        wait("the page", lambda: page.evaluate("location.href").startswith(ha.url), 30)
        tokens = {**ha.refresh, "hassUrl": ha.url, "clientId": f"{ha.url}/",
                  "expires": int(time.time() * 1000) + 1_000_000}
        page.evaluate(f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(tokens))})")
        page.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                mobile=False)
        page.do("Page.navigate", url=url)
        wait("the page", lambda: "home-assistant" in (page.evaluate("document.body.innerHTML") or ""), 60)
        # Its pages load in pieces and tell nobody when they are done.
        time.sleep(12)
        path.parent.mkdir(parents=True, exist_ok=True)
        shot = page.do("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
    finally:
        end(browser)
        shutil.rmtree(folder, ignore_errors=True)
