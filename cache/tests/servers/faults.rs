//! A proxy that does to HTTP what networks and servers do: cuts, refusals, errors, delays, flipped bits, answers that
//! end too early, checksums that lie, silence. What it does to a connection is drawn from a seed.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    None,
    /// The connection ends before anything is said.
    Refuse,
    /// It ends within the request.
    CutRequest,
    /// It ends within the answer.
    CutAnswer,
    /// Another status is given.
    Status(u16),
    /// The answer comes late.
    Delay,
    /// A bit of the answer's body is another.
    FlipAnswer,
    /// A bit of the request's body is another.
    FlipRequest,
    /// The answer's length is made shorter, with its body.
    Truncate,
    /// The answer's body is another of the same length, with an etag that fits nothing.
    Lie,
    /// Nothing is said at all.
    Hang,
}

const HARMS: [Harm; 11] = [
    Harm::Refuse,
    Harm::CutRequest,
    Harm::CutAnswer,
    Harm::Status(403),
    Harm::Status(500),
    Harm::Status(503),
    Harm::Delay,
    Harm::FlipAnswer,
    Harm::FlipRequest,
    Harm::Truncate,
    Harm::Lie,
];

pub(crate) struct FaultProxy {
    pub(crate) address: String,
    /// What is done to every connection; drawn where there is nothing.
    state: Arc<State>,
}

struct State {
    seed: AtomicU64,
    /// Of a hundred connections, how many are harmed.
    share: AtomicU64,
    harmed: AtomicUsize,
    /// Every connection is harmed so.
    always: Option<Harm>,
}

impl FaultProxy {
    /// Harms that share (in percent) of the requests to `target`.
    pub(crate) fn start(target: &str, share: u64, always: Option<Harm>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State { seed: 0.into(), share: share.into(), harmed: 0.into(), always });
        let (target, shared) = (target.to_owned(), Arc::clone(&state));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let harm = shared.draw();
                let target = target.clone();
                thread::spawn(move || drop(relay(client, &target, harm)));
            }
        });
        Self { address, state }
    }

    /// Begins a sequence of harms anew.
    pub(crate) fn seed(&self, seed: u64) {
        self.state.seed.store(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), Ordering::SeqCst);
    }

    pub(crate) fn harmed(&self) -> usize {
        self.state.harmed.load(Ordering::SeqCst)
    }
}

impl State {
    fn draw(&self) -> Harm {
        // splitmix64
        let mut z = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let harm = match self.always {
            Some(harm) => harm,
            None if z % 100 < self.share.load(Ordering::SeqCst) => HARMS[(z >> 32) as usize % HARMS.len()],
            None => Harm::None,
        };
        if harm != Harm::None {
            self.harmed.fetch_add(1, Ordering::SeqCst);
        }
        harm
    }
}

/// One request and its answer: both sides are told to close after it, so that every request is a connection.
fn relay(mut client: TcpStream, target: &str, harm: Harm) -> std::io::Result<()> {
    match harm {
        Harm::Refuse => return client.shutdown(Shutdown::Both),
        Harm::Hang => {
            thread::sleep(Duration::from_secs(60));
            return Ok(());
        }
        Harm::Delay => thread::sleep(Duration::from_millis(150)),
        _ => {}
    }
    let mut request = message(&mut client)?;
    if let Harm::Status(status) = harm {
        let body = "<Error><Code>InternalError</Code></Error>";
        write!(client, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())?;
        return client.shutdown(Shutdown::Both);
    }
    let body = body_at(&request);
    if harm == Harm::FlipRequest && request.len() > body {
        let at = body + (request.len() - body) / 2;
        request[at] ^= 8;
    }
    let mut server = TcpStream::connect(target)?;
    close_after(&mut request);
    if harm == Harm::CutRequest {
        server.write_all(&request[..request.len() / 2])?;
        return client.shutdown(Shutdown::Both);
    }
    server.write_all(&request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    close_after(&mut answer);
    let body = body_at(&answer);
    let length = answer.len() - body;
    match harm {
        Harm::CutAnswer => answer.truncate(body.saturating_sub(3).max(body + length / 2)),
        Harm::FlipAnswer if length > 0 => answer[body + length / 3] ^= 1,
        Harm::Lie if length > 0 => answer[body..].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)),
        Harm::Truncate if length > 1 => {
            answer.truncate(body + length / 2);
            let head = String::from_utf8_lossy(&answer[..body]).into_owned();
            let shorter = head.lines().map(|line| {
                let is_length = line.to_ascii_lowercase().starts_with("content-length");
                if is_length { format!("content-length: {}", length / 2) } else { line.to_owned() }
            });
            let head = shorter.collect::<Vec<_>>().join("\r\n");
            answer.splice(..body, head.trim_end().bytes().chain(*b"\r\n\r\n"));
        }
        _ => {}
    }
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Write)
}

/// Where the body of a message begins.
fn body_at(message: &[u8]) -> usize {
    message.windows(4).position(|w| w == b"\r\n\r\n").map_or(message.len(), |at| at + 4)
}

/// Reads a whole request.
fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        let body = body_at(&all);
        if body < all.len() || all.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..body]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if all.len() >= body + length.unwrap_or(0) {
                return Ok(all);
            }
        }
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        all.extend_from_slice(&buffer[..n]);
    }
}

/// Says that the connection ends with this message.
fn close_after(message: &mut Vec<u8>) {
    let body = body_at(message);
    let head = String::from_utf8_lossy(&message[..body]).into_owned();
    let kept = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = kept.chain(["connection: close", "", ""]).collect::<Vec<_>>().join("\r\n");
    message.splice(..body, head.bytes());
}
