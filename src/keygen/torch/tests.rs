//! Trainings of a few steps, run twice, cut and gone on with.

use std::fs;
use std::path::Path;

use super::adam::Adam;
use super::draw::Draws;
use super::network::Discriminator;
use super::weights::Weights;
use super::*;
use crate::keygen::Kind;

/// A folder with three pictures of stripes.
pub(super) fn pictures(folder: &Path) -> Images {
    for n in 1..4_u8 {
        let bytes: Vec<u8> =
            (0..64 * 64).map(|i: usize| if i % (9 * usize::from(n)) < 4 { 255 } else { n }).collect();
        let mut encoder =
            png::Encoder::new(fs::File::create(folder.join(format!("{n}.png"))).unwrap(), 64, 64);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
    }
    Images::read(folder, "pictures").unwrap()
}

fn plan(folder: &Path, kind: Kind, name: &str, iterations: u64) -> Plan {
    Plan {
        kind,
        seed: "a seed".to_owned(),
        device: Device::CPU,
        threads: 1,
        rate: RATE,
        batch: 1,
        iterations,
        report_every: 2,
        checkpoint_every: 2,
        checkpoint: folder.join(format!("{name}.checkpoint")),
        resume: false,
        out: folder.join(name),
    }
}

fn files(plan: &Plan) -> (Vec<u8>, Vec<u8>) {
    (fs::read(&plan.out).unwrap(), fs::read(&plan.checkpoint).unwrap())
}

#[test]
fn two_trainings_alike_give_the_same_bytes_and_another_seed_gives_others() {
    for kind in [Kind::Full, Kind::Lite] {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(folder.path());
        let plans = ["a", "b", "c"].map(|name| plan(folder.path(), kind, name, 3));
        let [a, b, c] = plans;
        let c = Plan { seed: "another".to_owned(), ..c };
        for plan in [&a, &b, &c] {
            assert_eq!(train(plan, &images, &mut |_| true).unwrap(), Outcome::Done);
        }
        assert!(files(&a) == files(&b), "{kind:?}");
        assert!(files(&a).0 != files(&c).0, "{kind:?}");
    }
}

#[test]
fn the_rate_and_the_batch_make_another_training() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path());
    let one = plan(folder.path(), Kind::Lite, "one", 2);
    let faster = Plan { rate: 0.02, ..plan(folder.path(), Kind::Lite, "faster", 2) };
    let more = Plan { batch: 2, ..plan(folder.path(), Kind::Lite, "more", 2) };
    for plan in [&one, &faster, &more] {
        train(plan, &images, &mut |_| true).unwrap();
    }
    let weights =
        |plan: &Plan| Weights::read(&plan.out).unwrap().tensors.remove("down1.pointwise.weight").unwrap();
    let off = |plan: &Plan| (weights(plan) - weights(&one)).abs().max().double_value(&[]);
    // Two steps of Adam are as long as the rate says.
    assert!(off(&faster) > 0.01 && off(&more) > 1e-6, "{} {}", off(&faster), off(&more));
    assert!(off(&more) < 0.001, "{}", off(&more));
}

#[test]
fn a_training_that_was_stopped_and_resumed_gives_the_bytes_of_one_that_ran_through() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path());
    let through = plan(folder.path(), Kind::Full, "through", 5);
    train(&through, &images, &mut |_| true).unwrap();

    let stopped = plan(folder.path(), Kind::Full, "stopped", 5);
    // An odd number, so that it stops between two checkpoints and two lines of the history.
    assert_eq!(train(&stopped, &images, &mut |at| at.iteration < 3).unwrap(), Outcome::Stopped(3));
    assert!(files(&stopped).0 != files(&through).0);
    assert_eq!(resumed_seed(&stopped.checkpoint).unwrap(), stopped.seed);
    let resumed = Plan { resume: true, ..stopped };
    let mut seen = Vec::new();
    let outcome = train(&resumed, &images, &mut |at| {
        seen.push(at.iteration);
        true
    });
    assert_eq!((outcome.unwrap(), seen), (Outcome::Done, vec![4, 5]));
    assert!(files(&resumed) == files(&through));
}

