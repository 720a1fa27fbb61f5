//! Any bytes as a model file: no panic, nothing allocated on a stated length, and what is accepted comes back.
#![no_main]

use aws_lc_rs::digest::{SHA256, digest};
use libfuzzer_sys::fuzz_target;
use sealgate::keygen::{GeneratorId, Model};

fuzz_target!(|data: &[u8]| {
    let _ = Model::parse(data);
    // With a digest that fits in the place of the one it has, so that what is behind it is reached.
    let body = data.split_last_chunk::<32>().map_or(data, |(body, _)| body);
    let mut sealed = body.to_vec();
    sealed.extend_from_slice(digest(&SHA256, body).as_ref());
    let Ok(model) = Model::parse(&sealed) else { return };
    assert_eq!(model.to_bytes(), sealed);
    assert_eq!(model.id(), GeneratorId::of(&sealed));
});
