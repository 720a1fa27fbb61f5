//! The audit trail as a library: written, crashed, tampered with, verified.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use sealgate::audit::{
    Alert, Config, Entry, Event, Filter, Instance, Kind, Party, Report, Trail, Transfer, What, entries,
    verify,
};
use sealgate::dicom::Uid;

fn config(folder: &Path) -> Config {
    Config { folder: folder.join("audit"), sync_milliseconds: 5, group_seconds: 1, ..Config::default() }
}

fn open(config: &Config) -> Trail {
    Trail::open(config, &["SEALGATE".to_owned()]).expect("the trail opens")
}

fn alert(number: usize) -> Event {
    let by = Party::named("viewer").at("10.0.0.7");
    Event::Alert(Box::new(Alert::failed(What::RequestRefused, format!("number {number}")).by(by)))
}

fn release(ticket: u64, number: usize) -> Transfer {
    let uid = |text: String| Uid::parse(&text).expect("a uid");
    Transfer {
        kind: Kind::Released,
        source: Party::named("archive"),
        destination: Party::named("viewer"),
        requestor: None,
        study: Some(uid("1.2.3".into())),
        patient: Some("P1".into()),
        instances: vec![Instance {
            class: uid("1.2".into()),
            uid: uid(format!("1.2.3.{number}")),
            key_id: None,
        }],
        sealed: false,
        grant: None,
        failure: None,
        ticket,
    }
}

/// A trail with so many alerts in it, closed in good order.
fn written(config: &Config, alerts: usize) {
    let trail = open(config);
    (0..alerts).for_each(|number| trail.record(alert(number)));
    trail.close();
}

fn check(config: &Config) -> Report {
    verify(&config.folder, None, None).expect("it can be read")
}

fn shown(config: &Config, filter: &Filter) -> Vec<Entry> {
    let mut found = Vec::new();
    entries(&config.folder, filter, |entry, _| {
        found.push(entry);
        true
    })
    .expect("it can be read");
    found
}

fn files(config: &Config) -> Vec<PathBuf> {
    let all = fs::read_dir(&config.folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    files.sort();
    files
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("a log").lines().map(ToOwned::to_owned).collect()
}

fn write_lines(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").expect("written");
}

#[test]
fn what_is_recorded_is_found_again_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 3);
    written(&config, 2);
    let report = check(&config);
    assert!(report.good, "{report:?}");
    assert_eq!(report.events, 3 + 2 + 4, "with two starts and two stops");
    assert_eq!(report.signed, report.last, "what is closed in good order is signed to its end");
    let refused = Filter { event: Some("request-refused".into()), failed: true, ..Filter::default() };
    let found = shown(&config, &refused);
    assert_eq!(found.len(), 5);
    assert_eq!(found[0].text, "number 0");
    assert_eq!(found[0].parties, ["sealgate", "SEALGATE", "viewer", "10.0.0.7"]);
    let other = Filter { peer: Some("modality".into()), ..Filter::default() };
    assert!(shown(&config, &other).is_empty());
    let names: Vec<String> =
        shown(&config, &Filter::default()).into_iter().map(|entry| entry.event).collect();
    assert_eq!((names[0].as_str(), names[8].as_str()), ("application-start", "application-stop"));
}

/// Something done to the lines of a log.
type Damage = fn(&mut Vec<String>);

#[test]
fn removed_changed_swapped_and_cut_records_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 20);
    let path = files(&config).remove(0);
    let good = lines(&path);
    let damages: [(&str, Damage); 8] = [
        ("one removed", |lines| drop(lines.remove(5))),
        ("the first removed", |lines| drop(lines.remove(0))),
        ("one twice", |lines| lines.insert(6, lines[5].clone())),
        ("two swapped", |lines| lines.swap(5, 6)),
        ("one changed", |lines| lines[5] = lines[5].replace("number", "nvmber")),
        ("a time changed", |lines| lines[5] = lines[5].replacen('1', "2", 2)),
        ("the end cut off", |lines| lines.truncate(10)),
        ("the last one cut off", |lines| drop(lines.pop())),
    ];
    for (name, damage) in damages {
        let mut bad = good.clone();
        damage(&mut bad);
        write_lines(&path, &bad);
        let report = check(&config);
        assert!(!report.good && !report.problems.is_empty(), "{name}: {report:?}");
    }
    write_lines(&path, &good);
    assert!(check(&config).good, "as it was, it is good");
}

