//! Which engine runs a generator here: what the configuration asks for, what is built in, what the machine has.

use super::{Engine, EngineChoice, Exact, KeygenError, Model, Pace};

/// The engine of that choice. A torch engine comes watched by an exact one on `threads` threads.
///
/// `auto` takes torch where it finds a GPU, and the exact engine everywhere else, at that pace.
pub fn start(
    choice: EngineChoice,
    model: &Model,
    threads: usize,
    pace: Pace,
) -> Result<Box<dyn Engine>, KeygenError> {
    let exact = Box::new(Exact::paced(model, threads, pace)?);
    match choice {
        EngineChoice::Exact => Ok(exact),
        EngineChoice::Auto => torch(model, exact, true),
        EngineChoice::Torch => torch(model, exact, false),
    }
}

/// The torch engine on the best device there is; with `only_gpu` the exact one where that is not a GPU.
#[cfg(feature = "tch")]
fn torch(model: &Model, exact: Box<Exact>, only_gpu: bool) -> Result<Box<dyn Engine>, KeygenError> {
    let device = super::torch::Device::best();
    if only_gpu && !device.is_cuda() {
        return Ok(exact);
    }
    match super::torch::TorchEngine::new(model, device) {
        Ok(torch) => Ok(Box::new(super::Guarded::new(Box::new(torch), exact)?)),
        // Asked for by name, it has to run; otherwise a GPU that is full or broken must not stop the gateway.
        Err(error) if only_gpu => {
            tracing::error!(%error, %device, "the torch engine does not start, the exact engine does the work");
            Ok(exact)
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(feature = "tch"))]
fn torch(_: &Model, exact: Box<Exact>, only_gpu: bool) -> Result<Box<dyn Engine>, KeygenError> {
    if only_gpu {
        return Ok(exact);
    }
    Err(KeygenError::Engine(
        "this program was built without the torch engine (cargo feature `tch`)".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::checkpoint::tests::untrained;
    use crate::keygen::{Calibration, Kind, quantise};

    #[test]
    fn every_choice_starts_or_says_what_is_missing() {
        let model = quantise(&untrained(Kind::Lite, 1), Calibration { images: 1, side: 16 }).unwrap();
        let exact = start(EngineChoice::Exact, &model, 1, Pace::Prompt).unwrap();
        assert!(exact.name().starts_with("exact"), "{}", exact.name());
        assert_eq!(exact.id(), model.id());
        if cfg!(not(feature = "tch")) {
            assert_eq!(start(EngineChoice::Auto, &model, 1, Pace::Prompt).unwrap().name(), exact.name());
            let error = start(EngineChoice::Torch, &model, 1, Pace::Prompt).err().unwrap();
            assert!(error.to_string().contains("cargo feature `tch`"), "{error}");
        }
    }
}
