//! C-STORE as SCU (PS3.4 annex B): one instance, its data set as a stream, its status with its meaning.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::answer::Answer;
use super::caller::Caller;
use super::dial::Wire;
use super::failure::Failure;
use super::proposals::Need;
use super::source::Source;
use crate::association::{Command, Error, Outgoing, Priority};
use crate::dicom::{AeTitle, Encoding, TransferSyntax, Uid};

/// What is stored, apart from its data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// SOP Class UID.
    pub class: Uid,
    /// SOP Instance UID.
    pub instance: Uid,
    /// How the data set is encoded.
    pub transfer_syntax: TransferSyntax,
    /// The bytes of the data set, where they are known: more or fewer break the association off.
    pub length: Option<u64>,
    /// The C-MOVE that it is a sub-operation of: who asked for it, in which message.
    pub originator: Option<(AeTitle, u16)>,
    /// How urgent it is.
    pub priority: Priority,
}

impl Instance {
    /// An instance of unknown length that nobody moves.
    #[must_use]
    pub fn new(class: Uid, instance: Uid, transfer_syntax: TransferSyntax) -> Self {
        let priority = Priority::Medium;
        Self { class, instance, transfer_syntax, length: None, originator: None, priority }
    }

    /// The context that it has to be sent on.
    #[must_use]
    pub fn need(&self) -> Need {
        Need::new(self.class.clone(), self.transfer_syntax)
    }

    fn request(&self, message_id: u16) -> Command {
        let request = Command::store(message_id, &self.class, &self.instance).with_priority(self.priority);
        match &self.originator {
            Some((title, message_id)) => request.with_move_originator(title, *message_id),
            None => request,
        }
    }
}

/// Sends an instance. The answer says success or a warning; any other status is a [`Failure::Status`], after which the
/// association goes on.
///
/// Where the source fails after its beginning has gone out, the association can only be aborted: the peer never holds
/// a part as if it were the whole.
pub async fn store(
    caller: &mut Caller,
    instance: &Instance,
    source: &mut impl Source,
) -> Result<Answer, Failure> {
    let context = caller.context(&instance.class, instance.transfer_syntax)?;
    let message_id = caller.begin_operation()?;
    let seconds = caller.config().source_seconds;
    let outgoing = caller.begin(&context, &instance.request(message_id))?;
    let mut metered = Metered { source, left: instance.length, is_odd: false, seconds };
    match pour(&mut metered, outgoing, instance.transfer_syntax.encoding).await {
        Ok(()) => {}
        Err(Stop::Association(error)) => return Err(caller.failing(error)),
        Err(Stop::Source(failure)) => {
            // Nothing may have gone out yet; if something has, the association knows that it is half sent.
            caller.end_operation();
            return Err(failure);
        }
    }
    let response = caller.response(message_id).await?;
    if response.answer.is_done() { Ok(response.answer) } else { Err(response.answer.into()) }
}

enum Stop {
    Association(Error),
    Source(Failure),
}

/// Sends all that the source has.
async fn pour<S: Source>(
    source: &mut Metered<'_, S>,
    mut outgoing: Outgoing<'_, Wire>,
    encoding: Encoding,
) -> Result<(), Stop> {
    while let Some(piece) = source.next().await.map_err(Stop::Source)? {
        outgoing.write(&piece).await.map_err(Stop::Association)?;
    }
    // PS3.5 A.5: a deflated stream of odd length has one NUL behind it. Files often lack it, and nodes abort on a
    // fragment of odd length.
    if encoding == Encoding::Deflated && source.is_odd {
        outgoing.write(&[0]).await.map_err(Stop::Association)?;
    }
    outgoing.finish().await.map_err(Stop::Association)
}

/// A source that has to give what was said, in time.
struct Metered<'a, S> {
    source: &'a mut S,
    left: Option<u64>,
    /// Whether what has come by now is of odd length.
    is_odd: bool,
    seconds: u64,
}

impl<S: Source> Metered<'_, S> {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let seconds = self.seconds;
        let slow = |_| Failure::source("its next piece was not ready in time");
        let piece = timeout(Duration::from_secs(seconds), self.source.next()).await.map_err(slow)?;
        let piece = piece.map_err(Failure::Source)?;
        self.is_odd ^= piece.as_ref().is_some_and(|piece| piece.len() % 2 == 1);
        let Some(left) = &mut self.left else { return Ok(piece) };
        match &piece {
            Some(piece) => {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                *left =
                    left.checked_sub(length).ok_or_else(|| Failure::source("it is longer than it was"))?;
            }
            None if *left > 0 => return Err(Failure::source("it is shorter than it was")),
            None => {}
        }
        Ok(piece)
    }
}
