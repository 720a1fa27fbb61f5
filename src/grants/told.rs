//! Which emergency accesses were told of: a file of the service's own, so that none is missed, however short it was and
//! whatever happened to the service meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file::replace;
use crate::policy::{Grant, Grants};

/// What is to be told of an access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is open, or was.
    Began(Grant),
    /// It is over.
    Over(Grant),
}

/// What was told.
#[derive(Debug)]
pub struct Told {
    path: PathBuf,
    accesses: BTreeMap<String, Access>,
    /// Whether nothing was ever told: then what is over is long over.
    is_new: bool,
}

/// One access, as far as it was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Access {
    grant: Grant,
    is_over: bool,
}

impl Told {
    /// What stands in this file; nothing where there is none, or one that cannot be read.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { is_new: read.is_none(), accesses: read.unwrap_or_default(), path }
    }

    /// What is new at this time, in seconds since 1970; in the order in which it is to be told.
    pub fn news(&mut self, grants: &Grants, now: u64) -> Vec<News> {
        let is_new = std::mem::take(&mut self.is_new);
        let mut news = Vec::new();
        for grant in grants.all() {
            let key = key_of(grant);
            let is_open = grant.is_open(now);
            let before = self.accesses.get(&key).map(|access| access.is_over);
            // One that begins later is not open yet: a clock was set back.
            let has_begun = is_open || (before.is_none() && !is_new && grant.from <= now);
            if has_begun && before != Some(false) {
                news.push(News::Began(grant.clone()));
            }
            if !is_open && (before == Some(false) || (before.is_none() && has_begun)) {
                news.push(News::Over(grant.clone()));
            }
            if is_open || before.is_some() || grant.from <= now {
                self.accesses.insert(key, Access { grant: grant.clone(), is_over: !is_open });
            }
        }
        let kept: Vec<String> = grants.all().iter().map(key_of).collect();
        // One that stands there no more cannot open anything.
        for (key, access) in &self.accesses {
            if !kept.contains(key) && !access.is_over {
                news.push(News::Over(access.grant.clone()));
            }
        }
        self.accesses.retain(|key, _| kept.contains(key));
        news
    }

    /// Writes down that all of it was told; durable when this returns.
    pub fn keep(&self) -> io::Result<()> {
        replace(&self.path, &serde_json::to_vec(&self.accesses)?, None)
    }
}

/// Numbers begin anew with the file.
fn key_of(grant: &Grant) -> String {
    format!("{} {}", grant.id, grant.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, from: u64, until: u64, ended: Option<u64>) -> Grant {
        let text = |text: &str| text.to_owned();
        Grant { id: text(id), peer: text("er"), reason: text("trauma"), by: text("root"), from, until, ended }
    }

    fn said(news: &[News]) -> Vec<String> {
        let word = |one: &News| match one {
            News::Began(grant) => format!("began {}", grant.id),
            News::Over(grant) => format!("over {}", grant.id),
        };
        news.iter().map(word).collect()
    }

    #[test]
    fn each_is_told_of_once_however_short_it_was_and_whoever_asks_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("told");
        let mut told = Told::open(path.clone());
        let old = grant("1", 10, 70, None);
        assert!(
            told.news(&Grants::new(vec![old.clone()]), 1000).is_empty(),
            "long over when the first one looked"
        );
        let short = grant("2", 1001, 1061, Some(1001));
        let open = grant("3", 1001, 1061, None);
        let grants = Grants::new(vec![old, short, open]);
        assert_eq!(said(&told.news(&grants, 1002)), ["began 2", "over 2", "began 3"]);
        assert!(told.news(&grants, 1003).is_empty());
        told.keep().unwrap();
        // The service was away when it ended.
        let mut told = Told::open(path.clone());
        assert_eq!(said(&told.news(&grants, 1061)), ["over 3"]);
        told.keep().unwrap();
        assert!(Told::open(path).news(&grants, 2000).is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_gone_from_the_file_is_over_and_what_comes_back_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut told = Told::open(folder.path().join("told"));
        let grants = Grants::new(vec![grant("1", 100, 200, None)]);
        assert_eq!(said(&told.news(&grants, 110)), ["began 1"]);
        assert_eq!(said(&told.news(&Grants::default(), 120)), ["over 1"]);
        assert_eq!(said(&told.news(&grants, 130)), ["began 1"]);
        // A file that was begun anew has the numbers from the start.
        let anew = Grants::new(vec![grant("1", 140, 141, None)]);
        assert_eq!(said(&told.news(&anew, 150)), ["began 1", "over 1", "over 1"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("told");
        fs::write(&path, "{").unwrap();
        let grants = Grants::new(vec![grant("1", 100, 200, None), grant("2", 1, 2, None)]);
        assert_eq!(said(&Told::open(path).news(&grants, 150)), ["began 1"]);
    }
}
