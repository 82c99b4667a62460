//! What the host keeps beside a guest while it runs: the plugin log and the memory it was granted.
//!
//! [`arm`] is the only place that grants fuel, time, memory and output, and every instantiation and every call of a warm instance goes
//! through it. A budget that is set once and trusted later is how sandboxes lose their limits.

use std::fmt::Write as _;
use std::sync::Arc;

use ladder::fault::PluginFault;
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut};

use crate::bindings::base::ranked::plugin::log::Level;
use crate::forecast::Forecaster;
use crate::limits::Limits;
use crate::wasi::Inert;

/// Lines that the plugin log takes of one call.
pub const LOG_LINES_MAX: u32 = 32;
/// Bytes that the plugin log takes of one line, before escaping; the rest is cut off.
pub const LOG_LINE_BYTES_MAX: usize = 512;
/// One tick of the deadline in milliseconds.
pub(crate) const EPOCH_TICK_MS: u64 = 10;
/// What a line costs a guest beside its bytes: as much as the host's work for it is worth, so that a log flood ends by fuel.
const LOG_LINE_FUEL: u64 = 2_000;
/// Core instances of one component; what `componentize-py` makes has 40 and more.
pub(crate) const INSTANCES_MAX: usize = 64;
/// Memories of one component: one per nested component.
pub(crate) const MEMORIES_MAX: usize = 4;
/// Tables of one component.
pub(crate) const TABLES_MAX: usize = 8;
/// Bytes of a table entry on the host.
const TABLE_ENTRY_BYTES: usize = 16;

/// What one store holds for its guest.
pub(crate) struct Guest {
    /// `queue.role`, for the log.
    name: Arc<str>,
    limits: Limits,
    /// Memory and tables granted so far. Never goes down: WebAssembly cannot give memory back.
    memory_bytes: u64,
    table_elements: u64,
    /// What went through host functions in this call.
    hostcall_bytes: u64,
    /// The last thing that the guest was refused in this call.
    refused: Option<PluginFault>,
    log_lines: u32,
    last_line: String,
    /// What forecasts of this call are made from: for policies that import them.
    pub(crate) forecaster: Option<Box<Forecaster>>,
    pub(crate) wasi: Option<Box<Inert>>,
    /// Streams and pollables that the guest holds; a warm instance holds them from call to call.
    pub(crate) wasi_handles: u32,
}

/// The guest asked a host function for more than one call may: the fault stands in [`Guest::refused`].
#[derive(Debug, thiserror::Error)]
#[error("refused by a host function")]
struct Refused;

impl Guest {
    pub(crate) fn store(engine: &Engine, name: &Arc<str>, limits: &Limits) -> Store<Self> {
        let guest = Self {
            name: Arc::clone(name),
            limits: *limits,
            memory_bytes: 0,
            table_elements: 0,
            hostcall_bytes: 0,
            refused: None,
            log_lines: 0,
            last_line: String::new(),
            forecaster: None,
            wasi: None,
            wasi_handles: 0,
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| guest);
        store
    }

    /// What the guest was refused in this call, as the fault that it is if the call fails.
    pub(crate) fn refused(&self) -> Option<&PluginFault> {
        self.refused.as_ref()
    }

    /// Memory and tables that the guest has, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The last line that the guest wrote in this call, escaped; empty if there was none.
    pub(crate) fn last_line(&self) -> &str {
        &self.last_line
    }

    /// Lines of this call that were more than [`LOG_LINES_MAX`].
    pub(crate) fn log_lines_dropped(&self) -> u32 {
        self.log_lines.saturating_sub(LOG_LINES_MAX)
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let Limits { memory_bytes_max, .. } = self.limits;
        let granted = self.memory_bytes.saturating_add(bytes as u64);
        if granted > memory_bytes_max {
            self.refused = Some(PluginFault::Memory { memory_bytes_max });
            return false;
        }
        self.memory_bytes = granted;
        true
    }

