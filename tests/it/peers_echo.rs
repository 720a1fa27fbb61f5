//! C-ECHO and negotiation with other people's software: DCMTK's `echoscu` and pynetdicom.

use std::process::{Command, Output};

use crate::gateway::{ECHO_PEER, Gateway};

fn echoscu(gateway: &Gateway, arguments: &[&str]) -> Output {
    Command::new("echoscu")
        .args(["--acse-timeout", "20", "--dimse-timeout", "20", "-v"])
        .args(arguments)
        .args(["127.0.0.1", &gateway.address.port().to_string()])
        .output()
        .expect("DCMTK's echoscu is installed: run tests/run install")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn echoscu_of_a_known_peer_succeeds() {
    let gateway = Gateway::start(ECHO_PEER);
    let output = echoscu(&gateway, &["--aetitle", "TESTER", "--call", "SEALGATE", "--repeat", "3"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("Received Echo Response (Success)").count(), 3, "{}", said(&output));
}

#[test]
fn echoscu_may_propose_every_transfer_syntax_and_many_contexts() {
    let gateway = Gateway::start(ECHO_PEER);
    let arguments =
        ["--aetitle", "TESTER", "--call", "SEALGATE", "--propose-ts", "38", "--propose-pc", "128"];
    let output = echoscu(&gateway, &arguments);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn echoscu_with_a_wrong_calling_title_hears_why() {
    let gateway = Gateway::start(ECHO_PEER);
    let output = echoscu(&gateway, &["--aetitle", "STRANGER", "--call", "SEALGATE"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("Calling AE Title Not Recognized"), "{}", said(&output));
}

#[test]
fn echoscu_with_a_wrong_called_title_hears_why() {
    let gateway = Gateway::start(ECHO_PEER);
    let output = echoscu(&gateway, &["--aetitle", "TESTER", "--call", "OTHER"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("Called AE Title Not Recognized"), "{}", said(&output));
}

#[test]
fn echoscu_from_a_wrong_address_is_refused_whatever_its_title() {
    let gateway = Gateway::start(&ECHO_PEER.replace("127.0.0.1", "192.0.2.1"));
    let output = echoscu(&gateway, &["--aetitle", "TESTER", "--call", "SEALGATE"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("Calling AE Title Not Recognized"), "{}", said(&output));
    gateway.wait_for_log("is not an address of a peer");
}

#[test]
fn echoscu_abort_leaves_the_door_open() {
    let gateway = Gateway::start(ECHO_PEER);
    let output = echoscu(&gateway, &["--aetitle", "TESTER", "--call", "SEALGATE", "--abort"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(echoscu(&gateway, &["--aetitle", "TESTER", "--call", "SEALGATE"]).status.success());
}

/// Runs a function of `tests/peers/negotiation.py`; what it found wrong is its output.
fn pynetdicom(gateway: &Gateway, case: &str) {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(format!("{root}/tests/.venv/bin/python"))
        .args([&format!("{root}/tests/peers/negotiation.py"), case, &gateway.address.port().to_string()])
        .output()
        .expect("the virtual environment is there: run tests/run install");
    assert!(output.status.success(), "{}\n{}", said(&output), gateway.log());
}

/// A peer that may store, so that storage contexts are worth negotiating.
fn storing() -> String {
    format!(
        "private_storage_classes = [\"1.2.826.0.1.3680043.9.9999.1\"]\n{}",
        ECHO_PEER.replace("\"echo\"", "\"echo\", \"store\", \"get\"")
    )
}

#[test]
fn pynetdicom_gets_an_answer_to_each_of_128_contexts() {
    pynetdicom(&Gateway::start(&storing()), "contexts_128");
}

#[test]
fn pynetdicom_gets_every_storage_class_accepted() {
    pynetdicom(&Gateway::start(&storing()), "every_storage_class");
}

#[test]
fn pynetdicom_gets_every_transfer_syntax_accepted() {
    pynetdicom(&Gateway::start(&storing()), "every_transfer_syntax");
}

#[test]
fn pynetdicom_with_odd_proposals_is_answered_by_the_book() {
    pynetdicom(&Gateway::start(&storing()), "odd_proposals");
}

#[test]
fn pynetdicom_negotiates_roles_and_the_operations_window() {
    pynetdicom(&Gateway::start(&storing()), "roles_and_window");
}

#[test]
fn pynetdicom_with_user_identity_is_let_in() {
    let gateway = Gateway::start(&storing());
    pynetdicom(&gateway, "user_identity");
    assert!(!gateway.log().contains("correct horse"), "a password in the log");
}