#[test]
fn a_checkpoint_of_another_training_is_refused_with_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path());
    let first = plan(folder.path(), Kind::Lite, "first", 1);
    train(&first, &images, &mut |_| true).unwrap();
    let go_on = Plan { resume: true, iterations: 2, ..first };
    let others = [
        (Plan { kind: Kind::Full, ..go_on.clone() }, "kind lite, this training full"),
        (Plan { seed: "other".to_owned(), ..go_on.clone() }, "seed a seed, this training other"),
        (Plan { rate: 0.001, ..go_on.clone() }, "learning rate 0.0002, this training 0.001"),
        (Plan { batch: 6, ..go_on.clone() }, "images in a batch 1, this training 6"),
        (Plan { threads: 2, ..go_on.clone() }, "number of threads 1, this training 2"),
    ];
    for (plan, text) in others {
        let error = train(&plan, &images, &mut |_| true).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let bytes = fs::read(&go_on.checkpoint).unwrap();
    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&go_on.checkpoint, &bytes[..cut]).unwrap();
        let error = train(&go_on, &images, &mut |_| true).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint { .. }), "{cut}: {error}");
    }
    fs::remove_file(&go_on.checkpoint).unwrap();
    assert!(train(&go_on, &images, &mut |_| true).unwrap_err().to_string().contains("first.checkpoint"));
}

#[test]
fn the_weights_have_the_names_and_shapes_of_the_document_and_a_record() {
    for (kind, tensors, name, shape) in [
        (Kind::Full, 12, "up1.weight", [64, 32, 3, 3]),
        (Kind::Lite, 24, "up1.depthwise.weight", [64, 1, 3, 3]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let images = pictures(folder.path());
        let plan = plan(folder.path(), kind, "weights", 2);
        train(&plan, &images, &mut |_| true).unwrap();
        let weights = Weights::read(&plan.out).unwrap();
        assert_eq!(
            (weights.tensors.len(), weights.metadata["sealgate.kind"].as_str()),
            (tensors, kind.name())
        );
        assert_eq!(weights.tensors[name].size(), shape);
        let record: serde_json::Value = serde_json::from_str(&weights.metadata["sealgate.training"]).unwrap();
        assert_eq!((record["iterations"].as_u64(), record["images"].as_u64()), (Some(2), Some(3)));
        assert_eq!((record["rate"].as_f64(), record["batch"].as_u64()), (Some(RATE), Some(1)));
        assert_eq!(record["data"].as_str().unwrap(), images.digest);
        let entropy = record["history"][0]["entropy"].as_f64().unwrap();
        assert!((1.0..8.0).contains(&entropy), "{entropy}");
    }
}

#[test]
fn the_discriminator_learns_to_tell_two_images_apart() {
    let mut discriminator =
        Discriminator::new(&mut Draws::new("a seed", "weights", 0), tch::Device::Cpu).unwrap();
    let mut adam = Adam::new(&discriminator.parameters, RATE).unwrap();
    let ramp = tch::Tensor::arange(3 * 64 * 64, (tch::Kind::Float, tch::Device::Cpu)).reshape([1, 3, 64, 64]);
    let (real, fake) = ((&ramp * 2.1).sin(), (&ramp * 0.13).sin());
    let mut losses = Vec::new();
    for step in 1..=30 {
        let verdicts = (discriminator.forward(&real).unwrap(), discriminator.forward(&fake).unwrap());
        let loss = -(verdicts.0.log_sigmoid() + verdicts.1.neg().log_sigmoid()).mean(tch::Kind::Float);
        loss.backward();
        adam.step(&mut discriminator.parameters, step).unwrap();
        losses.push(loss.double_value(&[]));
    }
    // Before it has learnt anything the loss is 2 ln 2.
    assert!((losses[0] - 2.0 * 2_f64.ln()).abs() < 0.02, "{losses:?}");
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
}
