//! The load generator: connections with calls in flight, in a closed loop (a call follows an answer) or an open one (calls
//! come by chance, so many a second, as those of many who know nothing of each other do, and what is late counts from when
//! it should have begun). Every answer is looked at.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    frames::{self, Fields},
    outcome::Outcome,
    processors::yield_to_others,
    tokens::Random,
};

/// Far more than any connection has in flight; a power of two. One call may be answered after a thousand that began later.
const SLOTS: usize = 2048;
/// The most in flight on a connection in an open loop: what the server allows is 256.
const MOST_OPEN: usize = 200;
/// How long answers may be outstanding after the last call was sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the peer may send before it is told that it may send more.
const WINDOW_STEP: u32 = 1 << 26;

/// Writes the next call's body. False: there is none any more.
pub(crate) type Source = Box<dyn FnMut(&mut Vec<u8>) -> bool + Send>;

/// What is called, and which answers are good.
#[derive(Clone, Copy)]
pub(crate) struct Method<'a> {
    pub(crate) path: &'a str,
    pub(crate) is_good: &'a (dyn Fn(&[u8]) -> bool + Sync),
}

/// How calls follow each other.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many in flight on each connection.
    Closed(usize),
    /// So many a second on all connections together.
    Open(f64),
}

/// Connections to one server.
pub(crate) struct Load {
    connections: Vec<Connection>,
    is_behind_others: bool,
}

impl Load {
    /// So many connections, which show this key.
    pub(crate) fn connect(address: SocketAddr, key: Option<&str>, connections: usize) -> Self {
        let connect = |_| Connection::open(address, key);
        Self {
            connections: (0..connections).map(connect).collect(),
            is_behind_others: false,
        }
    }

    /// So many connections, of callers that have these keys by turns.
    pub(crate) fn connect_each(address: SocketAddr, keys: &[String], connections: usize) -> Self {
        let keys = keys.iter().cycle().take(connections);
        let connect = |key: &String| Connection::open(address, Some(key));
        Self {
            connections: keys.map(connect).collect(),
            is_behind_others: false,
        }
    }

    /// The same, whose threads come after all others that want a processor.
    pub(crate) fn behind_others(self) -> Self {
        Self {
            is_behind_others: true,
            ..self
        }
    }

    /// Calls for this long. Each connection has its own source, by its number.
    pub(crate) fn run(
        &mut self,
        method: Method<'_>,
        pace: Pace,
        duration: Duration,
        source: impl Fn(usize) -> Source,
    ) -> Outcome {
        let mut all = Outcome::default();
        for outcome in self.run_each(method, pace, duration, source) {
            all.add(outcome);
        }
        all
    }

    /// The same, and what came of it on each connection.
    pub(crate) fn run_each(
        &mut self,
        method: Method<'_>,
        pace: Pace,
        duration: Duration,
        source: impl Fn(usize) -> Source,
    ) -> Vec<Outcome> {
        let connections = self.connections.len();
        let is_behind_others = self.is_behind_others;
        let pace = match pace {
            Pace::Closed(in_flight) => Pace::Closed(in_flight),
            Pace::Open(rate) => Pace::Open(rate / connections as f64),
        };
        thread::scope(|scope| {
            let start = |(i, connection)| {
                let source: Source = source(i);
                let connection: &mut Connection = connection;
                scope.spawn(move || {
                    if is_behind_others {
                        yield_to_others();
                    }
                    connection.run(method, pace, duration, source)
                })
            };
            let running: Vec<_> = self.connections.iter_mut().enumerate().map(start).collect();
            let ended = running.into_iter().map(|run| run.join());
            ended.map(|outcome| outcome.expect("no panic")).collect()
        })
    }
}

