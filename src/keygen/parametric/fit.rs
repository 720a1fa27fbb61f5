//! A network without libtorch: convolutions as they are drawn from a seed, and a last layer fitted to what they see.
//!
//! Of many drawn directions the six are taken that hang least together with themselves after one bit of the metadata changed,
//! and made independent of each other: Gram and Schmidt's procedure, with the features' covariance as its product.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

use super::file::OUTPUTS;
use super::{Floats, Network, Spread, Topology, draw, quantise, sample, with_one_bit};
use crate::keygen::{Instructions, KeygenError, Seed};

/// Metadata that the convolutions are scaled by.
const CALIBRATION: u64 = 24;
/// Metadata that the last layer is fitted to.
const FITTED: u64 = 256;
/// Directions to choose from.
const CANDIDATES: usize = 96;
/// Metadata that the record's measurements are made with, other than those.
const MEASURED: u64 = 256;

/// Makes the network of a suite, everything from this seed.
pub fn fit(suite: &str, topology: Topology, seed: &str) -> Result<Network, KeygenError> {
    let drawn = |label: &str, count: usize| drawn(seed, label, count);
    let layers =
        (0_u8..).zip(topology.convolutions()).map(|(at, c)| drawn(&format!("layer {at}"), c.weights()));
    let mut floats = Floats { layers: layers.collect(), head: drawn("head", OUTPUTS * topology.features()) };
    let scaled_by: Vec<_> = (0..CALIBRATION).map(|number| sample(seed, u64::MAX - number)).collect();
    let plain = quantise(topology, &floats, "{}", &scaled_by)?;
    let before = Spread::of(&plain, "held out", MEASURED);
    let metadata: Vec<_> = (0..FITTED).map(|number| sample(seed, number)).collect();
    let seen: Vec<_> = metadata.iter().map(|one| features(&plain, one)).collect();
    let changed = (0..).zip(&metadata).map(|(number, one)| features(&plain, &with_one_bit(one, number)));
    let moments = Moments::of(&seen, &changed.collect::<Vec<_>>());
    let candidates = drawn("directions", CANDIDATES * topology.features());
    floats.head = moments.choose(&candidates);
    let fitted = refit(&plain, &floats.head, &seen)?;
    let after = Spread::of(&fitted, "held out", MEASURED);
    let record = json!({
        "program": concat!("sealgate ", env!("CARGO_PKG_VERSION")),
        "suite": suite,
        "topology": topology.to_string(),
        "seed": seed,
        "method": "convolutions drawn from the seed; the last layer fitted to metadata drawn from it, without libtorch",
        "fitted_to": FITTED,
        "drawn": before,
        "fitted": after,
    });
    fitted.with_provenance(&record.to_string())
}

/// The same network with this last layer, its outputs made independent of each other and spread by what it reads of these.
#[cfg(feature = "tch")]
pub(crate) fn settle(plain: &Network, head: &[f32], metadata: &[Vec<u8>]) -> Result<Network, KeygenError> {
    let seen: Vec<_> = metadata.iter().map(|one| features(plain, one)).collect();
    let head = Moments::of(&seen, &seen).free_each(head);
    refit(plain, &head, &seen)
}

/// The same network with another last layer.
fn refit(plain: &Network, head: &[f32], seen: &[Vec<f64>]) -> Result<Network, KeygenError> {
    #[expect(clippy::cast_possible_truncation, reason = "features are sums of 49 bytes")]
    let features: Vec<Vec<i32>> = seen.iter().map(|row| row.iter().map(|x| *x as i32).collect()).collect();
    let mut numbers = plain.numbers().clone();
    numbers.head = super::calibrate::calibrate_head(head, &features);
    Network::new(plain.topology(), "{}", &numbers)
}

fn features(network: &Network, metadata: &[u8]) -> Vec<f64> {
    network.features(&draw(metadata), Instructions::best()).into_iter().map(f64::from).collect()
}

/// Numbers from -128 to 127.
fn drawn(seed: &str, label: &str, count: usize) -> Vec<f32> {
    let mut bytes = vec![0; count];
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, format!("{label} of {seed}").as_bytes()).as_ref());
    Seed::new(key).expand_into(&mut bytes);
    bytes.into_iter().map(|byte| f32::from(byte.cast_signed())).collect()
}

/// How the features vary together, and with those after one bit changed.
struct Moments {
    count: usize,
    own: Vec<f64>,
    changed: Vec<f64>,
}

impl Moments {
    fn of(seen: &[Vec<f64>], changed: &[Vec<f64>]) -> Self {
        let count = seen.first().map_or(0, Vec::len);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let runs = seen.len() as f64;
        let means = |of: &[Vec<f64>]| -> Vec<f64> {
            (0..count).map(|at| of.iter().map(|row| row[at]).sum::<f64>() / runs).collect()
        };
        let (mean, mean_changed) = (means(seen), means(changed));
        let (mut own, mut both) = (vec![0.0; count * count], vec![0.0; count * count]);
        for (row, other) in seen.iter().zip(changed) {
            for at in 0..count * count {
                let (i, j) = (at / count, at % count);
                own[at] += (row[i] - mean[i]) * (row[j] - mean[j]) / runs;
                both[at] += (row[i] - mean[i]) * (other[j] - mean_changed[j]) / runs;
            }
        }
        Self { count, own, changed: both }
    }

    /// a' M b.
    fn product(&self, moments: &[f64], a: &[f64], b: &[f64]) -> f64 {
        let row = |(i, x): (usize, &f64)| {
            let of = &moments[i * self.count..(i + 1) * self.count];
            x * of.iter().zip(b).map(|(m, y)| m * y).sum::<f64>()
        };
        a.iter().enumerate().map(row).sum()
    }

    /// Six directions of these.
    fn choose(&self, candidates: &[f32]) -> Vec<f32> {
        let mut candidates: Vec<Vec<f64>> = candidates
            .chunks_exact(self.count)
            .map(|one| one.iter().copied().map(f64::from).collect())
            .collect();
        let mut chosen: Vec<Vec<f64>> = Vec::new();
        while chosen.len() < OUTPUTS {
            for one in &mut candidates {
                self.free(one, &chosen);
            }
            let kept = |one: &Vec<f64>| {
                (self.product(&self.changed, one, one) / self.product(&self.own, one, one).max(1.0)).abs()
            };
            candidates.sort_by(|a, b| kept(b).total_cmp(&kept(a)));
            chosen.extend(candidates.pop());
        }
        #[expect(clippy::cast_possible_truncation, reason = "weights of eight bits are made of them")]
        chosen.into_iter().flatten().map(|x| x as f32).collect()
    }

    /// These directions in their order, each without what it has in common with those before it.
    #[cfg(feature = "tch")]
    fn free_each(&self, directions: &[f32]) -> Vec<f32> {
        let mut free: Vec<Vec<f64>> = Vec::new();
        for direction in directions.chunks_exact(self.count) {
            let mut one: Vec<f64> = direction.iter().copied().map(f64::from).collect();
            self.free(&mut one, &free);
            free.push(one);
        }
        #[expect(clippy::cast_possible_truncation, reason = "weights of eight bits are made of them")]
        free.into_iter().flatten().map(|x| x as f32).collect()
    }

    /// Takes off what a direction has in common with others.
    fn free(&self, one: &mut [f64], others: &[Vec<f64>]) {
        for other in others {
            let share = self.product(&self.own, one, other) / self.product(&self.own, other, other).max(1.0);
            one.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
        }
    }
}
