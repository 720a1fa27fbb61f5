//! Modality Performed Procedure Step as SCU (PS3.4 annex F): N-CREATE and N-SET passed through, byte for byte.

use super::caller::{Caller, Response};
use super::failure::Failure;
use crate::association::{Command, Context};
use crate::dicom::Uid;

/// N-CREATE: a step has begun. The response has a status of its own, which the asker is to hear whatever it is.
pub async fn create(
    caller: &mut Caller,
    context: &Context,
    instance: Option<&Uid>,
    attributes: &[u8],
) -> Result<Response, Failure> {
    let class = &context.abstract_syntax;
    caller.ask(context, |id| Command::create(id, class, instance), Some(attributes)).await
}

/// N-SET: it has gone on, or ended.
pub async fn set(
    caller: &mut Caller,
    context: &Context,
    instance: &Uid,
    attributes: &[u8],
) -> Result<Response, Failure> {
    let class = &context.abstract_syntax;
    caller.ask(context, |id| Command::set_attributes(id, class, instance), Some(attributes)).await
}
