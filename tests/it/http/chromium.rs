//! The admin page in a browser: headless Chromium through `WebDriver`, narrow and wide, light and dark.
//!
//! `SEALGATE_SCREENSHOTS=FOLDER` keeps the pictures; `SEALGATE_BARS=1` holds the first paint to its bar, on a quiet machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client;
use super::trial::{Trial, turn};
use crate::peers::{Process, free_port};

/// Pages to look at, each with the name of its picture.
const PAGES: [(&str, &str); 7] = [
    ("/", "overview"),
    ("/routes", "routes"),
    ("/queue", "queue"),
    ("/studies", "studies"),
    ("/emergency", "emergency"),
    ("/audit", "audit"),
    ("/sample", "sample"),
];

/// A browser of its own; both it and its driver end when this is dropped.
pub(super) struct Browser {
    driver: SocketAddr,
    session: String,
    _process: Process,
    _folder: TempDir,
}

impl Browser {
    pub(super) fn start(width: u32, height: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        let process = Process::start(&mut command, folder.path().join("log"), port);
        let driver = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = folder.path().join("profile");
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ]);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let begun = client::json(driver, "POST", "/session", &wanted);
        let session = begun["value"]["sessionId"].as_str().expect("a session").to_owned();
        let browser = Self { driver, session, _process: process, _folder: folder };
        // Headless windows have a least width; this holds for the page itself.
        browser.emulate(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
        browser
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut answer = client::json(self.driver, method, &format!("/session/{}{path}", self.session), body);
        answer["value"].take()
    }

    fn emulate(&self, command: &str, parameters: &Value) {
        self.ask("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    pub(super) fn go(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// The result of a script.
    pub(super) fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn theme(&self, theme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.emulate("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    pub(super) fn press(&self, key: char) {
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.ask(
            "POST",
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }),
        );
    }

    fn log_in(&self, trial: &Trial) {
        self.enter(trial.web, &trial.name, &trial.password);
    }

    /// Logs in.
    pub(super) fn enter(&self, web: SocketAddr, name: &str, password: &str) {
        self.go(&format!("http://{web}/"));
        // By keyboard alone: the first field, the second, and Enter.
        self.run("document.getElementById('name').focus()");
        for key in name.chars().chain(['\u{e004}']).chain(password.chars()).chain(['\u{e007}']) {
            self.press(key);
        }
        let end = std::time::Instant::now() + crate::gateway::SOON;
        while self.run("return document.querySelector('h1').textContent") != "Overview" {
            assert!(
                std::time::Instant::now() < end,
                "logged in: {}",
                self.run("return document.body.innerText")
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Milliseconds until the first text or picture of a page is there, of five visits, the shortest first.
    fn first_paints(&self, url: &str) -> Vec<f64> {
        const PAINT: &str =
            "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1";
        let mut paints = Vec::new();
        let end = std::time::Instant::now() + crate::gateway::SOON;
        while paints.len() < 5 {
            assert!(std::time::Instant::now() < end, "{url} is painted: {paints:?}");
            self.go(url);
            paints.extend(self.run(PAINT).as_f64().filter(|paint| *paint > 0.0));
        }
        paints.sort_by(f64::total_cmp);
        paints
    }

    pub(super) fn keep_picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("SEALGATE_SCREENSHOTS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.ask("GET", "/screenshot", &Value::Null);
        std::fs::write(
            folder.join(format!("{name}.png")),
            STANDARD.decode(picture.as_str().unwrap()).unwrap(),
        )
        .unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.ask("DELETE", "", &json!({}));
    }
}

/// Every text whose colours, as they are on the screen, are too much alike (WCAG 2.2, 1.4.3).
const FAINT: &str = r#"
const linear = part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const parts = colour => (colour.match(/[\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const back = element => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parts(getComputedStyle(one).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *:not(svg):not(svg *)")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length) continue;
  const [one, other] = [luminance(parts(getComputedStyle(element).color)), luminance(back(element))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (ratio < 4.5) faint.push(`${element.tagName} "${element.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
}
return faint;
"#;

#[test]
fn every_page_is_whole_in_a_browser_narrow_and_wide_light_and_dark() {
    let _turn = turn();
    let trial = Trial::start();
    for (width, height) in [(390, 844), (1280, 900)] {
        let browser = Browser::start(width, height);
        browser.go(&format!("http://{}/login", trial.web));
        browser.keep_picture(&format!("login-{width}"));
        browser.log_in(&trial);
        for theme in ["light", "dark"] {
            browser.theme(theme);
            for (path, name) in PAGES {
                browser.go(&format!("http://{}{path}", trial.web));
                let at = format!("{name}, {width} wide, {theme}");
                browser.keep_picture(&format!("{name}-{width}-{theme}"));
                let over = browser.run("return document.documentElement.scrollWidth - innerWidth");
                assert!(over.as_i64().unwrap() <= 0, "{at}: {over} pixels wider than the screen");
                assert_eq!(browser.run(FAINT), json!([]), "{at}");
                let dark = browser.run("return getComputedStyle(document.body).backgroundColor");
                assert_eq!(dark == "rgb(17, 23, 28)", theme == "dark", "{at}: {dark}");
                let broken =
                    browser.run("return [...document.images].filter(one => !one.naturalWidth).length");
                assert_eq!(broken, 0, "{at}");
            }
        }
        // What the policy forbids, and what a script throws, would stand here.
        let log = browser.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let severe: Vec<_> =
            log.as_array().unwrap().iter().filter(|line| line["level"] == "SEVERE").collect();
        assert!(severe.is_empty(), "{severe:?}");
    }
}

#[test]
fn the_keyboard_goes_through_a_page_in_its_order_and_shows_where_it_is() {
    let _turn = turn();
    let trial = Trial::start();
    let browser = Browser::start(1280, 900);
    browser.log_in(&trial);
    browser.go(&format!("http://{}/studies", trial.web));
    let wanted = browser.run(
        "return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, [tabindex=\"0\"]')].map(one => one.textContent.trim() || one.name)",
    );
    let wanted: Vec<String> =
        wanted.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
    assert_eq!(wanted.first().map(String::as_str), Some("Skip to content"));
    assert!(wanted.len() >= 10, "{wanted:?}");
    let mut seen = Vec::new();
    for _ in &wanted {
        browser.press('\u{e004}');
        let now = browser.run(
            "const one = document.activeElement; return [one.textContent.trim() || one.name, getComputedStyle(one).outlineStyle]",
        );
        assert_eq!(now[1], "solid", "{now}");
        seen.push(now[0].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, wanted);
}

#[test]
fn the_first_paint_comes_at_once_and_the_overview_lives() {
    let _turn = turn();
    let trial = Trial::start();
    let browser = Browser::start(1280, 900);
    browser.log_in(&trial);
    let bar = if std::env::var_os("SEALGATE_BARS").is_some() { 200.0 } else { 10_000.0 };
    for (path, name) in PAGES {
        let paints = browser.first_paints(&format!("http://{}{path}", trial.web));
        let median = paints[paints.len() / 2];
        println!("first contentful paint of {name}: {median:.0} ms, of {paints:.0?}");
        assert!(median < bar, "{name}: {paints:?}");
    }
    browser.go(&format!("http://{}/", trial.web));
    // The script brings what has changed: a mark of ours is gone after it.
    browser.run("document.querySelector('[data-live] .state').textContent = 'old'");
    let end = std::time::Instant::now() + crate::gateway::SOON;
    while browser.run("return document.querySelector('[data-live] .state').textContent") == "old" {
        assert!(std::time::Instant::now() < end, "the overview is fetched again");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
