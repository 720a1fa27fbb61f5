//! The inner layers by themselves, as suites to measure: what the papers measure, without the seal that is over them here.

use super::report::{Role, Suite};
use super::seeded::Seeded;
use crate::cipher::{CipherError, Kind, Layer, LayerSeed, Layers};

/// A layer under its own name. Its seed and the metadata follow from a number, so that a report can be made again. The
/// parameters, which stand in front of what it makes in a sealed instance, are left out.
#[must_use]
pub fn inner_layer(name: &str, kind: Kind, layers: &Layers) -> Suite<'static> {
    let (to_seal, to_open) = (layers.clone(), layers.clone());
    let open = move |sealed: &[u8], number| open(&to_open, kind, sealed, number);
    Suite {
        name: format!("{name} (the inner layer alone)"),
        role: Role::Ours,
        encrypt: Box::new(move |plain, number| {
            seal(&to_seal, kind, plain, number).map_err(|error| error.to_string())
        }),
        decrypt: Box::new(move |sealed, number| open(sealed, number).map_err(|error| error.to_string())),
    }
}

fn seed(number: u64) -> LayerSeed {
    let mut seed = [0; 32];
    Seeded::new(number).fill(&mut seed);
    LayerSeed::new(seed)
}

fn seal(layers: &Layers, kind: Kind, plain: &[u8], number: u64) -> Result<Vec<u8>, CipherError> {
    let (_, layer) = layers.to_seal(kind, &seed(number), &number.to_be_bytes())?;
    turn(layer, plain)
}

fn open(layers: &Layers, kind: Kind, layered: &[u8], number: u64) -> Result<Vec<u8>, CipherError> {
    let (parameters, _) = layers.to_seal(kind, &seed(number), &number.to_be_bytes())?;
    turn(layers.to_open(kind, &parameters, &seed(number))?, layered)
}

fn turn(mut layer: Box<dyn Layer>, bytes: &[u8]) -> Result<Vec<u8>, CipherError> {
    let mut out = Vec::with_capacity(bytes.len());
    layer.push(bytes, &mut out)?;
    layer.finish(&mut out)?;
    Ok(out)
}
