//! `sealgate inspect`: what it says of clear files, sealed ones, and those that are neither.

use std::path::Path;
use std::process::{Command, Output};

use sealgate::seal::{Header, KeyId, Suite};
use serde_json::Value;

fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut out = [group.to_le_bytes(), number.to_le_bytes()].concat();
    out.extend_from_slice(vr.as_bytes());
    if matches!(vr, "OB" | "OW") {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u32::try_from(value.len()).expect("short").to_le_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(value.len()).expect("short").to_le_bytes());
    }
    [&out[..], value].concat()
}

/// A Part 10 file of 16 x 16 pixels that begin with `pixels`.
fn file(pixels: &[u8]) -> Vec<u8> {
    let us = |number: u16, value: u16| element(0x0028, number, "US", &value.to_le_bytes());
    let mut image = pixels.to_vec();
    image.resize(512, 0);
    let meta = element(0x0002, 0x0010, "UI", b"1.2.840.10008.1.2.1\0");
    let length = u32::try_from(meta.len()).expect("short").to_le_bytes();
    let parts = [
        vec![0; 128],
        b"DICM".to_vec(),
        element(0x0002, 0x0000, "UL", &length),
        meta,
        element(0x0008, 0x0016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        element(0x0008, 0x0018, "UI", b"1.2.3.4\0"),
        us(0x0002, 1),
        element(0x0028, 0x0004, "CS", b"MONOCHROME2 "),
        us(0x0010, 16),
        us(0x0011, 16),
        us(0x0100, 16),
        us(0x0101, 16),
        us(0x0102, 15),
        us(0x0103, 0),
        element(0x7FE0, 0x0010, "OW", &image),
    ];
    parts.concat()
}

fn inspect(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.arg("inspect").args(arguments).arg(folder).output().expect("the command runs")
}

fn one(content: &[u8]) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("image.dcm"), content).expect("written");
    let output = inspect(folder.path(), &["--json"]);
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn a_clear_image_is_described() {
    let found = one(&file(b"clear"));
    assert_eq!(found["ok"], true, "{found}");
    assert_eq!(found["sealed"], false);
    assert_eq!(found["sop_instance"], "1.2.3.4");
    assert_eq!((&found["image"]["rows"], &found["image"]["bits_stored"]), (&16.into(), &16.into()));
}

#[test]
fn a_sealed_image_is_recognised_by_its_pixels_alone() {
    let header =
        Header { suite: Suite::DeepKeyGen, key_id: KeyId::new([0xAB; 16]), signed: false, stream_bytes: 400 };
    let found = one(&file(&header.write()));
    assert_eq!(found["sealed"], true, "{found}");
    assert_eq!(found["key_id"], "ab".repeat(16));
    assert_eq!((&found["suite"], &found["stream_bytes"]), (&"deepkeygen".into(), &400.into()));

    let mut unknown = header.write();
    unknown[8] = 255;
    let found = one(&file(&unknown));
    assert_eq!(found["sealed"], false);
    assert!(found["seal_error"].to_string().contains("version 255"), "{found}");
}

#[test]
fn damaged_and_foreign_files_are_named_and_the_rest_is_inspected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write =
        |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).expect("written");
    write("good.dcm", &file(b"clear"));
    let whole = file(b"clear");
    write("cut.dcm", &whole[..whole.len() - 10]);
    write("notes.txt", b"not DICOM at all, only some text that is long enough to look at");
    let output = inspect(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("good.dcm: 16 x 16 16-bit MONOCHROME2, in clear"), "{said}");
    assert!(errors.contains("cut.dcm: the data set ends at byte"), "{errors}");
    assert!(errors.contains("notes.txt: neither DICM"), "{errors}");
    assert!(errors.contains("2 of 3 files failed"), "{errors}");
}
