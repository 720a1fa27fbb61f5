//! What we have to say on an association that the peer asked for: reports of commitment, one at a time, between messages.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::association::{Association, Command, Error, Message, field};
use crate::dicom::{STORAGE_COMMITMENT, Status, Uid};
use crate::flow::commitment::{Letter, Mailbox};
use crate::scu::STORAGE_COMMITMENT_INSTANCE;

/// Letters that wait to go out.
const LETTERS_MAX: usize = 4;

/// The letters of one association.
pub(super) struct Outbox {
    mailbox: Mailbox,
    letters: mpsc::Receiver<Letter>,
    message_id: u16,
    /// What has gone out and is not answered.
    out: Option<(u16, oneshot::Sender<Status>)>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        let (mailbox, letters) = mpsc::channel(LETTERS_MAX);
        Self { mailbox, letters, message_id: 0, out: None }
    }

    /// Where letters for this association go.
    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The next letter, once the one before is answered. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Letter {
        if self.out.is_none()
            && let Some(letter) = self.letters.recv().await
        {
            return letter;
        }
        std::future::pending().await
    }

    /// Sends a letter. One that cannot be written is dropped, so that it goes another way.
    pub(super) async fn send<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &mut self,
        association: &mut Association<S>,
        letter: Letter,
    ) -> Result<(), Error> {
        let class = Uid::parse(STORAGE_COMMITMENT).expect("a UID of the standard's registry");
        let instance = Uid::parse(STORAGE_COMMITMENT_INSTANCE).expect("a UID of the standard's registry");
        let context = association.contexts().iter().find(|one| one.abstract_syntax == class && one.roles.scu);
        let Some(context) = context.cloned() else { return Ok(()) };
        let Ok(data) = letter.report.encode(context.transfer_syntax.encoding) else { return Ok(()) };
        self.message_id = self.message_id.checked_add(1).unwrap_or(1);
        let request = Command::event_report(self.message_id, &class, &instance, letter.report.event_type());
        self.out = Some((self.message_id, letter.heard));
        association.send_with_data(context.id, &request, &data).await
    }

    /// Whether a message is the answer to a letter.
    pub(super) fn takes(&mut self, message: &Message) -> bool {
        let command = &message.command;
        if command.field() != field::N_EVENT_REPORT | field::RESPONSE {
            return false;
        }
        let Some((message_id, heard)) = self.out.take() else { return false };
        if command.responded_to() != Some(message_id) {
            self.out = Some((message_id, heard));
            return false;
        }
        if let Some(status) = command.status() {
            // Whoever waited too long tells it another way.
            let _late = heard.send(status);
        }
        debug!("a report of commitment was answered on the association of its request");
        true
    }
}
