//! Trainings of a few steps: they learn, follow from their seed alone, and go on where they were.

use std::path::Path;

use super::*;
use crate::keygen::torch::adam::RATE;
use crate::keygen::torch::resumed_seed;

fn plan(folder: &Path, iterations: u64) -> NetworkPlan {
    NetworkPlan {
        suite: "lorenz-mobilenetv2".into(),
        topology: Topology::MobileNetV2,
        seed: "a test".into(),
        iterations,
        batch: 4,
        rate: RATE,
        samples: Samples { calibration: 2, settled: 32, measured: 16 },
        threads: 1,
        checkpoint_every: 2,
        checkpoint: folder.join("checkpoint"),
        resume: false,
    }
}

fn trained(plan: &NetworkPlan, stop_at: u64) -> (Option<Network>, Vec<f64>) {
    let mut losses = Vec::new();
    let outcome = train_network(plan, &mut |progress| {
        losses.push(progress.loss);
        progress.iteration != stop_at
    });
    match outcome.unwrap() {
        NetworkOutcome::Done(network) => (Some(*network), losses),
        NetworkOutcome::Stopped(at) => {
            assert_eq!(at, stop_at);
            (None, losses)
        }
    }
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_network_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let through = plan(folder.path(), 4);
    let (whole, losses) = trained(&through, 0);
    let whole = whole.unwrap();
    let (none, first) = trained(&through, 3);
    assert!(none.is_none());
    assert_eq!(resumed_seed(&through.checkpoint).unwrap(), through.seed);
    let (again, rest) = trained(&NetworkPlan { resume: true, ..through.clone() }, 0);
    assert_eq!([first, rest].concat(), losses);
    assert_eq!(again.unwrap().to_bytes(), whole.to_bytes());
    assert!(whole.provenance().contains("\"iterations\":4"), "{}", whole.provenance());

    let other = NetworkPlan { resume: true, seed: "another".into(), ..through };
    let refused = train_network(&other, &mut |_| true).err().unwrap().to_string();
    assert!(refused.contains("another") && refused.contains("a test"), "{refused}");
}

#[test]
fn a_checkpoint_gives_back_every_loss_to_its_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 1000);
    let mut training = Training::begin(&plan).unwrap();
    let loss = |at: u16| f64::from((f32::from(at) * 0.37).sin() + 1.5);
    training.history =
        (1..=1000).map(|at| NetworkProgress { iteration: u64::from(at), loss: loss(at) }).collect();
    training.checkpoint().unwrap().write(&plan.checkpoint).unwrap();
    let mut again = Training::begin(&plan).unwrap();
    again.resume().unwrap();
    let changed = again.history.iter().zip(&training.history).filter(|(found, put)| found != put).count();
    assert_eq!((again.history.len(), changed), (1000, 0));
}

/// The loss over metadata that the training never sees: over a batch it is mostly chance.
fn held_out(plan: &NetworkPlan, parameters: &[Parameter]) -> f64 {
    let _guard = tch::no_grad_guard();
    let pictures = pictures(HELD_OUT, 0, 48).unwrap();
    loss(&outputs(plan.topology, parameters, &pictures).unwrap(), 48).unwrap().double_value(&[])
}

#[test]
fn every_layer_learns_and_the_loss_falls_over_metadata_that_was_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let topology = Topology::ResNet18;
    let plan = NetworkPlan { topology, batch: 8, ..plan(folder.path(), 12) };
    let before = fresh(&plan).unwrap();
    let mut training = Training::begin(&plan).unwrap();
    (1..=12).for_each(|at| assert!(training.step(at).unwrap().loss.is_finite()));
    for (parameter, before) in training.parameters.iter().zip(&before) {
        let moved = (&parameter.value - &before.value).abs().max().double_value(&[]);
        assert!(moved > 1e-4, "{} moved by {moved}", parameter.name);
    }
    let (before, after) = (held_out(&plan, &before), held_out(&plan, &training.parameters));
    assert!(after < 0.8 * before, "{before} before, {after} after");
}

#[test]
fn the_floating_point_network_and_the_integer_one_say_nearly_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // As many pictures on either side: each layer is scaled by what it sees.
    let samples = Samples { calibration: 24, settled: 64, measured: 16 };
    let plan = NetworkPlan { topology: Topology::ResNet18, samples, ..plan(folder.path(), 1) };
    let training = Training::begin(&plan).unwrap();
    let network = integers(&plan, &training.parameters).unwrap();
    let z = outputs(plan.topology, &training.parameters, &pictures(&plan.seed, 0, 12).unwrap()).unwrap();
    // The first output of the eight pieces of metadata: in standard deviations, and as a share of the range.
    let floats: Vec<f64> = (0..8).map(|row| z.double_value(&[row, 0])).collect();
    let whole: Vec<f64> =
        (0..8).map(|number| f64::from(network.read(&sample(&plan.seed, number)).outputs[0])).collect();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / 8.0;
    let (a, b) = (mean(&floats), mean(&whole));
    let product: f64 = floats.iter().zip(&whole).map(|(x, y)| (x - a) * (y - b)).sum();
    let spread = |of: &[f64], mean: f64| of.iter().map(|x| (x - mean).powi(2)).sum::<f64>().sqrt();
    let correlation = product / spread(&floats, a) / spread(&whole, b);
    assert!(correlation > 0.8, "{correlation}: {floats:?} {whole:?}");
}

#[test]
fn the_networks_that_come_with_sealgate_measure_as_their_records_say() {
    let networks = crate::keygen::Networks::new("no folder: those that are built in");
    for suite in ["logistic-resnet18", "logistic-mobilenetv2", "lorenz-resnet18", "lorenz-mobilenetv2"] {
        let topology: Topology = suite.split_once('-').unwrap().1.parse().unwrap();
        let network = networks.of(suite, topology).unwrap();
        let record: serde_json::Value = serde_json::from_str(network.provenance()).unwrap();
        assert_eq!(record["suite"], suite);
        let stated: Spread = serde_json::from_value(record["trained"].clone()).unwrap();
        let found = Spread::of(&network, HELD_OUT, stated.samples);
        let off = [
            found.unevenness - stated.unevenness,
            found.between_outputs - stated.between_outputs,
            found.after_one_bit - stated.after_one_bit,
        ];
        assert!(off.iter().all(|off| off.abs() < 1e-9), "{suite}: {found:?}, its record says {stated:?}");
        // Of 2,048 samples of six even and independent outputs: about 0.03, 0.05 and 0.04.
        let good = found.unevenness < 0.1 && found.between_outputs < 0.12 && found.after_one_bit < 0.08;
        assert!(stated.samples >= 1024 && good, "{suite}: {found:?}");
    }
}
