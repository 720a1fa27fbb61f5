//! What an operator asks of the running service about the spool: carried out, written down, and answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::error;

use super::{Gateway, audit, now_unix_millis};
use crate::spool::{EntryId, Mailbox, Reply, Request, SpoolError, Wish};

/// How often it is looked for requests.
const LOOK: Duration = Duration::from_millis(500);

/// Attends to the mailbox of the spool for as long as it is polled.
pub async fn attend(gateway: Arc<Gateway>, mailbox: Mailbox) {
    if let Err(problem) = mailbox.open() {
        error!(error = %problem, "nothing can be asked about the spool while the service runs");
        return;
    }
    loop {
        sleep(LOOK).await;
        let (gateway, mailbox) = (Arc::clone(&gateway), mailbox.clone());
        let attended = spawn_blocking(move || attend_once(&gateway, &mailbox)).await;
        if let Ok(Err(problem)) = attended {
            error!(error = %problem, "a request about the spool cannot be answered");
        }
    }
}

fn attend_once(gateway: &Gateway, mailbox: &Mailbox) -> Result<(), SpoolError> {
    for (id, request) in mailbox.requests()? {
        let reply = decide(gateway, &request);
        mailbox.reply(id, &reply)?;
    }
    Ok(())
}

/// Does what somebody asks for, and records it.
pub fn decide(gateway: &Gateway, request: &Request) -> Reply {
    let reply = carry_out(gateway, request);
    audit::decided(&gateway.trail, request, reply.changed, reply.problems.len());
    reply
}

fn carry_out(gateway: &Gateway, request: &Request) -> Reply {
    let mut reply = Reply::default();
    let entries = match (request.wish, &request.entries[..]) {
        (Wish::Retry, []) => gateway.spool.list(0, usize::MAX).into_iter().map(|entry| entry.id).collect(),
        (_, entries) => entries.to_vec(),
    };
    for entry in entries {
        match decide_one(gateway, request, entry) {
            Ok(changed) => reply.changed += changed,
            // Among all of them are some that do not go there, and some that have got there meanwhile.
            Err(SpoolError::UnknownDestination { .. } | SpoolError::Unknown(_))
                if request.entries.is_empty() => {}
            Err(problem) => reply.problems.push(problem.to_string()),
        }
    }
    reply
}

fn decide_one(gateway: &Gateway, request: &Request, entry: EntryId) -> Result<usize, SpoolError> {
    let (spool, destination, now) = (&gateway.spool, request.destination.as_deref(), now_unix_millis());
    let instance = spool.show(entry).map(|summary| String::from_utf8_lossy(&summary.key).into_owned());
    match request.wish {
        Wish::Retry => {
            // Whoever asks for it wants it tried now, however long the destination has been down.
            gateway.ways.wake(destination);
            spool.retry(entry, destination, now)
        }
        Wish::Drop => {
            let dropped = spool.discard(entry, destination, &request.reason, now)?;
            audit::given_up(&gateway.trail, request, entry, &instance.unwrap_or_default(), dropped);
            Ok(dropped)
        }
    }
}
