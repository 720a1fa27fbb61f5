//! Any bytes as a key record: no panic, nothing allocated on a stated length, and what is accepted comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::keys::{KeyRecord, RECIPIENTS_MAX, RECORD_BYTES_MAX};

fuzz_target!(|data: &[u8]| {
    let Ok(record) = KeyRecord::parse(data) else { return };
    assert!(data.len() <= RECORD_BYTES_MAX);
    assert!((1..=RECIPIENTS_MAX).contains(&record.recipients.len()));
    assert_eq!(record.to_bytes(), data);
    for recipient in &record.recipients {
        if let Some((algorithm, encapsulated, wrapped)) = recipient.known() {
            assert_eq!((encapsulated.len(), wrapped.len()), (algorithm.encapsulated_length(), 48));
        }
    }
});