/// A call in flight.
#[derive(Default)]
struct Call {
    began: Option<Instant>,
    answer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    authority: String,
    key: Option<String>,
    fields: Fields,
    calls: Vec<Call>,
    in_flight: usize,
    next_stream: u32,
    /// What is yet to be sent, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    /// What the peer takes now.
    window: i64,
    /// What was received since the peer was told that it may send more.
    taken: u32,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, key: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_nodelay(true).expect("an option");
        let mut greeting = Vec::new();
        frames::greeting(&mut greeting);
        // At once: a connection that says nothing is cut.
        stream.write_all(&greeting).expect("it is sent");
        stream.set_nonblocking(true).expect("an option");
        Self {
            stream,
            authority: address.to_string(),
            key: key.map(str::to_owned),
            fields: Fields::default(),
            calls: (0..SLOTS).map(|_| Call::default()).collect(),
            in_flight: 0,
            next_stream: 1,
            out: Vec::new(),
            sent: 0,
            received: Vec::with_capacity(1 << 16),
            window: 65_535,
            taken: 0,
            body: Vec::new(),
        }
    }

    fn run(
        &mut self,
        method: Method<'_>,
        pace: Pace,
        duration: Duration,
        mut source: Source,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let start = Instant::now();
        let end = start + duration;
        let (most, rate) = match pace {
            Pace::Closed(in_flight) => (in_flight, None),
            Pace::Open(rate) => (MOST_OPEN, Some(rate)),
        };
        // Its own: connections that kept step would all call at once.
        let number = self.stream.local_addr().expect("it has one").port();
        let mut random = Random(number.into());
        let mut gap = |rate: f64| Duration::from_secs_f64(random.exponential() / rate);
        let mut due = start + rate.map(&mut gap).unwrap_or_default();
        let mut is_exhausted = false;
        // What the window did not admit, or a call that still has its slot, and when it should have begun.
        let mut waiting: Option<Instant> = None;
        loop {
            let now = Instant::now();
            while self.in_flight < most && !is_exhausted {
                let began = match (waiting.take(), rate) {
                    (Some(began), _) => began,
                    (None, _) if now >= end => break,
                    (None, Some(_)) if due > now => break,
                    (None, rate) => {
                        let began = if rate.is_some() { due } else { now };
                        due += rate.map(&mut gap).unwrap_or_default();
                        self.body.clear();
                        if !source(&mut self.body) {
                            is_exhausted = true;
                            break;
                        }
                        began
                    }
                };
                let is_admitted =
                    self.window >= i64::try_from(self.body.len()).expect("a short body");
                if !is_admitted || self.calls[slot(self.next_stream)].began.is_some() {
                    waiting = Some(began);
                    break;
                }
                self.send(method.path, began);
            }
            let is_over = (now >= end && waiting.is_none()) || is_exhausted;
            if is_over && self.in_flight == 0 {
                break;
            }
            if now > end + PATIENCE || self.exchange(method, &mut outcome).is_err() {
                outcome.bad += u64::try_from(self.in_flight).expect("few");
                self.in_flight = 0;
                break;
            }
            // Only the peer brings on what is held up. Not to ask the clock then leaves the processor to others.
            let is_held = is_over || waiting.is_some() || self.in_flight >= most;
            match rate {
                _ if is_held => self.wait(now + Duration::from_millis(100)),
                Some(_) => self.wait(due.min(end)),
                None => {}
            }
        }
        outcome.elapsed = start.elapsed();
        outcome
    }

    fn wait(&mut self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).expect("a short time"),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut flags = PollFlags::IN;
        if self.sent < self.out.len() {
            flags |= PollFlags::OUT;
        }
        // A signal ends the wait early, which does no harm.
        poll(&mut [PollFd::new(&self.stream, flags)], Some(&timeout)).ok();
    }

    fn send(&mut self, path: &str, began: Instant) {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut fields = vec![
            (":path", path),
            (":authority", self.authority.as_str()),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        if let Some(key) = &self.key {
            fields.push(("x-countersign-key", key));
        }
        self.fields.headers(&mut self.out, stream, &fields);
        frames::data(&mut self.out, stream, &self.body);
        self.window -= i64::try_from(self.body.len()).expect("a short body");
        self.in_flight += 1;
        self.calls[slot(stream)].began = Some(began);
    }

    /// Sends what is to be sent and takes what has come.
    fn exchange(&mut self, method: Method<'_>, outcome: &mut Outcome) -> Result<(), ErrorKind> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.kind()),
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof),
            Ok(length) => self.received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.kind()),
        }
        let received = std::mem::take(&mut self.received);
        let mut read = 0;
        while let Some((head, payload)) = frames::first(&received[read..]) {
            read += head.whole();
            self.take(head, payload, method, outcome)?;
        }
        self.received = received;
        self.received.drain(..read);
        Ok(())
    }

    fn take(
        &mut self,
        head: frames::Head,
        payload: &[u8],
        method: Method<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), ErrorKind> {
        match head.kind {
            frames::DATA => {
                self.calls[slot(head.stream)]
                    .answer
                    .extend_from_slice(payload);
                self.taken += u32::try_from(payload.len()).expect("a frame is short");
                if self.taken >= WINDOW_STEP {
                    frames::window_update(&mut self.out, std::mem::take(&mut self.taken));
                }
            }
            frames::SETTINGS if head.flags & frames::ACK == 0 => {
                frames::acknowledge(&mut self.out, frames::SETTINGS, &[]);
            }
            frames::PING if head.flags & frames::ACK == 0 => {
                frames::acknowledge(&mut self.out, frames::PING, payload);
            }
            frames::WINDOW_UPDATE if head.stream == 0 => {
                let more = <[u8; 4]>::try_from(payload).map_err(|_| ErrorKind::InvalidData)?;
                self.window += i64::from(u32::from_be_bytes(more));
            }
            frames::GO_AWAY => return Err(ErrorKind::ConnectionAborted),
            _ => {}
        }
        let carries_end = matches!(head.kind, frames::DATA | frames::HEADERS);
        if head.kind == frames::RESET || (carries_end && head.flags & frames::END_STREAM != 0) {
            self.end(head.stream, method, outcome);
        }
        Ok(())
    }

    /// An answer is complete. One with an error has no message, so it is not good.
    fn end(&mut self, stream: u32, method: Method<'_>, outcome: &mut Outcome) {
        let call = &mut self.calls[slot(stream)];
        let Some(began) = call.began.take() else {
            return;
        };
        self.in_flight -= 1;
        if (method.is_good)(&call.answer) {
            let latency = began.elapsed().as_nanos();
            outcome
                .latencies
                .push(u32::try_from(latency).unwrap_or(u32::MAX));
            outcome.last_good = outcome.last_good.max(Some(began));
        } else {
            outcome.bad += 1;
        }
        call.answer.clear();
    }
}

/// Where a stream's call is kept. Streams of a client have odd numbers.
fn slot(stream: u32) -> usize {
    usize::try_from(stream / 2).expect("a small number") % SLOTS
}