/// Whoever can write the folder can make hashes that fit; the signatures they cannot.
#[test]
fn a_chain_made_anew_is_found_by_its_signatures() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (own, other) = (config(own.path()), config(other.path()));
    written(&own, 5);
    written(&other, 3);
    let public = fs::read_to_string(own.folder.join("signing.pub")).unwrap();
    for file in ["head", "signing.key", "signing.pub"] {
        fs::copy(other.folder.join(file), own.folder.join(file)).unwrap();
    }
    fs::copy(&files(&other)[0], &files(&own)[0]).unwrap();
    assert!(check(&own).good, "with the key beside it, it is a trail");
    let report = verify(&own.folder, Some(&public), None).unwrap();
    assert!(
        !report.good && report.problems.iter().any(|problem| problem.contains("another key")),
        "{report:?}"
    );
}

#[test]
fn a_trail_put_back_to_an_earlier_state_is_found_by_what_was_noted() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 5);
    let earlier: Vec<(PathBuf, Vec<u8>)> = [files(&config).remove(0), config.folder.join("head")]
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    written(&config, 5);
    let now = check(&config);
    for (path, bytes) in earlier {
        fs::write(path, bytes).unwrap();
    }
    assert!(check(&config).good, "nothing in the folder says that there was more");
    let report = verify(&config.folder, None, Some((now.last, &now.last_hash))).unwrap();
    assert!(!report.good && report.problems[0].contains("cut off"), "{report:?}");
}

#[test]
fn a_torn_tail_is_closed_wherever_it_was_torn_and_nothing_before_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 4);
    let path = files(&config).remove(0);
    let good = fs::read(&path).unwrap();
    let records = check(&config).records;
    let more = b"12\t1769841000000\tevent\t0123456789abcdef";
    for torn in [&more[..1], &more[..], &[0; 4096][..], &[&b"12\tx\n"[..], &[0; 600]].concat()] {
        fs::write(&path, [&good[..], torn].concat()).unwrap();
        let half = check(&config);
        assert_eq!(half.records, records);
        written(&config, 1);
        let report = check(&config);
        assert!(report.good, "{torn:?}: {report:?}");
        assert!(report.notes.iter().any(|note| note.contains("closed what a crash left")), "{report:?}");
        fs::write(&path, &good).unwrap();
        let _ = fs::remove_file(config.folder.join("head"));
    }
}

#[test]
fn whole_lines_that_do_not_follow_on_are_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 4);
    let path = files(&config).remove(0);
    let mut bad = lines(&path);
    bad[3] = bad[3].replace("number", "nvmber");
    write_lines(&path, &bad);
    written(&config, 2);
    let report = check(&config);
    assert!(!report.good, "{report:?}");
    assert_eq!(lines(&path), bad, "the evidence is not touched");
    assert_eq!(files(&config).len(), 2);
    let told = Filter { event: Some("trail-damaged".into()), ..Filter::default() };
    assert!(!shown(&config, &told).is_empty(), "the trail itself says so");
}

#[test]
fn a_crash_while_a_file_is_begun_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 2);
    let next = check(&config).last + 1;
    for bytes in [&b""[..], b"15\t17"] {
        fs::write(config.folder.join(format!("audit-{next:020}.log")), bytes).unwrap();
        written(&config, 0);
        let report = check(&config);
        assert!(report.good, "{report:?}");
    }
}