    fn grow_tables(&mut self, elements: usize) -> bool {
        let Limits { table_elements_max, .. } = self.limits;
        let granted = self.table_elements.saturating_add(elements as u64);
        if granted > table_elements_max {
            self.refused = Some(PluginFault::Table { table_elements_max });
            return false;
        }
        self.table_elements = granted;
        self.grow(elements.saturating_mul(TABLE_ENTRY_BYTES))
    }

    /// Counts bytes that go through a host function, before they are made or kept.
    pub(crate) fn charge(&mut self, bytes: u64) -> wasmtime::Result<()> {
        let Limits { hostcall_bytes_max, .. } = self.limits;
        self.hostcall_bytes = self.hostcall_bytes.saturating_add(bytes);
        if self.hostcall_bytes > hostcall_bytes_max {
            return Err(self.refuse(PluginFault::HostcallBytes { hostcall_bytes_max }));
        }
        Ok(())
    }

    /// Ends the call with this fault.
    pub(crate) fn refuse(&mut self, fault: PluginFault) -> wasmtime::Error {
        self.refused = Some(fault);
        Refused.into()
    }

    pub(crate) fn log(&mut self, level: Level, message: &str) {
        self.log_lines = self.log_lines.saturating_add(1);
        if self.log_lines > LOG_LINES_MAX {
            return;
        }
        self.last_line.clear();
        escape_into(&mut self.last_line, message);
        let (plugin, line) = (&*self.name, self.last_line.as_str());
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{line}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{line}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{line}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{line}"),
        }
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow_tables(desired.saturating_sub(current)))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

/// Grants the budget of one call: fuel, deadline, output, bytes through host functions, log lines. Memory was bounded when the store was
/// made.
pub(crate) fn arm(store: &mut Store<Guest>, limits: &Limits) {
    store.set_fuel(limits.fuel_max).expect("every engine here consumes fuel");
    // One tick more: the current one has partly gone by. A deadline is at most `DEADLINE_MS_CEILING`, far from wrapping around.
    store.set_epoch_deadline(limits.deadline_ms_max.div_ceil(EPOCH_TICK_MS) + 1);
    store.set_hostcall_fuel(usize::try_from(limits.output_bytes_max).unwrap_or(usize::MAX));
    let guest = store.data_mut();
    guest.refused = None;
    guest.hostcall_bytes = 0;
    guest.log_lines = 0;
    guest.last_line.clear();
    guest.wasi = None;
}

/// Offers `ranked:plugin/log`, the one import that every plugin may have.
pub(crate) fn offer_log(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut log = linker.instance("ranked:plugin/log@1.0.0")?;
    log.func_wrap("log", |mut store: StoreContextMut<'_, Guest>, (level, message): (Level, WasmStr)| {
        let (line, len) = {
            let text = message.to_str(&store)?;
            (head(&text, LOG_LINE_BYTES_MAX).to_owned(), text.len() as u64)
        };
        let Some(fuel) = store.get_fuel()?.checked_sub(LOG_LINE_FUEL.saturating_add(len)) else {
            store.set_fuel(0)?;
            return Err(wasmtime::Trap::OutOfFuel.into());
        };
        store.set_fuel(fuel)?;
        store.data_mut().charge(len)?;
        store.data_mut().log(level, &line);
        Ok(())
    })
}

/// The beginning of a text, at most this many bytes of it.
pub(crate) fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Appends a guest's text with control characters escaped: it must not forge lines or move a terminal's cursor.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        // Beside the control characters proper: line and paragraph separators, and what turns the writing direction.
        let turns = matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            write!(out, "{}", character.escape_default()).expect("writing to a string cannot fail");
        } else {
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_or_move_a_cursor_is_escaped() {
        let table = [("plain ü", "plain ü"), ("a\nb", "a\\nb"), ("\u{1b}[2J", "\\u{1b}[2J"), ("\u{202e}x", "\\u{202e}x"), ("", "")];
        for (input, expected) in table {
            let mut out = String::new();
            escape_into(&mut out, input);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_text_is_never_cut_inside_a_character() {
        for (input, max, expected) in [("abc", 3, "abc"), ("abc", 2, "ab"), ("aü", 2, "a"), ("ü", 1, ""), ("", 0, "")] {
            assert_eq!(head(input, max), expected, "{input} {max}");
        }
    }
}
