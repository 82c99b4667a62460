//! The first allocations of an instance come from a fixed piece of its memory.
//!
//! A live call has an instance of its own and allocates a few kilobytes. The standard allocator would grow the memory for them, and the
//! host would have to protect the added pages again before the next instance: two changes of page tables, about a tenth of the whole
//! call. What does not fit goes to the standard allocator; what is given back here is not reused, which only matters to an instance that
//! lives long, and such a one has left the arena soon.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use std::alloc::System;

/// Enough for a contest of a hundred players, parameters included; small enough that nobody notices.
const ARENA_BYTES: usize = 64 << 10;

struct Arena {
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    used: Cell<usize>,
}

// Components have one thread: the contract has no way to start another.
#[allow(unsafe_code)]
unsafe impl Sync for Arena {}

#[global_allocator]
static ARENA: Arena = Arena { bytes: UnsafeCell::new([0; ARENA_BYTES]), used: Cell::new(0) };

impl Arena {
    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    fn holds(&self, block: *mut u8) -> bool {
        (block as usize).wrapping_sub(self.start() as usize) < ARENA_BYTES
    }
}

#[allow(unsafe_code)]
// Blocks of the arena never overlap, because `used` only moves past them; everything else is handed to `System` unchanged.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.start() as usize;
        let at = (start + self.used.get()).next_multiple_of(layout.align()) - start;
        match at.checked_add(layout.size()) {
            Some(end) if end <= ARENA_BYTES => {
                self.used.set(end);
                // SAFETY: `at` is at most `end`, which lies inside the arena.
                unsafe { self.start().add(at) }
            }
            // SAFETY: the caller's promises are passed on.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !self.holds(block) {
            // SAFETY: the block came from `System`, with this layout.
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.holds(block) {
            // SAFETY: the block came from `System`, with this layout.
            return unsafe { System.realloc(block, layout, size) };
        }
        let at = block as usize - self.start() as usize;
        let last = at + layout.size() == self.used.get();
        if let Some(end) = at.checked_add(size).filter(|&end| last && end <= ARENA_BYTES) {
            // The newest block grows or shrinks where it is: what a vector does while it is filled.
            self.used.set(end);
            return block;
        }
        // SAFETY: the caller promises a size that makes a valid layout; both blocks hold at least the copied bytes and do not overlap.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                core::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
            }
            moved
        }
    }
}