#[test]
fn files_are_bounded_and_the_chain_goes_on_from_one_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        file_bytes_max: 256 * 1024,
        bytes_max: 768 * 1024,
        sign_records: 100,
        ..config(folder.path())
    };
    for round in 0..4 {
        written(&config, 500);
        let bytes: u64 = files(&config).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(bytes <= config.bytes_max + config.file_bytes_max, "{bytes} in round {round}");
    }
    let report = check(&config);
    assert!(report.good && report.first > 1, "the oldest are gone, and it is said which: {report:?}");
    fs::remove_file(&files(&config)[0]).unwrap();
    let report = check(&config);
    assert!(!report.good, "gone without a record is found: {report:?}");
    assert!(report.problems.iter().any(|problem| problem.contains("no record says")), "{report:?}");
}

#[test]
fn a_file_in_the_middle_that_is_gone_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { file_bytes_max: 256 * 1024, ..config(folder.path()) };
    written(&config, 1000);
    let files = files(&config);
    assert!(files.len() >= 3, "{files:?}");
    fs::remove_file(&files[1]).unwrap();
    assert!(!check(&config).good);
}

#[tokio::test]
async fn the_beginning_of_a_release_is_durable_before_it_goes_out_and_its_end_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing becomes durable by itself here.
    let config = Config { sync_milliseconds: 3_600_000, group_seconds: 3600, ..config(folder.path()) };
    let trail = open(&config);
    let ticket = trail.ticket();
    let begin = trail.clone();
    let begun = tokio::task::spawn_blocking(move || {
        begin.begin(|| release(ticket, 1)).and_then(|()| begin.begin(|| release(ticket, 2)))
    });
    begun.await.unwrap().unwrap();
    let releasing = Filter { event: Some("releasing".into()), ..Filter::default() };
    assert_eq!(shown(&config, &releasing).len(), 1, "once for the study");
    (1..=3).for_each(|number| trail.moved(|| release(ticket, number)));
    trail.settle(ticket).await;
    let released = Filter { about: Some("1.2.3.3".into()), ..Filter::default() };
    let found = shown(&config, &released);
    assert_eq!((found.len(), found[0].instances.len(), found[0].event.as_str()), (1, 3, "released"));
    assert_eq!(found[0].objects, ["1.2.3", "P1"]);
    trail.close();
}

/// A disk that takes nothing: the log is on a file system of its own that is full.
#[test]
fn no_image_is_opened_without_a_record_unless_the_configuration_says_so() {
    use sealgate::audit::WhenFull;
    let folder = tempfile::tempdir().unwrap();
    for (when_full, refused) in [(WhenFull::Refuse, true), (WhenFull::Continue, false)] {
        let config = Config { when_full, ..config(&folder.path().join(format!("{when_full:?}"))) };
        let trail = open(&config);
        trail.begin(|| release(1, 1)).unwrap();
        trail.close();
        assert_eq!(trail.begin(|| release(2, 1)).is_err(), refused, "{when_full:?}");
    }
}

#[test]
fn two_processes_do_not_write_one_trail_and_a_lost_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let trail = open(&config);
    assert!(Trail::open(&config, &[]).is_err_and(|error| error.to_string().contains("another process")));
    trail.close();
    drop(trail);
    fs::remove_file(config.folder.join("signing.key")).unwrap();
    assert!(Trail::open(&config, &[]).is_err_and(|error| error.to_string().contains("is gone")));
}

#[test]
fn a_trail_that_is_off_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { on: false, ..config(folder.path()) };
    written(&config, 3);
    assert!(!config.folder.exists());
}

#[test]
fn a_log_that_grows_while_it_is_verified_is_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    written(&config, 3);
    let mut file = OpenOptions::new().append(true).open(&files(&config)[0]).unwrap();
    file.write_all(b"9\t17698").unwrap();
    let report = check(&config);
    assert!(report.good && report.notes[0].contains("half a record"), "{report:?}");
}
