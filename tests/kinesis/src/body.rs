//! Answer bodies: pieces of bytes that are already there, sent as they are, or slowly, or not to the end.
//! Knows nothing of what the bytes mean.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::faults::Transport;

/// Bytes at a time of a slow body.
const SLOW_PIECE_BYTES: usize = 4096;

/// A body of known length.
#[derive(Debug, Default)]
pub struct Pieces {
    waiting: VecDeque<Bytes>,
    remaining: u64,
    /// How much is left when the connection is cut.
    cut_at: Option<u64>,
    delay: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
    reset: Arc<AtomicBool>,
    live: Option<mpsc::Receiver<Bytes>>,
}

impl Pieces {
    /// The pieces one after the other. `reset` is raised when the connection shall be reset rather than closed.
    pub fn new(pieces: Vec<Bytes>, transport: Transport, reset: Arc<AtomicBool>) -> Self {
        let remaining = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self {
            waiting: pieces.into(),
            remaining,
            cut_at: (transport == Transport::Cut).then_some(remaining / 2),
            delay: if let Transport::Slow(ms) = transport { Some(Duration::from_millis(ms)) } else { None },
            pause: None,
            reset,
            live: None,
        }
    }

    /// What comes after the pieces, as it happens; a cut comes at its end.
    #[must_use]
    pub fn followed_by(self, live: Option<mpsc::Receiver<Bytes>>) -> Self {
        Self { live, ..self }
    }

    fn take(&mut self, most: usize) -> Option<Bytes> {
        let piece = self.waiting.front_mut()?;
        let taken = if piece.len() > most { piece.split_to(most) } else { self.waiting.pop_front()? };
        self.remaining -= taken.len() as u64;
        Some(taken)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let (idle, cut_at) = (self.waiting.is_empty(), self.cut_at);
        if let Some(live) = self.live.as_mut().filter(|_| idle) {
            return match (live.poll_recv(cx), cut_at) {
                (Poll::Pending, _) => Poll::Pending,
                (Poll::Ready(Some(piece)), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                (Poll::Ready(None), None) => Poll::Ready(None),
                (Poll::Ready(None), Some(_)) => {
                    self.reset.store(true, Ordering::Release);
                    Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
                }
            };
        }
        let most = match (self.cut_at, self.delay) {
            (Some(left), _) if self.remaining <= left => {
                self.reset.store(true, Ordering::Release);
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
            }
            (Some(left), _) => usize::try_from(self.remaining - left).unwrap_or(usize::MAX),
            (None, Some(_)) => SLOW_PIECE_BYTES,
            (None, None) => usize::MAX,
        };
        let Some(taken) = self.take(most) else {
            return Poll::Ready(None);
        };
        self.pause = self.delay.map(|delay| Box::pin(sleep(delay)));
        Poll::Ready(Some(Ok(Frame::data(taken))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0 && self.cut_at.is_none() && self.live.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.live.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.remaining) }
    }
}
