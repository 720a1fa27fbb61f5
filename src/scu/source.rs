//! Where the bytes of a data set come from while it is sent: a reader, pieces in memory, a channel.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// Bytes taken from a reader at once.
const READ_BYTES: usize = 128 * 1024;

/// A data set as pieces; nothing behind its end. An error breaks off what was begun, so that a peer never takes a part
/// for the whole.
pub trait Source: Send {
    /// The next piece, which may be empty.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

/// The rest of a reader.
#[derive(Debug)]
pub struct FromReader<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R> FromReader<R> {
    /// Reads until the reader ends.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::new() }
    }
}

impl<R: AsyncRead + Unpin + Send> Source for FromReader<R> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.buffer.reserve(READ_BYTES);
        let length = self.reader.read_buf(&mut self.buffer).await?;
        Ok((length > 0).then(|| self.buffer.split().freeze()))
    }
}

/// Pieces that are there already.
#[derive(Debug, Clone)]
pub struct FromPieces<I>(pub I);

impl<I: Iterator<Item = Bytes> + Send> Source for FromPieces<I> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.0.next())
    }
}

/// One piece.
impl Source for Bytes {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(Some(self.split_off(0)).filter(|piece| !piece.is_empty()))
    }
}

/// Pieces that somebody else makes. Its maker sends `None` as the end, so that a maker that has died is not taken for
/// one that has finished.
impl Source for mpsc::Receiver<io::Result<Option<Bytes>>> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.recv().await {
            Some(piece) => piece,
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its maker has stopped before the end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut source: impl Source) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = source.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn every_kind_gives_all_its_bytes_and_then_ends() {
        let data: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        assert_eq!(all(FromReader::new(&data[..])).await.unwrap(), data);
        assert_eq!(all(Bytes::from(data.clone())).await.unwrap(), data);
        assert_eq!(all(Bytes::new()).await.unwrap(), b"");
        let pieces = data.chunks(7000).map(Bytes::copy_from_slice);
        assert_eq!(all(FromPieces(pieces)).await.unwrap(), data);
    }

    #[tokio::test]
    async fn a_maker_that_dies_is_no_end() {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Ok(Some(Bytes::from_static(b"ab")))).await.unwrap();
        drop(sender);
        assert_eq!(all(receiver).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Ok(Some(Bytes::from_static(b"ab")))).await.unwrap();
        sender.send(Ok(None)).await.unwrap();
        assert_eq!(all(receiver).await.unwrap(), b"ab");
    }
}
