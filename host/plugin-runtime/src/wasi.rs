//! An inert WASI 0.2 for plugins with `wasi = "deterministic"`: toolchains that cannot do without it find everything where they look, and
//! nothing there depends on the machine, the time or the other guests.
//!
//! Clocks stand still, random numbers start again in every call, what is printed goes to the plugin log, everything else is empty. No
//! function waits, and none keeps more on the host than a line and a count: `wasmtime-wasi` serves the types of the interfaces here, not
//! their implementation, which would bring timers, threads and file descriptors along.
//!
//! Deliberately absent: files and sockets. None can be opened, so that a program that tries ends in a trap which names the function.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceType, Val};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::bindings::{cli, clocks};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};

use crate::bindings::base::ranked::plugin::log::Level;
use crate::guest::{Guest, LOG_LINE_BYTES_MAX};

/// Packages of which a component with the grant may import any interface.
pub(crate) const PACKAGES: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// Streams and pollables that a guest may hold at once.
const HANDLES_MAX: u32 = 1024;
/// What a guest may write at once.
const WRITE_BYTES_MAX: u64 = 4096;
/// What the wall clock shows: 2000-01-01T00:00:00Z. Programs that look at a certificate or a log line's date find a plausible one.
const WALL_CLOCK_S: u64 = 946_684_800;
/// What the monotonic clock shows, in nanoseconds. Not 0: programs take differences to earlier moments.
const MONOTONIC_NS: u64 = 1_000_000_000;
/// Where random numbers begin in every call.
const SEED: u64 = 0x7261_6e6b_6564;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// Every stream that is read, and every pollable: they have no state that could tell them apart.
const ONLY: u32 = 1;

/// What one call has of WASI; made when it first uses any.
pub(crate) struct Inert {
    random: ChaCha8Rng,
    insecure: ChaCha8Rng,
    /// The beginnings of unfinished lines.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Default for Inert {
    fn default() -> Self {
        let (random, insecure) = (ChaCha8Rng::seed_from_u64(SEED), ChaCha8Rng::seed_from_u64(SEED + 1));
        Self { random, insecure, stdout: Vec::new(), stderr: Vec::new() }
    }
}

/// The guest did what ends a call like a trap of its own. Told as a trap.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostTrap {
    #[error("exit with status {0}")]
    Exit(u8),
    #[error("called {0}, which the deterministic WASI does not have")]
    Absent(String),
    #[error("holds more than {HANDLES_MAX} streams and pollables")]
    Handles,
    #[error("wrote {0} bytes at once, at most {WRITE_BYTES_MAX}")]
    Write(u64),
    #[error("polled nothing")]
    PolledNothing,
    #[error("asked for a forecast where no rating engine gives any")]
    NoForecast,
}

/// Offers the inert WASI; what it lacks of the component's `wasi:` imports is offered as traps.
pub(crate) fn offer_wasi(linker: &mut Linker<Guest>, component: &Component) -> wasmtime::Result<()> {
    type Own = HasSelf<Guest>;
    fn guest(guest: &mut Guest) -> &mut Guest {
        guest
    }
    cli::environment::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::exit::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::stdin::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::stdout::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::stderr::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::terminal_input::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::terminal_output::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::terminal_stdin::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::terminal_stdout::add_to_linker::<Guest, Own>(linker, guest)?;
    cli::terminal_stderr::add_to_linker::<Guest, Own>(linker, guest)?;
    clocks::wall_clock::add_to_linker::<Guest, Own>(linker, guest)?;
    clocks::monotonic_clock::add_to_linker::<Guest, Own>(linker, guest)?;
    random::add_to_linker::<Guest, Own>(linker, guest)?;
    insecure::add_to_linker::<Guest, Own>(linker, guest)?;
    insecure_seed::add_to_linker::<Guest, Own>(linker, guest)?;
    poll::add_to_linker::<Guest, Own>(linker, guest)?;
    streams::add_to_linker::<Guest, Own>(linker, guest)?;
    let mut error = linker.instance("wasi:io/error@0.2.6")?;
    error.resource("error", ResourceType::host::<IoError>(), |_, _| Ok(()))?;
    error.func_wrap("[method]error.to-debug-string", |_, (_error,): (Resource<IoError>,)| Ok((String::new(),)))?;
    offer_absent(linker, component)
}

