//! Suites with an inner layer: the layer by itself, as the papers measure it, and under the seal, as an archive gets it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::report::{Role, Suite};
use super::sealed;
use super::seeded::Seeded;
use crate::cipher::{CipherError, Kind, Layer, LayerSeed, Layers};

/// The parameters of the streams made so far, by key number: in a sealed instance they stand in front of the stream.
type Parameters = Arc<Mutex<HashMap<u64, Vec<u8>>>>;

/// A layer under its own name. Its seed and the metadata follow from a number, so that a report can be made again; the
/// dual layer alone draws from the operating system besides.
#[must_use]
pub fn inner_layer(name: &str, kind: Kind, layers: &Layers) -> Suite<'static> {
    let (to_seal, to_open) = (layers.clone(), layers.clone());
    let made = Parameters::default();
    let known = Arc::clone(&made);
    Suite {
        name: format!("{name}, inner layer alone"),
        role: Role::Layer,
        repeatable: kind != Kind::Dual,
        encrypt: Box::new(move |plain, number| {
            let (parameters, layered) = seal(&to_seal, kind, plain, number).map_err(said)?;
            made.lock().unwrap_or_else(PoisonError::into_inner).insert(number, parameters);
            Ok(layered)
        }),
        decrypt: Box::new(move |layered, number| {
            let parameters = known.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
            let parameters = parameters.map_or_else(|| to_open_with(&to_open, kind, number), Ok);
            open(&to_open, kind, &parameters.map_err(said)?, layered, number).map_err(said)
        }),
    }
}

/// The whole suite: the layer, its parameters in front of it, all of it sealed.
#[must_use]
pub fn layered_suite(name: &str, kind: Kind, layers: &Layers) -> Suite<'static> {
    let (to_seal, to_open) = (layers.clone(), layers.clone());
    Suite {
        name: format!("{name}, as sealed"),
        role: Role::Ours,
        repeatable: kind != Kind::Dual,
        encrypt: Box::new(move |plain, number| {
            let (parameters, layered) = seal(&to_seal, kind, plain, number).map_err(said)?;
            sealed::seal(&[parameters, layered].concat(), number).map_err(|error| error.to_string())
        }),
        decrypt: Box::new(move |sealed, number| {
            let opened = sealed::open(sealed, number).map_err(|error| error.to_string())?;
            let (parameters, layered) = opened.split_at(kind.parameter_bytes().min(opened.len()));
            open(&to_open, kind, parameters, layered, number).map_err(said)
        }),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn said(error: CipherError) -> String {
    error.to_string()
}

fn seed(number: u64) -> LayerSeed {
    let mut seed = [0; 32];
    Seeded::new(number).fill(&mut seed);
    LayerSeed::new(seed)
}

fn seal(layers: &Layers, kind: Kind, plain: &[u8], number: u64) -> Result<(Vec<u8>, Vec<u8>), CipherError> {
    let (parameters, layer) = layers.to_seal(kind, &seed(number), &number.to_be_bytes())?;
    Ok((parameters, turn(layer, plain)?))
}

/// Parameters for a number under which nothing was sealed yet: a wrong key.
fn to_open_with(layers: &Layers, kind: Kind, number: u64) -> Result<Vec<u8>, CipherError> {
    Ok(layers.to_seal(kind, &seed(number), &number.to_be_bytes())?.0)
}

fn open(
    layers: &Layers,
    kind: Kind,
    parameters: &[u8],
    layered: &[u8],
    number: u64,
) -> Result<Vec<u8>, CipherError> {
    turn(layers.to_open(kind, parameters, &seed(number))?, layered)
}

fn turn(mut layer: Box<dyn Layer>, bytes: &[u8]) -> Result<Vec<u8>, CipherError> {
    let mut out = Vec::with_capacity(bytes.len());
    layer.push(bytes, &mut out)?;
    layer.finish(&mut out)?;
    Ok(out)
}
