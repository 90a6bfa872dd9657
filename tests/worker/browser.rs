//! A headless Chromium with a profile of its own, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use tokio::runtime::Runtime;

use super::house::wait_for;

/// What keeps Chromium to itself: no window, no network of its own, no first steps.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-GB",
];

pub struct Browser {
    runtime: Runtime,
    driver: Option<WebDriver>,
    chromedriver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens `url`.
    pub fn open(url: &str) -> Self {
        let mut chromedriver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there");
        let port = port_of(&mut chromedriver);
        let profile = TempDir::new().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary("/usr/bin/chromium").unwrap();
        for flag in FLAGS {
            wanted.add_arg(flag).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
        // The driver's client brings none, for the worker's own client takes its own along; whoever
        // comes first of the tests sets it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let driver =
            runtime.block_on(WebDriver::new(format!("http://127.0.0.1:{port}"), wanted)).unwrap();
        let browser = Self { runtime, driver: Some(driver), chromedriver, _profile: profile };
        browser.viewport(1200, 900);
        browser.go_to(url);
        browser
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().unwrap()
    }

    pub fn go_to(&self, url: &str) {
        self.runtime.block_on(self.driver().goto(url)).unwrap();
    }

    /// What `script`, the body of a function, returns in the page.
    pub fn run(&self, script: &str) -> Value {
        let returned = self.runtime.block_on(self.driver().execute(script, Vec::new())).unwrap();
        returned.json().clone()
    }

    /// Waits until the expression is true in the page.
    pub fn wait(&self, expression: &str) {
        let shown = || self.run("return document.body.innerText");
        let script = format!("return Boolean({expression})");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(expression, || (self.run(&script) == true).then_some(()));
        }));
        result.unwrap_or_else(|_| panic!("in vain: {expression}; the page shows:\n{}", shown()));
    }

    /// Waits until the element of this id shows `text`.
    pub fn wait_text(&self, id: &str, text: &str) {
        let (id, text) = (json!(id), json!(text));
        self.wait(&format!("document.getElementById({id}).innerText.includes({text})"));
    }

    fn element(&self, id: &str) -> WebElement {
        self.runtime.block_on(self.driver().find(By::Id(id))).unwrap()
    }

    /// As a person does: fails where something else is in the way.
    pub fn click(&self, id: &str) {
        let element = self.element(id);
        self.runtime.block_on(element.scroll_into_view()).unwrap();
        self.runtime.block_on(element.click()).unwrap();
    }

    pub fn write(&self, id: &str, text: &str) {
        let element = self.element(id);
        self.runtime.block_on(element.clear()).unwrap();
        self.runtime.block_on(element.send_keys(text)).unwrap();
    }

    /// Presses keys, wherever the keyboard stands.
    pub fn press(&self, keys: impl Into<TypingData>) {
        self.runtime.block_on(self.driver().action_chain().send_keys(keys).perform()).unwrap();
    }

    /// The id of what the keyboard stands on.
    pub fn focus(&self) -> String {
        self.run("return document.activeElement.id").as_str().unwrap_or_default().to_owned()
    }

    /// Tabs until the keyboard stands on `id`; every stop on the way must be visibly marked.
    pub fn tab_to(&self, id: &str) {
        for _ in 0..40 {
            self.press(Key::Tab);
            let script = "const on = document.activeElement;
                const seen = on.matches('.choice input') ? on.nextElementSibling : on;
                return on === document.body ? 'solid' : getComputedStyle(seen).outlineStyle";
            assert_ne!(self.run(script), "none", "nothing marks {:?}", self.focus());
            if self.focus() == id {
                return;
            }
        }
        panic!("the keyboard does not come to {id:?}; it is on {:?}", self.focus());
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        let cdp = self.driver().cdp();
        self.runtime.block_on(cdp.send_raw(command, parameters)).unwrap()
    }

    pub fn viewport(&self, width: u32, height: u32) {
        let parameters = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", parameters);
    }

    pub fn dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// A picture of the page, in the target folder's `tmp`, for a person to look at.
    pub fn picture(&self, name: &str) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{name}.png"));
        self.runtime.block_on(self.driver().screenshot(&path)).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.runtime.block_on(driver.quit());
        }
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
    }
}

/// The port that chromedriver chose: it says so in a line of its own.
fn port_of(chromedriver: &mut Child) -> u16 {
    let mut lines = BufReader::new(chromedriver.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| {
        let line = line.unwrap();
        let port = line.split("successfully on port ").nth(1)?;
        port.trim_end_matches('.').parse().ok()
    });
    // It says more later on, which must find an open end.
    std::thread::spawn(move || lines.for_each(drop));
    port.expect("chromedriver names its port")
}