/// Files and sockets: nothing is there, nothing can be opened.
fn offer_absent(linker: &mut Linker<Guest>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (interface, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        if !(interface.starts_with("wasi:filesystem/") || interface.starts_with("wasi:sockets/")) {
            continue;
        }
        let mut offered = linker.instance(interface)?;
        for (name, item) in instance.exports(engine) {
            match item.ty {
                // Resources of `wasi:io` that the interface only uses are defined there.
                ComponentItem::Resource(_) if ["pollable", "input-stream", "output-stream", "error"].contains(&name) => {}
                ComponentItem::Resource(_) => offered.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("{interface}#{name}");
                    let answer = answer(name);
                    offered.func_new(name, move |_, _, _, results| match (&answer, results) {
                        (Some(answer), [result]) => {
                            *result = answer.clone();
                            Ok(())
                        }
                        _ => Err(HostTrap::Absent(called.clone()).into()),
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What well-behaved programs ask before they give up on files and sockets.
fn answer(function: &str) -> Option<Val> {
    match function {
        "get-directories" => Some(Val::List(Vec::new())),
        "create-tcp-socket" | "create-udp-socket" => Some(Val::Result(Err(Some(Box::new(Val::Enum("access-denied".to_owned())))))),
        _ => None,
    }
}

impl Guest {
    fn handle<T: 'static>(&mut self, rep: u32) -> wasmtime::Result<Resource<T>> {
        self.wasi_handles += 1;
        match self.wasi_handles > HANDLES_MAX {
            true => Err(HostTrap::Handles.into()),
            false => Ok(Resource::new_own(rep)),
        }
    }

    fn give_back(&mut self) -> wasmtime::Result<()> {
        self.wasi_handles = self.wasi_handles.saturating_sub(1);
        Ok(())
    }

    fn print(&mut self, stream: u32, bytes: &[u8]) -> StreamResult<()> {
        self.charge(bytes.len() as u64).map_err(StreamError::Trap)?;
        let level = if stream == STDERR { Level::Warn } else { Level::Info };
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |line| (line, true));
            let line = self.line(stream);
            // What is too long for the log is cut off there anyway.
            line.extend_from_slice(&text[..text.len().min(LOG_LINE_BYTES_MAX.saturating_sub(line.len()))]);
            if ended {
                let line = std::mem::take(line);
                self.log(level, &String::from_utf8_lossy(&line));
            }
        }
        Ok(())
    }

    fn line(&mut self, stream: u32) -> &mut Vec<u8> {
        let wasi = self.wasi.get_or_insert_default();
        if stream == STDERR { &mut wasi.stderr } else { &mut wasi.stdout }
    }

    /// Lines that the guest began and did not end: the call is over, or has trapped.
    pub(crate) fn log_unfinished_lines(&mut self) {
        let Some(wasi) = &mut self.wasi else { return };
        let lines = [(Level::Info, std::mem::take(&mut wasi.stdout)), (Level::Warn, std::mem::take(&mut wasi.stderr))];
        for (level, line) in lines.into_iter().filter(|(_, line)| !line.is_empty()) {
            self.log(level, &String::from_utf8_lossy(&line));
        }
    }

    fn random_bytes(&mut self, len: u64, source: impl FnOnce(&mut Inert) -> &mut ChaCha8Rng) -> wasmtime::Result<Vec<u8>> {
        self.charge(len)?;
        // Bounded by the charge: far below what a `usize` holds.
        let mut bytes = vec![0; usize::try_from(len)?];
        source(self.wasi.get_or_insert_default()).fill_bytes(&mut bytes);
        Ok(bytes)
    }
}

impl cli::environment::Host for Guest {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for Guest {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(HostTrap::Exit(status.is_err().into()).into())
    }

    fn exit_with_code(&mut self, status: u8) -> wasmtime::Result<()> {
        Err(HostTrap::Exit(status).into())
    }
}

impl cli::stdin::Host for Guest {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        self.handle(ONLY)
    }
}

impl cli::stdout::Host for Guest {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.handle(STDOUT)
    }
}

impl cli::stderr::Host for Guest {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.handle(STDERR)
    }
}

impl cli::terminal_input::Host for Guest {}

impl cli::terminal_input::HostTerminalInput for Guest {
    fn drop(&mut self, _terminal: Resource<cli::terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl cli::terminal_output::Host for Guest {}

impl cli::terminal_output::HostTerminalOutput for Guest {
    fn drop(&mut self, _terminal: Resource<cli::terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl cli::terminal_stdin::Host for Guest {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for Guest {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for Guest {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: WALL_CLOCK_S, nanoseconds: 0 })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 1, nanoseconds: 0 })
    }
}

/// Time stands still, so nothing is worth waiting for: whatever is waited for is there at once.
impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(MONOTONIC_NS)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.handle(ONLY)
    }

    fn subscribe_duration(&mut self, _duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.handle(ONLY)
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len, |wasi| &mut wasi.random)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.get_or_insert_default().random.next_u64())
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len, |wasi| &mut wasi.insecure)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.wasi.get_or_insert_default().insecure.next_u64())
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((SEED, SEED))
    }
}

impl poll::Host for Guest {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(HostTrap::PolledNothing.into());
        }
        self.charge(pollables.len() as u64 * size_of::<u32>() as u64)?;
        Ok((0..).take(pollables.len()).collect())
    }
}

impl poll::HostPollable for Guest {
    fn ready(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn block(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn drop(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.give_back()
    }
}

impl streams::Host for Guest {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(cause) | StreamError::Trap(cause) => Err(cause),
        }
    }
}

/// Standard input has ended before it began.
impl streams::HostInputStream for Guest {
    fn read(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.handle(ONLY)
    }

    fn drop(&mut self, _stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.give_back()
    }
}

/// Standard output and standard error: lines of the plugin log.
impl streams::HostOutputStream for Guest {
    fn check_write(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(WRITE_BYTES_MAX)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        match bytes.len() as u64 {
            len if len > WRITE_BYTES_MAX => Err(StreamError::Trap(HostTrap::Write(len).into())),
            _ => self.print(stream.rep(), &bytes),
        }
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn flush(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        match usize::try_from(len) {
            Ok(bytes) if len <= WRITE_BYTES_MAX => self.print(stream.rep(), &vec![0; bytes]),
            _ => Err(StreamError::Trap(HostTrap::Write(len).into())),
        }
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.write_zeroes(stream, len)
    }

    fn splice(&mut self, _to: Resource<DynOutputStream>, _from: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(&mut self, _to: Resource<DynOutputStream>, _from: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.handle(ONLY)
    }

    fn drop(&mut self, _stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.give_back()
    }
}
