//! A random history of stores, re-stores, retrievals, rotations and crashes, held to a simple model: what was acknowledged
//! comes back as it was sent last, and nothing else does.
//!
//! `SEALGATE_SOAK=1` makes it long; `SEALGATE_SEED` repeats one.

use std::collections::BTreeMap;

use super::differing;
use super::site::{Front, needs_of, slices};
use crate::peers::{Dcmqrscp, Sample};

/// Numbers that a seed gives again.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The same image with one sample of another value, by which versions differ.
fn version(sample: &Sample, number: u64) -> Sample {
    let mut data_set = sample.data_set.to_vec();
    let at = data_set.len() / 2;
    let number = u8::try_from(number % 251).unwrap();
    data_set[at] = data_set[at].wrapping_add(number);
    Sample { data_set: data_set.into(), ..sample.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_history_ends_in_what_was_acknowledged_last() {
    let soak = std::env::var_os("SEALGATE_SOAK").is_some();
    let seed = std::env::var("SEALGATE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEALGATE_SEED={seed}");
    let (mut draws, steps) = (Draws(seed), if soak { 400 } else { 16 });
    let archive = Dcmqrscp::start(&[]);
    let mut front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = slices(6);
    let needs = needs_of(&samples);
    let mut model: BTreeMap<String, Sample> = BTreeMap::new();
    for step in 0..steps {
        match draws.below(10) {
            0..5 => {
                let index = usize::try_from(draws.below(samples.len() as u64)).unwrap();
                let sent = version(&samples[index], draws.below(200));
                front.send(std::slice::from_ref(&sent)).await;
                model.insert(sent.instance.instance.to_string(), sent);
                if draws.below(3) == 0 {
                    // At the moment when it is acknowledged and perhaps not forwarded.
                    front.crash();
                }
            }
            5 => front.crash(),
            6 => {
                let rotated = front.site.sealgate(&["keys", "rotate"]);
                assert!(rotated.status.success(), "{rotated:?}");
                // A running gateway goes on with the keys of its start.
                if draws.below(2) == 0 {
                    front.crash();
                }
            }
            _ => check(&front, &study, &needs, &model, seed, step).await,
        }
    }
    check(&front, &study, &needs, &model, seed, steps).await;
}

async fn check(
    front: &Front,
    study: &str,
    needs: &[sealgate::scu::Need],
    model: &BTreeMap<String, Sample>,
    seed: u64,
    step: u64,
) {
    front.drain().await;
    let (came, ended) = front.get("VIEWER", study, needs).await;
    let expected: Vec<Sample> = model.values().cloned().collect();
    let differing = differing(&expected, &came);
    let what = format!("seed {seed}, step {step}: {ended:?}\n{}", front.gateway.log());
    assert!(
        differing.is_empty() && came.len() == expected.len(),
        "{} of {}; {what}",
        came.len(),
        expected.len()
    );
    assert!(expected.is_empty() || ended.is_complete(), "{what}");
}
