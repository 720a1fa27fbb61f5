//! C-FIND through the gateway, asked by other people's viewers of other people's archives.

mod cancel;
mod characters;
mod levels;
mod originals;
mod rights;
mod two;

use std::process::Command;

use sealgate::dicom::AeAddress;

use crate::peers::python;
use crate::retrieve::site::Front;

/// A query as pynetdicom asked it, and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The identifier that went out.
    pub(crate) sent: Vec<u8>,
    /// Each match with its status, as it came.
    pub(crate) found: Vec<(u16, Vec<u8>)>,
    /// The last status; none where the association was lost.
    pub(crate) status: Option<u16>,
    pub(crate) comment: String,
}

/// How the gateway is called.
pub(crate) fn gateway(front: &Front) -> AeAddress {
    AeAddress::parse(&format!("SEALGATE@{}", front.gateway.address)).expect("an address")
}

/// pynetdicom's viewer, with the options that stand at the top of `tests/peers/ask.py`.
pub(crate) fn viewer(to: &AeAddress, options: &[&str]) -> Command {
    let mut command = Command::new(python());
    command.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/ask.py"));
    command.arg(format!("--port={}", to.port)).arg(format!("--called={}", to.title)).args(options);
    command
}

/// The lines that the viewer writes.
fn lines(to: &AeAddress, options: &[&str]) -> Vec<serde_json::Value> {
    let output = viewer(to, options).output().expect("python runs: run tests/run install");
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Everything that was asked and what came.
pub(crate) fn ask(to: &AeAddress, options: &[&str]) -> Vec<Asked> {
    lines(to, options).iter().filter(|line| line["sent"].is_string()).map(asked).collect()
}

fn asked(line: &serde_json::Value) -> Asked {
    let one = |one: &serde_json::Value| {
        let status = one[0].as_u64().expect("a status");
        (u16::try_from(status).expect("16 bits"), hex(one[1].as_str().expect("bytes")))
    };
    Asked {
        sent: hex(line["sent"].as_str().expect("bytes")),
        found: line["found"].as_array().expect("a list").iter().map(one).collect(),
        status: line["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
        comment: line["comment"].as_str().unwrap_or_default().to_owned(),
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("digits")).collect()
}

/// An element of an identifier, with its header, in the syntax that the viewer was told to propose.
pub(crate) fn element(syntax: &str, tag: (u16, u16), vr: &[u8], value: &[u8]) -> Vec<u8> {
    let tag = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    let length = u32::try_from(value.len()).expect("short").to_le_bytes();
    match syntax {
        "implicit" => [&tag, &length[..], value].concat(),
        _ => [&tag, vr, &length[..2], value].concat(),
    }
}

/// The same bytes with one element in place of another, if that is there.
pub(crate) fn exchanged(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    match bytes.windows(old.len()).position(|window| window == old) {
        Some(at) => [&bytes[..at], new, &bytes[at + old.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// What an archive said as the gateway has to say it: in our name, also where it says none, and else byte for byte.
pub(crate) fn in_our_name(direct: &[Asked], archive: &AeAddress, syntax: &str) -> Vec<Asked> {
    let even = |title: &str| format!("{title}{}", if title.len() % 2 == 1 { " " } else { "" }).into_bytes();
    let title = |title: &str| element(syntax, (0x0008, 0x0054), b"AE", &even(title));
    let mut direct = direct.to_vec();
    for (_, bytes) in direct.iter_mut().flat_map(|one| &mut one.found) {
        for old in [archive.title.as_str(), ""] {
            *bytes = exchanged(bytes, &title(old), &title("SEALGATE"));
        }
    }
    direct
}
