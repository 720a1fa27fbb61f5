//! A transport that can be looked at before it is read, and that hands rustls large pieces instead of 4 KiB ones.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What is read ahead of a handshake: who has not proved anything yet costs no more than this.
const BEFORE_BYTES: usize = 2048;
/// What is read ahead afterwards: rustls asks for 4 KiB at a time, and a system call for each would cost more than the
/// cipher.
const AFTER_BYTES: usize = 64 * 1024;

/// A stream with what was read ahead of it.
#[derive(Debug)]
pub(super) struct Buffered<S> {
    stream: S,
    ahead: BytesMut,
    step: usize,
}

impl<S> Buffered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new(), step: BEFORE_BYTES }
    }

    /// The peer has proved what it had to: from now on more is read at once.
    pub(super) fn widen(&mut self) {
        self.step = AFTER_BYTES;
    }

    /// The stream again, for a peer that is only told off: what was read ahead is dropped.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> Buffered<S> {
    /// The first byte that is to come, left where it is; nothing at the end.
    pub(super) async fn first(&mut self) -> io::Result<Option<u8>> {
        if self.ahead.is_empty() {
            self.ahead.reserve(self.step);
            self.stream.read_buf(&mut self.ahead).await?;
        }
        Ok(self.ahead.first().copied())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Buffered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if out.remaining() >= this.step {
                return Pin::new(&mut this.stream).poll_read(cx, out);
            }
            this.ahead.reserve(this.step);
            let read = pin!(this.stream.read_buf(&mut this.ahead)).poll(cx);
            if read.is_pending() {
                // Who is silent keeps no buffer.
                this.ahead = BytesMut::new();
            }
            ready!(read)?;
        }
        let length = this.ahead.len().min(out.remaining());
        let (now, _) = this.ahead.split_at(length);
        out.put_slice(now);
        this.ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Buffered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_in_its_place() {
        let (mut there, here) = tokio::io::duplex(64);
        let mut buffered = Buffered::new(here);
        there.write_all(b"hello, world").await.unwrap();
        drop(there);
        assert_eq!(buffered.first().await.unwrap(), Some(b'h'));
        assert_eq!(buffered.first().await.unwrap(), Some(b'h'));
        buffered.widen();
        let mut all = String::new();
        buffered.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello, world");
        assert_eq!(buffered.first().await.unwrap(), None);
    }
}
