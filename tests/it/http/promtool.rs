//! Prometheus' own opinion of our metrics and rules.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::client::get;
use super::trial::{Trial, turn};

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: run tests/run install");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules() {
    let output = promtool(&["check", "rules", "docs/alerts.yml"], "");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_of_a_trial() {
    let _turn = turn();
    let trial = Trial::start();
    let text = get(trial.web, "/metrics").text().to_owned();
    let output = promtool(&["check", "metrics"], &text);
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let broken = promtool(&["check", "metrics"], &text.replace("# HELP sealgate_ready", "# NOTHING"));
    assert!(!broken.status.success(), "it does find faults");
}
