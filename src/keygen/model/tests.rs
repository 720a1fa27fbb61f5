//! Model files: what comes back, and every way in which one is refused.

use super::*;
use crate::keygen::checkpoint::tests::untrained;
use crate::keygen::quantise::{Calibration, quantise};

fn model(kind: Kind) -> Model {
    quantise(&untrained(kind, 1), Calibration { images: 1, side: 16 }).unwrap()
}

/// The file with other bytes at `at`, and a digest that fits them.
fn with(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut body = file[..file.len() - DIGEST_BYTES].to_vec();
    body[at..at + bytes.len()].copy_from_slice(bytes);
    seal(body)
}

fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let digest = digest(&SHA256, &body);
    body.extend(digest.as_ref());
    body
}

fn error(file: &[u8]) -> String {
    Model::parse(file).expect_err("it is refused").to_string()
}

/// Where the first layer begins.
fn first_layer(model: &Model) -> usize {
    MAGIC.len() + 8 + model.provenance.len()
}

#[test]
fn comes_back_byte_for_byte_with_the_digest_as_its_id() {
    for kind in Kind::ALL {
        let model = model(kind);
        let file = model.to_bytes();
        let back = Model::parse(&file).unwrap();
        assert!(back == model && back.to_bytes() == file, "{kind}");
        assert_eq!(back.id(), GeneratorId::of(&file));
        assert_eq!(back.kind(), kind);
    }
}

#[test]
fn is_refused_when_it_is_cut_or_changed_anywhere() {
    let file = model(Kind::Lite).to_bytes();
    for length in (0..file.len()).step_by(97).chain(file.len() - 40..file.len()) {
        assert!(Model::parse(&file[..length]).is_err(), "cut to {length}");
    }
    for at in (0..file.len()).step_by(211) {
        let mut changed = file.clone();
        changed[at] ^= 4;
        assert!(Model::parse(&changed).is_err(), "changed at {at}");
    }
    assert!(error(&[&file[..], b"x"].concat()).contains("damaged"));
}

#[test]
fn is_refused_when_its_head_is_another() {
    let model = model(Kind::Full);
    let file = model.to_bytes();
    assert!(error(b"SGATE").contains("does not begin like a model file"));
    assert!(error(&with(&file, 12, &[0, 2])).contains("version 2"));
    assert!(error(&with(&file, 14, &[0, 3])).contains("kind 3 is unknown"));
    assert!(error(&with(&file, 14, &[0, 2])).contains("layer 1 is not the down1 of a lite generator"));
    assert!(error(&with(&file, 16, &[0xFF; 4])).contains("a provenance of 4294967295 bytes"));
    assert!(error(&with(&file, 20, b"[")).contains("no JSON object"));
    assert!(error(&with(&file, 20, &[0xC0])).contains("no UTF-8"));
    let longer = seal([&file[..file.len() - DIGEST_BYTES], b"more"].concat());
    assert!(error(&longer).contains("4 bytes behind the last layer"));
}

#[test]
fn is_refused_when_a_layer_has_another_shape_or_scale() {
    let model = model(Kind::Full);
    let (file, at) = (model.to_bytes(), first_layer(&model));
    for byte in 0..8 {
        assert!(error(&with(&file, at + byte, &[9])).contains("layer 1 is not the down1"), "byte {byte}");
    }
    assert!(error(&with(&file, at + 8, &[0; 4])).contains("down1 has the gain 0"));
    assert!(error(&with(&file, at + 8, &[0, 0x10, 0, 1])).contains("down1 has the gain 1048577"));
    assert!(error(&with(&file, at + 12, &[0, 0, 0, 1])).contains("down1 has the carry 1"));
}

#[test]
fn is_refused_when_a_factor_would_not_fit_its_product() {
    let model = model(Kind::Lite);
    let factors = first_layer(&model) + 16 + 3 * 4;
    for factor in [0_u32, 1 << 31, u32::MAX] {
        let changed = with(&model.to_bytes(), factors, &factor.to_be_bytes());
        assert!(error(&changed).contains(&format!("down1 has the factor {factor}")));
    }
}

#[test]
fn is_refused_when_an_accumulator_could_be_inexact() {
    let mut full = model(Kind::Full);
    // 7 * 7 * 16 weights of 127, on activations of 127.
    full.layers[11].weights[784..2 * 784].fill(127);
    let said = error(&full.to_bytes());
    assert!(
        said.contains("out, channel 1: an accumulator could reach 12645136, the limit is 8388608"),
        "{said}"
    );

    let mut lite = model(Kind::Lite);
    let centre = &mut lite.layers[4].depthwise.as_mut().unwrap().centre;
    centre[2] = i32::MIN;
    let said = error(&lite.to_bytes());
    assert!(said.contains("res2, channel 2: an accumulator could reach 2147"), "{said}");
}

#[test]
fn the_provenance_has_a_limit() {
    let mut model = model(Kind::Lite);
    model.provenance = format!("{{\"note\":\"{}\"}}", "x".repeat(PROVENANCE_BYTES_MAX));
    assert!(error(&model.to_bytes()).contains("the limit is 65536"));
}

#[test]
fn nothing_of_the_weights_is_printed() {
    let printed = format!("{:?}", model(Kind::Lite));
    assert!(printed.starts_with("Model { kind: Lite, id: ") && printed.len() < 120, "{printed}");
}
