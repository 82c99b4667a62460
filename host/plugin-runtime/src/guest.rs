//! What the host keeps beside a guest while it runs: the plugin log and the memory it was granted.
//!
//! [`arm`] is the only place that grants fuel, time, memory and output, and every instantiation and every call of a warm instance goes
//! through it. A budget that is set once and trusted later is how sandboxes lose their limits.

use std::fmt::Write as _;
use std::sync::Arc;

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut};

use crate::bindings::base::ranked::plugin::log::Level;
use crate::limits::Limits;

/// Lines that the plugin log takes of one call.
pub const LOG_LINES_MAX: u32 = 32;
/// Bytes that the plugin log takes of one line, before escaping; the rest is cut off.
pub const LOG_LINE_BYTES_MAX: usize = 512;
/// One tick of the deadline in milliseconds.
pub(crate) const EPOCH_TICK_MS: u64 = 10;
/// What a line costs a guest beside its bytes: as much as the host's work for it is worth, so that a log flood ends by fuel.
const LOG_LINE_FUEL: u64 = 2_000;
/// Core instances of one component; what `componentize-py` makes has 40 and more.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;
/// Memories and tables of one component.
const PARTS_MAX: usize = 16;
/// Bytes of a table entry on the host.
const TABLE_ENTRY_BYTES: usize = 16;

/// What one store holds for its guest.
pub(crate) struct Guest {
    /// `queue.role`, for the log.
    name: Arc<str>,
    memory_bytes_max: usize,
    /// Memory and tables granted so far. Never goes down: WebAssembly cannot give memory back.
    memory_bytes: usize,
    memory_refused: bool,
    log_lines: u32,
    last_line: String,
}

impl Guest {
    pub(crate) fn store(engine: &Engine, name: &Arc<str>, limits: &Limits) -> Store<Self> {
        let memory_bytes_max = usize::try_from(limits.memory_bytes_max).unwrap_or(usize::MAX);
        let guest = Self {
            name: Arc::clone(name),
            memory_bytes_max,
            memory_bytes: 0,
            memory_refused: false,
            log_lines: 0,
            last_line: String::new(),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| guest);
        store
    }

    /// Whether the guest was refused memory in this call.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }

    /// The last line that the guest wrote in this call, escaped; empty if there was none.
    pub(crate) fn last_line(&self) -> &str {
        &self.last_line
    }

    /// Lines of this call that were more than [`LOG_LINES_MAX`].
    pub(crate) fn log_lines_dropped(&self) -> u32 {
        self.log_lines.saturating_sub(LOG_LINES_MAX)
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let granted = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if granted > self.memory_bytes_max {
            self.memory_refused = true;
            return false;
        }
        self.memory_bytes = granted;
        true
    }

    fn log(&mut self, level: Level, message: &str) {
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
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |entries: usize| entries.saturating_mul(TABLE_ENTRY_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}

/// Grants the budget of one call: fuel, deadline, output, log lines. Memory was bounded when the store was made.
pub(crate) fn arm(store: &mut Store<Guest>, limits: &Limits) {
    store.set_fuel(limits.fuel_max).expect("every engine here consumes fuel");
    // One tick more: the current one has partly gone by. A deadline is at most `DEADLINE_MS_CEILING`, far from wrapping around.
    store.set_epoch_deadline(limits.deadline_ms_max.div_ceil(EPOCH_TICK_MS) + 1);
    store.set_hostcall_fuel(usize::try_from(limits.output_bytes_max).unwrap_or(usize::MAX));
    let guest = store.data_mut();
    guest.memory_refused = false;
    guest.log_lines = 0;
    guest.last_line.clear();
}

/// Offers `ranked:plugin/log`, the one import that a plugin may have.
pub(crate) fn offer_log(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut log = linker.instance("ranked:plugin/log@1.0.0")?;
    log.func_wrap("log", |mut store: StoreContextMut<'_, Guest>, (level, message): (Level, WasmStr)| {
        let line = {
            let text = message.to_str(&store)?;
            let cost = LOG_LINE_FUEL.saturating_add(text.len() as u64);
            let line = head(&text, LOG_LINE_BYTES_MAX).to_owned();
            let fuel = store.get_fuel()?;
            (line, fuel.checked_sub(cost))
        };
        let (line, fuel) = line;
        let Some(fuel) = fuel else {
            store.set_fuel(0)?;
            return Err(wasmtime::Trap::OutOfFuel.into());
        };
        store.set_fuel(fuel)?;
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
