//! Waiting for other threads: spin briefly, then sleep.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// A number that only grows, and that threads wait on.
#[derive(Default)]
pub struct Gate {
    value: AtomicU64,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Gate {
    /// The number now.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::SeqCst)
    }

    /// Adds one and wakes who waits. Locks only if someone sleeps.
    pub fn advance(&self) {
        self.value.fetch_add(1, Ordering::SeqCst);
        // A sleeper counts itself before its last look at the number: either it sees the new one or is seen.
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.woken.notify_all();
        }
    }

    /// Waits until the number is another than `old`; looks `spins` times before it sleeps.
    pub fn wait(&self, old: u64, spins: u32) {
        for _ in 0..spins {
            if self.value.load(Ordering::Acquire) != old {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.value.load(Ordering::SeqCst) == old {
            guard = self.woken.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A point that all threads of a group reach before any goes on.
pub struct Barrier {
    threads: usize,
    arrived: AtomicUsize,
    gate: Gate,
}

impl Barrier {
    /// For this many threads.
    pub fn new(threads: usize) -> Barrier {
        Barrier { threads, arrived: AtomicUsize::new(0), gate: Gate::default() }
    }

    /// Waits for the others.
    pub fn wait(&self, spins: u32) {
        if self.threads == 1 {
            return;
        }
        let old = self.gate.value();
        if self.arrived.fetch_add(1, Ordering::SeqCst) + 1 == self.threads {
            self.arrived.store(0, Ordering::SeqCst);
            self.gate.advance();
        } else {
            self.gate.wait(old, spins);
        }
    }
}
