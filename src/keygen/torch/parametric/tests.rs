//! Trainings of a few steps: they learn, follow from their seed alone, and go on where they were.

use std::path::Path;

use super::*;

fn plan(folder: &Path, iterations: u64) -> NetworkPlan {
    NetworkPlan {
        suite: "lorenz-mobilenetv2".into(),
        topology: Topology::MobileNetV2,
        seed: "a test".into(),
        iterations,
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
    let (again, rest) = trained(&NetworkPlan { resume: true, ..through.clone() }, 0);
    assert_eq!([first, rest].concat(), losses);
    assert_eq!(again.unwrap().to_bytes(), whole.to_bytes());
    assert!(whole.provenance().contains("\"iterations\":4"), "{}", whole.provenance());

    let other = NetworkPlan { resume: true, seed: "another".into(), ..through };
    let refused = train_network(&other, &mut |_| true).err().unwrap().to_string();
    assert!(refused.contains("another") && refused.contains("a test"), "{refused}");
}

#[test]
fn every_layer_learns_and_the_loss_falls() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 24);
    let before = fresh(&plan).unwrap();
    let mut training = Training::begin(&plan).unwrap();
    let losses: Vec<f64> = (1..=24).map(|at| training.step(at).unwrap().loss).collect();
    for (parameter, before) in training.parameters.iter().zip(&before) {
        let moved = (&parameter.value - &before.value).abs().max().double_value(&[]);
        assert!(moved > 1e-4, "{} moved by {moved}", parameter.name);
    }
    let mean = |of: &[f64]| of.iter().sum::<f64>() / 8.0;
    assert!(mean(&losses[16..]) < 0.8 * mean(&losses[..8]), "{losses:?}");
}

#[test]
fn the_floating_point_network_and_the_integer_one_say_nearly_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 1);
    let training = Training::begin(&plan).unwrap();
    let network = integers(&plan, &training.parameters, "{}").unwrap();
    let z = outputs(plan.topology, &training.parameters, &training.batch(1).unwrap()).unwrap();
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
