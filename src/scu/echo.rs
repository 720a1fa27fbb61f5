//! C-ECHO as SCU (PS3.7 9.1.5).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::association::{self, Command, Config, Ending, Error, Proposal, Transport, field};
use crate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid, VERIFICATION};

/// What came back, and how long each part took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echoed {
    /// The status of the C-ECHO-RSP.
    pub status: Status,
    /// From the connection to the accepted association.
    pub association_time: Duration,
    /// From the C-ECHO-RQ to its response.
    pub echo_time: Duration,
}

/// Associates with `target` as `calling`, sends one C-ECHO, and releases.
pub async fn echo(
    transport: &Transport,
    target: &AeAddress,
    calling: &AeTitle,
    config: &Arc<Config>,
) -> Result<Echoed, Error> {
    let verification = Uid::parse(VERIFICATION).expect("a literal of digits and dots");
    let syntaxes = [TransferSyntax::IMPLICIT_LITTLE, TransferSyntax::EXPLICIT_LITTLE];
    let syntaxes = syntaxes.into_iter().filter_map(TransferSyntax::by_uid).collect();
    let proposal = Proposal::new(verification, syntaxes);
    let start = Instant::now();
    let ending = Ending::never();
    let mut association =
        association::request_via(transport, target, calling, &[proposal], config, ending).await?;
    let association_time = start.elapsed();
    let Some(context) = association.contexts().first().map(|context| context.id) else {
        let error = Error::NoContext("Verification".to_owned());
        association.end(&error).await;
        return Err(error);
    };
    let start = Instant::now();
    association.send(context, &Command::echo(1)).await?;
    let Some(answer) = association.receive().await? else { return Err(Error::Released("an operation")) };
    let expected = field::C_ECHO | field::RESPONSE;
    let status = answer.command.status().filter(|_| answer.command.field() == expected);
    let Some(status) = status.filter(|_| answer.command.responded_to() == Some(1)) else {
        let error = Error::Command(format!("{:?} is no answer to our C-ECHO", answer.command));
        association.end(&error).await;
        return Err(error);
    };
    let echo_time = start.elapsed();
    // The answer is there; a peer that then hangs up instead of releasing has still answered.
    let _ = association.release().await;
    Ok(Echoed { status, association_time, echo_time })
}
