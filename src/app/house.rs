//! The gateway as the web server and `sealgate status` see it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::live::Live;
use super::look;
use crate::association::Slots;
use crate::audit::{self, Alert, Entry, Event, Filter, Login, Party, What, rfc3339};
use crate::custody::Role;
use crate::dicom::Uid;
use crate::flow::{self, Gateway, now_unix_millis};
use crate::http::{Admin, Emergency, House, Queued, Recorded, Sample, Sealed, Study, Wanted};
use crate::policy::Grant;
use crate::settings::Settings;
use crate::spool::{EntryId, Request, State, Summary, Wish};
use crate::telemetry::metrics::metrics;
use crate::telemetry::snapshot::{Listener, Snapshot, Totals};

/// Seals of a study, and records about it, that are shown.
const SHOWN_MAX: usize = 500;
/// Entries of the spool that are looked at in one step.
const PAGE: usize = 256;

/// See the top of the file.
pub(super) struct Hall {
    pub(super) live: Live,
    pub(super) slots: Slots,
    pub(super) listeners: Vec<Listener>,
    pub(super) rooms: Option<Arc<Gateway>>,
    pub(super) settings: Settings,
    pub(super) started_unix: u64,
    /// Held while somebody searches the audit trail.
    pub(super) searching: Mutex<()>,
}

/// Now, in seconds since 1970.
pub(super) fn now_unix() -> u64 {
    now_unix_millis() / 1000
}

impl House for Hall {
    fn snapshot(&self) -> Snapshot {
        let state = self.live.now();
        let mut snapshot = Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_unix_millis: now_unix_millis(),
            started_unix: self.started_unix,
            listeners: self.listeners.clone(),
            associations: self.slots.total() as u64,
            peers: flow::snapshot::peers(&state.rules),
            certificates: look::certificates(&state.tls),
            totals: Totals::now(metrics()),
            process: look::process(),
            ..Snapshot::default()
        };
        if let Some(rooms) = &self.rooms {
            flow::snapshot::take(rooms, &mut snapshot);
        }
        snapshot.not_ready = look::not_ready(&snapshot);
        snapshot.alarms = look::alarms(&snapshot);
        snapshot
    }

    fn queue(&self, limit: usize) -> Vec<Queued> {
        let Some(rooms) = &self.rooms else { return Vec::new() };
        let now = now_unix_millis();
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = rooms.spool.list(after, PAGE);
            let Some(last) = page.last() else { return found };
            after = last.sequence;
            found.extend(page.iter().flat_map(|entry| queued(entry, now)));
            if found.len() >= limit {
                found.truncate(limit);
                return found;
            }
        }
    }

    fn retry(&self, entry: Option<&str>, by: &Admin) -> Result<usize, String> {
        let rooms = self.rooms.as_ref().ok_or("there is no route, so nothing is forwarded")?;
        let entries =
            entry.map(|id| id.parse::<EntryId>().map_err(|_| format!("{id:?} is no entry of the spool")));
        let entries: Vec<EntryId> = entries.transpose()?.into_iter().collect();
        let request = Request {
            wish: Wish::Retry,
            entries,
            destination: None,
            reason: String::new(),
            by: by.name.clone(),
        };
        let reply = flow::decide(rooms, &request);
        match reply.problems.first() {
            Some(problem) if reply.changed == 0 => Err(problem.clone()),
            _ => Ok(reply.changed),
        }
    }

    fn study(&self, uid: &Uid) -> Result<Study, String> {
        let rooms = self.rooms.as_ref().ok_or("there is no route, so nothing is sealed")?;
        let seals = rooms.archive.seals(uid, SHOWN_MAX).map_err(|error| error.to_string())?;
        let seals = seals.into_iter().map(|seal| Sealed {
            instance: seal.instance.to_string(),
            class: seal.class.to_string(),
            suite: seal.suite,
            key_id: seal.key_id,
            calling: seal.calling.map(|title| title.to_string()).unwrap_or_default(),
            time: rfc3339(u64::try_from(seal.sealed_unix_millis).unwrap_or(0)),
        });
        let filter = Filter { about: Some(uid.to_string()), ..Filter::default() };
        let records = if self.settings.audit.on { self.recorded(&filter, SHOWN_MAX)? } else { Vec::new() };
        Ok(Study { seals: seals.collect(), records })
    }

    fn records(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Recorded>, String> {
        let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let filter = Filter {
            event: word(&wanted.event),
            peer: word(&wanted.party),
            failed: wanted.failed,
            ..Filter::default()
        };
        self.recorded(&filter, limit)
    }

    fn emergencies(&self) -> Result<Vec<Emergency>, String> {
        let rooms = self.rooms.as_ref().ok_or("there is no route, so nothing is opened")?;
        let now = now_unix();
        let mut found: Vec<Emergency> = rooms
            .release
            .grants
            .load()
            .map_err(|error| error.to_string())?
            .all()
            .iter()
            .map(|grant| emergency(grant, now))
            .collect();
        found.reverse();
        found.truncate(SHOWN_MAX);
        Ok(found)
    }

    fn open_emergency(&self, peer: &str, minutes: u64, reason: &str, by: &Admin) -> Result<(), String> {
        let rooms = self.rooms.as_ref().ok_or("there is no route, so nothing is opened")?;
        if !self.live.now().rules.peers().any(|known| known.name == peer) {
            return Err(format!("there is no peer {peer:?}"));
        }
        if self.settings.roles.separates() && !by.has(&[Role::Custodian]) {
            return Err(
                "an operator opens no emergency access alone: ask for one with `sealgate grant`".to_owned()
            );
        }
        let seconds = minutes.saturating_mul(60);
        let opened = rooms.release.grants.open(peer, seconds, reason, &by.name, now_unix());
        opened.map(drop).map_err(|error| error.to_string())
    }

    fn end_emergency(&self, id: &str, by: &Admin) -> Result<(), String> {
        let rooms = self.rooms.as_ref().ok_or("there is no route, so nothing is opened")?;
        rooms.release.grants.end(id, now_unix()).map_err(|error| error.to_string())?;
        let text = format!("emergency access {id} is ended from the admin page");
        rooms.trail.alert(Alert::done(What::EmergencyEnded, text).by(party(&by.name, by.address)));
        Ok(())
    }

    fn sample(&self) -> Result<Sample, String> {
        let (before, after) = crate::demo::before_and_after().map_err(|error| error.to_string())?;
        Ok(Sample { before, after })
    }

    fn logged_in(&self, name: &str, from: IpAddr, failure: Option<&str>) {
        let Some(rooms) = &self.rooms else { return };
        let login = Login {
            user: failure.is_none().then(|| name.to_owned()),
            node: party("admin page", from),
            failure: failure.map(|why| format!("{why}, as {name:?}")),
        };
        rooms.trail.record(Event::Login(Box::new(login)));
    }
}

