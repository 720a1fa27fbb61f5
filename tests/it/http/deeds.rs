//! What is done from the admin page in a browser, with what comes of it: a refused image is tried again, a report is read.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::admin::{PASSWORD, Staffed};
use super::chromium::Browser;
use super::trial::turn;
use crate::gateway::SOON;
use crate::peers::Pynetdicom;

/// The instance that is sent.
const INSTANCE: &str = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322";
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/demo/ct.dcm");
/// One pixel.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const MODALITY: &str = "[forward]\nrefusals_max = 1\n[[peers]]\nname = \"ct\"\ntitle = \"CT1\"\naddresses = [\"127.0.0.1\"]\nmay = [\"store\"]\n";

/// Looks at a page again and again, until a script says that it is as it shall be.
fn until(browser: &Browser, url: &str, script: &str) {
    let end = Instant::now() + SOON;
    loop {
        browser.go(url);
        if browser.run(script) == json!(true) {
            return;
        }
        let page = browser.run("return document.body.innerText");
        assert!(Instant::now() < end, "{script}\n{page}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn an_image_that_the_pacs_refused_leaves_the_queue_when_it_is_tried_again_from_the_page() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let refusing = folder.path().join("refusing");
    fs::write(&refusing, "").unwrap();
    let pacs = Pynetdicom::start(&["--status=49152", &format!("--while={}", refusing.display())]);
    let staffed = Staffed::start_before(&pacs.address().to_string(), MODALITY);
    let port = staffed.gateway.address.port().to_string();
    let sent = Command::new("storescu")
        .args(["-aet", "CT1", "-aec", "SEALGATE", "127.0.0.1", &port, IMAGE])
        .status()
        .expect("storescu: run tests/run install");
    assert!(sent.success(), "taken in, whatever the PACS says");

    let browser = Browser::start(1280, 900);
    browser.enter(staffed.web, "operator", PASSWORD);
    let queue = format!("http://{}/queue", staffed.web);
    until(&browser, &queue, "return !!document.querySelector('tbody .badge.bad')");
    let row = browser.run("return document.querySelector('tbody tr').innerText");
    let row = row.as_str().unwrap();
    for wanted in [INSTANCE, "pacs", "set aside", "C000H", "cannot understand"] {
        assert!(row.contains(wanted), "{wanted} in {row}");
    }
    browser.keep_picture("refused");
    assert_eq!(pacs.data_set(INSTANCE), None);

    fs::remove_file(&refusing).unwrap();
    browser.run("window.before = true; document.querySelector('tbody button').focus()");
    browser.press('\u{e007}');
    // Whoever goes elsewhere before the answer is there may take the request back.
    let end = Instant::now() + SOON;
    while browser.run("return window.before === true || document.readyState !== 'complete'") == json!(true) {
        assert!(Instant::now() < end, "the page is answered");
        thread::sleep(Duration::from_millis(20));
    }
    until(
        &browser,
        &queue,
        "return !document.querySelector('tbody tr') && !!document.querySelector('p.done')",
    );
    browser.keep_picture("tried-again");
    assert!(pacs.data_set(INSTANCE).is_some(), "the PACS has it");
}

#[test]
fn the_evaluation_report_is_shown_in_the_page_and_runs_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["evaluate", "--generator", "constant", "--sequences", "2", "--bits", "40000", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let report = folder.path().join("report.html");
    // A picture as reports have them, and a script as somebody might put into one.
    let text = fs::read_to_string(&report).unwrap();
    let (before, _) = text.split_once("</main>").unwrap();
    let more =
        format!("{before}<img src=\"{PIXEL}\"><script>document.body.remove()</script></main></body></html>");
    fs::write(&report, more).unwrap();
    let staffed = Staffed::start(&format!("report = \"{}\"", report.display()));
    let browser = Browser::start(1280, 900);
    browser.enter(staffed.web, "auditor", PASSWORD);
    browser.go(&format!("http://{}/report", staffed.web));
    assert_eq!(browser.run("return document.querySelector('nav [aria-current]').textContent"), "Evaluation");
    browser.keep_picture("report");
    browser.ask("POST", "/frame", &json!({ "id": 0 }));
    let said = browser.run(
        "return [document.body.innerText.length, [...document.images].map(one => one.naturalWidth), getComputedStyle(document.body).fontFamily]",
    );
    assert!(said[0].as_u64().unwrap() > 1000, "the report is there: {said}");
    assert_eq!(said[1], json!([1]), "its pictures are there");
    assert!(said[2].as_str().unwrap().contains("sans-serif"), "its own styles hold: {said}");
}
