//! What a profile means, and whether a destination may be used by it.

use super::*;
use crate::keys::ArchiveMode;
use crate::policy::{Destination, Unprobed};

fn finding(kind: Kind, outcome: Outcome) -> Finding {
    Finding {
        kind,
        sop_class: "1.2.840.10008.5.1.4.1.1.2".parse().unwrap(),
        sop_instance: "2.25.1".parse().unwrap(),
        outcome,
        detail: "the reason".to_owned(),
        transfer_syntax: None,
        kept_key_record: Some(true),
        kept_private_tags: Some(true),
        changed: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
    }
}

fn profile(findings: Vec<Finding>) -> Profile {
    let address = "PACS@pacs.example:104".parse().unwrap();
    Profile::new("pacs".to_owned(), address, 1_760_000_000, "2.25.2".parse().unwrap(), findings)
}

fn destination(unprobed: Unprobed, allow_failed_probe: bool) -> Destination {
    let address = "PACS@pacs.example:104".parse().unwrap();
    Destination { unprobed, allow_failed_probe, ..Destination::new("pacs", address) }
}

fn ask(destination: &Destination, profile: &Result<Option<Profile>, ProfileError>) -> Leave {
    admit(Subject { destination, archive: ArchiveMode::Both }, profile)
}

#[test]
fn one_kind_that_is_altered_or_lost_fails_and_one_that_is_refused_does_not() {
    let verdict = |outcome| {
        let findings = vec![finding(Kind::Grey16, Outcome::Intact), finding(Kind::Colour, outcome)];
        profile(findings).verdict(ArchiveMode::Both)
    };
    assert!(verdict(Outcome::Intact).is_good() && verdict(Outcome::Intact).notes.is_empty());
    assert!(verdict(Outcome::Refused).is_good() && verdict(Outcome::Refused).notes[0].contains("colour"));
    for outcome in [Outcome::Altered, Outcome::Lost] {
        let verdict = verdict(outcome);
        assert!(!verdict.is_good() && verdict.failures[0].contains("colour"), "{verdict:?}");
    }
}

#[test]
fn an_archive_that_takes_nothing_is_no_archive() {
    let findings = Kind::ALL.map(|kind| finding(kind, Outcome::Refused)).to_vec();
    assert!(!profile(findings).verdict(ArchiveMode::Both).is_good());
}

#[test]
fn keys_that_do_not_survive_matter_where_they_are_kept_nowhere_else() {
    let lost = Finding { kept_key_record: Some(false), ..finding(Kind::Grey16, Outcome::Intact) };
    let profile = profile(vec![lost]);
    assert!(!profile.verdict(ArchiveMode::Tag).is_good());
    for mode in [ArchiveMode::Both, ArchiveMode::Sidecar] {
        let verdict = profile.verdict(mode);
        assert!(verdict.is_good() && verdict.notes[0].contains("key store"), "{verdict:?}");
    }
}

#[test]
fn a_destination_that_nobody_probed_is_used_as_it_says() {
    let moved = Profile {
        address: "PACS@elsewhere:104".parse().unwrap(),
        ..profile(vec![finding(Kind::Grey16, Outcome::Intact)])
    };
    let damaged = || ProfileError::Unreadable { path: "pacs.json".into(), reason: "it is empty".to_owned() };
    for (profile, word) in
        [(Ok(None), "never"), (Ok(Some(moved.clone())), "another address"), (Err(damaged()), "it is empty")]
    {
        let Leave::Given(notes) = ask(&destination(Unprobed::Warn, false), &profile) else {
            panic!("{word}")
        };
        assert!(notes[0].contains(word) && notes[0].contains("sealgate probe pacs"), "{notes:?}");
    }
    assert_eq!(ask(&destination(Unprobed::Allow, false), &Ok(None)), Leave::Given(Vec::new()));
    let refused = ask(&destination(Unprobed::Refuse, true), &Ok(None));
    assert!(matches!(&refused, Leave::Refused(why) if why.contains("never")), "{refused:?}");
}

#[test]
fn a_destination_that_failed_is_refused_unless_told_otherwise() {
    let failed = || {
        profile(vec![
            finding(Kind::Grey16, Outcome::Intact),
            finding(Kind::Grey8, Outcome::Altered),
            finding(Kind::Frames, Outcome::Lost),
        ])
    };
    for unprobed in [Unprobed::Allow, Unprobed::Warn, Unprobed::Refuse] {
        let refused = ask(&destination(unprobed, false), &Ok(Some(failed())));
        let Leave::Refused(why) = refused else { panic!("{unprobed:?}") };
        assert!(
            why.contains("grey-8") && why.contains("1 more") && why.contains("allow_failed_probe"),
            "{why}"
        );
    }
    let given = ask(&destination(Unprobed::Refuse, true), &Ok(Some(failed())));
    assert!(matches!(&given, Leave::Given(notes) if notes[0].contains("failed")), "{given:?}");
    let good = ask(
        &destination(Unprobed::Refuse, false),
        &Ok(Some(profile(vec![finding(Kind::Grey16, Outcome::Intact)]))),
    );
    assert_eq!(good, Leave::Given(Vec::new()));
}

#[test]
fn a_profile_is_read_as_it_was_written_and_damage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, written) =
        (folder.path().join("probes"), profile(vec![finding(Kind::OneBit, Outcome::Lost)]));
    assert!(Profile::load(&folder, "pacs").unwrap().is_none());
    let path = written.save(&folder).unwrap();
    assert_eq!(Profile::load(&folder, "pacs").unwrap(), Some(written.clone()));
    let again = profile(Vec::new());
    again.save(&folder).unwrap();
    assert_eq!(Profile::load(&folder, "pacs").unwrap(), Some(again), "the newest replaces the one before");
    let text = std::fs::read_to_string(&path).unwrap();
    for broken in [&text[..text.len() / 2], "", "[]", &text.replacen('1', "2", 1)] {
        std::fs::write(&path, broken).unwrap();
        assert!(matches!(Profile::load(&folder, "pacs"), Err(ProfileError::Unreadable { .. })), "{broken}");
    }
}
