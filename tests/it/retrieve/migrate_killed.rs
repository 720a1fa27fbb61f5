//! Migrations that are killed again and again, at every named moment and at any other, and run on until they are done: each
//! image is there once, as it was, and the journal says so once.
//!
//! `SEALGATE_SOAK=1` makes it long; `SEALGATE_SEED` repeats one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::history::Draws;
use super::migrate_on::{Image, files, fill, images, lines, said, site};
use crate::keys::command::Site;
use crate::peers::{Orthanc, free_port};
use crate::peers_seal::canonical;

const MOMENTS: [&str; 4] = ["migrated-key", "migrated-stored", "migrated-read-back", "migrated-written"];

/// Runs a migration, and kills it: at a named moment where there is one, at any other after so many milliseconds. Says
/// whether it was done before.
fn killed(site: &Site, arguments: &[&str], moment: &str, milliseconds: u64) -> bool {
    let mut command = site.command(arguments);
    if !moment.is_empty() {
        command.env("SEALGATE_FAILPOINT", format!("{moment}:die"));
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if moment.is_empty() {
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    // Dead by a signal, or done.
    assert!(output.status.code().is_none_or(|code| code == 0), "{moment}: {}", said(&output));
    output.status.success()
}

/// Kills it at each of its moments and then at random ones, and runs it to its end.
fn through_kills(
    site: &Site,
    arguments: &[&str],
    journal: &str,
    images: &[Image],
    (moments, draws, rounds): (&[&str], &mut Draws, usize),
    looks: impl Fn(),
) {
    let journal_path = site.path(journal);
    let arguments = [arguments, &["--journal", journal_path.to_str().unwrap()]].concat();
    let mut deaths = 0;
    for round in 0..rounds {
        let moment = match moments.get(round) {
            Some(moment) => format!("{moment}:{}", 1 + draws.below(2)),
            None if draws.below(2) == 0 => {
                let moment = moments[usize::try_from(draws.below(moments.len() as u64)).unwrap()];
                format!("{moment}:{}", 1 + draws.below(3))
            }
            None => String::new(),
        };
        let is_done = killed(site, &arguments, &moment, draws.below(900));
        deaths += usize::from(!is_done);
        looks();
        // A study is told as done once, whatever came later.
        let done: Vec<String> =
            lines(&journal_path).into_iter().filter(|(_, done)| *done).map(|(study, _)| study).collect();
        assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), done.len(), "{moment}: {done:?}");
    }
    assert!(deaths > 2, "{deaths} of {rounds} runs died");
    let output = site.sealgate(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    let studies: BTreeSet<String> = images.iter().map(|image| image.study.clone()).collect();
    let journal = lines(&journal_path);
    assert!(journal.iter().all(|(_, done)| *done) && journal.len() == studies.len(), "{journal:?}");
    assert_eq!(journal.into_iter().map(|(study, _)| study).collect::<BTreeSet<_>>(), studies);
}

/// Whether files show these images, whatever wrote them: all of them, each as it was.
fn are_originals(files: &[Vec<u8>], images: &[Image]) {
    let folder = tempfile::tempdir().unwrap();
    let written = |bytes: &[u8]| {
        let path = folder.path().join("file");
        fs::write(&path, bytes).unwrap();
        canonical(&path, folder.path())
    };
    let found: BTreeSet<Vec<u8>> = files.iter().map(|file| written(file)).collect();
    for image in images {
        assert!(found.contains(&canonical(&image.sample.path, folder.path())), "{:?}", image.sample);
    }
}

fn read_all(folder: &Path) -> Vec<Vec<u8>> {
    fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_migration_that_is_killed_at_any_moment_goes_on_until_each_image_is_there_once() {
    let is_soak = std::env::var("SEALGATE_SOAK").is_ok_and(|value| value != "0");
    let seed = std::env::var("SEALGATE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEALGATE_SEED={seed}");
    let (mut draws, rounds) = (Draws(seed), if is_soak { 60 } else { 6 });
    let (pacs, other) = (Orthanc::start(), Orthanc::start());
    let ports = [("ORTHANC", pacs.address().port), ("ORTHANC", other.address().port)];
    let (site, images) = (site(free_port(), ports, "get", None), images(5));
    fill(&pacs, &images);
    let scratch = site.path("scratch");
    fs::create_dir(&scratch).unwrap();

    let seal = ["migrate", "--from", "pacs", "--scratch", scratch.to_str().unwrap()];
    through_kills(&site, &seal, "seal.journal", &images, (&MOMENTS, &mut draws, rounds), || {
        assert_eq!(files(&pacs, &images).len(), images.len(), "nothing is lost");
    });
    let sealed = files(&pacs, &images);
    assert_eq!(pacs.count(), images.len(), "nothing is there twice");
    assert!(images.iter().all(|image| !image.is_clear_in(&sealed[image.uid()])), "nothing is clear");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "what was half done is cleared away");

    let out = site.path("out");
    let open = ["migrate", "--from", "pacs", "--open", "--out", out.to_str().unwrap()];
    through_kills(&site, &open, "open.journal", &images, (&MOMENTS[1..], &mut draws, rounds), || {
        let all = fs::read_dir(&out).into_iter().flatten().map(|entry| entry.unwrap().path());
        for path in all.filter(|path| path.is_file()) {
            // What has its name is whole.
            let file = fs::read(&path).unwrap();
            assert!(images.iter().any(|image| image.is_clear_in(&file)), "{}", path.display());
        }
    });
    let found = read_all(&out);
    assert_eq!(found.len(), images.len(), "each is there once, and nothing else is");
    are_originals(&found, &images);

    let across = ["migrate", "--from", "pacs", "--open", "--to", "other"];
    through_kills(&site, &across, "other.journal", &images, (&MOMENTS[1..], &mut draws, rounds), || {});
    assert_eq!(other.count(), images.len());
    are_originals(&files(&other, &images).into_values().collect::<Vec<_>>(), &images);
    assert!(files(&pacs, &images) == sealed, "the archive that they come from stays as it is");
}

#[test]
fn no_more_images_are_stored_in_a_second_than_is_asked_for() {
    let pacs = Orthanc::start();
    let ports = [("ORTHANC", pacs.address().port), ("OTHER", free_port())];
    let (site, images) = (site(free_port(), ports, "get", None), images(6));
    fill(&pacs, &images);
    let journal = site.path("seal.journal");
    assert!(
        site.sealgate(&["migrate", "--from", "pacs", "--journal", journal.to_str().unwrap()])
            .status
            .success()
    );
    let (out, journal) = (site.path("out"), site.path("open.journal"));
    let begun = Instant::now();
    let arguments =
        ["migrate", "--from", "pacs", "--open", "--out", out.to_str().unwrap(), "--per-second", "5"];
    let output = site.sealgate(&[&arguments[..], &["--journal", journal.to_str().unwrap()]].concat());
    let passed = begun.elapsed();
    assert!(output.status.success(), "{}", said(&output));
    // A file's last change is that it got its name.
    let named = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        metadata.ctime() * 1000 + metadata.ctime_nsec() / 1_000_000
    };
    let mut times: Vec<i64> =
        fs::read_dir(&out).unwrap().map(|entry| named(&entry.unwrap().path())).collect();
    times.sort_unstable();
    assert!(times.len() == images.len() && times.len() > 5, "{}", times.len());
    for (first, began) in times.iter().enumerate() {
        for (more, ended) in times[first..].iter().enumerate() {
            // A file may get its name a little later than it might have.
            let milliseconds = ended - began + 150;
            assert!(
                i64::try_from(more).unwrap() * 200 <= milliseconds,
                "{more} more in {milliseconds} ms: {times:?}"
            );
        }
    }
    let least = Duration::from_millis(200) * u32::try_from(times.len() - 1).unwrap();
    assert!(passed >= least, "{passed:?}, {least:?} at least");
}
