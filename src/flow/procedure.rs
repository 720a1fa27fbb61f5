//! Procedure steps: what a modality says of one goes to the RIS of the title it called, and the answer back, both untouched.

use std::sync::Arc;

use bytes::Bytes;
use tracing::{info, warn};

use super::convert;
use super::gateway::{Gateway, Visitor};
use crate::association::{Context, Proposal};
use crate::dicom::{TransferSyntax, Uid};
use crate::policy::Serves;
use crate::scu::{self, Caller, Failure, Response};
use crate::seal::scan::ScanError;

/// What is said of a procedure step.
#[derive(Debug, Clone)]
pub enum Step {
    /// N-CREATE: it has begun. Without a UID the RIS gives it one.
    Create(Option<Uid>),
    /// N-SET: it has gone on, or ended.
    Set(Uid),
}

/// Why a RIS has not answered.
#[derive(Debug, thiserror::Error)]
pub enum NotPassed {
    /// No RIS takes procedure steps for the called title.
    #[error("no ris with serves = [\"mpps\"] is configured for {0}")]
    Nobody(crate::dicom::AeTitle),
    /// The RIS could not be asked.
    #[error("{ris}: {failure}")]
    Failure {
        /// Its name.
        ris: String,
        /// What happened.
        failure: Failure,
    },
    /// Its encoding and the modality's differ, and the attribute list cannot be read.
    #[error("{ris}: an attribute list cannot be given in another encoding: {error}")]
    Convert {
        /// Its name.
        ris: String,
        /// What is wrong with it.
        error: ScanError,
    },
}

/// Passes a step on, and gives what the RIS answered, with its data set in the encoding of `context`.
pub async fn pass_on(
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    context: &Context,
    step: &Step,
    attributes: &Bytes,
) -> Result<Response, NotPassed> {
    let rules = (gateway.rules)();
    let ris = rules.serving(Serves::Mpps, &visitor.called).next();
    let ris = ris.ok_or_else(|| NotPassed::Nobody(visitor.called.clone()))?;
    let to = gateway.calling(&ris.address, ris.calling.as_ref());
    let to = to.ok_or_else(|| NotPassed::Nobody(visitor.called.clone()))?;
    let failed = |failure| NotPassed::Failure { ris: ris.name.clone(), failure };
    let wrong = |error| NotPassed::Convert { ris: ris.name.clone(), error };
    let opening = gateway.pool.associate(&to, &proposals(context)).await;
    let mut caller = opening.map_err(failed)?;
    let here = context.transfer_syntax.encoding;
    let there = agreed(&caller, context).map_err(failed)?;
    let attributes = convert(attributes, here, there.transfer_syntax.encoding).map_err(wrong)?;
    let answered = match step {
        Step::Create(instance) => scu::create_step(&mut caller, &there, instance.as_ref(), &attributes).await,
        Step::Set(instance) => scu::set_step(&mut caller, &there, instance, &attributes).await,
    };
    tokio::spawn(caller.release());
    let response = answered.map_err(failed)?;
    let status = response.answer.status;
    if response.answer.is_done() {
        info!(ris = ris.name, peer = visitor.permit.peer().name, %status, "procedure step passed on");
    } else {
        warn!(ris = ris.name, peer = visitor.permit.peer().name, %status, "the RIS refuses a procedure step");
    }
    let data = convert(&response.data, there.transfer_syntax.encoding, here).map_err(wrong)?;
    Ok(Response { data, ..response })
}

/// The syntax of the modality first, so that its bytes go on as they are; the other one that every node takes behind it.
pub(in crate::flow) fn proposals(context: &Context) -> Vec<Proposal> {
    let own = context.transfer_syntax;
    let others = [TransferSyntax::IMPLICIT_LITTLE, TransferSyntax::EXPLICIT_LITTLE];
    let others = others.into_iter().filter_map(TransferSyntax::by_uid).filter(|other| *other != own);
    let syntaxes = std::iter::once(own).chain(others);
    syntaxes.map(|syntax| Proposal::new(context.abstract_syntax.clone(), vec![syntax])).collect()
}

fn agreed(caller: &Caller, context: &Context) -> Result<Context, Failure> {
    let class = &context.abstract_syntax;
    caller.context(class, context.transfer_syntax).or_else(|_| caller.context_of(class))
}
