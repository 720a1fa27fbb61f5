//! The identifier behind a query or a retrieval, read whole under its limit.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::association::{Association, Error, Message};
use crate::dicom::{Encoding, Status};

/// The data set of a request; or, once all of it is skipped, why it is refused.
pub(super) async fn read<S: AsyncRead + AsyncWrite + Unpin + Send>(
    association: &mut Association<S>,
    message: &Message,
    bytes_max: usize,
) -> Result<Result<BytesMut, super::Refusal>, Error> {
    let mut identifier = BytesMut::new();
    let mut fits = true;
    while let Some(piece) = association.next_data().await? {
        fits = fits && identifier.len().saturating_add(piece.len()) <= bytes_max;
        if fits {
            identifier.extend_from_slice(&piece);
        }
    }
    Ok(match message.context.transfer_syntax.encoding {
        _ if !message.command.has_data_set() => Err((Status::UNABLE_TO_PROCESS, "there is no identifier")),
        _ if !fits => {
            Err((Status::OUT_OF_RESOURCES, "the identifier is larger than release.identifier_bytes_max"))
        }
        Encoding::ImplicitLittle | Encoding::ExplicitLittle => Ok(identifier),
        _ => Err((Status::UNABLE_TO_PROCESS, "identifiers are taken in Little Endian, not compressed")),
    })
}
