//! Requests that cannot be answered as they are: each has a status of its own.

use std::process::Command;

use super::site::Front;
use crate::peers::{Dcmqrscp, python};

#[tokio::test(flavor = "multi_thread")]
async fn a_get_without_the_role_of_a_receiver_and_one_without_an_identifier_are_refused_at_once() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let script = format!("{}/tests/peers/poor_requests.py", env!("CARGO_MANIFEST_DIR"));
    let port = front.gateway.address.port().to_string();
    let output = Command::new(python()).args(["-B", &script, &port]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}\n{}", front.gateway.log());
    let expected = [
        "find without an identifier C001",
        "get without an identifier C001",
        "move without an identifier C001",
        "get without a role A702",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{}", front.gateway.log());
}