impl Hall {
    /// The newest records that fit. One search at a time: each reads the whole trail.
    fn recorded(&self, filter: &Filter, limit: usize) -> Result<Vec<Recorded>, String> {
        let _turn =
            self.searching.try_lock().map_err(|_| "somebody else searches the audit trail now, try again")?;
        if !self.settings.audit.on || self.rooms.is_none() {
            return Err("there is no audit trail".to_owned());
        }
        let mut found = VecDeque::new();
        let read = audit::entries(&self.settings.audit.folder, filter, |entry, _| {
            if found.len() == limit {
                found.pop_front();
            }
            found.push_back(entry);
            true
        });
        read.map_err(|error| error.to_string())?;
        Ok(found.into_iter().rev().map(recorded).collect())
    }
}

fn party(name: &str, address: IpAddr) -> Party {
    Party::named(name).at(address)
}

fn queued(entry: &Summary, now: u64) -> Vec<Queued> {
    let open = entry.deliveries.iter().filter_map(|one| {
        let state = match one.delivery.state {
            State::Waiting => "waiting",
            State::InHand => "in hand",
            State::Later => "later",
            State::Aside => "set aside",
            State::Done | State::Dropped => return None,
        };
        Some(Queued {
            entry: entry.id.to_string(),
            instance: String::from_utf8_lossy(&entry.key).into_owned(),
            destination: one.destination.clone(),
            state,
            attempts: one.delivery.attempts,
            reason: one.delivery.reason.to_string(),
            bytes: entry.content_bytes,
            age_seconds: entry.age_millis(now) / 1000,
        })
    });
    open.collect()
}

fn recorded(entry: Entry) -> Recorded {
    let Entry { number, time, event, ok, parties, objects, text, .. } = entry;
    Recorded { number, time, event, ok, parties, objects, text }
}

fn emergency(grant: &Grant, now: u64) -> Emergency {
    let at = |seconds: u64| rfc3339(seconds.saturating_mul(1000));
    Emergency {
        id: grant.id.clone(),
        peer: grant.peer.clone(),
        reason: grant.reason.clone(),
        by: grant.by.clone(),
        from: at(grant.from),
        until: at(grant.ended.unwrap_or(grant.until)),
        open: grant.is_open(now),
    }
}
