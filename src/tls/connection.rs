//! A connection, plain or TLS, as one type.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::buffered::Buffered;
use super::error::HandshakeError;
use super::facts;
use crate::dicom::Certificate;

/// Bytes in and out over `S`, in clear or through TLS.
#[derive(Debug)]
pub enum Connection<S> {
    /// As they are.
    Plain(S),
    /// Encrypted, the peer's certificate verified if it showed one.
    Tls(TlsConnection<S>),
}

/// The state of a TLS connection, which is large, behind one pointer.
#[derive(Debug)]
pub struct TlsConnection<S>(Box<TlsStream<Buffered<S>>>);

impl<S> TlsConnection<S> {
    pub(super) fn new(mut stream: TlsStream<Buffered<S>>) -> Self {
        match &mut stream {
            TlsStream::Client(stream) => stream.get_mut().0.widen(),
            TlsStream::Server(stream) => stream.get_mut().0.widen(),
        }
        Self(Box::new(stream))
    }

    /// What is below TLS.
    pub(super) fn into_inner(self) -> S {
        match *self.0 {
            TlsStream::Client(stream) => stream.into_inner().0.into_inner(),
            TlsStream::Server(stream) => stream.into_inner().0.into_inner(),
        }
    }

    /// The same error in our words, where it is one of TLS: an alert, or what is no TLS.
    fn in_words(&self, error: io::Error) -> io::Error {
        let is_tls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
        if !is_tls {
            return error;
        }
        let is_client = matches!(*self.0, TlsStream::Client(_));
        io::Error::new(error.kind(), HandshakeError::from_io(&error, is_client))
    }

    /// The certificate that the peer showed and that was verified.
    pub(super) fn facts(&self) -> Option<facts::Facts> {
        let (_, state) = self.0.get_ref();
        state.peer_certificates()?.first().and_then(facts::of_certificate)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnection<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, out);
        // What TLS has to say by itself, such as the refusal of a renegotiation, does not wait for our next words.
        if read.is_pending() && self.0.get_ref().1.wants_write() {
            let _ = Pin::new(&mut self.0).poll_flush(cx)?;
        }
        read
    }
}

impl<S> Connection<S> {
    /// The certificate that the peer showed and that was verified.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.facts().map(|facts| facts.certificate),
        }
    }

    /// Whether nobody on the way can read along.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What was negotiated, for the log: version, suite, whether an earlier session was resumed.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self::Tls(TlsConnection(stream)) = self else { return "plain".to_owned() };
        let (_, state) = stream.get_ref();
        let version = state.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
        let suite = state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
        let resumed = matches!(state.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        format!("{version} {suite}{}", if resumed { " resumed" } else { "" })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Tls(tls) => match ready!(tls.poll_read(cx, out)) {
                // RFC 8446 6.1: an end without close_notify may be a cut. Here it is an end like any other, because
                // the upper layer knows a cut by itself: PDUs have lengths, and associations are released.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                done => Poll::Ready(done.map_err(|error| tls.in_words(error))),
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(TlsConnection(stream)) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(TlsConnection(stream)) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(TlsConnection(stream)) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(TlsConnection(stream)) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(TlsConnection(stream)) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
